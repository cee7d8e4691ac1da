//! The tracker's formats against byte vectors that were made independently (`tests/vectors`).

use lmk::core::fault::Refusal;
use lmk::core::id::{Hash32, InfoHash};
use lmk::core::mark::expect_mark;
use lmk::core::name;
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::entry::{Entry, Item, flag};
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader, Message};
use lmk::wire::catalogue::hello::{HELLO_BYTES_MAX, Hello, HelloReply, NodeKey, Owner};
use lmk::wire::catalogue::request::{Request as Asked, What};
use lmk::wire::catalogue::signature::SecretKey;
use lmk::wire::catalogue::{code, kind};
use lmk::wire::control::{ControlRequest, ControlResponse, Op, Status, caps, common_version};
use lmk::wire::udp::{BadRequest, Event, Request, Response, SCRAPE_HASHES_MAX};
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::LazyLock;

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn index() -> Vec<Value> {
    let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
    index["vectors"].as_array().unwrap().clone()
}

/// The vectors whose name begins so: (file, what is expected of it, bytes).
fn vectors(prefix: &str) -> Vec<(String, Value, Vec<u8>)> {
    let named = index().into_iter().filter(|v| v["name"].as_str().unwrap().starts_with(prefix));
    named
        .map(|v| {
            let name = v["name"].as_str().unwrap().to_owned();
            let bytes = read(&name);
            (name, v["expect"].clone(), bytes)
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encoded(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out);
    out
}

/// All messages of `bytes` and the refusal that ended them, told the same for the stream in one
/// slice and byte by byte.
fn messages(bytes: &[u8], limits: FrameLimits) -> (Vec<Message>, Option<Refusal>) {
    let run = |step: usize| {
        let (mut reader, mut out) = (FrameReader::new(limits), Vec::new());
        for mut part in bytes.chunks(step) {
            loop {
                match reader.next(&mut part) {
                    Ok(Some(message)) => out.push(message),
                    Ok(None) => break,
                    Err(refusal) => return (out, Some(refusal)),
                }
            }
        }
        (out, None)
    };
    let whole = run(bytes.len());
    assert_eq!(run(1), whole);
    whole
}

fn asked(bytes: &[u8]) -> Result<Asked, Refusal> {
    let (messages, refusal) = messages(bytes, FrameLimits::TRACKER);
    match refusal {
        Some(refusal) => Err(refusal),
        None => Asked::decode(messages.first().expect("one whole message")),
    }
}

fn answered(bytes: &[u8]) -> Answer {
    let (mut messages, refusal) = messages(bytes, FrameLimits::CLIENT);
    assert_eq!((messages.len(), refusal), (1, None));
    Answer::decode(messages.remove(0)).unwrap()
}

#[test]
fn udp_requests_mean_what_the_vectors_say_and_encode_to_them() {
    let mut ran = 0;
    let all = [vectors("udp/"), vectors("lmk/announce_")].concat();
    for (name, expect, bytes) in all.iter().filter(|(name, ..)| !name.contains("_resp")) {
        let request = Request::decode(bytes).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        match &request {
            Request::Connect { tid } => assert_eq!(*tid, 0xdead_beef),
            Request::Announce(announce) => {
                if let Some(tid) = expect["tid"].as_str() {
                    assert_eq!(format!("{:08x}", announce.tid), tid, "{name}");
                }
                assert_eq!(announce.info_hash.to_string(), A_V1, "{name}");
                assert_eq!(&announce.peer_id.0, b"-LM0100-ABCDEFGHIJKL", "{name}");
                if expect["key"].is_string() {
                    let numbers = (announce.downloaded, announce.left, announce.uploaded);
                    assert_eq!(numbers, (1, 2, 3), "{name}");
                    assert_eq!((announce.key, announce.num_want), (0x0102_0304, -1), "{name}");
                    assert_eq!((announce.port, announce.event), (6881, Event::Started), "{name}");
                }
                let url_data = expect["urldata"].as_str().unwrap_or("");
                assert_eq!(String::from_utf8_lossy(&announce.url_data), url_data, "{name}");
                if expect["left"] == "ffffffffffffffff" {
                    assert_eq!(announce.left, u64::MAX);
                }
                if expect["event"] == "paused(4)" {
                    assert_eq!(announce.event, Event::Paused);
                }
            }
            Request::Scrape { hashes, .. } => {
                let hashes: Vec<String> = hashes.iter().map(InfoHash::to_string).collect();
                assert_eq!(serde_json::json!(hashes), expect["hashes"], "{name}");
            }
        }
        // Padding, splits and unknown options are not written again; everything else is.
        let ours = encoded(&request);
        let odd = ["tail", "nop_end", "split", "unknown_option", "after_end", "urldata_empty"];
        if !odd.iter().any(|odd| name.contains(odd)) {
            assert_eq!(hex(&ours), hex(bytes), "{name}");
        }
        assert_eq!(Request::decode(&ours), Ok(request), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 14);
}

const A_V1: &str = "91fa2f640fbf65ccc7a2a0ed1da15ad639f8ccd4";

#[test]
fn udp_answers_mean_what_the_vectors_say_and_encode_to_them() {
    let mut ran = 0;
    for (name, expect, bytes) in vectors("udp/").iter().filter(|v| v.0.contains("_resp")) {
        let ipv6 = name.contains("v6");
        let response = Response::decode(bytes, ipv6).unwrap();
        match &response {
            Response::Connect { tid, cid } => {
                assert_eq!((*tid, *cid), (0xdead_beef, 0x1122_3344_5566_7788));
            }
            Response::Announce(answer) => {
                let peers: Vec<String> = answer.peers.iter().map(|p| p.to_string()).collect();
                assert_eq!(serde_json::json!(peers), expect["peers"], "{name}");
                if expect["interval"].is_number() {
                    assert_eq!(answer.interval_s, expect["interval"], "{name}");
                    assert_eq!(answer.leechers, expect["leechers"], "{name}");
                    assert_eq!(answer.seeders, expect["seeders"], "{name}");
                }
            }
            Response::Scrape { rows, .. } => {
                let rows: Vec<Value> = rows
                    .iter()
                    .map(|r| {
                        let (s, c, l) = (r.seeders, r.completed, r.leechers);
                        serde_json::json!({"seeders": s, "completed": c, "leechers": l})
                    })
                    .collect();
                assert_eq!(serde_json::json!(rows), expect["rows"]);
            }
            Response::Error { text, .. } => assert_eq!(text, expect["message"].as_str().unwrap()),
        }
        let mut ours = Vec::new();
        response.encode(ipv6, &mut ours);
        assert_eq!(hex(&ours), hex(bytes), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 6);
}

#[test]
fn bad_udp_requests_get_silence_or_an_error_as_the_vectors_say() {
    let mut ran = 0;
    for (name, _, bytes) in vectors("invalid/udp/").iter().filter(|v| !v.0.contains("/resp_")) {
        let short = name.rsplit('/').next().unwrap();
        let got = Request::decode(bytes);
        match short {
            "announce_short_97.bin" | "unknown_action.bin" => {
                assert_eq!(got, Err(BadRequest::Drop), "{name}");
            }
            "announce_opt_truncated_len.bin"
            | "announce_opt_truncated_data.bin"
            | "scrape_empty.bin" => match got {
                Err(BadRequest::Refuse { cid: 0x1122_3344_5566_7788, tid: 7, text }) => {
                    assert!(8 + text.len() <= bytes.len(), "{name}: the answer is the longer one");
                }
                other => panic!("{name}: {other:?}"),
            },
            "scrape_75.bin" => match got {
                Ok(Request::Scrape { hashes, .. }) => assert_eq!(hashes.len(), SCRAPE_HASHES_MAX),
                other => panic!("{name}: {other:?}"),
            },
            // Only whoever made the id can judge it: it must arrive whole.
            "announce_bad_cid.bin" => match got {
                Ok(Request::Announce(announce)) => assert_eq!(announce.cid, u64::MAX),
                other => panic!("{name}: {other:?}"),
            },
            _ => panic!("{name}: a new vector"),
        }
        ran += 1;
    }
    assert_eq!(ran, 7);
}

#[test]
fn bad_udp_answers_are_taken_as_the_vectors_say() {
    let bad = |name: &str| Response::decode(&read(&format!("invalid/udp/{name}")), false);
    assert!(matches!(bad("resp_short_announce_19.bin"), Some(Response::Error { tid: 7, .. })));
    let Some(Response::Announce(cut)) = bad("resp_misaligned_peers.bin") else { panic!() };
    assert_eq!((cut.tid, cut.peers.len()), (7, 0));
    let Some(Response::Announce(odd)) = bad("resp_peer_port0_and_zero_ip.bin") else { panic!() };
    assert_eq!((odd.interval_s, odd.seeders, odd.peers.len()), (120, 2, 0));
    // The transaction is the asker's to compare: it must arrive as sent.
    assert!(matches!(bad("resp_wrong_tid.bin"), Some(Response::Connect { tid: 8, .. })));
    assert_eq!(vectors("invalid/udp/resp_").len(), 4);
}

#[test]
fn a_misaligned_peer_list_gives_its_whole_entries() {
    let mut bytes = read("udp/announce_resp_v4.bin");
    bytes.truncate(bytes.len() - 1);
    let Some(Response::Announce(answer)) = Response::decode(&bytes, false) else { panic!() };
    assert_eq!(answer.peers, ["127.0.0.1:6881".parse().unwrap()]);
}

#[test]
fn error_text_from_a_tracker_cannot_steer_a_terminal() {
    let mut bytes = vec![0, 0, 0, 3, 0, 0, 0, 9];
    bytes.extend(b"\x1b[2J\xff".repeat(1000));
    let Some(Response::Error { tid: 9, text }) = Response::decode(&bytes, false) else { panic!() };
    assert!(text.chars().count() <= 200 && !text.contains('\x1b'));
    let swapped = Response::decode(&[3, 0, 0, 0, 0, 0, 0, 9, b'x'], false);
    assert_eq!(swapped, Some(Response::Error { tid: 9, text: "x".into() }));
}

#[test]
fn control_requests_mean_what_the_vectors_say_and_encode_to_them() {
    let mut ran = 0;
    for (name, expect, bytes) in vectors("lmk/ctl_").iter().filter(|v| v.0.contains("_req")) {
        assert!(ControlRequest::is_one(bytes), "{name}");
        let request = ControlRequest::decode(bytes).unwrap();
        let op = match expect["op"].as_str().unwrap() {
            "HELLO" => Op::Hello,
            "READ" => Op::Read,
            _ => Op::Write,
        };
        assert_eq!((request.op, request.versions, request.tid), (op, (1, 1), 0x0bad_f00d));
        assert_eq!(request.since, expect["since"].as_u64().unwrap_or(0), "{name}");
        assert_eq!(request.nonce, [1, 2, 3, 4, 5, 6, 7, 8]);
        if let Some(auth) = expect["auth"].as_str() {
            assert_eq!(request.url_data, format!("/announce?auth={auth}").as_bytes());
        }
        let mut ours = Vec::new();
        request.encode(&mut ours);
        assert_eq!(hex(&ours), hex(bytes), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 3);
}

#[test]
fn control_answers_mean_what_the_vectors_say_and_encode_to_them() {
    let mut ran = 0;
    for (name, expect, bytes) in vectors("lmk/ctl_").iter().filter(|v| !v.0.contains("_req")) {
        let response = ControlResponse::decode(bytes).unwrap();
        let said = match response.status {
            Status::Ready => "READY",
            Status::Busy => "BUSY",
            Status::NotModified => "NOT_MODIFIED",
            Status::BadVersion => "BAD_VERSION",
            _ => "another",
        };
        assert_eq!(said, expect["status"], "{name}");
        if let Some(ticket) = expect["ticket"].as_str() {
            assert_eq!(hex(&response.ticket), ticket, "{name}");
        }
        let numbers = [
            (expect["lifetime"].as_u64(), u64::from(response.seconds)),
            (expect["retry_after"].as_u64(), u64::from(response.seconds)),
            (expect["tcp_port"].as_u64(), u64::from(response.tcp_port)),
            (expect["generation"].as_u64(), response.generation),
            (expect["entries"].as_u64(), response.names),
            (expect["max_frame"].as_u64(), u64::from(response.max_frame)),
            (expect["max_page"].as_u64(), u64::from(response.max_page)),
        ];
        for (want, got) in numbers {
            assert!(want.is_none_or(|want| want == got), "{name}: {numbers:?}");
        }
        if expect["caps"].is_string() {
            let all = caps::WRITE | caps::METAINFO | caps::DELTA | caps::PREFIX | caps::HTTP;
            assert_eq!(response.caps, all);
        }
        let mut ours = Vec::new();
        response.encode(&mut ours);
        assert_eq!(hex(&ours), hex(bytes), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 5);
}

#[test]
fn bad_control_requests_get_silence_or_their_status() {
    let bad = |name: &str| ControlRequest::decode(&read(&format!("invalid/lmk/ctl_{name}.bin")));
    for silent in ["short_71", "tid_0", "opt_truncated"] {
        assert_eq!(bad(silent), None, "{silent}");
    }
    assert_eq!(bad("bad_cid").unwrap().cid, u64::MAX);
    assert_eq!(bad("op_9").unwrap().op, Op::Other(9));
    let versions = bad("ver_0").unwrap().versions;
    assert_eq!(common_version((1, 1), versions), None);
    assert_eq!(common_version((1, 3), (2, 9)), Some(3));
    assert_eq!(common_version((2, 3), (1, 1)), None);
    assert_eq!(vectors("invalid/lmk/ctl_").len(), 6);
}

#[test]
fn hellos_and_replies_mean_what_the_vectors_say_in_every_cutting() {
    let mut ran = 0;
    for (name, expect, bytes) in vectors("lmk/tcp_hello_") {
        let mut ours = Vec::new();
        if name.contains("reply") {
            let reply = HelloReply::decode(&bytes).unwrap().unwrap();
            assert_eq!(u64::from(reply.version), expect["version"].as_u64().unwrap(), "{name}");
            let refused = expect["status"] == "BAD_TICKET";
            assert_eq!(reply.status, if refused { Status::BadTicket } else { Status::Ready });
            assert_eq!(HelloReply::decode(&bytes[..31]), Ok(None));
            reply.encode(&mut ours);
        } else {
            let (hello, len) = Hello::decode(&bytes).unwrap().unwrap();
            assert_eq!(len, bytes.len());
            assert_eq!(hex(&hello.ticket), expect["ticket"].as_str().unwrap());
            assert_eq!(hello.token, expect["token"].as_str().unwrap().as_bytes());
            assert_eq!((hello.versions, hello.node_key.clone()), ((1, 1), None));
            hello.encode(&mut ours);
            for cut in 0..bytes.len() {
                assert_eq!(Hello::decode(&bytes[..cut]), Ok(None), "{name} cut at {cut}");
            }
        }
        assert_eq!(hex(&ours), hex(&bytes), "{name}");
        ran += 1;
    }
    for name in ["magic", "token_len"] {
        let bytes = read(&format!("invalid/lmk/hello_{name}.bin"));
        assert!(Hello::decode(&bytes).is_err(), "{name}");
        ran += 1;
    }
    // Tickets are for their maker to judge: they arrive whole.
    for name in ["rights_raised", "ticket_expired", "ticket_other_ip", "ticket_wrong_nonce"] {
        let bytes = read(&format!("invalid/lmk/hello_{name}.bin"));
        let (hello, _) = Hello::decode(&bytes).unwrap().unwrap();
        assert_eq!(hex(&hello.ticket), hex(&bytes[16..40]), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 10);
}

#[test]
fn a_hello_that_goes_wrong_is_known_as_soon_as_it_does() {
    assert!(Hello::decode(b"\x07LMK/CAT\x01").unwrap().is_none());
    assert!(Hello::decode(b"\x07LMX").is_err());
    let good = read("lmk/tcp_hello_read.bin");
    for frame_max in [0u32, 4095, 16 * 1024 * 1024 + 1] {
        let mut bytes = good.clone();
        bytes[12..16].copy_from_slice(&frame_max.to_be_bytes());
        assert!(Hello::decode(&bytes).is_err(), "{frame_max}");
    }
    let mut longest = good[..48].to_vec();
    longest[11] = 1;
    longest.extend([2, 0]);
    longest.extend([7; HELLO_BYTES_MAX - 50]);
    let (hello, len) = Hello::decode(&longest).unwrap().unwrap();
    assert_eq!((len, hello.token.len()), (HELLO_BYTES_MAX, 512));
    assert_eq!(hello.node_key, Some(NodeKey([7; 32])));
}

/// Requests of clients among the frame vectors; their answers are the others.
const REQUESTS: [&str; 10] = [
    "frame_publish.bin",
    "frame_publish_two_frames.bin",
    "frame_unpublish.bin",
    "frame_update.bin",
    "frame_list_first.bin",
    "frame_list_next.bin",
    "frame_list_delta.bin",
    "frame_lookup.bin",
    "frame_fetch.bin",
    "frame_ping.bin",
];

#[test]
fn request_frames_mean_what_the_vectors_say_and_encode_to_them() {
    for name in REQUESTS {
        let bytes = read(&format!("lmk/{name}"));
        let request = asked(&bytes).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        match &request {
            Asked::Publish(publish) => {
                assert_eq!((&publish.entry.name[..], publish.entry.size), ("a.bin", 100_000));
                assert_eq!(publish.v1_info.as_ref().unwrap().len(), 144);
                assert_eq!(publish.entry.v1.unwrap().to_string(), A_V1);
            }
            Asked::Unpublish { name, hash } => {
                assert_eq!((&name[..], hash.to_string()), ("a.bin", A_V1.into()));
            }
            Asked::Update { old, to } => {
                assert_eq!(old.to_string(), A_V1);
                assert_eq!(to.entry.v1, Some(InfoHash([0xbb; 20])));
            }
            Asked::List(list) => match name {
                "frame_list_first.bin" => assert_eq!((list.limit, &list.cursor), (2, &None)),
                "frame_list_next.bin" => assert_eq!(list.cursor, Some(b"b.zip".to_vec())),
                _ => assert_eq!((list.limit, list.since), (4096, Some(41))),
            },
            Asked::Lookup { names } => assert_eq!(names, &["a.bin", "nope.bin"]),
            Asked::Fetch { hash, what, offset } => {
                let said = (hash.to_string(), *what, *offset);
                assert_eq!(said, (A_V1.into(), What::V1Info, 0));
            }
            Asked::Ping => assert_eq!(name, "frame_ping.bin"),
            other => panic!("{name}: {other:?}"),
        }
        let (stream, mut ours) = (u16::from_be_bytes([bytes[6], bytes[7]]), Vec::new());
        let first_frame = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        request.encode(stream, 1 << 20, &mut ours);
        if !name.contains("two_frames") {
            assert_eq!(hex(&ours), hex(&bytes), "{name}");
            assert_eq!(first_frame as usize + 4, bytes.len());
        }
        assert_eq!(asked(&ours), Ok(request), "{name}");
    }
    assert_eq!(
        asked(&read("lmk/frame_publish.bin")),
        asked(&read("lmk/frame_publish_two_frames.bin"))
    );
}

#[test]
fn answer_frames_mean_what_the_vectors_say_and_encode_to_them() {
    let mut ran = 0;
    for (name, expect, bytes) in vectors("lmk/frame_") {
        let short = name.trim_start_matches("lmk/");
        if REQUESTS.contains(&short) {
            continue;
        }
        let answer = answered(&bytes);
        let names = |items: &[Item]| -> Vec<String> {
            let name = |item: &Item| match item {
                Item::Listed(listed) => listed.entry.name.clone(),
                Item::Gone { name, .. } => format!("-{name}"),
            };
            items.iter().map(name).collect()
        };
        match &answer {
            Answer::Published { generation, owner, flags } => {
                assert_eq!((*generation, owner), (43, &Owner(*b"OWNER001")));
                assert_eq!(*flags, flag::V1 | flag::PENDING);
            }
            Answer::Unpublished { generation } => assert_eq!(*generation, 44),
            Answer::Page(page) => match short {
                "frame_list_page.bin" => {
                    assert_eq!(names(&page.items), ["a.zip", "b.zip"]);
                    assert_eq!((&page.cursor, page.names), (&Some(b"b.zip".to_vec()), 3));
                }
                "frame_list_last.bin" => assert_eq!(page.cursor, None),
                _ => assert_eq!(names(&page.items), ["-gone.zip", "new.zip"]),
            },
            Answer::Found { entries, generation } => {
                assert_eq!((entries.len(), *generation), (1, 43));
                assert_eq!(entries[0].entry.name, "a.bin");
                assert!(entries[0].entry.sha256.is_some() && entries[0].owner.is_none());
            }
            Answer::Data(data) => assert_eq!(data.len(), 144),
            Answer::Refused(refused) => {
                assert_eq!((refused.code, refused.retry_s), (code::NAME_TAKEN, None));
                assert_eq!(refused.text, "name is taken");
            }
            other => panic!("{name}: {other:?} {expect}"),
        }
        let (stream, mut ours) = (u16::from_be_bytes([bytes[6], bytes[7]]), Vec::new());
        answer.encode(stream, 1 << 20, &mut ours);
        assert_eq!(hex(&ours), hex(&bytes), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 8);
}

#[test]
fn bad_frames_and_requests_earn_the_codes_that_the_vectors_say() {
    let mut ran = 0;
    let all = ["frame_", "publish_", "list_", "lookup_"];
    for (name, ..) in all.iter().flat_map(|kind| vectors(&format!("invalid/lmk/{kind}"))) {
        let short = name.trim_start_matches("invalid/lmk/").trim_end_matches(".bin");
        let bytes = read(&name);
        let want = match short {
            "frame_too_long" | "lookup_257" => Some(code::TOO_LARGE),
            "frame_unknown_type" => Some(code::UNKNOWN_OP),
            // What the metainfo says is judged by whoever parses it.
            "publish_hash_mismatch" | "publish_size_mismatch" => None,
            bad if bad.starts_with("publish_name_") => Some(code::BAD_NAME),
            _ => Some(code::BAD_REQUEST),
        };
        let code = || asked(&bytes).err().map(|r| r.code);
        let code = match want {
            Some(code::BAD_NAME) => expect_mark!("C09", code()),
            _ if short == "frame_too_long" => expect_mark!("C05", code()),
            _ => code(),
        };
        assert_eq!(code, want, "{name}");
        let breaks_framing = messages(&bytes, FrameLimits::TRACKER).1.is_some();
        let closes = ["frame_len_3", "frame_too_long", "frame_interleaved_stream"];
        assert_eq!(breaks_framing, closes.contains(&short), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 24);
}

fn newer() -> serde_json::Map<String, Value> {
    let index: Value = serde_json::from_slice(&read("lmk2/index.json")).unwrap();
    index.as_object().unwrap().clone()
}

#[test]
fn the_newer_vectors_mean_what_their_index_says() {
    let mut ran = 0;
    for (name, expect) in newer() {
        let bytes = read(&format!("lmk2/{name}"));
        let mut ours = Vec::new();
        if expect["valid"] == false {
            let refusal = asked(&bytes).unwrap_err();
            assert_eq!(u64::from(refusal.code), expect["code"].as_u64().unwrap(), "{name}");
            ran += 1;
            continue;
        } else if name.starts_with("hello_") {
            let (hello, len) = Hello::decode(&bytes).unwrap().unwrap();
            let key = hello.node_key.clone().unwrap();
            assert_eq!(hex(&key.0), expect["node_key"].as_str().unwrap());
            assert_eq!(hex(&Owner::of(&key).0), expect["owner"].as_str().unwrap());
            assert_eq!((len, hello.token.len()), (bytes.len(), bytes.len() - 82));
            (0..len).for_each(|cut| assert_eq!(Hello::decode(&bytes[..cut]), Ok(None)));
            hello.encode(&mut ours);
        } else if name.starts_with("ctl_") {
            let response = ControlResponse::decode(&bytes).unwrap();
            assert_eq!(u64::from(response.caps), expect["caps"].as_u64().unwrap());
            assert_ne!(response.caps & caps::OPEN, 0);
            assert_eq!(u64::from(response.age_s), expect["age"].as_u64().unwrap_or(0));
            response.encode(&mut ours);
        } else if bytes[4] & kind::ANSWER == 0 {
            let request = asked(&bytes).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            check_newer_request(&request, &expect);
            request.encode(u16::from_be_bytes([bytes[6], bytes[7]]), 1 << 20, &mut ours);
        } else {
            let answer = answered(&bytes);
            check_newer_answer(&answer, &expect);
            answer.encode(u16::from_be_bytes([bytes[6], bytes[7]]), 1 << 20, &mut ours);
        }
        assert_eq!(hex(&ours), hex(&bytes), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 38);
}

fn check_newer_request(request: &Asked, expect: &Value) {
    let text = |bytes: &Option<Vec<u8>>| {
        serde_json::json!(bytes.as_ref().map(|b| String::from_utf8_lossy(b).into_owned()))
    };
    match request {
        Asked::Publish(publish) => {
            let entry = &publish.entry;
            let swarms: Vec<String> = entry.swarm_hashes().map(|h| h.to_string()).collect();
            assert_eq!(serde_json::json!(swarms), expect["swarms"]);
            assert_eq!(serde_json::json!(entry.v1.map(|h| h.to_string())), expect["v1"]);
            assert_eq!(serde_json::json!(entry.v2.map(|h| h.to_string())), expect["v2"]);
            assert_eq!(text(&publish.v1_info), expect["m"]);
            assert_eq!(text(&publish.v2_info), expect["M"]);
            assert_eq!(text(&publish.layers), expect["l"]);
            assert_eq!(publish.same_ok, expect["r"].as_bool().unwrap());
            check_signature(entry, expect);
            assert_eq!(u64::from(entry.flags), expect["flags"].as_u64().unwrap());
        }
        Asked::Fetch { hash, what, offset } => {
            assert_eq!(*hash, Hash32([0x22; 32]).truncated());
            assert_eq!((*what, *offset), (What::V2Info, 65536));
        }
        Asked::Watch(watch) => {
            assert_eq!(serde_json::json!(watch.names), expect["names"]);
            assert_eq!(serde_json::json!(watch.since), expect["since"]);
        }
        Asked::Register(register) => {
            let hashes: Vec<String> = register.hashes.iter().map(|h| h.to_string()).collect();
            assert_eq!(serde_json::json!(hashes), expect["hashes"]);
            assert_eq!(serde_json::json!(register.port), expect["port"]);
            assert_eq!(serde_json::json!(register.more), expect["more"]);
            assert!(register.peer_id.is_lmk());
        }
        Asked::List(list) => {
            assert_eq!(serde_json::json!(list.glob), expect["glob"]);
            assert_eq!(serde_json::json!(list.since), expect["since"]);
        }
        other => assert!(matches!(other, Asked::Stat | Asked::Unwatch), "{other:?}"),
    }
}

fn check_signature(entry: &Entry, expect: &Value) {
    assert_eq!(entry.signed.is_some(), expect["signature"].is_string());
    let Some(signed) = &entry.signed else { return };
    assert_eq!(signed.key.to_string(), format!("ed25519:{}", expect["key"].as_str().unwrap()));
    assert_eq!(hex(&signed.signature), expect["signature"].as_str().unwrap());
    let mut secret = [0; 32];
    secret.iter_mut().zip(0..).for_each(|(slot, byte)| *slot = byte);
    assert_eq!(hex(&secret), expect["secret"].as_str().unwrap());
    assert_eq!(SecretKey(secret).sign(entry), **signed, "Ed25519 has one signature a message");
    assert!(signed.is_of(entry));
}

fn check_newer_answer(answer: &Answer, expect: &Value) {
    match answer {
        Answer::Found { entries, .. } => {
            let owners: Vec<String> = entries.iter().map(|e| hex(&e.owner.unwrap().0)).collect();
            assert_eq!(serde_json::json!(owners), expect["owners"]);
        }
        Answer::Stat(stat) => {
            let said = [stat.names, stat.generation, stat.time_s, stat.seeders, stat.leechers];
            assert_eq!(said, [3, 43, 1_767_225_600, 2, 5]);
        }
        Answer::Watched(watched) => {
            let said = watched.items.iter().map(|item| match item {
                Item::Listed(listed) => listed.entry.name.clone(),
                Item::Gone { name, hash, .. } => {
                    assert_eq!(*hash, Some(InfoHash([0x11; 20])));
                    format!("-{name}")
                }
            });
            assert_eq!(serde_json::json!(said.collect::<Vec<_>>()), expect["items"]);
            assert_eq!(serde_json::json!(watched.generation), expect["generation"]);
            assert_eq!(serde_json::json!(watched.more), expect["more"]);
        }
        Answer::Registered { contents, lease_s, .. } => {
            assert_eq!(serde_json::json!(contents), expect["contents"]);
            assert_eq!(serde_json::json!(lease_s), expect["lease"]);
        }
        Answer::Unwatched => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_text_is_cut_between_characters_and_made_safe() {
    let refused = |text: String| {
        let mut out = Vec::new();
        let refused = lmk::wire::catalogue::answer::Refused { code: 8, text, retry_s: Some(7) };
        Answer::Refused(refused).encode(3, 4096, &mut out);
        match answered(&out) {
            Answer::Refused(refused) => refused,
            other => panic!("{other:?}"),
        }
    };
    let long = refused("ü".repeat(150) + "x");
    assert_eq!((long.text.chars().count(), long.retry_s), (100, Some(7)));
    assert_eq!(refused("x".to_owned() + &"ü".repeat(150)).text.len(), 199);
    assert!(!refused("\x1b[2J".into()).text.contains('\x1b'));
}

#[test]
fn names_are_judged_by_the_rule() {
    for good in ["a", "größe.zip", "..a", "a b", ".hidden", &"x".repeat(255)] {
        assert_eq!(name::check(good.as_bytes()), Ok(good));
    }
    for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", " a", "a\u{a0}", "a\u{2066}b", "u\u{308}"] {
        assert!(name::check(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(name::check("x".repeat(256).as_bytes()).is_err());
    assert!(name::check(b"\xff").is_err());
}

/// Everything that reads bytes of strangers. What it understands it must be able to say again.
fn read_everything(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(&encoded(&request)), Ok(request));
    }
    for ipv6 in [false, true] {
        if let Some(response) = Response::decode(bytes, ipv6) {
            let mut out = Vec::new();
            response.encode(ipv6, &mut out);
            assert!(Response::decode(&out, ipv6).is_some());
        }
    }
    if let Some(request) = ControlRequest::decode(bytes) {
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(ControlRequest::decode(&out), Some(request));
    }
    ControlResponse::decode(bytes);
    if let Ok(Some((hello, len))) = Hello::decode(bytes) {
        assert!(len <= bytes.len() && hello.token.len() <= 512);
    }
    let _ = HelloReply::decode(bytes);
    if bytes.is_empty() {
        return;
    }
    for message in messages(bytes, FrameLimits::TRACKER).0 {
        if let Ok(request) = Asked::decode(&message) {
            let mut out = Vec::new();
            request.encode(message.stream, 4096, &mut out);
            assert_eq!(asked(&out), Ok(request));
        }
    }
    for message in messages(bytes, FrameLimits::CLIENT).0 {
        if let Ok(answer) = Answer::decode(message) {
            let mut out = Vec::new();
            answer.encode(1, 4096, &mut out);
            assert_eq!(answered(&out), answer);
        }
    }
}

/// The bytes of every valid vector that this file reads.
static GOOD_BYTES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let old = ["udp/", "lmk/announce_", "lmk/ctl_", "lmk/tcp_", "lmk/frame_"];
    let old = old.iter().flat_map(|prefix| vectors(prefix)).map(|(_, _, bytes)| bytes);
    old.chain(newer().keys().map(|name| read(&format!("lmk2/{name}")))).collect()
});

#[test]
fn any_cut_of_a_good_message_is_survived() {
    for bytes in GOOD_BYTES.iter() {
        (0..=bytes.len()).for_each(|cut| read_everything(&bytes[..cut]));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn good_messages_with_wrong_bytes_in_them_are_survived(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = which.get(&GOOD_BYTES).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_everything(&bytes);
    }
}
