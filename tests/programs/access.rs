//! Private trackers and lists, as people run them: `lmk token`, `--private`, `--token`, `--deny`,
//! SIGHUP.

use crate::bed::{Bed, Ended, Tracker, noise};
use lmk::content::metainfo::Content;
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A token that `lmk token LINE` makes where the tracker keeps its keys.
fn token(bed: &Bed, line: &str) -> String {
    let made = bed.run("tracker", &format!("token {line}")).with(0);
    assert_eq!(made.out.lines().count(), 1, "{}", made.out);
    made.out.trim().to_owned()
}

fn private(bed: &Bed) -> Tracker {
    bed.tracker_with(SocketAddr::new(bed.ip(0), 0), &["--private"])
}

/// What HTTP answers to `GET path`.
pub fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn ls(bed: &Bed, tracker: &Tracker, more: &str) -> Ended {
    bed.run("asker", &format!("ls --tracker {} {more}", tracker.at))
}

/// Runs until it ends with `code`: the tracker looks at its keys every few seconds.
pub fn ends_with(code: i32, run: impl Fn() -> Ended) -> Ended {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let ended = run();
        if ended.code == Some(code) || Instant::now() > until {
            return ended.with(code);
        }
    }
}

#[test]
fn keys_are_made_listed_and_revoked_and_their_secrets_never_shown() {
    let bed = Bed::new("token");
    let made = bed.run("tracker", "token --scope announce,read --expires 12h").with(0);
    let text = made.out.trim();
    assert_eq!((text.len(), made.out.lines().count()), (43, 1), "{}", made.out);
    let udp = format!("udp://HOST:6969/announce?auth={text}");
    let http = format!("http://HOST:6969/announce/{text}");
    for said in ["announce, read", "until 2", "key 1", &udp, &http, &format!("--token {text}")] {
        assert!(made.err.contains(said), "no '{said}' in: {}", made.err);
    }
    let path = bed.path("tracker/.state/lmk/token.keys");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = bed.run("tracker", "token --new-key").with(0);
    assert!(second.out.contains("key 2"), "{}", second.out);
    let listed = bed.run("tracker", "token --list").with(0);
    let secrets = fs::read_to_string(&path).unwrap();
    let secret = secrets.lines().find(|line| line.starts_with("1 ")).unwrap();
    let secret = secret.rsplit(' ').next().unwrap();
    assert_eq!((secret.len(), listed.out.lines().count()), (64, 2), "{}", listed.out);
    for said in [&listed.out, &listed.err, &made.out, &made.err] {
        assert!(!said.contains(secret) && !said.contains(&secret[..8]), "{said}");
    }
    bed.run("tracker", "token --revoke 1").with(0);
    assert!(!fs::read_to_string(&path).unwrap().contains(secret), "gone for good");
    let listed = bed.run("tracker", "token --list").with(0);
    assert!(listed.out.lines().next().unwrap().contains("revoked"), "{}", listed.out);
    bed.run("tracker", "token --key 1").one_line(2, &["no key 1", "--list"]);
    bed.run("tracker", "token --revoke 7").one_line(2, &["no key 7"]);
    bed.run("tracker", "token --list --revoke 1").one_line(2, &["given alone"]);
    bed.run("tracker", "token --for 00").one_line(2, &["--for", "40 or 64"]);
    bed.run("tracker", "token --scope all").one_line(2, &["--scope"]);
    // Equal owners have equal bytes in their tokens, others do not.
    let owner = |more: &str| token(&bed, more)[11..21].to_owned();
    assert_eq!(owner("--owner ann"), owner("--owner ann"));
    assert_ne!(owner("--owner ann"), owner("--owner bob"));
    bed.file("tracker/.state/lmk/token.keys", b"1 2 broken\n");
    bed.run("tracker", "token").one_line(4, &["token.keys", "line 1"]);
}

#[test]
fn a_private_tracker_serves_those_with_a_token_and_nobody_else() {
    let bed = Bed::new("private");
    let bytes = noise(90, 300_000);
    bed.file("seeder/big.zip", &bytes);
    let all = token(&bed, "");
    let tracker = private(&bed);
    for (who, what) in [("seeder", "--file big.zip"), ("leecher", "--want big.zip")] {
        let line = format!("{who} {what} --tracker {}", tracker.at);
        bed.run("seeder", &line).one_line(7, &["private", "--token-file", "LMK_TOKEN"]);
    }
    for line in ["ls", "info big.zip", "status"] {
        let ended = bed.run("asker", &format!("{line} --tracker {}", tracker.at));
        ended.one_line(7, &["is private", "token"]);
    }
    bed.file("seeder/token.txt", format!("{all}\n").as_bytes());
    let seeder = tracker.seeder(&bed, "seeder", "big.zip", "--token-file token.txt");
    let read = token(&bed, "--scope announce,read");
    let fetched = tracker.fetch(&bed, "leecher", "big.zip", &format!("--token {read}"));
    fetched.with(0);
    assert_eq!(fs::read(bed.path("leecher/big.zip")).unwrap(), bytes);
    let mut command = bed.command("asker");
    command.args(["ls", "--tracker", &tracker.at.to_string()]).env("LMK_TOKEN", &read);
    let listed = crate::bed::Lmk::run("asker", command).ends().with(0);
    assert!(listed.out.contains("big.zip"), "{}", listed.out);
    // What a token does not allow is refused without a reason.
    bed.file("reader/other.zip", &bytes);
    let ended = tracker.seeder_starts(&bed, "reader", "other.zip", &format!("--token {read}"));
    ended.ends().one_line(7, &["denies access with this token"]);
    let foreign = {
        let other = Bed::new("private-other");
        token(&other, "")
    };
    ls(&bed, &tracker, &format!("--token {foreign}")).one_line(7, &["denies access"]);
    ls(&bed, &tracker, "--token nonsense").one_line(2, &["--token", "no token"]);
    let story = seeder.ended_by(Signal::TERM).err;
    let said = tracker.lmk.ended_by(Signal::TERM);
    for text in [&story, &said.out, &said.err] {
        assert!(!text.contains(&all) && !text.contains(&read), "a token was shown: {text}");
    }
}

#[test]
fn http_asks_for_the_token_with_everything() {
    let bed = Bed::new("private-http");
    bed.file("seeder/f", &noise(91, 100_000));
    let all = token(&bed, "");
    let tracker = private(&bed);
    let seeder = tracker.seeder(&bed, "seeder", "f", &format!("--token {all}"));
    let hash = seeder.hash();
    let torrent = format!("/torrent/{hash}.torrent");
    for path in ["/", "/status.json", "/metrics", "/magnet/f", "/t/f.torrent", &torrent, "/none"] {
        let denied = get(tracker.at, path);
        assert!(
            denied.starts_with("HTTP/1.1 403 ") && denied.contains("access denied"),
            "{denied}"
        );
        let wrong = get(tracker.at, &format!("{path}?auth={}", "A".repeat(43)));
        assert_eq!(denied, wrong, "{path}: which part failed is not said");
        let status = if path == "/none" { "404" } else { "200" };
        let good = get(tracker.at, &format!("{path}?auth={all}"));
        assert!(good.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {good}");
    }
    let query = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX0000-000000000000&port=7000&left=1";
    for path in [format!("/announce?{query}"), "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa".into()] {
        let denied = get(tracker.at, &path);
        let says = "14:failure reason13:access denied8:retry in5:never";
        assert!(denied.contains(says), "{denied}");
        let good = get(tracker.at, &format!("{path}&auth={all}"));
        assert!(!good.contains("failure") && good.contains("complete"), "{good}");
        let (at, rest) = path.split_once('?').unwrap();
        let good = get(tracker.at, &format!("{at}/{all}?{rest}"));
        assert!(!good.contains("failure") && good.contains("complete"), "{good}");
    }
    // The one who fetches a .torrent announces with the token that was shown for it.
    let got = get(tracker.at, &format!("{torrent}?auth={all}"));
    assert!(got.contains(&format!("http://{}/announce/{all}", tracker.at)), "{got}");
}

/// The URL in the magnet link of a name, as the tracker gives it to the holder of a token.
fn tracker_in_magnet(at: SocketAddr, name: &str, token: &str) -> String {
    let answer = get(at, &format!("/magnet/{name}?auth={token}"));
    let link = answer.lines().find(|line| line.starts_with("magnet:")).unwrap();
    let magnet = lmk::content::magnet::Magnet::parse(link).unwrap();
    magnet.trackers[0].clone()
}

#[test]
fn a_url_with_a_token_in_it_is_enough_to_be_let_in() {
    let bed = Bed::new("private-url");
    bed.file("seeder/f", &noise(96, 100_000));
    let all = token(&bed, "");
    let tracker = private(&bed);
    let at = tracker.at;
    let seeder = bed.start(
        "seeder",
        &["seeder", "--file", "f", "--tracker", &format!("udp://{at}/announce?auth={all}")],
    );
    seeder.says("seeding ");
    let magnet = tracker_in_magnet(at, "f", &all);
    assert_eq!(magnet, format!("http://{at}/announce/{all}"));
    for (who, url) in [("one", magnet), ("two", format!("udp://{at}/announce/{all}"))] {
        let ended = bed.run(who, &format!("leecher --want f --tracker {url}")).with(0);
        assert!(!ended.out.contains(&all) && !ended.err.contains(&all), "a token was shown");
    }
    let story = seeder.ended_by(Signal::TERM);
    assert!(!story.out.contains(&all) && !story.err.contains(&all), "a token was shown");
    let wrong = "A".repeat(43);
    let line = bed.run("asker", &format!("ls --tracker udp://{at}/announce/{wrong}"));
    let line = line.one_line(2, &["--tracker", "lmk token"]);
    assert!(!line.contains(&wrong), "{line}");
}

#[test]
fn a_probe_shows_the_token_it_is_given_and_no_other() {
    let bed = Bed::new("private-probe");
    let all = token(&bed, "");
    bed.file("asker/token.txt", format!("{all}\n").as_bytes());
    let tracker = private(&bed);
    let at = tracker.at;
    let probe = |line: &str| bed.run("asker", &format!("probe {line}"));
    for url in [format!("{at}"), format!("udp://{at}/announce"), format!("http://{at}/announce")] {
        for flags in [format!("--token {all}"), "--token-file token.txt".to_owned()] {
            let ended = probe(&format!("{url} {flags}")).with(0);
            assert!(ended.out.contains("interval "), "{url}: {}", ended.out);
            let shown = ended.out.contains(&all) || ended.err.contains(&all);
            assert!(!shown, "a token was shown");
        }
        let denied = probe(&url).with(7);
        assert!(denied.out.contains("access denied"), "{}", denied.out);
    }
    // Over UDP a scrape has no place for a token; over HTTP it has.
    let udp = probe(&format!("{at} --token {all}")).with(0);
    assert!(
        udp.out.contains("error: access denied") && !udp.out.contains("scrape: "),
        "{}",
        udp.out
    );
    let http = probe(&format!("http://{at}/announce --token {all}")).with(0);
    assert!(http.out.contains("scrape: ") && !http.out.contains("denied"), "{}", http.out);
    let twice = probe(&format!("udp://{at}/announce/{all} --token {all}"));
    twice.one_line(2, &["in the URL already", "--token"]);
    // A probe may go anywhere: what stands in the environment is for trackers of ours.
    let mut command = bed.command("asker");
    command.args(["probe", &at.to_string()]).env("LMK_TOKEN", &all);
    crate::bed::Lmk::run("asker", command).ends().with(7);
}

#[test]
fn a_torrent_that_is_written_for_others_has_no_token_in_it() {
    let bed = Bed::new("private-torrent");
    bed.file("seeder/f", &noise(92, 100_000));
    let all = token(&bed, "");
    let tracker = private(&bed);
    let more = format!("--token {all} --write-torrent f.torrent");
    let seeder = tracker.seeder(&bed, "seeder", "f", &more);
    seeder.says("wrote ");
    let torrent = fs::read(bed.path("seeder/f.torrent")).unwrap();
    assert!(Content::from_torrent(&torrent).is_ok());
    assert!(!String::from_utf8_lossy(&torrent).contains(&all));
    assert!(!seeder.story().contains(&all), "{}", seeder.story());
}

#[test]
fn a_token_for_one_content_announces_it_and_nothing_else() {
    let bed = Bed::new("private-bound");
    let hash = "61".repeat(20);
    let bound = token(&bed, &format!("--for {hash}"));
    let tracker = private(&bed);
    let announce = |first: char| {
        let hash = first.to_string().repeat(20);
        let query = format!("info_hash={hash}&peer_id=-XX0000-000000000000&port=7000&left=1");
        get(tracker.at, &format!("/announce/{bound}?{query}"))
    };
    assert!(announce('a').contains("interval"), "{}", announce('a'));
    assert!(announce('b').contains("access denied"), "{}", announce('b'));
    ls(&bed, &tracker, &format!("--token {bound}")).one_line(7, &["denies access"]);
}

#[test]
fn a_revoked_key_ends_those_who_used_it() {
    let bed = Bed::new("private-revoked");
    bed.file("seeder/f", &noise(93, 100_000));
    let first = token(&bed, "");
    let tracker = private(&bed);
    let seeder = tracker.seeder(&bed, "seeder", "f", &format!("--token {first}"));
    bed.run("tracker", "token --new-key").with(0);
    let second = token(&bed, "");
    ends_with(0, || ls(&bed, &tracker, &format!("--token {second}")));
    ls(&bed, &tracker, &format!("--token {first}")).with(0);
    bed.run("tracker", "token --revoke 1").with(0);
    tracker.lmk.signal(Signal::HUP);
    ends_with(7, || ls(&bed, &tracker, &format!("--token {first}")));
    seeder.ends().one_line(7, &["denies access with this token", "new one"]);
    ls(&bed, &tracker, &format!("--token {second}")).with(0);
}

#[test]
fn a_tracker_without_keys_says_so_and_takes_those_made_later() {
    let bed = Bed::new("private-no-keys");
    let tracker = private(&bed);
    tracker.lmk.says("nobody is let in yet");
    ls(&bed, &tracker, "").one_line(7, &["it is private"]);
    let made = token(&bed, "--scope read");
    ends_with(0, || ls(&bed, &tracker, &format!("--token {made}")));
}

#[test]
fn a_list_that_does_not_parse_leaves_the_last_good_one() {
    let bed = Bed::new("lists");
    let (a, b) = (noise(94, 100_000), noise(95, 100_000));
    bed.file("seeder/a.zip", &a);
    bed.file("seeder/b.zip", &b);
    let open = bed.tracker();
    let hash = open.seeder(&bed, "seeder", "a.zip", "").hash();
    drop(open);
    let list = bed.file("tracker/deny.txt", format!("# not here\n{hash}  # a.zip\n").as_bytes());
    let at = SocketAddr::new(bed.ip(0), 0);
    let tracker = bed.tracker_with(at, &["--deny", "deny.txt"]);
    let denied = || tracker.seeder_starts(&bed, "seeder", "a.zip", "").ends();
    denied().one_line(7, &["a.zip", "access denied"]);
    let _b = tracker.seeder(&bed, "seeder", "b.zip", "");
    fs::write(&list, "10.0.0.0/8\nnonsense\n").unwrap();
    tracker.lmk.signal(Signal::HUP);
    let line = tracker.lmk.says("deny.txt:2");
    assert!(line.contains("'nonsense'") && line.contains("go on"), "{line}");
    denied().one_line(7, &["access denied"]);
    let lines = tracker.lmk.story().lines().filter(|line| line.contains("deny.txt")).count();
    assert_eq!(lines, 1, "one line says so: {}", tracker.lmk.story());
    fs::write(&list, "").unwrap();
    tracker.lmk.signal(Signal::HUP);
    tracker.lmk.says("read again");
    let _a = tracker.seeder(&bed, "seeder", "a.zip", "");
    // Who is not let in finds the TCP side closed and is told over UDP.
    fs::write(&list, format!("{}/32\n", bed.ip(0))).unwrap();
    let flags = ["--allow", "deny.txt", "--db", "none"];
    let other = bed.tracker_with(SocketAddr::new(bed.ip(1), 0), &flags);
    let line = format!("ls --tracker {}", other.at);
    bed.run("asker", &line).one_line(7, &["tracker", "token"]);
    // A broken list is no start.
    fs::write(&list, "nonsense\n").unwrap();
    bed.run("tracker", "tracker --deny deny.txt").one_line(2, &["deny.txt:1", "nonsense"]);
    bed.run("tracker", "tracker --deny none.txt").one_line(4, &["none.txt", "no such file"]);
}
