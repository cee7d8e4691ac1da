//! Folders with the real program: published and fetched by their name and by a .torrent, in part,
//! after kills, and over what is there already.

use crate::bed::{Bed, Tracker, noise, words};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

/// Every file below a folder, by its path, and every empty folder.
fn tree(top: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![top.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            match path.is_dir() {
                true => open.push(path),
                false => _ = found.insert(name, fs::read(&path).unwrap()),
            }
        }
    }
    found
}

/// A folder with an empty file, a deep one, a long one, and names that need care.
fn photos(bed: &Bed, who: &str) -> BTreeMap<String, Vec<u8>> {
    for (name, bytes) in [
        ("big", noise(1, 900_000)),
        ("empty", Vec::new()),
        ("one/two/three/Icon\r", noise(2, 20_000)),
        ("one/foo... bar", noise(3, 16_384)),
        ("one.txt", b"x".to_vec()),
        ("A", b"upper".to_vec()),
        ("a", b"lower".to_vec()),
        ("aux.c", b"c".to_vec()),
        ("zz/last", Vec::new()),
    ] {
        bed.file(&format!("{who}/photos/{name}"), &bytes);
    }
    tree(&bed.path(&format!("{who}/photos")))
}

/// A .torrent of the folder, whose tracker is that one.
fn torrent(bed: &Bed, tracker: &Tracker, form: &str) -> String {
    let path = bed.path(&format!("{form}.torrent"));
    let path = path.to_str().unwrap().to_owned();
    let url = format!("udp://{}/announce", tracker.at);
    bed.run("s", &format!("create photos --{form} --announce {url} -o {path} --overwrite")).with(0);
    path
}

#[test]
fn a_folder_is_seeded_and_fetched_by_its_torrent_in_every_form() {
    let bed = Bed::new("folder-forms");
    let (tracker, expected) = (bed.tracker(), photos(&bed, "s"));
    for form in ["v1", "v2", "hybrid"] {
        let torrent = torrent(&bed, &tracker, form);
        let line = format!("seeder --torrent {torrent} --file photos");
        let seeder = bed.start("s", &words(&line));
        seeder.says(": interval ");
        let who = format!("l-{form}");
        bed.run(&who, &format!("leecher --torrent {torrent}")).with(0);
        assert!(tree(&bed.path(&format!("{who}/photos"))) == expected, "{form}");
        assert_eq!(bed.names(&who), ["photos"], "nothing else is left");
        let again = bed.run(&who, &format!("leecher --torrent {torrent}")).with(0);
        assert!(again.out.contains("was there already"), "{}", again.out);
        seeder.ended_by(Signal::INT).with(130);
    }
}

#[test]
fn a_folder_is_published_under_its_name_and_its_hashes_are_remembered() {
    let bed = Bed::new("folder-name");
    let (tracker, expected) = (bed.tracker(), photos(&bed, "s"));
    symlink("/etc", bed.path("s/photos/link")).unwrap();
    let seeder = tracker.seeder(&bed, "s", "photos", "");
    seeder.says("link is left out: symbolic links are not followed");
    let hash = seeder.hash();
    seeder.ended_by(Signal::INT).with(130);
    let seeder = tracker.seeder(&bed, "s", "photos/", "");
    seeder.says("hashes of photos are remembered");
    assert_eq!(seeder.hash(), hash);
    tracker.fetch(&bed, "l", "photos", "").with(0);
    assert!(tree(&bed.path("l/photos")) == expected);
    assert_eq!(bed.names("l"), ["photos"]);
    // Two who share one folder share one content.
    tracker.seeder(&bed, "l", "photos", "").says(&hash);
}

#[test]
fn only_chosen_files_are_made_and_others_can_be_had_later() {
    let bed = Bed::new("folder-files");
    let (tracker, expected) = (bed.tracker(), photos(&bed, "s"));
    // Pieces of v1 lie across the borders of files.
    for form in ["v1", "v2"] {
        let torrent = torrent(&bed, &tracker, form);
        let line = format!("seeder --torrent {torrent} --file photos");
        let seeder = bed.start("s", &words(&line));
        seeder.says(": interval ");
        let who = format!("l-{form}");
        let fetch = |files: &str, more: &str| {
            bed.run(&who, &format!("leecher --torrent {torrent} --files {files} {more}"))
        };
        fetch("99", "").one_line(2, &["--files names none"]);
        fetch("3-1", "").one_line(2, &["--files '3-1'"]);
        fetch("one/,zz/,1", "").with(0);
        let mut some = expected.clone();
        some.retain(|path, _| path.starts_with("one/") || path == "A" || path == "zz/last");
        assert!(tree(&bed.path(&format!("{who}/photos"))) == some, "{form}");
        assert_eq!(bed.names(&who), ["photos"], "{form}: nothing else is left");
        let again = fetch("one/,zz/,1", "").with(0);
        assert!(again.out.contains("was there already"), "{form}: {}", again.out);
        fetch("*", "").one_line(7, &["exists and is different", "never replaced"]);
        seeder.ended_by(Signal::INT).with(130);
    }
}

#[test]
fn a_folder_whose_leecher_is_killed_goes_on_where_it_was() {
    let bed = Bed::new("folder-kills");
    for n in 0..40 {
        bed.file(&format!("s/many/{}/{n}", n % 7), &noise(n, 1_000_000 + n as usize * 777));
    }
    let (tracker, expected) = (bed.tracker(), tree(&bed.path("s/many")));
    let _seeder = tracker.seeder(&bed, "s", "many", "");
    let mut resumed = 0;
    for kill in 0..12u64 {
        let leecher = tracker.leecher(&bed, "l", "many", "--json");
        // Moments between the first steps and the last ones, the same in every run.
        let until = Instant::now() + Duration::from_millis(30 + kill * 7919 % 170);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        let ended = leecher.ended_by(Signal::KILL);
        resumed += u32::from(ended.out.contains(r#""event":"resumed""#));
        if bed.names("l") == ["many"] {
            assert!(tree(&bed.path("l/many")) == expected, "kill {kill}");
            fs::remove_dir_all(bed.path("l/many")).unwrap();
        }
    }
    let last = tracker.fetch(&bed, "l", "many", "").with(0);
    println!("{resumed} of 12 went on; the last one said\n{}", last.out);
    assert!(tree(&bed.path("l/many")) == expected);
    assert_eq!(bed.names("l"), ["many"]);
}

#[test]
fn a_folder_that_is_edited_is_not_shared_any_more() {
    let bed = Bed::new("folder-edited");
    let tracker = bed.tracker();
    photos(&bed, "s");
    let seeder = tracker.seeder(&bed, "s", "photos", "");
    bed.file("s/photos/one/foo... bar", &noise(9, 16_384));
    seeder.says("changed on disk");
    seeder.ends().with(4);
}

#[test]
fn what_stands_where_the_folder_goes_stays_as_it_is() {
    let bed = Bed::new("folder-in-the-way");
    let (tracker, expected) = (bed.tracker(), photos(&bed, "s"));
    let _seeder = tracker.seeder(&bed, "s", "photos", "");
    bed.file("file/photos", b"mine");
    tracker.fetch(&bed, "file", "photos", "--overwrite").one_line(7, &["photos is a file"]);
    bed.file("other/photos/big", b"mine");
    let ended = tracker.fetch(&bed, "other", "photos", "--overwrite");
    ended.one_line(7, &["exists and is different", "never replaced"]);
    assert_eq!(bed.names("other"), ["photos"]);
    // What is there beside the files of the content is nobody's matter.
    photos(&bed, "same");
    bed.file("same/photos/notes", b"mine");
    let ended = tracker.fetch(&bed, "same", "photos", "").with(0);
    assert!(ended.out.contains("was there already"), "{}", ended.out);
    // A folder of an earlier run that leads elsewhere by a link is not written through.
    bed.folder("linked/elsewhere");
    bed.folder("linked/photos.lmk-part");
    symlink(bed.path("linked/elsewhere"), bed.path("linked/photos.lmk-part/one")).unwrap();
    assert_ne!(tracker.fetch(&bed, "linked", "photos", "").code, Some(0));
    assert_eq!(bed.names("linked/elsewhere"), [""; 0]);
    tracker.fetch(&bed, "out", "photos", "--out album").with(0);
    assert!(tree(&bed.path("out/album")) == expected);
    let mode = fs::metadata(bed.path("out/album/big")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0, "{mode:o}");
}
