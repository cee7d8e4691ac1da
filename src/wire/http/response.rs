//! Heads of HTTP/1.1 responses.

use std::fmt::Write as _;

/// The head of one response.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    pub status: u16,
    /// Media type; empty when there is no body at all.
    pub media: &'a str,
    /// Bytes of the body.
    pub len: u64,
    /// Whether the connection stays open.
    pub keep_alive: bool,
    /// Further lines: name, value. Neither holds a line break.
    pub more: &'a [(&'static str, String)],
}

impl ResponseHead<'_> {
    pub fn encode(&self) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, phrase(self.status));
        if !self.media.is_empty() {
            // Writing to a string cannot fail.
            let _ =
                write!(head, "Content-Type: {}\r\nContent-Length: {}\r\n", self.media, self.len);
        }
        head.push_str("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
        for (name, value) in self.more {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let _ = write!(head, "Connection: {connection}\r\n\r\n");
        head
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
