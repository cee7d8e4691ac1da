//! Names of contents and files: what may be published, and what may be written to a disk.
//!
//! One element of a path must be safe wherever it is written or shown. A name of the catalogue is
//! such an element that also compares bytewise: NFC, without spaces at its ends.

use super::limits::NAME_BYTES_MAX;
use super::mark::mark;
use std::fmt;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Why a name is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NameError {
    Empty,
    TooLong,
    NotUtf8,
    /// `.` or `..`.
    Dots,
    /// `/` or `\`.
    Separator,
    Nul,
    /// A control character, or a separator of lines or paragraphs.
    Control,
    /// A character that turns the direction of text.
    Bidi,
    /// A space at its start or end.
    Space,
    /// Not in Unicode Normalization Form C.
    NotNfc,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "the name is empty",
            NameError::TooLong => "the name is longer than 255 bytes",
            NameError::NotUtf8 => "the name is not UTF-8",
            NameError::Dots => "the name is `.` or `..`",
            NameError::Separator => "the name contains `/` or `\\`",
            NameError::Nul => "the name contains a NUL byte",
            NameError::Control => "the name contains a control character",
            NameError::Bidi => "the name contains a character that turns the direction of text",
            NameError::Space => "the name starts or ends with a space",
            NameError::NotNfc => "the name is not in Unicode Normalization Form C",
        })
    }
}

impl std::error::Error for NameError {}

/// One element of a path in a metainfo: whatever a file system can hold as one name of UTF-8. It
/// may steer a terminal, so it is shown through [`super::report::escaped`] alone.
pub fn path_element(bytes: &[u8]) -> Result<&str, NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let name = std::str::from_utf8(bytes).map_err(|_| NameError::NotUtf8)?;
    if name == "." || name == ".." {
        return Err(NameError::Dots);
    }
    match bytes.iter().find(|byte| matches!(byte, b'/' | b'\\' | 0)) {
        Some(0) => Err(NameError::Nul),
        Some(_) => {
            mark!("A14");
            Err(NameError::Separator)
        }
        None => {
            // What other systems take for a device, a stream or nothing is a name here.
            mark!("A15");
            Ok(name)
        }
    }
}

/// One element of a path that is shown and typed too: a file of ours, a name of the catalogue.
pub fn element(bytes: &[u8]) -> Result<&str, NameError> {
    let name = path_element(bytes)?;
    match name.chars().find_map(forbidden) {
        Some(why) => Err(why),
        None => Ok(name),
    }
}

fn forbidden(c: char) -> Option<NameError> {
    match c {
        '\u{2028}' | '\u{2029}' => Some(NameError::Control),
        c if c.is_control() => Some(NameError::Control),
        // Marks, embeddings, overrides and isolates of UAX 9.
        '\u{061c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => Some(NameError::Bidi),
        _ => None,
    }
}

/// A name as the catalogue takes it, unchanged.
pub fn check(bytes: &[u8]) -> Result<&str, NameError> {
    let name = element(bytes)?;
    if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        return Err(NameError::Space);
    }
    if !is_nfc(name) {
        return Err(NameError::NotNfc);
    }
    Ok(name)
}

/// The catalogue name of a file from its own name on disk: its NFC form, or why it cannot be
/// published under its own name.
pub fn from_file_name(bytes: &[u8]) -> Result<String, NameError> {
    let name: String = element(bytes)?.nfc().collect();
    // Normalizing can lengthen a name; the rule is about the form that is published.
    check(name.as_bytes())?;
    Ok(name)
}

/// The file name under which a content of that catalogue name is written: one safe path element,
/// the name itself. What the rule for names refuses is refused here again, whatever its source.
pub fn target_file_name(name: &str) -> Result<&str, NameError> {
    check(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn ordinary_names_of_any_script_pass() {
        for name in ["big.zip", ".bashrc", "größe 文件.tar", "a b", "...", "Icon", "x\u{200d}y"]
        {
            assert_eq!(check(name.as_bytes()), Ok(name));
            assert_eq!(target_file_name(name), Ok(name));
        }
        assert!(check(&[b'x'; 255]).is_ok());
    }

    #[test]
    fn each_rule_has_its_own_reason() {
        use NameError::*;
        let table: &[(&[u8], NameError)] = &[
            (b"", Empty),
            (&[b'x'; 256], TooLong),
            (b"\xff\xfe", NotUtf8),
            (b"\xc0\xaf", NotUtf8),
            (b".", Dots),
            (b"..", Dots),
            (b"../../x", Separator),
            (b"/etc/passwd", Separator),
            (b"C:\\x", Separator),
            (b"a\0b", Nul),
            (b"a\x1b[2J", Control),
            (b"a\x7f", Control),
            ("a\u{85}".as_bytes(), Control),
            ("a\u{2028}b".as_bytes(), Control),
            ("a\u{202e}gpj.exe".as_bytes(), Bidi),
            ("a\u{2066}b".as_bytes(), Bidi),
            (b" a", Space),
            (b"a ", Space),
            ("a\u{a0}".as_bytes(), Space),
            ("e\u{301}".as_bytes(), NotNfc),
        ];
        for (name, why) in table {
            assert_eq!(check(name), Err(*why), "{}", name.escape_ascii());
            assert!(!why.to_string().contains('\n'));
        }
    }

    #[test]
    fn a_path_keeps_every_name_that_a_file_system_can_hold() {
        for name in ["foo... bar", "Icon\r", "aux.c", "a:b", " a ", "e\u{301}", "a\u{202e}b"] {
            assert_eq!(path_element(name.as_bytes()), Ok(name));
        }
        for name in ["", ".", "..", "a/b", "a\\b", "a\0b"] {
            assert!(path_element(name.as_bytes()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_file_name_is_published_in_its_nfc_form() {
        assert_eq!(from_file_name("e\u{301}.zip".as_bytes()), Ok("\u{e9}.zip".to_owned()));
        assert_eq!(from_file_name(b"a/b"), Err(NameError::Separator));
        assert_eq!(from_file_name(b" a"), Err(NameError::Space));
        // U+0958 has no composed form: its NFC is longer than itself.
        let long = "\u{958}".repeat(85);
        assert_eq!(from_file_name(long.as_bytes()), Err(NameError::TooLong));
    }

    proptest! {
        #[test]
        fn a_name_that_passes_is_one_child_of_its_folder(name in "\\PC{0,6}|[./\\\\a ]{0,5}") {
            if let Ok(file) = target_file_name(&name) {
                let parts: Vec<Component> = Path::new(file).components().collect();
                prop_assert_eq!(parts, [Component::Normal(file.as_ref())]);
                let target = Path::new("/out").join(file);
                prop_assert_eq!(target.parent(), Some(Path::new("/out")));
                prop_assert_eq!(from_file_name(name.as_bytes()), Ok(name));
            }
        }
    }
}
