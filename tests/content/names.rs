//! Names that the catalogue must refuse: `publish_name_*` of `invalid/lmk`.

use crate::vectors::folder;
use lmk::core::bencode::{Limits, Mode, parse};
use lmk::core::name::{NameError, check, from_file_name};

#[test]
fn every_name_the_catalogue_refuses_is_refused_for_its_own_reason() {
    let mut refused = 0;
    for vector in folder("invalid/lmk") {
        let file = vector.name.rsplit('/').next().unwrap();
        let Some(rule) = file.strip_prefix("publish_name_") else { continue };
        // Eight bytes of frame stand before the dict.
        let doc = parse(&vector.bytes[8..], Mode::Strict, Limits::CATALOGUE).unwrap();
        let entry = doc.root().get(b"e").unwrap();
        let name = entry.get(b"n").unwrap().bytes().unwrap();
        let why = match rule.strip_suffix(".bin").unwrap() {
            "backslash" | "slash" => NameError::Separator,
            "bad_utf8" => NameError::NotUtf8,
            "bidi" => NameError::Bidi,
            "ctl" => NameError::Control,
            "nul" => NameError::Nul,
            "dotdot" => NameError::Dots,
            "empty" => NameError::Empty,
            "long" => NameError::TooLong,
            "nfd" => NameError::NotNfc,
            "space" => NameError::Space,
            other => panic!("{other} has no expected reason here"),
        };
        assert_eq!(check(name), Err(why), "{file}");
        // A file of such a name can be published only where normalizing it helps.
        assert_eq!(from_file_name(name).is_ok(), why == NameError::NotNfc, "{file}");
        refused += 1;
    }
    assert_eq!(refused, 11);
}
