//! `--magnet` with the real program: every form, and links that lead nowhere.

use crate::bed::{Bed, Ended, Lmk, Tracker, noise};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;

fn fact(ended: &Ended, kind: &str, key: &str) -> Value {
    let lines = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let event = lines.into_iter().find(|event| event["event"] == kind);
    event.unwrap_or_else(|| panic!("no {kind}: {}", ended.out))[key].clone()
}

/// Makes a .torrent of `a/NAME` and seeds it. -> its link, and the seeder.
fn seeded(bed: &Bed, tracker: &Tracker, name: &str, more: &str) -> (String, Lmk) {
    let url = format!("udp://{}/announce", tracker.at);
    let line = format!("create {name} -o x.torrent --overwrite --json --announce {url} {more}");
    let made = bed.run("a", &line).with(0);
    let link = fact(&made, "created", "magnet").as_str().unwrap().to_owned();
    let seeder = bed.start("a", &["seeder", "--torrent", "x.torrent", "--file", name]);
    seeder.says(": interval ");
    (link, seeder)
}

#[test]
fn a_link_of_each_form_becomes_the_file() {
    let bed = Bed::new("magnet-forms");
    let tracker = bed.tracker();
    let bytes = noise(31, 1_000_000);
    bed.file("a/big.bin", &bytes);
    for form in ["--v1", "--v2", "--hybrid"] {
        // 62 pieces: v2 has a layer that is no part of the metadata.
        let (link, seeder) =
            seeded(&bed, &tracker, "big.bin", &format!("{form} --piece-length 16K"));
        let who = format!("l{form}");
        let ended = bed.start(&who, &["leecher", "--json", "--magnet", &link]).ends().with(0);
        assert_eq!(fs::read(bed.path(&who).join("big.bin")).unwrap(), bytes, "{form}");
        assert_eq!(bed.names(&who), ["big.bin"], "{form}: nothing else is left");
        let hash = fact(&ended, "complete", "hash");
        assert!(link.contains(hash.as_str().unwrap()), "{form}: {hash} {link}");
        assert!(fact(&ended, "metadata", "bytes").as_u64() > Some(100), "{form}");
        // Of a hybrid either hash is enough.
        if form == "--hybrid" {
            let (head, tail) = link.split_once("&xt=").unwrap();
            let rest = tail.split_once('&').unwrap().1;
            let (v1, v2) = (format!("{head}&{rest}"), format!("magnet:?xt={tail}"));
            for (who, link) in [("l1", v1), ("l2", v2)] {
                bed.start(who, &["leecher", "--magnet", &link]).ends().with(0);
                assert_eq!(fs::read(bed.path(who).join("big.bin")).unwrap(), bytes, "{link}");
            }
        }
        seeder.ended_by(Signal::INT).with(130);
    }
}

#[test]
fn the_links_of_a_seeder_and_of_the_tracker_lead_to_what_is_published() {
    let bed = Bed::new("magnet-published");
    let tracker = bed.tracker();
    let bytes = noise(32, 300_000);
    bed.file("seeder/big.zip", &bytes);
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "");
    let said = seeder.says("stock clients: ");
    let link = said.split_once("stock clients: ").unwrap().1;
    let shown = bed.start("asker", &["show", link]).ends().with(0);
    assert!(shown.out.contains("name        big.zip\n"), "{}", shown.out);
    bed.start("l", &["leecher", "--magnet", link]).ends().with(0);
    assert_eq!(fs::read(bed.path("l/big.zip")).unwrap(), bytes);
    // One that is there already is not fetched again.
    let again = bed.start("l", &["leecher", "--magnet", link]).ends().with(0);
    assert!(again.out.contains("was there already"), "{}", again.out);
}

#[test]
fn a_peer_of_the_link_is_enough_where_the_person_names_this_machine() {
    let bed = Bed::new("magnet-peer");
    let tracker = bed.tracker();
    let bytes = noise(33, 100_000);
    bed.file("a/f", &bytes);
    let (link, seeder) = seeded(&bed, &tracker, "f", "");
    let port = seeder.says("client port ");
    let port = port.split([' ', ',']).nth(2).unwrap();
    let topics = link.split_once("&dn=").unwrap().0;
    let direct = format!("{topics}&x.pe=127.0.0.1:{port}");
    // A tracker that is not there.
    let nobody = format!("{}:9", bed.ip(2));
    let words = ["leecher", "--magnet", &direct, "--tracker", &nobody];
    bed.start("l", &words).ends().with(0);
    assert_eq!(fs::read(bed.path("l/f")).unwrap(), bytes);
    // A link alone makes nobody knock on this machine.
    let alone = bed.start("m", &["leecher", "--magnet", &direct]).ends();
    alone.one_line(9, &["no tracker that can be asked", "--tracker"]);
}

#[test]
fn a_link_that_leads_nowhere_is_one_line_with_its_code() {
    let bed = Bed::new("magnet-nowhere");
    let link = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
    bed.start("l", &["leecher", "--magnet", link]).ends().one_line(9, &["0123456789", "no DHT"]);
    for peer in ["127.0.0.1:22", "[::1]:7000", "0.0.0.0:7000", "224.0.0.1:7000", "10.0.0.1:22"] {
        let link = format!("{link}&x.pe={peer}");
        bed.start("l", &["leecher", "--magnet", &link]).ends().one_line(9, &["no peer"]);
    }
    let other = format!("{link}&dn=a%20name&tr=ftp://example.org/");
    bed.start("l", &["leecher", "--magnet", &other]).ends().one_line(9, &["a name", "no DHT"]);
    bed.run("l", "leecher --magnet magnet:?dn=x").one_line(2, &["--magnet", "info-hash"]);
    let tracker = bed.tracker();
    let link = format!("{link}&tr=udp://{}/announce", tracker.at);
    let late = bed.start("l", &["leecher", "--magnet", &link, "--timeout", "1s"]).ends();
    late.one_line(9, &["nobody told what", "0123456789"]);
    assert_eq!(bed.names("l"), Vec::<String>::new());
}

#[test]
fn the_metadata_of_a_private_torrent_is_not_given_away() {
    let bed = Bed::new("magnet-private");
    let tracker = bed.tracker();
    bed.file("a/f", &noise(34, 50_000));
    let (link, _seeder) = seeded(&bed, &tracker, "f", "--private");
    let late = bed.start("l", &["leecher", "--magnet", &link, "--timeout", "2s"]).ends();
    late.one_line(9, &["nobody told what f is"]);
}
