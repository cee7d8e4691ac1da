//! The rows of promises about bad input and faults: each is marked where it is kept, and a test
//! expects the mark.

use std::fs;
use std::path::{Path, PathBuf};

/// Rows that no branch has brought yet.
const PENDING: &[&str] = &[];

/// Letter, first and last number.
const ROWS: [(char, u32, u32); 10] = [
    ('A', 1, 26),
    ('B', 1, 25),
    ('C', 1, 20),
    ('D', 1, 34),
    ('E', 1, 18),
    ('E', 22, 22),
    ('E', 25, 25),
    ('F', 1, 6),
    ('F', 15, 17),
    ('F', 18, 20),
];

fn rows() -> Vec<String> {
    let each = |(letter, first, last)| (first..=last).map(move |n| format!("{letter}{n:02}"));
    ROWS.into_iter().flat_map(each).collect()
}

/// Code under `under` without white space, file by file.
fn code(under: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(under)];
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()));
        } else if at.extension().is_some_and(|end| end == "rs") && !at.ends_with("faults/rows.rs") {
            let text = fs::read_to_string(&at).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push(code.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect());
        }
    }
    found
}

/// Whether `name!("ROW"` or `name("ROW"` stands in the code as a word of its own.
fn stands(code: &[String], name: &str, row: &str) -> bool {
    [format!("{name}!(\"{row}\""), format!("{name}(\"{row}\"")].iter().any(|call| {
        code.iter().any(|text| {
            text.match_indices(call.as_str())
                .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    })
}

#[test]
fn every_row_is_marked_and_a_test_expects_the_mark() {
    let (src, mut tests) = (code("src"), code("tests"));
    assert!(src.len() > 20 && tests.len() > 5, "the sources were not found");
    tests.extend(src.iter().cloned());
    let mut complaints = Vec::new();
    for row in rows().iter().filter(|row| !PENDING.contains(&row.as_str())) {
        if !stands(&src, "mark", row) {
            complaints.push(format!("{row}: no mark!(\"{row}\") in src"));
        }
        // A test may also ask for the marks passed afterwards.
        if !stands(&tests, "expect_mark", row) && !stands(&tests, "contains", row) {
            complaints.push(format!("{row}: no test expects its mark"));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn rows_that_wait_are_rows() {
    let rows = rows();
    assert_eq!(rows.len(), 137);
    assert!(PENDING.iter().all(|row| rows.iter().any(|known| known == row)));
}

#[test]
fn a_missing_mark_is_seen() {
    let code = ["a();mark!(\"D03\");expect_mark!(\"D04\",{b()});p.expect_mark(\"F01\")".to_owned()];
    assert!(stands(&code, "mark", "D03") && stands(&code, "expect_mark", "D04"));
    assert!(stands(&code, "expect_mark", "F01"));
    assert!(!stands(&code, "mark", "D04") && !stands(&code, "expect_mark", "D03"));
}
