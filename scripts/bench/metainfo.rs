//! Reading large .torrent files: time from bytes in a file to everything checked, and the most
//! memory the process had. Each is read by a process of its own.
//!
//! `cargo run --release --example metainfo`

use lmk::content::file_list::Entry;
use lmk::content::geometry::Geometry;
use lmk::content::grid::Form;
use lmk::content::merkle::Shape;
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{KeyOrder, Maker, Metainfo, Wanted};
use lmk::core::bencode::Writer;
use lmk::core::id::Hash32;
use lmk::core::rng::Rng;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const FILES: usize = 100_000;
const PIECES: u32 = 2_000_000;
const PIECE_LENGTH: u32 = 16_384;

/// A folder of 100,000 files of 20 bytes, ten in a directory.
fn of_files(form: Form) -> Vec<u8> {
    let path = |n: usize| format!("folder-{:03}/sub-{:02}/file-{n:06}.txt", n / 1000, n / 10 % 100);
    let files = (0..FILES).map(|n| (path(n).into_bytes(), 20)).collect();
    let outside = Outside::default();
    let piece_length = Some(PIECE_LENGTH);
    let wanted = Wanted { form, piece_length, private: false, source: None, outside };
    let mut maker = Maker::folder(b"many", files, wanted).expect("a folder that can be");
    while maker.wanted().is_some() {
        maker.update(b"the bytes of a file\n");
    }
    maker.finish().expect("all bytes came")
}

/// One file of that many pieces, with hashes of nothing; a v2 part that folds to its root.
fn of_pieces(pieces: u32, form: Form) -> Vec<u8> {
    let size = u64::from(pieces) * u64::from(PIECE_LENGTH);
    let mut bytes = vec![0; pieces as usize * 32];
    Rng::new(7).fill(&mut bytes);
    let nodes = bytes.as_chunks::<32>().0;
    let geometry = Geometry::new(size, PIECE_LENGTH).expect("a grid");
    let shape = Shape::of(&geometry).expect("a tree");
    let root = shape.root(nodes.iter().copied().map(Hash32));
    let mut w = Writer::new();
    w.begin_dict().key(b"info").begin_dict();
    let name = Entry::plain(*b"large", size);
    if form.has_v2() {
        w.key(b"file tree").begin_dict().key(&name.path).begin_dict().key(b"").begin_dict();
        w.key(b"length").uint(size).key(b"pieces root").bytes(&root.0).end().end().end();
    }
    if form.has_v1() {
        w.key(b"length").uint(size);
    }
    if form.has_v2() {
        w.key(b"meta version").int(2);
    }
    w.key(b"name").bytes(&name.path).key(b"piece length").uint(PIECE_LENGTH.into());
    if form.has_v1() {
        w.key(b"pieces").bytes(bytes.get(..pieces as usize * 20).unwrap_or_default());
    }
    w.end();
    if form.has_v2() {
        w.key(b"piece layers").begin_dict().key(&root.0).bytes(&bytes).end();
    }
    w.end();
    w.finish()
}

/// What the kernel says this process had at the most, MiB.
fn most_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}

fn read(path: &Path) {
    let start = Instant::now();
    let bytes = std::fs::read(path).expect("the file");
    let size = bytes.len();
    let metainfo = Metainfo::read(bytes, KeyOrder::Sorted).expect("a torrent");
    let ms = start.elapsed().as_secs_f64() * 1e3;
    println!(
        "{:<24} {:>7.1} MB {:>8} files {:>9} pieces  {ms:>7.1} ms  {:>4} MiB",
        path.file_name().unwrap_or_default().to_string_lossy(),
        size as f64 / 1e6,
        metainfo.files.plain().count(),
        metainfo.geometry.pieces(),
        most_mib(),
    );
}

fn main() {
    if let Some(path) = std::env::args_os().nth(1) {
        return read(Path::new(&path));
    }
    let folder = std::env::temp_dir().join(format!("lmk-metainfo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let cases: [(&str, Vec<u8>); 6] = [
        ("files-v1", of_files(Form::V1)),
        ("files-v2", of_files(Form::V2)),
        ("files-hybrid", of_files(Form::Hybrid)),
        ("pieces-v1", of_pieces(PIECES, Form::V1)),
        ("pieces-v2", of_pieces(PIECES, Form::V2)),
        // As many as 96 MiB hold.
        ("pieces-hybrid", of_pieces(1_930_000, Form::Hybrid)),
    ];
    let itself = std::env::current_exe().expect("a path");
    for (name, bytes) in cases {
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, bytes).expect("room");
        let done = Command::new(&itself).arg(&path).status().expect("a process");
        assert!(done.success(), "{name}");
    }
    std::fs::remove_dir_all(&folder).expect("it goes");
}
