//! The note beside a part file of an origin: how much of it is durable, and by which mark of the
//! server it is known that the rest belongs to it (RFC 9110, 13.1.5).

use crate::core::bencode::{Limits, Mode, Writer, parse};

/// Longest note that is read, bytes.
pub const NOTE_BYTES_MAX: u64 = 16 * 1024;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// The URL without its query, in which there may be a secret that is another each time.
    pub url: String,
    /// A strong `ETag`, or the date of a `Last-Modified` that is as good: what `If-Range` says.
    pub validator: Option<String>,
    /// Bytes of the file, once that is known.
    pub size: Option<u64>,
    /// The server gives parts of files.
    pub gives_ranges: bool,
}

impl Note {
    /// With so many bytes durable; `None` if nobody could go on from there.
    pub fn write(&self, have: u64) -> Option<Vec<u8>> {
        let mut w = Writer::new();
        w.begin_dict().key(b"have").uint(have);
        w.key(b"ranges").uint(self.gives_ranges.into());
        if let Some(size) = self.size {
            w.key(b"size").uint(size);
        }
        w.key(b"url").bytes(self.url.as_bytes());
        w.key(b"validator").bytes(self.validator.as_ref()?.as_bytes()).end();
        Some(w.finish())
    }

    /// A note about `url`, and how much was durable. A damaged one is none.
    pub fn read(bytes: &[u8], url: &str) -> Option<(Note, u64)> {
        let doc = parse(bytes, Mode::Strict, Limits::METAINFO).ok()?;
        let (root, text) = (doc.root(), |value: &[u8]| String::from_utf8(value.to_vec()).ok());
        let note = Note {
            url: text(root.get(b"url")?.bytes()?)?,
            validator: Some(text(root.get(b"validator")?.bytes()?)?),
            size: root.get(b"size").and_then(|size| size.uint()),
            gives_ranges: root.get(b"ranges")?.uint()? == 1,
        };
        let have = root.get(b"have")?.uint()?;
        // It goes into a head again: what would break a line is not believed.
        let plain = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let sound = note.validator.as_ref().is_some_and(plain)
            && note.size.is_none_or(|size| have <= size)
            && note.url == url;
        sound.then_some((note, have))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_broken_one_is_none() {
        let note = Note {
            url: "http://a/b".into(),
            validator: Some("\"x\"".into()),
            size: Some(9),
            gives_ranges: true,
        };
        let bytes = note.write(7).unwrap();
        assert_eq!(Note::read(&bytes, "http://a/b"), Some((note.clone(), 7)));
        assert_eq!(Note::read(&bytes, "http://a/c"), None);
        assert_eq!(Note::read(&note.write(10).unwrap(), "http://a/b"), None);
        for cut in 0..bytes.len() {
            assert_eq!(Note::read(&bytes[..cut], "http://a/b"), None);
        }
        let odd = Note { validator: Some("a\r\nHost: b".into()), ..note.clone() };
        assert_eq!(Note::read(&odd.write(7).unwrap(), "http://a/b"), None);
        assert_eq!(Note { validator: None, ..note }.write(7), None);
    }
}
