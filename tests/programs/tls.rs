//! `https://` with the real program: who is believed, and what comes packed.

use crate::bed::Bed;
use crate::web::{certificate, secure_web, web};
use lmk::content::metainfo::ContentHasher;
use std::io::{Read, Write};
use std::net::TcpListener;

const ANSWER: &[u8] = b"d8:completei3e10:incompletei4e8:intervali1800e5:peers0:e";

fn plain(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[test]
fn a_tracker_is_believed_that_an_authority_vouches_for() {
    let bed = Bed::new("tls-good");
    let (at, got) = secure_web("good", |request| {
        assert!(request.contains("\r\nHost: localhost:"), "{request}");
        if request.starts_with("GET /scrape") {
            return b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(ANSWER).unwrap();
        let body = gzip.finish().unwrap();
        let mut said =
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_vec();
        for part in [&body[..7], &body[7..], &[]] {
            said.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            said.extend_from_slice(part);
            said.extend_from_slice(b"\r\n");
        }
        said
    });
    let url = format!("https://localhost:{}/announce", at.port());
    let ca = certificate("ca");
    let probe = bed.run("p", &format!("probe {url} --ca-file {ca}")).with(0);
    assert!(probe.out.contains("\nleechers 4\nseeders 3\n"), "{}", probe.out);
    let asked: Vec<String> = got.try_iter().collect();
    assert!(asked.iter().any(|request| request.contains("event=stopped")), "{asked:#?}");

    // The same in a swarm, whose loop looks the name up.
    let mut hasher = ContentHasher::new(b"x.bin", 5).unwrap();
    hasher.update(b"hello");
    let torrent = hasher.finish().unwrap().write_torrent_v1(&[url]).unwrap();
    bed.file("s/x.torrent", &torrent);
    bed.file("s/x.bin", b"hello");
    let line = format!("seeder --torrent x.torrent --file x.bin --ca-file {ca}");
    let seeder = bed.start("s", &crate::bed::words(&line));
    seeder.says(" s, 3 seeders, 4 leechers, 0 peers");
}

#[test]
fn a_certificate_that_proves_nothing_ends_the_conversation() {
    let bed = Bed::new("tls-bad");
    let ca = certificate("ca");
    for (name, says) in
        [("other", "for another name"), ("expired", "it has expired"), ("early", "not valid yet")]
    {
        let (at, got) = secure_web(name, |_| plain(ANSWER));
        let line = format!("probe https://localhost:{}/announce --ca-file {ca}", at.port());
        bed.run("p", &line).one_line(5, &["certificate", says]);
        assert_eq!(got.try_iter().count(), 0, "nothing was asked");
    }
    let (at, got) = secure_web("good", |_| plain(ANSWER));
    let line = format!("probe https://localhost:{}/announce", at.port());
    bed.run("p", &line).one_line(5, &["certificate", "nobody this machine trusts"]);
    assert_eq!(got.try_iter().count(), 0);
    let listener = TcpListener::bind((bed.ip(1), 0)).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 That is no HTTP\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    bed.run("p", &format!("probe https://{at}/announce --ca-file {ca}"))
        .one_line(5, &["speaks no TLS"]);
    bed.file("p/empty.pem", b"nothing");
    for (file, code) in [("empty.pem", 2), ("missing.pem", 4)] {
        bed.run("p", &format!("probe https://localhost:1/announce --ca-file {file}"))
            .one_line(code, &["--ca-file", file]);
    }
}

/// A person may do without the proof, for one host at a time, and is told each time.
#[test]
fn a_host_need_not_prove_itself_where_a_person_says_so_of_it_and_hears_it_on_every_start() {
    let bed = Bed::new("tls-insecure");
    let said = "the certificate of localhost is not checked (--insecure-tracker)";
    for name in ["other", "expired", "good"] {
        let (at, got) = secure_web(name, |_| plain(ANSWER));
        let url = format!("https://localhost:{}/announce", at.port());
        let probe = bed.run("p", &format!("probe {url} --insecure-tracker LOCALHOST")).with(0);
        assert!(probe.err.to_lowercase().contains(said), "{name}: {}", probe.err);
        assert!(got.try_iter().any(|request| request.contains("event=stopped")), "{name}");
    }
    let (at, got) = secure_web("expired", |_| plain(ANSWER));
    let url = format!("https://localhost:{}/announce", at.port());
    // Of this host alone.
    for (host, code, says) in [
        ("tracker.example", 5, "its certificate is not valid: it has expired"),
        ("localhost:443", 2, "without a port"),
    ] {
        let ended = bed.run("p", &format!("probe {url} --insecure-tracker {host}")).with(code);
        assert!(ended.err.contains(says), "{host}: {}", ended.err);
    }
    assert_eq!(got.try_iter().count(), 0, "nothing was asked");

    let mut hasher = ContentHasher::new(b"x.bin", 5).unwrap();
    hasher.update(b"hello");
    bed.file("s/x.torrent", &hasher.finish().unwrap().write_torrent_v1(&[url]).unwrap());
    bed.file("s/x.bin", b"hello");
    let line = "seeder --torrent x.torrent --file x.bin --insecure-tracker localhost";
    let seeder = bed.start("s", &crate::bed::words(line));
    seeder.says(said);
    seeder.says(" s, 3 seeders, 4 leechers, 0 peers");
}

#[test]
fn a_redirection_leads_from_plain_to_tls_and_never_back() {
    let bed = Bed::new("tls-redirect");
    let (plain_at, _got) = web(&bed, |_| plain(ANSWER));
    let back = format!("HTTP/1.1 302 F\r\nLocation: http://{plain_at}/announce\r\n\r\n");
    let (secure_at, _got) = secure_web("good", move |_| back.clone().into_bytes());
    let there = format!("https://localhost:{}/announce", secure_at.port());
    let to = format!("HTTP/1.1 302 F\r\nLocation: {there}\r\n\r\n");
    let (first_at, _got) = web(&bed, move |_| to.clone().into_bytes());
    let mut hasher = ContentHasher::new(b"x.bin", 5).unwrap();
    hasher.update(b"hello");
    let urls = [format!("http://{first_at}/announce")];
    bed.file("s/x.torrent", &hasher.finish().unwrap().write_torrent_v1(&urls).unwrap());
    bed.file("s/x.bin", b"hello");
    let line = format!("seeder --torrent x.torrent --file x.bin --ca-file {}", certificate("ca"));
    let seeder = bed.start("s", &crate::bed::words(&line));
    seeder.says("it sends us from https to http");
}
