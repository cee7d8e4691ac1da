//! The page for people and what is kept for it: the page itself, made once, with the policy that
//! lets nothing run in it but its own script; and the last status, shared by all who ask for it.

use super::Reply;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const PAGE: &str = include_str!("page.html");
/// How long one status serves everybody who asks for it.
const FRESH: Span = Span::secs(1);

#[derive(Debug)]
pub struct Pages {
    page: Arc<[u8]>,
    /// Content-Security-Policy of the page: its own style and script by their hashes, requests to
    /// where it came from, nothing else.
    policy: String,
    status: Option<(Time, Arc<[u8]>)>,
    /// Requests since the start, and how many of them were announces and scrapes.
    pub asked: u64,
    pub announces: u64,
    pub scrapes: u64,
}

impl Default for Pages {
    fn default() -> Pages {
        let hash = |tag: &str| base64(&Sha256::digest(inside(PAGE, tag)));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash("style"),
            hash("script")
        );
        Pages {
            page: PAGE.as_bytes().into(),
            policy,
            status: None,
            asked: 0,
            announces: 0,
            scrapes: 0,
        }
    }
}

impl Pages {
    pub fn page(&self) -> Reply {
        mark!("C20");
        let page = Reply::new(200, "text/html; charset=utf-8", self.page.clone());
        page.with("Content-Security-Policy", self.policy.as_str())
            .with("Referrer-Policy", "no-referrer")
    }

    /// The status of the last second, or a new one.
    pub fn status(&mut self, now: Time, make: impl FnOnce() -> String) -> Arc<[u8]> {
        match &self.status {
            Some((made, status)) if now.since(*made) < FRESH => status.clone(),
            _ => {
                let status: Arc<[u8]> = make().into_bytes().into();
                self.status = Some((now, status.clone()));
                status
            }
        }
    }
}

/// What stands between the first `<tag>` and its end.
fn inside<'a>(page: &'a str, tag: &str) -> &'a str {
    let after = page.split_once(&format!("<{tag}>")).map_or("", |(_, after)| after);
    after.split_once(&format!("</{tag}>")).map_or("", |(inside, _)| inside)
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let at = |n: usize| u32::from(part.get(n).copied().unwrap_or_default());
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = (word >> (18 - 6 * digit) & 63) as usize;
            let shown = if digit <= part.len() { DIGITS.get(value) } else { None };
            text.push(char::from(shown.copied().unwrap_or(b'=')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn the_page_asks_nobody_else_for_anything_and_has_no_markup_from_names() {
        for word in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "src="]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
        for word in ["http://", "https://", "//cdn", "@import", "url(", " style=", " onclick="] {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(inside(PAGE, "style").len() > 100 && inside(PAGE, "script").len() > 100);
        assert_eq!((PAGE.matches("<style").count(), PAGE.matches("<script").count()), (1, 1));
    }
}
