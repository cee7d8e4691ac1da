//! Frames of the byte vectors, whole and in pieces.

use super::world::{World, addr, vector};
use lmk::wire::catalogue::answer::Answer;
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};

#[test]
fn the_vectors_of_requests_get_what_they_must() {
    let sent = |name: &str, key| {
        let mut world = World::local();
        let client = world.client(addr("127.0.0.1:50"), key);
        world.bytes(client.conn, &vector(name));
        (world, client)
    };
    for name in ["lmk/frame_publish.bin", "lmk/frame_publish_two_frames.bin"] {
        let (mut world, mut client) = sent(name, Some(1));
        let answers = world.answers(&mut client);
        assert!(matches!(answers[..], [(1, Answer::Published { .. })]), "{name}: {answers:?}");
    }
    let cases = [
        ("lmk/publish_h_19", 1),
        ("lmk/publish_server_keys", 1),
        ("lmk/list_limit_0", 1),
        ("lmk/lookup_257", 7),
        ("lmk/frame_unknown_type", 2),
        ("lmk/frame_not_bencode", 1),
        ("lmk/frame_unsorted", 1),
        ("lmk/frame_raw_from_client", 1),
        ("lmk/publish_hash_mismatch", 5),
        ("lmk/publish_size_mismatch", 5),
        ("lmk/publish_name_empty", 6),
        ("lmk/publish_name_slash", 6),
        ("lmk/publish_name_backslash", 6),
        ("lmk/publish_name_dotdot", 6),
        ("lmk/publish_name_nul", 6),
        ("lmk/publish_name_ctl", 6),
        ("lmk/publish_name_long", 6),
        ("lmk/publish_name_bidi", 6),
        ("lmk/publish_name_space", 6),
        ("lmk/publish_name_nfd", 6),
        ("lmk/publish_name_bad_utf8", 6),
    ];
    for (name, code) in cases {
        let (mut world, mut client) = sent(&format!("invalid/{name}.bin"), Some(1));
        let answers = world.answers(&mut client);
        let [(_, Answer::Refused(refused))] = &answers[..] else { panic!("{name}: {answers:?}") };
        assert_eq!(refused.code, code, "{name}");
        assert!(!world.line(client.conn).closed, "{name}: the connection goes on");
        assert_eq!(world.row().names, 0);
    }
    for (name, code) in [("frame_len_3", 1), ("frame_too_long", 7), ("frame_interleaved_stream", 1)]
    {
        let (mut world, mut client) = sent(&format!("invalid/lmk/{name}.bin"), Some(1));
        let answers = world.answers(&mut client);
        let [(0, Answer::Refused(refused))] = &answers[..] else { panic!("{name}: {answers:?}") };
        assert_eq!(refused.code, code, "{name}");
        assert!(world.line(client.conn).closed, "{name}");
    }
}

#[test]
fn any_cutting_of_the_stream_gives_the_same_answers() {
    let mut stream = Vec::new();
    for name in ["frame_publish", "frame_lookup", "frame_ping", "frame_fetch", "frame_unpublish"] {
        stream.extend(vector(&format!("lmk/{name}.bin")));
    }
    let run = |cuts: &[usize]| {
        let mut world = World::local();
        let client = world.client(addr("127.0.0.1:50"), Some(1));
        let mut rest = &stream[..];
        for cut in cuts {
            let (part, later) = rest.split_at((*cut).min(rest.len()));
            world.bytes(client.conn, part);
            rest = later;
        }
        world.bytes(client.conn, rest);
        world.line(client.conn).got.clone()
    };
    let whole = run(&[]);
    let mut reader = FrameReader::new(FrameLimits::CLIENT);
    let (mut rest, mut count) = (&whole[..], 0);
    while reader.next(&mut rest).unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 5);
    for cut in 0..stream.len() {
        assert_eq!(run(&[cut]), whole, "cut at {cut}");
    }
    assert_eq!(run(&vec![1; stream.len()]), whole);
}
