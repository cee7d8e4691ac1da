//! `magnet` and `invalid/magnet`.

use crate::vectors::folder;
use lmk::content::magnet::{Magnet, MagnetError};
use serde_json::{Value, json};

#[test]
fn every_valid_link_says_what_the_index_says() {
    let mut read = 0;
    for vector in folder("magnet") {
        if vector.name.ends_with("btpk_bep46.txt") {
            assert_eq!(Magnet::parse(vector.text()), Err(MagnetError::Mutable));
            continue;
        }
        let magnet = Magnet::parse(vector.text()).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = |key| match vector.expect(key) {
            Value::Null => json!([]),
            list => list.clone(),
        };
        assert_eq!(magnet.v1.map(|h| h.to_string()), text(vector.expect("v1")));
        assert_eq!(magnet.v2.map(|h| h.to_string()), text(vector.expect("v2")));
        assert_eq!(magnet.name, text(vector.expect("dn")).or(magnet.name.clone()));
        assert_eq!(json!(magnet.trackers), list("tr"));
        let peers: Vec<String> = magnet
            .peers
            .iter()
            .map(|(h, p)| if h.contains(':') { format!("[{h}]:{p}") } else { format!("{h}:{p}") })
            .collect();
        assert_eq!(json!(peers), list("pe"));
        let files: Vec<u32> = magnet.select.iter().flat_map(|(a, b)| *a..=*b).collect();
        assert_eq!(json!(files), list("so"));
        assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        read += 1;
    }
    assert_eq!(read, 5);
}

#[test]
fn every_invalid_link_is_refused_or_its_bad_part_ignored() {
    let mut refused = 0;
    for vector in folder("invalid/magnet") {
        let result = Magnet::parse(vector.text());
        if vector.index["action"] == "ignore the bad so= list" {
            let magnet = result.unwrap();
            assert!(magnet.select.is_empty() && magnet.ignored.select, "{}", vector.name);
            continue;
        }
        let why = result.expect_err(&vector.name);
        let right = match vector.name.rsplit('/').next().unwrap() {
            "non_hex.txt" => MagnetError::BadV1,
            "btmh_short.txt" | "btmh_wrong_code.txt" => MagnetError::BadV2,
            "wrong_urn.txt" => MagnetError::NoTopic,
            "wrong_scheme.txt" => MagnetError::NotMagnet,
            "two_v1.txt" => MagnetError::TwoTopics,
            other => panic!("{other} has no expected reason here"),
        };
        assert_eq!(why, right, "{}", vector.name);
        refused += 1;
    }
    assert_eq!(refused, 6);
}
