//! Message stream encryption against the published vectors, both sides against each other, and
//! every cutting of the streams.

use lmk::core::cipher::Keystream;
use lmk::core::fault::Fault;
use lmk::core::id::InfoHash;
use lmk::wire::mse::{Agreed, Fresh, Initiator, KeyPair, Method, Responder};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::fs;

const SWARM: InfoHash = InfoHash([0x51; 20]);
const OTHER: InfoHash = InfoHash([0x77; 20]);
const ALL: &[Method] = &[Method::Plain, Method::Rc4];

fn vectors() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/mse/mse.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn hex(text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap().trim_start_matches("0x");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(bytes: Vec<u8>) -> [u8; N] {
    bytes.try_into().unwrap()
}

fn fresh(private: [u8; 20], pad: usize) -> Fresh {
    Fresh { private, pad: (0..pad).map(|n| (n * 31 % 251) as u8).collect() }
}

#[test]
fn keys_and_every_step_are_those_of_the_vectors() {
    let v = vectors();
    let (xa, xb) = (array(hex(&v["xa"])), array(hex(&v["xb"])));
    let (ya, yb) = (hex(&v["Ya"]), hex(&v["Yb"]));
    assert_eq!(KeyPair::new(xa).public()[..], ya);
    assert_eq!(KeyPair::new(xb).public()[..], yb);
    let secret = KeyPair::new(xa).agree(&array(yb.clone())).unwrap();
    assert_eq!(secret.0[..], hex(&v["S"]));
    let swarm = InfoHash(array(hex(&v["skey"])));
    assert_eq!(secret.mark()[..], hex(&v["req1"]));
    assert_eq!(secret.names(&swarm)[..], hex(&v["req2_xor_req3"]));

    let opening = hex(&v["ia"]);
    let mut says = Vec::new();
    let mut initiator = Initiator::new(&fresh(xa, 0), swarm, ALL, &opening, &mut says);
    assert_eq!(says, ya);
    says.clear();
    assert_eq!(initiator.hear(&mut &yb[..], &mut says), Ok(None));
    assert_eq!(says, hex(&v["step3_provide3_padc0"]));

    let mut answers = Vec::new();
    let mut responder = Responder::new(&fresh(xb, 0), &array(ya), &mut answers).unwrap();
    assert_eq!(answers, yb);
    answers.clear();
    let agreed = responder.hear(&mut &says[..], (&[OTHER, swarm], ALL), &mut answers);
    let agreed = agreed.unwrap().expect("all of it came");
    assert_eq!((agreed.method, agreed.opening), (Method::Plain, opening));
    assert_eq!(answers, hex(&v["step4_select_plain_padd0"]));
    let done = initiator.hear(&mut &answers[..], &mut says).unwrap().expect("all of it came");
    assert_eq!(done.method, Method::Plain);
}

/// One side of a handshake, fed in pieces.
enum Side {
    Initiator(Initiator),
    /// The public key comes first.
    Dialled(Vec<u8>, Fresh),
    Responder(Responder),
}

/// What was agreed on, and the bytes that came after it.
type Done = (Agreed, Vec<u8>);

impl Side {
    fn hear(&mut self, bytes: &[u8], say: &mut Vec<u8>) -> Result<Option<Done>, Fault> {
        let mut input = bytes;
        if let Side::Dialled(key, fresh) = self {
            let (mine, rest) = input.split_at(input.len().min(96 - key.len()));
            key.extend_from_slice(mine);
            input = rest;
            if key.len() < 96 {
                return Ok(None);
            }
            let responder = Responder::new(fresh, &array(key.clone()), say)?;
            *self = Side::Responder(responder);
        }
        let agreed = match self {
            Side::Initiator(side) => side.hear(&mut input, say)?,
            Side::Responder(side) => side.hear(&mut input, (&[OTHER, SWARM], ALL), say)?,
            Side::Dialled(..) => None,
        };
        Ok(agreed.map(|agreed| (agreed, input.to_vec())))
    }
}

/// Feeds a stream in pieces of these lengths, again and again.
fn feed(side: &mut Side, stream: &[u8], cuts: &[usize], say: &mut Vec<u8>) -> Option<Done> {
    let (mut at, mut done) = (0, None);
    for cut in cuts.iter().cycle() {
        let end = stream.len().min(at + cut);
        let part = &stream[at..end];
        match &mut done {
            None => done = side.hear(part, say).unwrap(),
            Some((_, rest)) => Vec::extend_from_slice(rest, part),
        }
        at = end;
        if at == stream.len() {
            break;
        }
    }
    done
}

/// A whole handshake with what follows it: what each side heard after it, deciphered.
fn converse(offer: &[Method], pads: (usize, usize), cuts: &[usize]) -> (Method, Vec<Vec<u8>>) {
    let opening = [7; 68];
    let (mut said, mut answered) = (Vec::new(), Vec::new());
    let first = fresh([0xa1; 20], pads.0);
    let mut a = Side::Initiator(Initiator::new(&first, SWARM, offer, &opening, &mut said));
    let mut b = Side::Dialled(Vec::new(), fresh([0xb2; 20], pads.1));
    assert!(feed(&mut b, &said, cuts, &mut answered).is_none());
    said.clear();
    assert!(feed(&mut a, &answered, cuts, &mut said).is_none());
    answered.clear();
    // Bytes that follow at once: those of the dialler after its first words wait for no answer in
    // tests alone, but the responder's do come right behind its last step.
    let (at_b, _) = feed(&mut b, &said, cuts, &mut answered).expect("the responder is done");
    assert_eq!(at_b.opening, opening);
    let speech: Vec<u8> = (0..3000).map(|n| (n % 241) as u8).collect();
    let encipher = |key, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if at_b.method == Method::Rc4 {
            Keystream::new(key).apply(&mut bytes);
        }
        bytes
    };
    answered.extend(encipher(at_b.send, &speech));
    let (at_a, rest) = feed(&mut a, &answered, cuts, &mut said).expect("the initiator is done");
    assert_eq!(at_a.method, at_b.method);
    let heard_by_a = encipher(at_a.receive, &rest);
    let heard_by_b = encipher(at_b.receive, &encipher(at_a.send, &speech));
    assert_eq!(heard_by_a, speech);
    assert_eq!(heard_by_b, speech);
    (at_a.method, vec![heard_by_a, heard_by_b])
}

#[test]
fn both_sides_understand_each_other_in_plain_and_in_rc4() {
    for pads in [(0, 0), (512, 512), (1, 300)] {
        assert_eq!(converse(ALL, pads, &[usize::MAX >> 1]).0, Method::Plain);
        assert_eq!(converse(&[Method::Rc4], pads, &[usize::MAX >> 1]).0, Method::Rc4);
        assert_eq!(converse(&[Method::Rc4], pads, &[1]).0, Method::Rc4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn cutting_the_streams_anywhere_changes_nothing(
        cuts in prop::collection::vec(1_usize..200, 1..6),
        pads in (0_usize..513, 0_usize..513),
        rc4: bool,
    ) {
        let offer = if rc4 { &ALL[1..] } else { ALL };
        converse(offer, pads, &cuts);
    }

    #[test]
    fn any_bytes_end_in_bounded_memory(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let mut say = Vec::new();
        let key = *KeyPair::new([3; 20]).public();
        let mut responder = Responder::new(&fresh([9; 20], 10), &key, &mut say).unwrap();
        let ended = responder.hear(&mut &bytes[..], (&[SWARM], ALL), &mut say);
        prop_assert!(bytes.len() < 532 || ended.is_err());
        prop_assert_eq!(say.len(), 96 + 10, "nothing is said to who proves nothing");
        let mut initiator = Initiator::new(&fresh([9; 20], 0), SWARM, ALL, b"", &mut say);
        let stream = [&key[..], &bytes].concat();
        let ended = initiator.hear(&mut &stream[..], &mut say);
        prop_assert!(bytes.len() < 520 || ended.is_err());
    }
}

/// The third step by hand: what a broken or hostile dialler may say in it.
fn third_step(swarm: &InfoHash, clear: &[u8]) -> Result<Option<Agreed>, Fault> {
    let (theirs, ours) = (KeyPair::new([1; 20]), KeyPair::new([2; 20]));
    let secret = theirs.agree(ours.public()).unwrap();
    let mut say = Vec::new();
    let mut responder = Responder::new(&fresh([2; 20], 0), theirs.public(), &mut say).unwrap();
    let mut bytes = clear.to_vec();
    Keystream::new(secret.of_initiator(swarm)).apply(&mut bytes);
    let stream = [&secret.mark()[..], &secret.names(swarm), &bytes].concat();
    responder.hear(&mut &stream[..], (&[SWARM], &[Method::Rc4]), &mut say)
}

#[test]
fn what_cannot_be_is_refused() {
    let good = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
    let agreed = third_step(&SWARM, &good).unwrap().expect("all of it came");
    assert_eq!((agreed.method, agreed.opening.len()), (Method::Rc4, 0));
    let why = |swarm: &InfoHash, at: usize, byte: u8| {
        let mut clear = good;
        clear[at] = byte;
        third_step(swarm, &clear).unwrap_err().what
    };
    assert!(why(&OTHER, 0, 0).contains("do not have"));
    assert!(why(&SWARM, 7, 1).contains("verify"));
    assert!(why(&SWARM, 11, 1).contains("no method"), "plain alone, where RC4 is required");
    assert!(why(&SWARM, 12, 3).contains("padding"));
    assert!(why(&SWARM, 14, 0xff).contains("first words"));
}

#[test]
fn an_answer_that_was_not_offered_is_refused() {
    let (ours, theirs) = ([1; 20], KeyPair::new([2; 20]));
    let mut say = Vec::new();
    let answer = |chosen: u32, pad: u16| {
        let mut initiator = Initiator::new(&fresh(ours, 0), SWARM, &ALL[1..], b"", &mut say);
        let secret = theirs.agree(KeyPair::new(ours).public()).unwrap();
        let mut step = [0; 14];
        step[8..12].copy_from_slice(&chosen.to_be_bytes());
        step[12..].copy_from_slice(&pad.to_be_bytes());
        Keystream::new(secret.of_responder(&SWARM)).apply(&mut step);
        let stream = [&theirs.public()[..], &step].concat();
        initiator.hear(&mut &stream[..], &mut say).map(|agreed| agreed.map(|agreed| agreed.method))
    };
    let mut answer = answer;
    assert_eq!(answer(2, 0), Ok(Some(Method::Rc4)));
    for chosen in [0, 1, 3, 4, u32::MAX] {
        assert!(answer(chosen, 0).unwrap_err().what.contains("not offered"), "{chosen}");
    }
    assert!(answer(2, 513).unwrap_err().what.contains("padding"));
}
