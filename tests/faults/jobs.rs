//! Commands on real files, run on this thread so that what they pass is seen: files that are no
//! .torrent, and files that change while they are hashed.

use lmk::content::grid::Form;
use lmk::content::metainfo::outside::Outside;
use lmk::content::metainfo::{KeyOrder, Wanted};
use lmk::core::mark::expect_mark;
use lmk::core::report::{Ending, Event};
use lmk::core::time::Span;
use lmk::engine::{Engine, Plan};
use lmk::jobs::plan::{CreatePlan, ShowPlan, Subject};
use lmk::jobs::torrent_file::TorrentFile;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lmk-faults-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs to the end; `seen` is shown each event. -> how it ended, and the last line.
fn run(plan: Plan, mut seen: impl FnMut(&Event)) -> (Ending, String) {
    let mut engine = Engine::new(plan).unwrap();
    let mut last = String::new();
    for _ in 0..1_000_000 {
        let turned = engine.turn(Span::secs(1), &mut |_, event| {
            seen(event);
            last = event.line.clone();
        });
        if let Some(ending) = turned.unwrap() {
            return (ending, last);
        }
    }
    panic!("it does not end: {last}");
}

#[test]
fn what_is_no_regular_file_is_no_torrent_and_nothing_waits_for_it() {
    let folder = Folder::new("no-torrent");
    let fifo = folder.0.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let long = folder.0.join("long");
    File::create(&long).unwrap().set_len(1 << 40).unwrap();
    for (path, why) in [
        (folder.0.as_path(), "is a directory"),
        (Path::new("/dev/zero"), "not a regular file"),
        (&fifo, "not a regular file"),
        (&long, "larger than"),
    ] {
        let torrent = TorrentFile { path: path.into(), order: KeyOrder::Sorted };
        let show = ShowPlan { subject: Subject::Torrent(torrent), table: true };
        let ended = expect_mark!("A09", run(Plan::Show(show), |_| ()));
        assert!(ended.0 == Ending::Disk && ended.1.contains(why), "{ended:?}");
    }
}

fn create(path: &Path, out: &Path) -> Plan {
    let form = Form::Hybrid;
    let (outside, source) = (Outside::default(), None);
    let wanted = Wanted { form, piece_length: None, private: false, source, outside };
    let (path, out, name) = (path.to_owned(), out.to_owned(), b"d".to_vec());
    Plan::Create(CreatePlan { path, name, out, overwrite: false, wanted, table: true })
}

#[test]
fn what_changes_while_it_is_hashed_is_seen_and_nothing_is_written() {
    let folder = Folder::new("changes");
    let (top, out) = (folder.0.join("d"), folder.0.join("x"));
    fs::create_dir(&top).unwrap();
    let shorter = |path: &Path| File::options().write(true).open(path).unwrap().set_len(9).unwrap();
    let gone = |path: &Path| fs::rename(path, path.with_extension("moved")).unwrap();
    let other = |path: &Path| {
        gone(path);
        fs::write(path, vec![2; 300_000]).unwrap();
    };
    for change in [&shorter as &dyn Fn(&Path), &other] {
        for file in ["a", "b"] {
            fs::write(top.join(file), vec![1; 300_000]).unwrap();
        }
        // All is listed by then, and nothing read.
        let hashing = |event: &Event| {
            if event.kind == "hashing" {
                change(&top.join("b"));
            }
        };
        let ended = expect_mark!("A26", run(create(&top, &out), hashing));
        assert!(ended.0 == Ending::Disk && ended.1.contains("changed while"), "{ended:?}");
        assert!(!out.exists());
    }
    // A file that lacks in the end is named as well, and one of 2^40 zeros is no harm before.
    fs::write(top.join("b"), vec![1; 300_000]).unwrap();
    let hashing = |event: &Event| {
        if event.kind == "hashing" {
            gone(&top.join("b"));
        }
    };
    let ended = run(create(&top, &out), hashing);
    assert!(ended.0 == Ending::Disk && ended.1.contains("d/b"), "{ended:?}");
    assert!(!out.exists());
}
