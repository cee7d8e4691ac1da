//! Responses of HTTP/1 as a client reads them while they flow (RFC 9112): head, then the bytes of
//! the body as they come, then its end. Nothing but the head is kept, and cutting the stream
//! anywhere changes nothing.

use super::head::{HEAD_BYTES_MAX, HEADERS_MAX};

/// Longest line before a chunk.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Longest trailers.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Longest validator that is kept.
const VALIDATOR_BYTES_MAX: usize = 1024;
/// Most interim responses (1xx) before the one that counts.
const INTERIM_MAX: u32 = 4;

const BROKEN: &str = "the chunks of the answer are broken";

/// What a head says that matters to us.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Head {
    pub status: u16,
    /// Where a redirection points: foreign text.
    pub location: Option<String>,
    pub coding: Coding,
    /// Bytes of the body, where the head says so.
    pub len: Option<u64>,
    /// First and last byte of a part, and the length of the whole if it is known.
    pub range: Option<(u64, u64, Option<u64>)>,
    /// Seconds after which to ask again (`Retry-After`); a date there is not read.
    pub retry_after_s: Option<u64>,
    /// Whether the connection can be asked again.
    pub keep_alive: bool,
    /// Whether the end of the body is told apart from that of the connection.
    pub framed: bool,
    /// Whether it says that parts of it can be had (`Accept-Ranges`).
    pub gives_ranges: bool,
    /// `ETag`, as it stands there.
    pub etag: Option<String>,
    /// `Last-Modified` and `Date`, as they stand there.
    pub modified: Option<String>,
    pub date: Option<String>,
}

/// How a body is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coding {
    #[default]
    Plain,
    Gzip,
    /// With or without the zlib wrapping that the standard asks for.
    Deflate,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Came<'a> {
    Head(Head),
    /// The next bytes of the body.
    Bytes(&'a [u8]),
    /// The end of the response; what follows belongs to the next one.
    End,
}

#[derive(Clone, Debug)]
enum Stage {
    Head,
    /// So many bytes are left.
    Counted(u64),
    ChunkLine,
    Chunk(u64),
    /// After a chunk: `\r\n`, of which so many bytes came.
    ChunkEnd,
    Trailer,
    /// The body ends with the connection.
    ToEnd,
    Over,
}

/// Reads one response.
#[derive(Clone, Debug)]
pub struct Incoming {
    stage: Stage,
    /// The head or the line that is not whole yet.
    kept: Vec<u8>,
    trailer_bytes: usize,
    interim: u32,
}

impl Default for Incoming {
    fn default() -> Incoming {
        Incoming { stage: Stage::Head, kept: Vec::new(), trailer_bytes: 0, interim: 0 }
    }
}

impl Incoming {
    /// The next thing in `bytes`, which move on; `None` = all of them are taken. The error is a few
    /// words, and the last that is said.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Came<'a>>, &'static str> {
        loop {
            match &mut self.stage {
                Stage::Over => return Ok(None),
                Stage::Counted(0) => return Ok(Some(self.over())),
                _ if bytes.is_empty() => return Ok(None),
                Stage::Head => {
                    if let Some(head) = self.head(bytes)? {
                        return Ok(Some(Came::Head(head)));
                    }
                }
                Stage::Counted(left) => return Ok(Some(Came::Bytes(take(bytes, left)))),
                Stage::ToEnd => return Ok(Some(Came::Bytes(std::mem::take(bytes)))),
                Stage::ChunkLine => {
                    let Some(line) = self.line(bytes, CHUNK_LINE_BYTES_MAX)? else { continue };
                    self.stage = match chunk_len(&line)? {
                        0 => Stage::Trailer,
                        len => Stage::Chunk(len),
                    };
                }
                Stage::Chunk(0) => self.stage = Stage::ChunkEnd,
                Stage::Chunk(left) => return Ok(Some(Came::Bytes(take(bytes, left)))),
                Stage::ChunkEnd => match self.line(bytes, 2)? {
                    None => {}
                    Some(line) if line.is_empty() => self.stage = Stage::ChunkLine,
                    Some(_) => return Err(BROKEN),
                },
                Stage::Trailer => {
                    let Some(line) = self.line(bytes, TRAILER_BYTES_MAX)? else { continue };
                    self.trailer_bytes += line.len() + 2;
                    if line.is_empty() {
                        return Ok(Some(self.over()));
                    }
                    if self.trailer_bytes > TRAILER_BYTES_MAX {
                        return Err(BROKEN);
                    }
                }
            }
        }
    }

    fn over(&mut self) -> Came<'static> {
        self.stage = Stage::Over;
        Came::End
    }

    /// The connection ended: was that the end of the response?
    pub fn ended(&mut self) -> Result<(), &'static str> {
        match self.stage {
            Stage::ToEnd | Stage::Over | Stage::Counted(0) => {
                self.stage = Stage::Over;
                Ok(())
            }
            Stage::Head => Err("the connection ended before the answer"),
            _ => Err("the connection ended in the answer"),
        }
    }

    /// A line without its end, once that came.
    fn line(&mut self, bytes: &mut &[u8], max: usize) -> Result<Option<Vec<u8>>, &'static str> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) =
            bytes.split_at_checked(end.map_or(bytes.len(), |at| at + 1)).unwrap_or_default();
        if self.kept.len() + line.len() > max {
            crate::mark!("C14");
            return Err(BROKEN);
        }
        self.kept.extend_from_slice(line);
        *bytes = rest;
        if end.is_none() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.kept);
        Ok(Some(line.strip_suffix(b"\r\n").ok_or(BROKEN)?.to_vec()))
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, &'static str> {
        let before = self.kept.len();
        let room = (HEAD_BYTES_MAX + 1).saturating_sub(before);
        let (some, _) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.kept.extend_from_slice(some);
        // A head ends with a line; the first bytes tell whether it is one at all.
        if before >= 16 && !some.contains(&b'\n') && self.kept.len() <= HEAD_BYTES_MAX {
            *bytes = bytes.get(some.len()..).unwrap_or_default();
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let len = match response.parse(&self.kept) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if self.kept.len() <= HEAD_BYTES_MAX => {
                *bytes = bytes.get(some.len()..).unwrap_or_default();
                return Ok(None);
            }
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                crate::mark!("C14");
                return Err("the head of the answer is too large");
            }
            Err(_) => return Err("the answer is not HTTP"),
        };
        let (head, stage) = read_head(&response)?;
        *bytes = bytes.get(len.saturating_sub(before)..).unwrap_or_default();
        self.kept.clear();
        if (100..200).contains(&head.status) {
            self.interim += 1;
            let enough = self.interim > INTERIM_MAX;
            return if enough { Err("the answer does not begin") } else { Ok(None) };
        }
        self.stage = stage;
        Ok(Some(head))
    }
}

/// So much of `bytes` as is left to come.
fn take<'a>(bytes: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    let (part, rest) = bytes.split_at_checked(n).unwrap_or_default();
    (*bytes, *left) = (rest, *left - n as u64);
    part
}

/// The length before a chunk: hex digits, perhaps an extension.
fn chunk_len(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // A sign or a prefix is no digit.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BROKEN);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BROKEN)?;
    u64::from_str_radix(digits, 16).map_err(|_| BROKEN)
}

fn read_head(response: &httparse::Response<'_, '_>) -> Result<(Head, Stage), &'static str> {
    let mut head = Head { status: response.code.unwrap_or_default(), ..Head::default() };
    head.keep_alive = response.version == Some(1);
    let mut chunked = false;
    for header in response.headers.iter() {
        let value = header.value.trim_ascii();
        let name = |name: &str| header.name.eq_ignore_ascii_case(name);
        if name("content-length") {
            let len = number(value).ok_or("its length is no number")?;
            if head.len.is_some_and(|said| said != len) {
                return Err("the answer has two lengths");
            }
            head.len = Some(len);
        } else if name("transfer-encoding") {
            // Some send chunks to one who asks with HTTP/1.0, too.
            chunked = value.eq_ignore_ascii_case(b"chunked");
            if !chunked {
                return Err("the answer is in a coding that nobody asked for");
            }
        } else if name("content-encoding") {
            head.coding = match value.to_ascii_lowercase().as_slice() {
                b"identity" | b"" => Coding::Plain,
                b"gzip" | b"x-gzip" => Coding::Gzip,
                b"deflate" => Coding::Deflate,
                _ => return Err("the answer is in a coding that nobody asked for"),
            };
        } else if name("location") {
            head.location = Some(String::from_utf8_lossy(value).into_owned());
        } else if name("content-range") {
            head.range = range(value);
        } else if name("accept-ranges") {
            head.gives_ranges = value.eq_ignore_ascii_case(b"bytes");
        } else if name("etag") {
            head.etag = text(value);
        } else if name("last-modified") {
            head.modified = text(value);
        } else if name("date") {
            head.date = text(value);
        } else if name("retry-after") {
            head.retry_after_s = number(value);
        } else if name("connection") {
            head.keep_alive = match value.to_ascii_lowercase().as_slice() {
                b"close" => false,
                b"keep-alive" => true,
                _ => head.keep_alive,
            };
        }
    }
    let stage = match (head.status, chunked, head.len) {
        (204 | 304, ..) => Stage::Counted(0),
        (_, true, _) => Stage::ChunkLine,
        (_, false, Some(len)) => Stage::Counted(len),
        (_, false, None) => Stage::ToEnd,
    };
    head.len = head.len.filter(|_| !chunked);
    head.framed = !matches!(stage, Stage::ToEnd);
    head.keep_alive &= head.framed;
    Ok((head, stage))
}

/// A value that can be said again as it is: visible ASCII and spaces.
fn text(value: &[u8]) -> Option<String> {
    let plain = value.iter().all(|byte| (b' '..=b'~').contains(byte)) && !value.is_empty();
    String::from_utf8(value.to_vec()).ok().filter(|_| plain && value.len() <= VALIDATOR_BYTES_MAX)
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// `bytes FIRST-LAST/WHOLE`, the last of which may be `*`.
fn range(value: &[u8]) -> Option<(u64, u64, Option<u64>)> {
    let text = std::str::from_utf8(value).ok()?.strip_prefix("bytes ")?;
    let (part, whole) = text.trim().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last) = (number(first.as_bytes())?, number(last.as_bytes())?);
    (first <= last).then_some((first, last, number(whole.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect_mark;
    use proptest::prelude::*;

    /// All that is told of a stream that comes in these parts: head, body, whether it ended whole,
    /// and what was left over.
    fn told(parts: &[&[u8]]) -> Result<(Head, Vec<u8>, bool, usize), &'static str> {
        let mut incoming = Incoming::default();
        let (mut head, mut body, mut over, mut left) = (None, Vec::new(), false, 0);
        for part in parts {
            let mut bytes = *part;
            while let Some(came) = incoming.next(&mut bytes)? {
                match came {
                    Came::Head(said) => assert!(head.replace(said).is_none()),
                    Came::Bytes(some) => body.extend_from_slice(some),
                    Came::End => over = true,
                }
            }
            left += bytes.len();
        }
        let whole = incoming.ended();
        if over {
            whole?;
        }
        Ok((head.ok_or("no head")?, body, over || whole.is_ok(), left))
    }

    const CHUNKS: &[u8] =
        b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 206 Part\r\ntransfer-encoding: Chunked\r\n\
        Content-Range: bytes 5-9/100\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n02\r\nde\r\n0\r\n\
        T: x\r\n\r\nREST";

    #[test]
    fn cutting_a_response_anywhere_changes_nothing() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nabcdeREST";
        let endless = b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nabcde";
        for bytes in [CHUNKS, counted, endless] {
            let whole = told(&[bytes]).unwrap();
            assert_eq!((&whole.1[..], whole.2), (&b"abcde"[..], true));
            for one in 0..=bytes.len() {
                for two in one..=bytes.len() {
                    let parts = [&bytes[..one], &bytes[one..two], &bytes[two..]];
                    assert_eq!(told(&parts).as_ref(), Ok(&whole), "{one} {two}");
                }
            }
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(told(&each), Ok(whole));
        }
        let head = told(&[CHUNKS]).unwrap().0;
        assert_eq!((head.range, head.keep_alive), (Some((5, 9, Some(100))), false));
        let (head, _, _, left) = told(&[counted]).unwrap();
        assert_eq!((head.retry_after_s, head.keep_alive, left), (Some(7), true, 4));
        assert_eq!(told(&[endless]).unwrap().0.coding, Coding::Gzip);
    }

    #[test]
    fn chunks_that_are_none_and_floods_are_refused() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let long = "a".repeat(300);
        let bad = ["x\r\n", "-1\r\n", "+1\r\na", "0x1\r\na", "1\r\nabc\r\n", "\r\n", "1\nab"];
        let bad = bad.into_iter().chain(["11111111111111111\r\n", long.as_str()]);
        for bad in bad {
            assert_eq!(told(&[head.as_bytes(), bad.as_bytes()]), Err(BROKEN), "{bad}");
        }
        let trailers = "T: xxxxxxxxxxxxxxxxx\r\n".repeat(1000);
        assert_eq!(told(&[head.as_bytes(), b"0\r\n", trailers.as_bytes()]), Err(BROKEN));
        let long = expect_mark!("C14", told(&[b"HTTP/1.1 200 OK\r\nX: ", &[b'a'; 20_000]]));
        assert_eq!(long, Err("the head of the answer is too large"));
        let many = "A: b\r\n".repeat(100);
        assert!(told(&[b"HTTP/1.1 200 OK\r\n", many.as_bytes()]).is_err());
        let interim = b"HTTP/1.1 100 Go\r\n\r\n".repeat(9);
        assert!(told(&[&interim]).is_err());
        for lengths in ["Content-Length: 1\r\nContent-Length: 2", "Content-Length: +1"] {
            let text = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n");
            assert!(told(&[text.as_bytes()]).is_err(), "{lengths}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0..CHUNKS.len(),
        ) {
            let _ = told(&[&bytes]);
            let _ = told(&[&CHUNKS[..at], &bytes, &CHUNKS[at..]]);
        }
    }
}
