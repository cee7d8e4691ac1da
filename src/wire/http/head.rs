//! Heads of HTTP/1 requests (RFC 9112), read whole: nothing of a head is acted on before its empty
//! line came, so that it means the same however it was cut on its way.

use super::query::Query;

/// Longest head taken, bytes. An announce is under 600; a scrape of 200 hashes under 15,000.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines of one head.
pub const HEADERS_MAX: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Head,
    Options,
    /// Any other: nothing here can be changed by HTTP.
    Other,
}

/// What one request asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    pub method: Method,
    /// The path, still percent-encoded; `*` for the server itself.
    pub path: &'a [u8],
    pub query: Query<'a>,
    /// Whether the client wants to ask more on this connection.
    pub keep_alive: bool,
}

/// A head that cannot be answered as asked. The connection ends after the word about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHead {
    Malformed,
    /// Longer than [`HEAD_BYTES_MAX`], or more than [`HEADERS_MAX`] lines.
    TooLarge,
    /// A body follows, and nothing here takes one.
    Body,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
}

impl BadHead {
    /// Status code (RFC 9110, RFC 6585) and a line for people.
    pub fn answer(self) -> (u16, &'static str) {
        match self {
            BadHead::Malformed => (400, "not a request of HTTP"),
            BadHead::TooLarge => (431, "the head of the request is too large"),
            BadHead::Body => (413, "a request with a body is not taken here"),
            BadHead::Version => (505, "HTTP/1.1 and HTTP/1.0 are spoken here"),
        }
    }
}

/// Whether bytes that began a connection are, or may become, the start of an HTTP request:
/// `Some(true)` they are, `None` not yet to be said.
pub fn begins(bytes: &[u8]) -> Option<bool> {
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"OPTIONS ",
        b"DELETE ",
        b"PATCH ",
        b"TRACE ",
        b"CONNECT ",
    ];
    if METHODS.iter().any(|method| bytes.starts_with(method)) {
        return Some(true);
    }
    if METHODS.iter().any(|method| method.starts_with(bytes)) { None } else { Some(false) }
}

/// Reads the head at the front of `bytes`: what it says and its length with the empty line. `None`
/// = its end has not come. The first `seen` bytes are known to hold no end.
pub fn read(bytes: &[u8], seen: usize) -> Result<Option<(Head<'_>, usize)>, BadHead> {
    let Some(len) = end(bytes, seen.saturating_sub(3)) else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(BadHead::TooLarge) } else { Ok(None) };
    };
    if len > HEAD_BYTES_MAX {
        return Err(BadHead::TooLarge);
    }
    let head = parsed(bytes.get(..len).unwrap_or_default())?;
    Ok(Some((head, len)))
}

/// Where the first empty line that follows another line ends.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let late = bytes.get(from..)?;
    let mut ends = late.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.find_map(|(at, _)| match late.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

fn parsed(bytes: &[u8]) -> Result<Head<'_>, BadHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(BadHead::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooLarge),
        Err(httparse::Error::Version) => return Err(BadHead::Version),
        Err(_) => return Err(BadHead::Malformed),
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("OPTIONS") => Method::Options,
        _ => Method::Other,
    };
    let (path, query) = target(request.path.unwrap_or_default().as_bytes())?;
    let mut keep_alive = request.version == Some(1);
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = persists(header.value, keep_alive);
        } else if header.name.eq_ignore_ascii_case("content-length") {
            body(header.value)?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(BadHead::Body);
        }
    }
    Ok(Head { method, path, query: Query(query), keep_alive })
}

/// Path and query of a target in any of its forms but that of CONNECT (RFC 9112, section 3.2).
fn target(target: &[u8]) -> Result<(&[u8], &[u8]), BadHead> {
    let local = match target {
        b"*" | [b'/', ..] => target,
        _ => {
            let after =
                ["http://", "HTTP://"].iter().find_map(|s| target.strip_prefix(s.as_bytes()));
            let after = after.ok_or(BadHead::Malformed)?;
            let root: &[u8] = b"/";
            after
                .iter()
                .position(|byte| *byte == b'/')
                .and_then(|at| after.get(at..))
                .unwrap_or(root)
        }
    };
    let mut parts = local.splitn(2, |byte| *byte == b'?');
    Ok((parts.next().unwrap_or_default(), parts.next().unwrap_or_default()))
}

fn body(length: &[u8]) -> Result<(), BadHead> {
    let length = length.trim_ascii();
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(BadHead::Malformed);
    }
    if length.iter().all(|digit| *digit == b'0') { Ok(()) } else { Err(BadHead::Body) }
}

fn persists(value: &[u8], so_far: bool) -> bool {
    value.split(|byte| *byte == b',').fold(so_far, |so_far, word| match word.trim_ascii() {
        word if word.eq_ignore_ascii_case(b"close") => false,
        word if word.eq_ignore_ascii_case(b"keep-alive") => true,
        _ => so_far,
    })
}
