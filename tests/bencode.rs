//! Bencode against the published vectors, every truncation, and texts made at random.

use lmk::core::bencode::{BencodeError, Limits, Mode, Value, Writer, parse, parse_prefix};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;

fn strict(bytes: &[u8]) -> Result<Vec<u8>, BencodeError> {
    parse(bytes, Mode::Strict, Limits::METAINFO).map(|doc| write(doc.root()))
}

fn error(text: impl AsRef<[u8]>) -> String {
    strict(text.as_ref()).unwrap_err().to_string()
}

/// Writes a parsed value again.
fn write(value: Value) -> Vec<u8> {
    fn put(value: Value, out: &mut Writer) {
        if let Some(n) = value.int() {
            out.int(n);
        } else if let Some(bytes) = value.bytes() {
            out.bytes(bytes);
        } else if value.is_list() {
            out.begin_list();
            value.items().for_each(|item| put(item, out));
            out.end();
        } else {
            out.begin_dict();
            for (key, value) in value.entries() {
                out.key(key);
                put(value, out);
            }
            out.end();
        }
    }
    let mut out = Writer::new();
    put(value, &mut out);
    out.finish()
}

fn vectors(folder: &str) -> Vec<(Json, Vec<u8>)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");
    let index: Json =
        serde_json::from_slice(&fs::read(format!("{root}index.json")).unwrap()).unwrap();
    let mut found = Vec::new();
    for vector in index["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        if name.starts_with(folder) {
            found.push((vector.clone(), fs::read(format!("{root}{name}")).unwrap()));
        }
    }
    found
}

fn equals(value: Value, json: &Json) -> bool {
    match json {
        Json::Number(n) => value.int() == n.as_i64() && n.as_i64().is_some(),
        Json::String(s) => value.bytes() == Some(s.as_bytes()),
        Json::Array(all) => {
            value.is_list()
                && value.items().count() == all.len()
                && value.items().zip(all).all(|(v, j)| equals(v, j))
        }
        Json::Object(all) => {
            value.is_dict()
                && value.entries().count() == all.len()
                && all.iter().all(|(k, j)| value.get(k.as_bytes()).is_some_and(|v| equals(v, j)))
        }
        _ => false,
    }
}

#[test]
fn valid_vectors_give_what_the_index_says_and_write_back_the_same() {
    let vectors = vectors("bencode/");
    for (vector, bytes) in &vectors {
        let name = vector["name"].as_str().unwrap();
        let doc = parse(bytes, Mode::Strict, Limits::METAINFO).unwrap();
        let keys: Vec<&[u8]> = doc.root().entries().map(|(key, _)| key).collect();
        match name {
            "bencode/dict_binarykeys.ben" => assert_eq!(keys, [b"\x00", b"\x7f", b"\xff"]),
            "bencode/dict_sort_raw.ben" => assert_eq!(keys, [&b"B"[..], b"a", b"aa"]),
            _ => assert!(equals(doc.root(), &vector["expect"]), "{name}"),
        }
        assert_eq!(&write(doc.root()), bytes, "{name}");
        assert_eq!(doc.root().raw(), bytes, "{name}");
    }
    assert_eq!(vectors.len(), 14);
}

/// What is wrong with an invalid vector, and at which byte.
fn reason(name: &str) -> (&'static str, usize) {
    match name.trim_start_matches("invalid/bencode/").trim_end_matches(".ben") {
        "neg_zero" | "neg_leading_zero" | "leading_zero_int" => {
            ("integer with a leading zero or negative zero", 2)
        }
        "empty_int" | "plus_sign" | "int_space" => ("integer is not decimal digits", 1),
        "minus_only" | "float" => ("integer is not decimal digits", 2),
        "int_overflow" => ("integer outside 64 bits", 20),
        "str_short" | "str_huge_len" => ("string length runs past end of input", 1),
        "str_no_colon" => ("string length is not decimal digits", 1),
        "str_neg_len" => ("no value begins with this byte", 0),
        "dict_int_key" => ("dictionary key is not a string", 1),
        "dict_odd" => ("dictionary key without a value", 6),
        "dict_unsorted" => ("dictionary keys not in order", 10),
        "dict_dup" => ("dictionary key twice", 9),
        "trailing" => ("data after the value", 3),
        "empty" => ("text ends early", 0),
        "deep" => ("nesting deeper than 64", 64),
        other => panic!("{other} has no expected reason here"),
    }
}

#[test]
fn invalid_vectors_are_refused() {
    let (vectors, mut wrong) = (vectors("invalid/bencode/"), Vec::new());
    for (vector, bytes) in &vectors {
        let name = vector["name"].as_str().unwrap();
        let why = strict(bytes).expect_err(name);
        if (why.what, why.at) != reason(name) {
            wrong.push(format!("{name}: {why}"));
        }
        let tolerant = parse(bytes, Mode::Tolerant, Limits::METAINFO);
        let order = name.ends_with("dict_unsorted.ben") || name.ends_with("dict_dup.ben");
        assert_eq!(tolerant.is_ok(), order, "{name} in tolerant mode");
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(vectors.len(), 20);
}

#[test]
fn metainfo_vectors_parse_strictly_and_write_back_the_same() {
    let mut count = 0;
    for (vector, bytes) in vectors("metainfo/") {
        if vector["name"].as_str().unwrap().ends_with(".torrent") {
            assert!(strict(&bytes).unwrap() == bytes, "{}", vector["name"]);
            count += 1;
        }
    }
    assert_eq!(count, 20);
}

#[test]
fn a_text_cut_at_any_byte_is_refused() {
    let mut samples: Vec<Vec<u8>> = vectors("bencode/").into_iter().map(|(_, b)| b).collect();
    samples.extend(vectors("ext/").into_iter().map(|(_, b)| b[6..].to_vec()));
    let mut cuts = 0;
    for sample in &samples {
        let Ok((_, len)) = parse_prefix(sample, Mode::Tolerant, Limits::MESSAGE) else { continue };
        for cut in 0..len {
            let error = parse_prefix(&sample[..cut], Mode::Tolerant, Limits::MESSAGE).unwrap_err();
            assert!(error.at <= cut, "{error}");
            cuts += 1;
        }
    }
    assert!(cuts > 500, "{cuts}");
}

#[test]
fn every_misspelling_has_its_line() {
    let table = [
        ("", "text ends early at byte 0"),
        ("e", "no value begins with this byte at byte 0"),
        ("x", "no value begins with this byte at byte 0"),
        (":", "no value begins with this byte at byte 0"),
        ("-1:a", "no value begins with this byte at byte 0"),
        ("+3:abc", "no value begins with this byte at byte 0"),
        ("03:abc", "string length with a leading zero at byte 1"),
        ("00:", "string length with a leading zero at byte 1"),
        ("3x:abc", "string length is not decimal digits at byte 1"),
        ("4:abc", "string length runs past end of input at byte 1"),
        ("99999999999999999999:", "string length runs past end of input at byte 1"),
        ("i-0e", "integer with a leading zero or negative zero at byte 2"),
        ("i03e", "integer with a leading zero or negative zero at byte 2"),
        ("i-03e", "integer with a leading zero or negative zero at byte 2"),
        ("ie", "integer is not decimal digits at byte 1"),
        ("i-e", "integer is not decimal digits at byte 2"),
        ("i+1e", "integer is not decimal digits at byte 1"),
        ("i1.5e", "integer is not decimal digits at byte 2"),
        ("i9223372036854775808e", "integer outside 64 bits at byte 20"),
        ("i-9223372036854775809e", "integer outside 64 bits at byte 20"),
        ("di1ei2ee", "dictionary key is not a string at byte 1"),
        ("d1:a1:b1:ce", "dictionary key without a value at byte 10"),
        ("d1:b0:1:a0:e", "dictionary keys not in order at byte 6"),
        ("d1:a0:1:a0:e", "dictionary key twice at byte 6"),
        ("i1ei2e", "data after the value at byte 3"),
    ];
    for (text, line) in table {
        assert_eq!(error(text), format!("bencode: {line}"), "{text}");
    }
    assert!(error(format!("i{}e", "9".repeat(10_000))).contains("outside 64 bits"));
}

#[test]
fn deep_nesting_is_refused_at_its_byte_and_costs_no_stack() {
    assert_eq!(error("l".repeat(8 << 20)), "bencode: nesting deeper than 64 at byte 64");
    let dicts = error("d1:a".repeat(1 << 20));
    assert_eq!(dicts, "bencode: nesting deeper than 64 at byte 256");
    assert!(strict(format!("{}{}", "l".repeat(64), "e".repeat(64)).as_bytes()).is_ok());
    let message = parse(b"lllllllll", Mode::Strict, Limits::MESSAGE).unwrap_err();
    assert_eq!(message.to_string(), "bencode: nesting deeper than 8 at byte 8");

    // A million levels, allowed by a limit of their own, on a stack that could not hold them.
    let deep = std::thread::Builder::new().stack_size(64 * 1024).spawn(|| {
        let text = [vec![b'l'; 1_000_000], vec![b'e'; 1_000_000]].concat();
        let limits = Limits { depth: 1_000_000, tokens: 1_000_000 };
        let doc = parse(&text, Mode::Strict, limits).unwrap();
        doc.root().raw().len()
    });
    assert_eq!(deep.unwrap().join().unwrap(), 2_000_000);
}

#[test]
fn tokens_are_counted_with_their_keys() {
    let limits = Limits { depth: 8, tokens: 5 };
    assert!(parse(b"d1:a0:1:b0:e", Mode::Strict, limits).is_ok());
    let error = parse(b"d1:a0:1:bl0:ee", Mode::Strict, limits).unwrap_err();
    assert_eq!(error.to_string(), "bencode: too many items at byte 10");
    let many = format!("l{}e", "le".repeat(3_000_000));
    let error = parse(many.as_bytes(), Mode::Strict, Limits::METAINFO).unwrap_err();
    assert_eq!(error.to_string(), "bencode: too many items at byte 5999999");
}

#[test]
fn values_are_found_with_their_exact_spans() {
    let text = b"d4:infod6:lengthi7e4:name1:xe1:ll1:ai-2eldeee2:zz0:e";
    let doc = parse(text, Mode::Tolerant, Limits::MESSAGE).unwrap();
    let root = doc.root();
    assert_eq!(root.get(b"info").unwrap().raw(), b"d6:lengthi7e4:name1:xe");
    assert_eq!(root.get(b"info").unwrap().get(b"length").unwrap().uint(), Some(7));
    let items: Vec<&[u8]> = root.get(b"l").unwrap().items().map(|v| v.raw()).collect();
    assert_eq!(items, [&b"1:a"[..], b"i-2e", b"ldee"]);
    assert_eq!(root.get(b"l").unwrap().items().nth(1).unwrap().uint(), None);
    assert_eq!(root.get(b"zz").unwrap().bytes(), Some(&b""[..]));
    assert!(root.get(b"name").is_none() && root.items().next().is_none());
    assert!(root.get(b"l").unwrap().entries().next().is_none());
    // What is taken from a value outlives the parsed document.
    let kept: &'static [u8] =
        { parse(text, Mode::Tolerant, Limits::MESSAGE).unwrap().root().raw() };
    assert_eq!(kept, text);
}

#[test]
fn in_tolerant_mode_the_first_of_equal_keys_wins() {
    let text = b"d1:b1:11:a1:21:b1:3e";
    let doc = parse(text, Mode::Tolerant, Limits::MESSAGE).unwrap();
    assert_eq!(doc.root().get(b"b").unwrap().bytes(), Some(&b"1"[..]));
    assert_eq!(doc.root().get(b"a").unwrap().bytes(), Some(&b"2"[..]));
    assert_eq!(doc.root().entries().count(), 3);
}

#[test]
fn a_value_may_be_followed_by_other_bytes_where_asked() {
    let (doc, len) = parse_prefix(b"d1:ai1ee\x00\xffee", Mode::Strict, Limits::MESSAGE).unwrap();
    assert_eq!((len, doc.root().raw()), (8, &b"d1:ai1ee"[..]));
}

#[test]
fn the_writer_takes_encoded_values_and_the_whole_range_of_numbers() {
    let mut out = Writer::new();
    out.begin_list().raw(b"d1:ai1ee").int(i64::MIN).uint(u64::MAX).int(0).end();
    assert_eq!(out.finish(), b"ld1:ai1eei-9223372036854775808ei18446744073709551615ei0ee");
}

/// A value as a test makes it.
#[derive(Clone, Debug)]
enum Made {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Made>),
    Dict(BTreeMap<Vec<u8>, Made>),
}

fn made() -> impl Strategy<Value = Made> {
    let bytes = prop::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![any::<i64>().prop_map(Made::Int), bytes.clone().prop_map(Made::Bytes)];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Made::List),
            prop::collection::btree_map(bytes.clone(), inner, 0..6).prop_map(Made::Dict),
        ]
    })
}

fn put(value: &Made, out: &mut Writer) {
    match value {
        Made::Int(n) => drop(out.int(*n)),
        Made::Bytes(bytes) => drop(out.bytes(bytes)),
        Made::List(all) => {
            out.begin_list();
            all.iter().for_each(|v| put(v, out));
            out.end();
        }
        Made::Dict(all) => {
            out.begin_dict();
            for (key, value) in all {
                out.key(key);
                put(value, out);
            }
            out.end();
        }
    }
}

fn same(value: Value, made: &Made) -> bool {
    match made {
        Made::Int(n) => value.int() == Some(*n),
        Made::Bytes(bytes) => value.bytes() == Some(bytes),
        Made::List(all) => {
            value.items().count() == all.len() && value.items().zip(all).all(|(v, m)| same(v, m))
        }
        Made::Dict(all) => {
            value.entries().count() == all.len()
                && value.entries().zip(all).all(|((k, v), (key, m))| k == key && same(v, m))
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in made()) {
        let mut out = Writer::new();
        put(&value, &mut out);
        let text = out.finish();
        let doc = parse(&text, Mode::Strict, Limits::METAINFO).unwrap();
        prop_assert!(same(doc.root(), &value));
    }

    #[test]
    fn what_is_taken_strictly_is_canonical(text in "[ilde0-9:\\-]{0,40}") {
        if let Ok(again) = strict(text.as_bytes()) {
            prop_assert_eq!(again, text.as_bytes());
        }
    }

    #[test]
    fn any_change_of_one_byte_is_refused_or_read_as_another_text(
        value in made(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut out = Writer::new();
        put(&value, &mut out);
        let mut text = out.finish();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(again) = strict(&text) {
            prop_assert_eq!(again, text);
        }
    }
}
