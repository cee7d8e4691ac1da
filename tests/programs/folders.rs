//! Folders with the real program: published and fetched by their name and by a .torrent, in part,
//! after kills, and over what is there already.

use crate::bed::{Bed, Lmk, Tracker, noise, words};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
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
        assert_eq!(bed.names(&who), ["photos"], "{form}: nothing else is left");
        fetch("*", "").one_line(7, &["exists and is different", "never replaced"]);
        // Of these bytes no piece of v1 is of chosen files alone.
        bed.file(&format!("{who}/photos/A"), b"uppeR");
        fetch("one/,zz/,1", "").one_line(7, &["exists and is different", "never replaced"]);
        bed.file(&format!("{who}/photos/A"), b"upper");
        seeder.ended_by(Signal::INT).with(130);
        let alone = fetch("one/,zz/,1", "--timeout 1s");
        // Nobody is left to prove those pieces, which are no matter of v2.
        match form {
            "v1" => _ = alone.one_line(9, &["no source"]),
            _ => _ = alone.with(0),
        }
        assert!(tree(&bed.path(&format!("{who}/photos"))) == some, "{form}");
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

/// Bytes on the disk of all files below a folder.
fn used(top: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(top) else { return 0 };
    let entries = entries.flatten().map(|entry| (entry.path(), entry.metadata()));
    let size = |(path, meta): (std::path::PathBuf, std::io::Result<fs::Metadata>)| match meta {
        Ok(meta) if meta.is_dir() => used(&path),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}

#[test]
fn chosen_files_of_a_folder_whose_leecher_is_killed_come_whole() {
    let bed = Bed::new("folder-files-kills");
    for n in 0..24 {
        bed.file(&format!("s/many/{}/{n:02}", n % 3), &noise(n, 300_000 + n as usize * 777));
    }
    let (tracker, mut expected) = (bed.tracker(), tree(&bed.path("s/many")));
    expected.retain(|path, _| path.starts_with("1/") || path == "2/20");
    let wanted: u64 = expected.values().map(|bytes| bytes.len() as u64).sum();
    let path = bed.path("many.torrent");
    let (path, url) = (path.to_str().unwrap(), format!("udp://{}/announce", tracker.at));
    bed.run("s", &format!("create many --v1 --announce {url} -o {path}")).with(0);
    let seeder = bed.start("s", &words(&format!("seeder --torrent {path} --file many")));
    seeder.says(": interval ");
    let line = format!("leecher --torrent {path} --files 1/,2/20 --limit-down 1M");
    for kill in 1..=4u64 {
        let leecher = bed.start("l", &words(&line));
        let until = Instant::now() + Duration::from_secs(40);
        while used(&bed.path("l/many.lmk-part")) < wanted * kill / 5 {
            assert!(Instant::now() < until, "kill {kill}: {}", leecher.story());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(leecher.ended_by(Signal::KILL).code, None, "kill {kill}");
    }
    let last = bed.run("l", &line.replace(" --limit-down 1M", "")).with(0);
    assert!((last.out + &last.err).contains("of an earlier run are good"));
    assert!(tree(&bed.path("l/many")) == expected);
    assert_eq!(bed.names("l"), ["many"]);
}

/// Longer than any step of a small test.
const LONG: Duration = Duration::from_secs(600);

/// `lmk LINE` that may have so many descriptors.
fn with_descriptors(bed: &Bed, who: &str, count: u32, line: &str) -> Lmk {
    let program = env!("CARGO_BIN_EXE_lmk");
    let mut command = bed.dressed(who, Command::new("sh"));
    // Both limits, that it cannot be raised again.
    command.args(["-c", &format!("ulimit -n {count}; exec {program} {line}")]);
    Lmk::run(who, command)
}

#[test]
fn a_folder_of_many_small_files_needs_few_descriptors() {
    many_small_files(2_000);
}

#[test]
#[ignore = "takes its time where others use the disk, whose writes each sync waits for"]
fn a_folder_of_very_many_small_files_needs_few_descriptors() {
    many_small_files(20_000);
}

fn many_small_files(count: usize) {
    let bed = Bed::new(&format!("folder-many-{count}"));
    for n in 0..count {
        let folder = bed.path(&format!("s/many/{}", n % 100));
        if n < 100 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(n.to_string()), n.to_string().repeat(n % 7)).unwrap();
    }
    let tracker = bed.tracker();
    let at = format!("--tracker {}", tracker.at);
    let seeder = with_descriptors(&bed, "s", 160, &format!("seeder --file many {at}"));
    seeder.says_within("seeding ", LONG);
    let leecher = with_descriptors(&bed, "l", 160, &format!("leecher --want many {at}"));
    leecher.ends_within(LONG).with(0);
    let (expected, found) = (tree(&bed.path("s/many")), tree(&bed.path("l/many")));
    assert_eq!(found.len(), count);
    assert!(found == expected);
    assert_eq!(bed.names("l"), ["many"]);
}

#[test]
fn names_and_paths_as_long_as_they_may_be_come_and_longer_ones_are_told() {
    let bed = Bed::new("folder-long");
    let long = "n".repeat(255);
    let wide = format!("{}x", "\u{e9}".repeat(127));
    let deep = format!("{}/end", vec!["d".repeat(50); 18].join("/"));
    for name in [&long, &wide, &deep] {
        bed.file(&format!("s/names/{name}"), name.as_bytes());
    }
    let (tracker, expected) = (bed.tracker(), tree(&bed.path("s/names")));
    assert_eq!(expected.len(), 3);
    let _seeder = tracker.seeder(&bed, "s", "names", "");
    tracker.fetch(&bed, "l", "names", "").with(0);
    assert!(tree(&bed.path("l/names")) == expected);
    assert_eq!(bed.names("l"), ["names"]);
    // Where the whole of a path is more than the system takes in one.
    let mut top = bed.folder("far");
    while top.as_os_str().len() < 3_700 {
        top.push("t".repeat(200));
    }
    fs::create_dir_all(&top).unwrap();
    assert!(top.join("names").join(&deep).as_os_str().len() > 4096);
    tracker.fetch(&bed, "l", "names", &format!("--out {}/", top.display())).with(0);
    let mut compare = Command::new("cmp");
    compare.current_dir(top.join("names")).arg(&deep).arg(bed.path("s/names").join(&deep));
    assert!(compare.status().unwrap().success());
    // Further than any .torrent may lead.
    let further = format!("{}/end", vec!["d".repeat(50); 21].join("/"));
    bed.file(&format!("s/further/{further}"), b"x");
    let ended = bed.run("s", &format!("seeder --file further --tracker {}", tracker.at));
    ended.one_line(2, &["further", "path"]);
    bed.run("s", "create further").one_line(2, &["further", "path"]);
}

#[test]
fn what_may_be_executed_may_be_so_where_it_is_fetched() {
    let bed = Bed::new("folder-programs");
    for (name, mode) in [("run", 0o755), ("bin/tool", 0o4711), ("text", 0o644)] {
        let path = bed.file(&format!("s/tools/{name}"), name.as_bytes());
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let tracker = bed.tracker();
    let mode = |path: &str| fs::metadata(bed.path(path)).unwrap().permissions().mode() & 0o7777;
    // What the umask leaves to others it leaves to a program, too.
    let is_right = |who: &str| {
        let text = mode(&format!("{who}/tools/text"));
        assert_eq!(text & 0o111, 0, "{who}: {text:o}");
        for program in ["run", "bin/tool"] {
            let found = mode(&format!("{who}/tools/{program}"));
            assert_eq!(found, text | (text & 0o444) >> 2, "{who}: {program} {found:o}");
        }
    };
    let _seeder = tracker.seeder(&bed, "s", "tools", "");
    tracker.fetch(&bed, "name", "tools", "").with(0);
    is_right("name");
    for form in ["v1", "v2", "hybrid"] {
        let path = bed.path(&format!("{form}.torrent"));
        let (path, url) = (path.to_str().unwrap(), format!("udp://{}/announce", tracker.at));
        bed.run("s", &format!("create tools --{form} --announce {url} -o {path}")).with(0);
        let shown = bed.run("s", &format!("show {path} --json")).with(0).out;
        assert_eq!(shown.matches(r#""executable":true"#).count(), 2, "{form}: {shown}");
        let seeder = bed.start("s", &words(&format!("seeder --torrent {path} --file tools")));
        seeder.says(": interval ");
        bed.run(form, &format!("leecher --torrent {path}")).with(0);
        is_right(form);
        seeder.ended_by(Signal::INT).with(130);
    }
}

#[test]
fn a_link_of_a_strangers_torrent_is_not_made_and_leads_nowhere() {
    let bed = Bed::new("folder-links");
    bed.file("s/linked/a", b"bytes");
    let tracker = bed.tracker();
    let url = format!("udp://{}/announce", tracker.at);
    bed.run("s", &format!("create linked --v1 --announce {url} -o made.torrent")).with(0);
    let made = fs::read(bed.path("s/made.torrent")).unwrap();
    let end = made.windows(6).position(|bytes| bytes == b"4:name").unwrap() - 1;
    let with_link = |name: &str, target: &[&str]| {
        let target: String =
            target.iter().map(|element| format!("{}:{element}", element.len())).collect();
        let link = format!("d4:attr1:l6:lengthi0e4:pathl1:ze12:symlink pathl{target}ee");
        bed.file(name, &[&made[..end], link.as_bytes(), &made[end..]].concat());
    };
    for target in [&[".."][..], &["..", "etc"], &["/etc/passwd"], &["a", "..", ".."], &[""], &[]] {
        with_link("l/bad.torrent", target);
        let ended = bed.run("l", "leecher --torrent bad.torrent");
        ended.one_line(2, &["bad.torrent", "metainfo"]);
    }
    assert_eq!(bed.names("l"), ["bad.torrent"]);
    with_link("x/linked.torrent", &["a"]);
    let line = format!("seeder --torrent {} --file linked", bed.path("x/linked.torrent").display());
    let seeder = bed.start("s", &words(&line));
    seeder.says(": interval ");
    let ended = bed.run("x", "leecher --torrent linked.torrent").with(0);
    let said = ended.out + &ended.err;
    assert!(said.contains("1 symbolic link not made"), "{said}");
    assert_eq!(bed.names("x/linked"), ["a"]);
    assert_eq!(fs::read(bed.path("x/linked/a")).unwrap(), b"bytes");
}
