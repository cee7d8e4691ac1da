//! Web seeds (BEP 19) with the real program: a file that only servers of the web have.

use crate::bed::{Bed, noise};
use crate::web::{asked_range, certificate, part, secure_web, web};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

const SIZE: usize = 3_000_001;

fn bytes() -> Vec<u8> {
    noise(7, SIZE)
}

/// A .torrent of the file `big file.bin` without a tracker, with these web seeds.
fn torrent(bed: &Bed, under: &str, form: &str, urls: &[String]) -> String {
    bed.file("made/big file.bin", &bytes());
    let out = bed.path(under).to_str().unwrap().to_owned();
    let made = bed.path("made/big file.bin").to_str().unwrap().to_owned();
    let mut args = vec!["create", &made, "-o", &out, form, "--piece-length", "64K"];
    urls.iter().for_each(|url| args.extend(["--webseed", url]));
    bed.start("made", &args).ends().with(0);
    out
}

fn fetched(bed: &Bed, who: &str) -> bool {
    std::fs::read(bed.path(&format!("{who}/big file.bin"))).unwrap() == bytes()
}

#[test]
fn a_file_comes_from_a_server_alone_in_every_form() {
    let bed = Bed::new("web-seeds");
    for (form, folder) in [("--v1", "files/"), ("--v2", "files/"), ("--hybrid", "files/x.bin")] {
        let (at, got) = web(&bed, |request| part(&bytes(), request));
        let urls = [format!("http://{at}/{folder}")];
        let torrent = torrent(&bed, &format!("{form}.torrent"), form, &urls);
        let who = format!("l{form}");
        bed.start(&who, &["leecher", "--torrent", &torrent]).ends().with(0);
        assert!(fetched(&bed, &who), "{form}");
        let asked: Vec<String> = got.try_iter().collect();
        let path = if folder.ends_with('/') { "files/big%20file.bin" } else { folder };
        let mut sum = 0;
        for request in &asked {
            assert!(request.starts_with(&format!("GET /{path} HTTP/1.1\r\n")), "{request}");
            let (first, last) = asked_range(request);
            sum += last + 1 - first;
        }
        assert!((SIZE..SIZE + SIZE / 10).contains(&sum), "{form}: {sum} bytes");
        assert!(asked.len() < 100, "{} requests for {} blocks", asked.len(), SIZE / 16_384);
    }
}

#[test]
fn a_folder_comes_file_by_file_also_by_a_magnet_link() {
    let bed = Bed::new("web-seeds-folder");
    let files =
        [("a b.bin", noise(1, 200_000)), ("deep/c.bin", noise(2, 70_001)), ("none", vec![])];
    for (path, bytes) in &files {
        bed.file(&format!("made/set/{path}"), bytes);
    }
    let serve = files.clone();
    let (at, _got) = web(&bed, move |request| {
        let path = request.split(' ').nth(1).unwrap().replace("%20", " ");
        let found = serve.iter().find(|(name, _)| path == format!("/x/set/{name}"));
        match found {
            Some((_, bytes)) => part(bytes, request),
            None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    });
    let seed = format!("http://{at}/x/");
    let made = bed.path("made/set").to_str().unwrap().to_owned();
    for form in ["--v1", "--v2", "--hybrid"] {
        let out = bed.path(&format!("{form}.torrent")).to_str().unwrap().to_owned();
        let args = ["create", &made, "-o", &out, form, "--piece-length", "32K", "--webseed", &seed];
        bed.start("made", &args).ends().with(0);
        let who = format!("l{form}");
        bed.start(&who, &["leecher", "--torrent", &out]).ends().with(0);
        for (path, bytes) in &files {
            let fetched = std::fs::read(bed.path(&format!("{who}/set/{path}"))).unwrap();
            assert!(fetched == *bytes, "{form}: {path}");
        }
    }
}

#[test]
fn a_server_may_send_us_on_to_one_over_tls() {
    let bed = Bed::new("web-seeds-tls");
    let (secure, _got) = secure_web("good", |request| part(&bytes(), request));
    let to = format!(
        "HTTP/1.1 302 Found\r\nLocation: https://localhost:{}/x\r\nContent-Length: 5\r\n\r\nthere",
        secure.port()
    );
    let (at, _got) = web(&bed, move |_| to.clone().into_bytes());
    let torrent = torrent(&bed, "x.torrent", "--hybrid", &[format!("http://{at}/x.bin")]);
    let ca = certificate("ca");
    bed.start("l", &["leecher", "--torrent", &torrent, "--ca-file", &ca]).ends().with(0);
    assert!(fetched(&bed, "l"));
}

#[test]
fn servers_that_are_of_no_use_are_left_and_said_so() {
    let bed = Bed::new("web-seeds-bad");
    let status = |text: &str| format!("HTTP/1.1 {text}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    type Answer = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;
    let corrupt = |request: &str| {
        let mut file = bytes();
        file.iter_mut().for_each(|byte| *byte ^= 1);
        part(&file, request)
    };
    let cases: [(&str, Answer); 6] = [
        ("HTTP status 404", Box::new(move |_| status("404 Not Found"))),
        ("not what the hashes say", Box::new(corrupt)),
        ("bytes in place of", Box::new(|request| part(&[bytes(), vec![0]].concat(), request))),
        (
            "another part",
            Box::new(|request| {
                let said = String::from_utf8_lossy(&part(&bytes(), request)[..60]).into_owned();
                let (first, _) = asked_range(request);
                let said = said.split("Content-Range").next().unwrap().to_owned();
                format!("{said}Content-Range: bytes {}-{}/{SIZE}\r\n\r\n", first + 1, first + 2)
                    .into()
            }),
        ),
        (
            "sends us from",
            Box::new(|_| b"HTTP/1.1 302 Found\r\nLocation: udp://127.0.0.1/x\r\n\r\n".to_vec()),
        ),
        (
            "does not have",
            Box::new(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        ),
    ];
    for (index, (says, answer)) in cases.into_iter().enumerate() {
        let (bad, _got) = web(&bed, answer);
        let urls = [format!("http://{bad}/secret/x.bin")];
        let torrent = torrent(&bed, &format!("{index}.torrent"), "--hybrid", &urls);
        let leecher = bed.start(&format!("l{index}"), &["leecher", "--torrent", &torrent]);
        let line = leecher.says(says);
        assert!(line.contains("going on without it") && line.contains(&bad.to_string()), "{line}");
        assert!(!leecher.has_said("secret"), "{line}");
    }
}

#[test]
fn a_server_that_fails_now_and_then_is_asked_again_and_a_liar_spoils_nothing() {
    let bed = Bed::new("web-seeds-weak");
    // At first it is too busy, then it breaks off in the middle; it ends each connection.
    let count = AtomicU32::new(0);
    let (weak, _got) = web(&bed, move |request| {
        let said = part(&bytes(), request);
        let said = String::from_utf8_lossy(&said[..17]).replace("Part", "Some").into_bytes();
        let said = [&said[..], &part(&bytes(), request)[17..]].concat();
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".to_vec(),
            2 => said[..said.len() / 2].to_vec(),
            _ => said,
        }
    });
    // One that sends the whole file, whatever is asked.
    let (whole, _got) = web(&bed, |_| {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes(), bytes()]
            .concat()
    });
    let wrong = Mutex::new(0);
    let (liar, _got) = web(&bed, move |request| {
        let mut said = part(&bytes(), request);
        *wrong.lock().unwrap() += 1;
        *said.last_mut().unwrap() ^= 1;
        said
    });
    let urls = [weak, whole, liar].map(|at| format!("http://{at}/x.bin"));
    let torrent = torrent(&bed, "x.torrent", "--hybrid", &urls);
    let leecher = bed.start("l", &["leecher", "--torrent", &torrent]);
    leecher.says("HTTP status 503; next try in 1 s");
    leecher.says("complete ");
    leecher.ends().with(0);
    assert!(fetched(&bed, "l"));

    let (weak, _got) = web(&bed, |_| b"HTTP/1.1 206 Part\r\n\r\n".to_vec());
    let url = format!("http://{weak}/x.bin");
    let made = bed.path("made/big file.bin").to_str().unwrap().to_owned();
    let tracker = bed.tracker();
    let announce = format!("udp://{}/announce", tracker.at);
    let out = bed.path("y.torrent").to_str().unwrap().to_owned();
    let args =
        ["create", &made, "-o", &out, "--hybrid", "--announce", &announce, "--webseed", &url];
    bed.start("made", &args).ends().with(0);
    let seeder = bed.start("s", &["seeder", "--torrent", &out, "--file", &made]);
    seeder.says(": interval ");
    bed.start("m", &["leecher", "--torrent", &out]).ends().with(0);
    assert!(fetched(&bed, "m"), "peers do what the server does not");
}
