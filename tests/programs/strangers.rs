//! `--torrent` with the real program: every form, over UDP and HTTP, and trackers that say what
//! they must not.

use crate::bed::{Bed, Lmk, words};
use crate::web::web;
use lmk::content::metainfo::{Content, ContentHasher};
use rustix::process::Signal;

fn bytes() -> Vec<u8> {
    (0..300_000u32).map(|i| ((i * 7) >> 3) as u8).collect()
}

fn content() -> Content {
    let mut hasher = ContentHasher::new(b"big.bin", bytes().len() as u64).unwrap();
    hasher.update(&bytes());
    hasher.finish().unwrap()
}

fn v1(bed: &Bed, under: &str, urls: &[String]) -> String {
    let path = bed.file(under, &content().write_torrent_v1(urls).unwrap());
    path.to_str().unwrap().to_owned()
}

fn v2(bed: &Bed, under: &str, urls: &[String]) -> String {
    let path = bed.file(under, &content().write_torrent_v2(urls).unwrap());
    path.to_str().unwrap().to_owned()
}

fn seeder(bed: &Bed, who: &str, torrent: &str) -> Lmk {
    bed.file(&format!("{who}/big.bin"), &bytes());
    let line = format!("seeder --torrent {torrent} --file big.bin");
    bed.start(who, &words(&line))
}

#[test]
fn each_form_is_seeded_and_fetched_over_udp_and_http() {
    let bed = Bed::new("torrents");
    let tracker = bed.tracker();
    for (index, (form, scheme)) in
        [(0, "udp"), (1, "udp"), (0, "http"), (1, "http")].into_iter().enumerate()
    {
        let url = format!("{scheme}://{}/announce", tracker.at);
        let under = format!("{index}.torrent");
        let torrent = if form == 0 { v1(&bed, &under, &[url]) } else { v2(&bed, &under, &[url]) };
        let seeder = seeder(&bed, &format!("s{index}"), &torrent);
        let hash = seeder.hash();
        seeder.says(": interval ");
        let who = format!("l{index}");
        bed.run(&who, &format!("leecher --torrent {torrent}")).with(0);
        let fetched = std::fs::read(bed.path(&format!("{who}/big.bin"))).unwrap();
        assert_eq!(fetched, bytes(), "{scheme}");
        assert_eq!(bed.names(&who), ["big.bin"], "nothing else is left");
        seeder.ended_by(Signal::INT).with(130);
        // The tracker heard the goodbye of both: the probe is the only one it counts.
        let probe = bed.run("asker", &format!("probe {} {hash}", tracker.at)).with(0);
        assert!(probe.out.contains("\nleechers 1\nseeders 0\n"), "{scheme}: {}", probe.out);
    }
}

#[test]
fn an_http_tracker_may_redirect_and_answer_in_chunks() {
    let bed = Bed::new("torrents-chunks");
    let tracker = bed.tracker();
    let url = format!("udp://{}/announce", tracker.at);
    let there = seeder(&bed, "s", &v1(&bed, "udp.torrent", &[url]));
    let listening = there.says("listening on port ");
    let port = listening.split([' ', ';']).nth(3).unwrap().parse::<u16>().unwrap();
    let (at, got) = web(&bed, move |request| match request.starts_with("GET /announce/a?k=1&") {
        true => b"HTTP/1.1 301 Moved\r\nLocation: /announce/b?k=2\r\n\r\n".to_vec(),
        false => {
            let peer = [127, 0, 0, 1, (port >> 8) as u8, port as u8];
            let body = [
                b"d8:completei1e8:intervali1800e5:peersl".to_vec(),
                b"d2:ip9:127.0.0.14:porti".to_vec(),
                format!("{}eee6:peers60:e", u16::from_be_bytes([peer[4], peer[5]])).into_bytes(),
            ]
            .concat();
            let (one, two) = body.split_at(20);
            let mut all = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in [one, two, &[]] {
                all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                all.extend_from_slice(chunk);
                all.extend_from_slice(b"\r\n");
            }
            all
        }
    });
    let torrent = v1(&bed, "web.torrent", &[format!("http://{at}/announce/a?k=1")]);
    let ended = bed.run("l", &format!("leecher --torrent {torrent}")).with(0);
    assert!(ended.err.contains("1 seeder, leechers not told, 1 peer"), "{}", ended.err);
    assert_eq!(std::fs::read(bed.path("l/big.bin")).unwrap(), bytes());
    let asked: Vec<String> = got.try_iter().collect();
    let events = |event: &str| asked.iter().filter(|line| line.contains(event)).count();
    assert_eq!((events("event=started"), events("event=stopped")), (2, 2), "{asked:#?}");
    assert!(asked.iter().any(|line| line.starts_with("GET /announce/b?k=2&info_hash=")));
}

#[test]
fn a_hostile_http_tracker_is_left_alone_and_the_next_one_is_asked() {
    let bed = Bed::new("torrents-hostile");
    let tracker = bed.tracker();
    let good = format!("udp://{}/announce", tracker.at);
    let there = seeder(&bed, "s", &v1(&bed, "udp.torrent", std::slice::from_ref(&good)));
    there.says(": interval ");
    let big = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'a'; 1_200_000]].concat();
    for (index, (answer, says)) in [
        (b"\x00\x01garbage".to_vec(), "the answer is not HTTP"),
        (big, "the answer is larger than 1 MiB"),
        (b"HTTP/1.1 404 Gone\r\n\r\n<html>".to_vec(), "HTTP status 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: /announce\r\n\r\n".to_vec(), "more than 5 times"),
        (b"HTTP/1.1 302 F\r\nLocation: http://169.254.1.1/\r\n\r\n".to_vec(), "sends us to"),
        (b"HTTP/1.1 302 F\r\nLocation: ftp://a/\r\n\r\n".to_vec(), "ftp"),
        (b"HTTP/1.1 302 F\r\nLocation: /admin\r\n\r\n".to_vec(), "only a path /announce"),
        (b"HTTP/1.1 200 OK\r\n\r\nd14:failure reason4:no\x1b!e".to_vec(), "refuses: no\u{fffd}!"),
        (Vec::new(), "the connection ended before the answer"),
    ]
    .into_iter()
    .enumerate()
    {
        let (at, _got) = web(&bed, move |_| answer.clone());
        let urls = [format!("http://{at}/announce?secret"), good.clone()];
        let torrent = v1(&bed, &format!("{index}.torrent"), &urls);
        let who = format!("l{index}");
        let leecher =
            bed.start(&who, &words(&format!("leecher --keep-seeding --torrent {torrent}")));
        let said = leecher.says(says);
        assert!(said.contains(&format!("http://{at}: ")), "{said}");
        leecher.says("complete ");
        assert!(!leecher.has_said("secret"));
        assert_eq!(std::fs::read(bed.path(&format!("{who}/big.bin"))).unwrap(), bytes());
    }
}

#[test]
fn what_cannot_be_fetched_or_seeded_is_one_line() {
    let bed = Bed::new("torrents-no");
    let broken = bed.file("broken.torrent", b"d4:infoi1ee").to_str().unwrap().to_owned();
    let good = v1(&bed, "good.torrent", &[]);
    bed.file("s/short.bin", b"short");
    let mut other = bytes();
    other[200_000] ^= 1;
    bed.file("s/other.bin", &other);
    let run = |line: &str| bed.run("s", line);
    run(&format!("leecher --torrent {broken}")).one_line(2, &["broken.torrent", "info"]);
    run("leecher --torrent nowhere.torrent").one_line(4, &["nowhere.torrent"]);
    run(&format!("seeder --torrent {good} --file short.bin")).one_line(6, &["5 bytes", "300000"]);
    run(&format!("seeder --torrent {good} --file other.bin")).one_line(6, &["1 piece bad"]);
    run("leecher").one_line(2, &["--want", "--torrent"]);
}
