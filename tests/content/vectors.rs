//! The vectors and what `index.json` says of each.

use serde_json::Value;
use std::path::Path;

/// One vector: its name, its bytes, its line of the index.
pub struct Vector {
    pub name: String,
    pub bytes: Vec<u8>,
    pub index: Value,
}

impl Vector {
    /// What a valid vector must give.
    pub fn expect(&self, key: &str) -> &Value {
        &self.index["expect"][key]
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap().trim_end_matches('\n')
    }
}

pub fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

pub fn json(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

/// All vectors of one folder whose file is there.
pub fn folder(folder: &str) -> Vec<Vector> {
    let index = json("index.json");
    let lines = index["vectors"].as_array().unwrap();
    let mine = lines.iter().filter(|line| {
        let name = line["name"].as_str().unwrap();
        name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    });
    mine.map(|line| {
        let name = line["name"].as_str().unwrap().to_owned();
        Vector { bytes: read(&name), name, index: line.clone() }
    })
    .collect()
}
