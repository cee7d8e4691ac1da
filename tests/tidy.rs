//! The laws of the house, kept by reading the tree: floors, sizes, words, documents. Every check is
//! a function from texts to complaints, so that it can be shown to complain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

// ------------------------------------------------------------------------------- the tree

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `under` (relative to the root), as (relative path, text); unreadable as text
/// are left out.
fn texts(under: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(under)];
    while let Some(at) = open.pop() {
        if at.is_dir() {
            for entry in fs::read_dir(&at).unwrap() {
                open.push(entry.unwrap().path());
            }
        } else if let Ok(text) = fs::read_to_string(&at) {
            let path = at.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((path, text));
        }
    }
    found.sort();
    found
}

fn rust(under: &[&str]) -> Vec<(String, String)> {
    let all = under.iter().flat_map(|under| texts(under));
    all.filter(|(path, _)| path.ends_with(".rs")).collect()
}

fn must_be_silent(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// ------------------------------------------------------------------------------- reading Rust

/// The lines of a file without its tests: what stands before the first `#[cfg(test)]` that opens a
/// module at the margin.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{')
    });
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

/// A line without its comment (good enough for words: a `//` inside a string cuts the line too).
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The rooms a text names by `crate::room`, each with its line number, also inside `use crate::{a,
/// b::c}` over several lines.
fn rooms_named(lines: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut braces: Option<i32> = None;
    for (at, line) in lines.iter().enumerate() {
        let mut rest = code_of(line);
        if braces.is_none() {
            while let Some(start) = rest.find("crate::") {
                let inside_word =
                    rest[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                rest = &rest[start + "crate::".len()..];
                if inside_word {
                    continue;
                }
                if let Some(list) = rest.strip_prefix('{') {
                    rest = list;
                    braces = Some(1);
                    break;
                }
                found.extend(words(rest).next().map(|word| (at + 1, word.to_owned())));
            }
        }
        let Some(depth) = &mut braces else { continue };
        let mut fresh = true;
        for (place, c) in rest.char_indices() {
            match c {
                '{' => *depth += 1,
                '}' => *depth -= 1,
                ',' if *depth == 1 => fresh = true,
                c if *depth == 1 && fresh && (c.is_alphabetic() || c == '_') => {
                    fresh = false;
                    found
                        .extend(words(&rest[place..]).next().map(|word| (at + 1, word.to_owned())));
                }
                _ => {}
            }
        }
        if *depth <= 0 {
            braces = None;
        }
    }
    found
}

// ------------------------------------------------------------------------------- floors

/// Room, floor. Rooms of one floor do not know each other.
const FLOORS: [(&str, u32); 15] = [
    ("core", 0),
    ("wire", 1),
    ("content", 1),
    ("peer", 2),
    ("announce", 2),
    ("seeder", 3),
    ("leecher", 3),
    ("swarm", 4),
    ("tracker", 5),
    ("node", 5),
    ("jobs", 5),
    ("engine", 6),
    ("view", 6),
    ("cli", 7),
    ("main", 8),
];

/// A room that is there for others to build on, without knowing more than it must.
const BESIDE: [(&str, &[&str]); 3] = [
    ("reactor", &["core"]),
    ("store", &["core"]),
    // The simulator runs roles; it knows no view and no real loop.
    (
        "sim",
        &[
            "core", "wire", "content", "peer", "announce", "seeder", "leecher", "swarm", "tracker",
            "node",
        ],
    ),
];

/// Arrows that go up or sideways all the same: (from, to, why).
const ARROWS: [(&str, &str, &str); 4] = [
    ("engine", "view", "`Engine::run` paints into the trait `View`"),
    ("engine", "reactor", "the one place where a role and a reactor meet"),
    ("engine", "store", "the one place where a role gets its database"),
    ("cli", "reactor", "the date of the start, for the plan"),
];

fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn may(from: &str, to: &str) -> bool {
    if from == to || ARROWS.iter().any(|(a, b, _)| (*a, *b) == (from, to)) {
        return true;
    }
    if let Some((_, known)) = BESIDE.iter().find(|(room, _)| *room == from) {
        return known.contains(&to);
    }
    let floor = |room| FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor);
    matches!((floor(from), floor(to)), (Some(from), Some(to)) if to < from)
}

/// `is_room` tells rooms from items of the crate root.
fn floors(path: &str, text: &str, is_room: &dyn Fn(&str) -> bool) -> Vec<String> {
    let from = room_of(path);
    if from == "lib" {
        return vec![];
    }
    let known = FLOORS.iter().any(|(room, _)| *room == from)
        || BESIDE.iter().any(|(room, _)| *room == from);
    if !known {
        return vec![format!("{path}: '{from}' stands on no floor of tests/tidy.rs")];
    }
    // Tests of a room may look anywhere: they are nobody's foundation.
    let lines = without_tests(text);
    let upward = |(_, to): &(usize, String)| is_room(to) && !may(from, to);
    rooms_named(&lines)
        .into_iter()
        .filter(upward)
        .map(|(line, to)| format!("{path}:{line}: '{from}' may not know '{to}'"))
        .collect()
}

fn is_room(word: &str) -> bool {
    FLOORS.iter().any(|(room, _)| *room == word) || BESIDE.iter().any(|(room, _)| *room == word)
}

#[test]
fn imports_only_go_down() {
    let all = rust(&["src"]);
    assert!(all.len() > 20, "the sources were not found");
    must_be_silent(
        all.iter()
            .filter(|(path, _)| !is_test_file(path))
            .flat_map(|(path, text)| floors(path, text, &is_room))
            .collect(),
    );
}

#[test]
fn an_arrow_that_goes_up_or_sideways_is_seen() {
    let complains = |path: &str, text: &str| !floors(path, text, &is_room).is_empty();
    for (path, text) in [
        ("src/core/io.rs", "use crate::wire::peer;"),
        ("src/wire/mod.rs", "use crate::content::merkle;"),
        ("src/seeder/mod.rs", "    let x = crate::leecher::pick();"),
        ("src/reactor/poll.rs", "use crate::wire::peer;"),
        ("src/tracker/mod.rs", "use crate::reactor::Reactor;"),
        ("src/node/mod.rs", "use crate::{\n    core::io,\n    view::{plain, json},\n};"),
        ("src/view/mod.rs", "use crate::node::plan;\nuse crate::engine::Engine;"),
        ("src/attic/mod.rs", ""),
    ] {
        assert!(complains(path, text), "{path}: {text}");
    }
    for (path, text) in [
        ("src/wire/mod.rs", "use crate::core::{id::ConnId, io::{view, engine}};"),
        ("src/cli/mod.rs", "use crate::engine::Engine; // not crate::main"),
        ("src/engine.rs", "use crate::view::View;\nuse crate::reactor::Reactor;"),
        ("src/core/io.rs", "#[cfg(test)]\nmod tests {\nuse crate::sim::World;\n}"),
        ("src/sim/mod.rs", "use crate::node::Node;"),
    ] {
        assert!(!complains(path, text), "{path}: {:?}", floors(path, text, &is_room));
    }
}

// ------------------------------------------------------------------------------- sizes

const FILE_LINES: usize = 400;
const MOD_LINES: usize = 250;
const FUNCTION_LINES: usize = 60;
const LINE_CHARS: usize = 100;

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn sizes(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let chars = line.chars().count();
        // A long text that must stay in one piece (a vector, a URL) is no reason to break it.
        if chars > LINE_CHARS && !line.contains('"') {
            complaints.push(format!("{path}:{}: {chars} characters", at + 1));
        }
    }
    if is_test_file(path) {
        return complaints;
    }
    let lines = without_tests(text);
    let most = if path.ends_with("mod.rs") { MOD_LINES } else { FILE_LINES };
    if lines.len() > most {
        complaints.push(format!("{path}: {} lines without its tests, {most} at most", lines.len()));
    }
    for (at, len) in functions(&lines) {
        if len > FUNCTION_LINES {
            complaints
                .push(format!("{path}:{at}: a function of {len} lines, {FUNCTION_LINES} at most"));
        }
    }
    complaints
}

/// First line (from 1) and length of every function, by the indentation that rustfmt gives.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_fn = words(code_of(line)).take_while(|word| *word != "let").any(|word| word == "fn");
        let starts = line.trim_start().starts_with(|c: char| c.is_ascii_lowercase());
        if !is_fn || !starts || line.trim_end().ends_with(';') || line.trim_end().ends_with('}') {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let rest = lines[at + 1..].iter();
        let Some(len) = rest.clone().position(|line| line.trim_end() == end) else { continue };
        // A declaration without a body ends before any brace does.
        let bodiless = rest.take(len).any(|line| {
            line.len() - line.trim_start().len() == indent && line.trim_end().ends_with(';')
        });
        if !bodiless {
            found.push((at + 1, len + 2));
        }
    }
    found
}

#[test]
fn files_functions_and_lines_stay_small() {
    let all = rust(&["src", "tests"]);
    must_be_silent(all.iter().flat_map(|(path, text)| sizes(path, text)).collect());
}

#[test]
fn what_is_too_large_is_seen() {
    let file = |lines: usize| "// x\n".repeat(lines);
    assert!(sizes("src/a.rs", &file(400)).is_empty());
    assert_eq!(sizes("src/a.rs", &file(401)).len(), 1);
    assert_eq!(sizes("src/a/mod.rs", &file(251)).len(), 1);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", file(10), file(500));
    assert!(sizes("src/a.rs", &tested).is_empty());
    let function = |lines: usize| {
        format!(
            "impl A {{\n    pub fn f(\n        &self,\n    ) {{\n{}    }}\n}}\n",
            "\n".repeat(lines)
        )
    };
    assert!(sizes("src/a.rs", &function(56)).is_empty());
    assert_eq!(sizes("src/a.rs", &function(57)).len(), 1);
    assert_eq!(sizes("src/a.rs", &format!("// {}\n", "x".repeat(98))).len(), 1);
    let declared =
        format!("trait A {{\n    fn f(\n        &self,\n    );\n{}}}\n", "\n".repeat(90));
    assert!(sizes("src/a.rs", &declared).is_empty());
}

// ------------------------------------------------------------------------------- words

/// Words of the protocol: the reactor knows none.
const BANNED_IN_REACTOR: [&str; 6] =
    ["piece", "pieces", "announce", "announces", "torrent", "torrents"];
/// Names that say nothing.
const BANNED_IN_TYPES: [&str; 5] = ["Manager", "Handler", "Context", "Util", "Helper"];

fn protocol_words(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let parts = line.split(|c: char| !c.is_alphanumeric());
        for part in parts.filter(|part| BANNED_IN_REACTOR.contains(&&*part.to_lowercase())) {
            complaints.push(format!("{path}:{}: the loop knows no '{part}'", at + 1));
        }
    }
    complaints
}

fn type_names(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = words(code_of(line)).collect();
        for pair in words.windows(2) {
            let declares =
                matches!(pair[0], "struct" | "enum" | "trait" | "type" | "mod" | "union");
            let says_nothing = |name: &str| {
                BANNED_IN_TYPES.iter().any(|banned| name.contains(banned))
                    || matches!(
                        name,
                        "manager" | "handler" | "context" | "util" | "utils" | "helper"
                    )
                    || name == "helpers"
            };
            if declares && says_nothing(pair[1]) {
                complaints.push(format!("{path}:{}: '{}' says nothing", at + 1, pair[1]));
            }
        }
    }
    complaints
}

/// An open end must say why it is open: `TODO(reason)` or `TODO: words`.
fn open_ends(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for mark in ["TODO", "FIXME", "XXX"] {
            let is_word = words(line).any(|word| word == mark);
            let after = line.split(mark).nth(1).unwrap_or_default();
            if is_word && words(after).count() < 3 {
                complaints.push(format!("{path}:{}: {mark} without a reason", at + 1));
            }
        }
    }
    complaints
}

fn first_line(path: &str, text: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|what| what.len() >= 10);
    let complaint = format!("{path}: the first line must say what lives here (`//! ...`)");
    if says { vec![] } else { vec![complaint] }
}

#[test]
fn the_loop_knows_no_protocol() {
    let all = rust(&["src/reactor"]);
    must_be_silent(all.iter().flat_map(|(path, text)| protocol_words(path, text)).collect());
}

#[test]
fn names_say_something_and_open_ends_have_reasons() {
    let all = rust(&["src", "tests"]);
    let own = |path: &&(String, String)| path.0 != "tests/tidy.rs";
    let complaints = all.iter().filter(own).flat_map(|(path, text)| {
        [type_names(path, text), open_ends(path, text), first_line(path, text)].concat()
    });
    must_be_silent(complaints.collect());
}

#[test]
fn words_that_do_not_belong_are_seen() {
    assert_eq!(protocol_words("p", "// one Piece, a torrent_file\nfn announce() {}").len(), 3);
    assert!(protocol_words("p", "// masterpiece, announcement").is_empty());
    assert_eq!(type_names("p", "pub struct PeerManager;\nmod util;\nenum Ctx {}").len(), 2);
    assert!(type_names("p", "struct Managed; // struct FooManager\nlet handler = 1;").is_empty());
    assert_eq!(open_ends("p", "// TODO\n// TODO: later\nfoo(); // FIXME").len(), 3);
    assert!(open_ends("p", "// TODO: measure it on a slow disk").is_empty());
    assert_eq!(first_line("p", "use std::fs;").len(), 1);
    assert_eq!(first_line("p", "//! Stub.").len(), 1);
    assert!(first_line("p", "//! What lives here.").is_empty());
}

// ------------------------------------------------------------------------------- documents

fn documents() -> Vec<(String, String)> {
    let mut all = texts("docs");
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        all.extend(texts(name));
    }
    all.retain(|(path, _)| path.ends_with(".md"));
    all
}

const EXTENSIONS: [&str; 6] = [".rs", ".md", ".toml", ".sh", ".json", ".lock"];
/// First folders of the tree: a text in backticks that begins with one is a path of ours.
const FOLDERS: [&str; 5] = ["src/", "tests/", "docs/", "scripts/", ".ci/"];

/// Paths in backticks: those that begin with a folder of the tree, and `room/file.rs` for short.
fn paths_named(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            let ours = FOLDERS.iter().any(|folder| quoted.starts_with(folder))
                || EXTENSIONS.iter().any(|end| quoted.len() > end.len() && quoted.ends_with(end));
            if ours && quoted.chars().all(plain) && !quoted.starts_with('/') {
                found.push((at + 1, quoted.to_owned()));
            }
        }
    }
    found
}

fn paths_exist(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let beside = Path::new(path).parent().map(|p| p.to_str().unwrap().to_owned());
    let somewhere = |named: &str| {
        let beside = beside.as_deref().filter(|beside| !beside.is_empty());
        exists(named)
            || exists(&format!("src/{named}"))
            || beside.is_some_and(|beside| exists(&format!("{beside}/{named}")))
    };
    paths_named(text)
        .into_iter()
        .filter(|(_, named)| !somewhere(named))
        .map(|(line, named)| format!("{path}:{line}: there is no `{named}`"))
        .collect()
}

/// The table of rooms names files in backticks at the start of a row: `| `core/io.rs` | ... |`.
fn rows_of_files(architecture: &str) -> BTreeMap<String, usize> {
    let mut rows = BTreeMap::new();
    for line in architecture.lines() {
        let Some(rest) = line.strip_prefix("| `") else { continue };
        let Some((name, about)) = rest.split_once('`') else { continue };
        if name.ends_with(".rs") && about.trim_matches(['|', ' ']).len() > 5 {
            *rows.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    rows
}

/// What a row says of a file when nothing better is known: the file's own first sentence.
fn row_to_add(name: &str) -> String {
    let text = fs::read_to_string(root().join("src").join(name)).unwrap_or_default();
    let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
    let head = head.join(" ");
    let sentence = head.split(". ").next().unwrap_or_default().trim_end_matches('.');
    format!("| `{name}` | {sentence} |")
}

fn every_file_once(architecture: &str, files: &[String]) -> Vec<String> {
    let rows = rows_of_files(architecture);
    let mut complaints = Vec::new();
    for file in files {
        let name = file.strip_prefix("src/").unwrap_or(file);
        match rows.get(name).copied().unwrap_or(0) {
            1 => {}
            0 => complaints.push(format!("ARCHITECTURE.md lacks: {}", row_to_add(name))),
            n => {
                complaints.push(format!("ARCHITECTURE.md has {n} rows for `{name}`; one is right"))
            }
        }
    }
    for name in rows.keys().filter(|name| !files.contains(&format!("src/{name}"))) {
        complaints.push(format!("ARCHITECTURE.md has a row for `{name}`, which is not there"));
    }
    complaints
}

#[test]
fn every_path_in_a_document_exists() {
    let documents = documents();
    assert!(documents.len() > 5, "the documents were not found");
    let exists = |path: &str| root().join(path).exists();
    must_be_silent(
        documents.iter().flat_map(|(path, text)| paths_exist(path, text, &exists)).collect(),
    );
}

#[test]
fn the_architecture_names_every_file_once() {
    let paths = rust(&["src"]).into_iter().map(|(path, _)| path);
    let files: Vec<String> = paths.filter(|path| !is_test_file(path)).collect();
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    must_be_silent(every_file_once(&architecture, &files));
}

#[test]
fn a_document_that_lies_is_seen() {
    let there = |path: &str| ["src/core/io.rs", "docs/b.md", "docs/d/1.md"].contains(&path);
    let text = "`src/gone.rs` and `core/io.rs`, `docs/b.md`, `cargo test`, `a/b`, `x.toml`";
    assert_eq!(paths_exist("README.md", text, &there).len(), 2);
    assert!(paths_exist("docs/d/2.md", "see `1.md`", &there).is_empty());
    assert!(paths_exist("a.md", "```\n`src/gone.rs`\n```", &there).is_empty());
    let files = ["src/a.rs".to_owned(), "src/b/c.rs".to_owned()];
    let good = "| `a.rs` | says things |\n| `b/c.rs` | says more |\n";
    assert!(every_file_once(good, &files).is_empty());
    assert_eq!(every_file_once("| `a.rs` | says things |\n", &files).len(), 1);
    assert_eq!(every_file_once(&good.repeat(2), &files).len(), 2);
    assert_eq!(every_file_once(&format!("{good}| `z.rs` | is not there |\n"), &files).len(), 1);
}
