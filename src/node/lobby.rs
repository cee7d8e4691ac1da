//! Connections that came in and have not said yet which content they are about. They may say it in
//! plain or in an encrypted handshake: the first bytes tell.

use super::agreements::Agreements;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::time::{Span, Time};
use crate::peer::encryption::agreed;
use crate::peer::{Encrypting, Encryption};
use crate::wire::mse::{Agreed, KEY_BYTES, Responder};
use crate::wire::peer::{Framer, Handshake, PROTOCOL, Part};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Connections that may wait here. Another one takes the place of the one that waited longest: a
/// handshake is a matter of a few round trips, so whoever waits long is the stranger.
const WAITING_MAX: usize = 64;
/// A handshake that is not complete after so long will not be.
const HANDSHAKE: Span = Span::secs(10);

#[derive(Debug)]
struct Guest {
    remote: SocketAddr,
    since: Time,
    stage: Stage,
}

/// How far a guest is. Each is of bounded length.
#[derive(Debug)]
enum Stage {
    /// Bytes that begin a plain handshake, so far.
    Opening(Vec<u8>),
    /// A public key comes.
    Key(Vec<u8>),
    Encrypted(Box<Responder>),
    /// The handshake of the peer wire comes.
    Plain(Framer),
}

#[derive(Debug, Default)]
pub struct Lobby {
    guests: BTreeMap<ConnId, Guest>,
    encrypting: Encrypting,
    agreements: Agreements,
}

/// A guest whose handshake is complete, and the bytes that came behind it.
#[derive(Debug)]
pub struct Announced<'a> {
    pub remote: SocketAddr,
    pub framer: Framer,
    pub handshake: Handshake,
    pub rest: Cow<'a, [u8]>,
}

/// What guests are about, when they say it, and where our answers go.
pub struct Reception<'a> {
    pub swarms: &'a [InfoHash],
    pub now: Time,
    pub out: &'a mut Outbox,
}

impl Lobby {
    pub fn new(encrypting: Encrypting) -> Lobby {
        Lobby { encrypting, ..Lobby::default() }
    }

    /// Takes in a connection. Gives the one that must go for it, if the lobby is full.
    pub fn enter(&mut self, conn: ConnId, remote: SocketAddr, now: Time) -> Option<ConnId> {
        let longest = self.guests.iter().min_by_key(|(_, guest)| guest.since);
        let goes = longest.map(|(conn, _)| *conn).filter(|_| self.guests.len() >= WAITING_MAX);
        if let Some(conn) = goes {
            mark!("F03");
            self.guests.remove(&conn);
        }
        let stage = Stage::Opening(Vec::new());
        self.guests.insert(conn, Guest { remote, since: now, stage });
        goes
    }

    pub fn holds(&self, conn: ConnId) -> bool {
        self.guests.contains_key(&conn)
    }

    /// Bytes of a guest: its handshake once it is complete. It leaves the lobby with it, and with a
    /// fault.
    pub fn hear<'a>(
        &mut self,
        conn: ConnId,
        bytes: &'a [u8],
        reception: &mut Reception<'_>,
    ) -> Result<Option<Announced<'a>>, Fault> {
        let Some(Guest { remote, since, mut stage }) = self.guests.remove(&conn) else {
            return Ok(None);
        };
        let mut bytes = Cow::Borrowed(bytes);
        loop {
            let mut input = &bytes[..];
            let next = self.step((conn, remote), &mut stage, &mut input, reception)?;
            let taken = bytes.len() - input.len();
            advance(&mut bytes, taken);
            match next {
                Next::More => {
                    self.guests.insert(conn, Guest { remote, since, stage });
                    return Ok(None);
                }
                Next::Stage(next) => stage = next,
                Next::Agreed(done) => {
                    let rest = agreed(conn, &done, &bytes, reception.out).into_owned();
                    bytes = Cow::Owned([done.opening, rest].concat());
                    stage = Stage::Plain(Framer::new());
                }
                Next::Handshake(framer, handshake) => {
                    return Ok(Some(Announced { remote, framer, handshake, rest: bytes }));
                }
            }
        }
    }

    fn step(
        &mut self,
        (conn, remote): (ConnId, SocketAddr),
        stage: &mut Stage,
        input: &mut &[u8],
        reception: &mut Reception<'_>,
    ) -> Result<Next, Fault> {
        let policy = self.encrypting.policy;
        match stage {
            Stage::Opening(head) => {
                if !opens_plainly(head, input) {
                    return match input.is_empty() {
                        true => Ok(Next::More),
                        false if policy == Encryption::Off => Err(no_handshake()),
                        false => Ok(Next::Stage(Stage::Key(std::mem::take(head)))),
                    };
                }
                if policy == Encryption::Require {
                    return Err(Fault::nobody(
                        "handshake: not encrypted, as --encryption requires",
                    ));
                }
                let mut framer = Framer::new();
                framer.next(&mut &head[..])?;
                Ok(Next::Stage(Stage::Plain(framer)))
            }
            Stage::Key(key) => {
                let (mine, rest) = input.split_at(input.len().min(KEY_BYTES - key.len()));
                key.extend_from_slice(mine);
                *input = rest;
                let Some(theirs) = key.first_chunk::<KEY_BYTES>() else { return Ok(Next::More) };
                if !self.agreements.take(remote.ip(), reception.now) {
                    return Err(Fault::nobody("too many encrypted handshakes at once"));
                }
                let mut say = Vec::new();
                let responder = Responder::new(&self.encrypting.fresh(), theirs, &mut say)?;
                reception.out.send(conn, &say);
                Ok(Next::Stage(Stage::Encrypted(Box::new(responder))))
            }
            Stage::Encrypted(responder) => {
                let mut say = Vec::new();
                let known = (reception.swarms, policy.methods());
                let heard = responder.hear(input, known, &mut say)?;
                if !say.is_empty() {
                    reception.out.send(conn, &say);
                }
                Ok(heard.map_or(Next::More, Next::Agreed))
            }
            Stage::Plain(framer) => match framer.next(input).inspect_err(|_| mark!("D01"))? {
                Some(Part::Handshake(handshake)) => Ok(Next::Handshake(framer.clone(), handshake)),
                Some(_) => Err(no_handshake()),
                None => Ok(Next::More),
            },
        }
    }

    pub fn left(&mut self, conn: ConnId) -> bool {
        self.guests.remove(&conn).is_some()
    }

    /// Those who took too long; they are out.
    pub fn expire(&mut self, now: Time) -> Vec<ConnId> {
        let late = |guest: &Guest| now.since(guest.since) >= HANDSHAKE;
        let expired: Vec<ConnId> =
            self.guests.iter().filter(|(_, guest)| late(guest)).map(|(conn, _)| *conn).collect();
        if !expired.is_empty() {
            mark!("D01");
        }
        self.guests.retain(|_, guest| !late(guest));
        expired
    }

    pub fn deadline(&self) -> Time {
        self.guests.values().map(|guest| guest.since + HANDSHAKE).min().unwrap_or(Time::NEVER)
    }
}

/// What follows from some bytes of a guest.
enum Next {
    /// More of them must come.
    More,
    Stage(Stage),
    Agreed(Agreed),
    Handshake(Framer, Handshake),
}

/// Moves bytes to `head` for as long as both are the beginning of a plain handshake: true once all
/// of that is there.
fn opens_plainly(head: &mut Vec<u8>, input: &mut &[u8]) -> bool {
    while let Some((byte, rest)) = input.split_first() {
        let right = match head.len().checked_sub(1) {
            None => Some(PROTOCOL.len() as u8),
            Some(at) => PROTOCOL.get(at).copied(),
        };
        if right != Some(*byte) {
            break;
        }
        head.push(*byte);
        *input = rest;
        if head.len() > PROTOCOL.len() {
            return true;
        }
    }
    false
}

fn no_handshake() -> Fault {
    mark!("D01");
    Fault::peer("no handshake")
}

fn advance(bytes: &mut Cow<'_, [u8]>, taken: usize) {
    match bytes {
        Cow::Borrowed(part) => *part = part.get(taken..).unwrap_or_default(),
        Cow::Owned(part) => drop(part.drain(..taken.min(part.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::chunk::Chunk;
    use crate::core::cipher::Keystream;
    use crate::core::id::PeerId;
    use crate::core::io::Effect;
    use crate::core::limits::AGREEMENTS_PER_S;
    use crate::core::mark::expect_mark;
    use crate::core::rng::Rng;
    use crate::wire::mse::{Fresh, Initiator, KeyPair, Method};
    use crate::wire::peer::Reserved;

    #[test]
    fn a_crowd_that_says_nothing_keeps_nobody_out() {
        let mut lobby = Lobby::default();
        let remote = SocketAddr::from(([10, 0, 0, 1], 1));
        let conn = |slot| ConnId { slot, generation: 0 };
        let mut gone = Vec::new();
        for n in 0..WAITING_MAX as u32 + 3 {
            let now = Time::ZERO + Span::ms(n.into());
            let goes = match n < WAITING_MAX as u32 {
                true => lobby.enter(conn(n), remote, now),
                false => expect_mark!("F03", lobby.enter(conn(n), remote, now)),
            };
            gone.extend(goes);
            assert!(lobby.holds(conn(n)), "the newest is always heard");
        }
        assert_eq!(gone, [conn(0), conn(1), conn(2)]);
        assert_eq!(lobby.guests.len(), WAITING_MAX);
    }

    const SWARM: InfoHash = InfoHash([5; 20]);

    fn lobby(policy: Encryption) -> (Lobby, ConnId) {
        let mut lobby = Lobby::new(Encrypting::new(policy, &[1; 32], Rng::new(1)));
        let conn = ConnId { slot: 1, generation: 0 };
        lobby.enter(conn, SocketAddr::from(([10, 0, 0, 1], 1)), Time::ZERO);
        (lobby, conn)
    }

    /// What is heard of these bytes: a handshake and what came behind it.
    fn hear(
        (lobby, conn): &mut (Lobby, ConnId),
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<Option<(Handshake, Vec<u8>)>, Fault> {
        let mut reception = Reception { swarms: &[SWARM], now: Time::ZERO, out };
        let announced = lobby.hear(*conn, bytes, &mut reception)?;
        Ok(announced.map(|said| (said.handshake, said.rest.into_owned())))
    }

    fn handshake() -> Handshake {
        let reserved = Reserved::new().with_fast();
        Handshake { reserved, info_hash: SWARM, peer_id: PeerId([7; 20]) }
    }

    #[test]
    fn who_does_not_shake_hands_does_not_stay() {
        // Garbage, a wrong length of the protocol's name, a wrong letter in it.
        for wrong in [&b"GET / HTTP/1.1"[..], b"\x12BitTorrent", b"\x13BitTorrent protocoX"] {
            let mut out = Outbox::default();
            let mut plain = lobby(Encryption::Off);
            let heard = expect_mark!("D01", hear(&mut plain, wrong, &mut out));
            assert!(heard.is_err() && !plain.0.holds(plain.1));
            // It may be a public key; one that is followed by nothing of sense is none.
            let mut any = lobby(Encryption::Allow);
            assert_eq!(hear(&mut any, wrong, &mut out), Ok(None));
            let heard = expect_mark!("D01", hear(&mut any, &[9; 96 + 532], &mut out));
            assert!(heard.is_err() && !any.0.holds(any.1));
        }
        // One byte a second is no handshake within ten.
        let mut slow = lobby(Encryption::Allow);
        for (second, byte) in b"\x13BitTorrent protocol".chunks(1).take(10).enumerate() {
            assert!(slow.0.expire(Time::ZERO + Span::secs(second as u64)).is_empty());
            assert_eq!(hear(&mut slow, byte, &mut Outbox::default()), Ok(None));
        }
        let late = Time::ZERO + HANDSHAKE;
        assert_eq!(expect_mark!("D01", slow.0.expire(late)), [slow.1]);
        assert!(!slow.0.holds(slow.1) && slow.0.deadline() == Time::NEVER);
    }

    /// What was sent so far.
    fn said(out: &mut Outbox) -> Vec<u8> {
        let mut said = Vec::new();
        for effect in &out.effects {
            match effect {
                Effect::Send { chunk: Chunk::Head(head), .. } => said.extend(head.bytes()),
                Effect::Send { chunk: Chunk::Arena { start, len }, .. } => {
                    said.extend(out.bytes(*start, *len));
                }
                _ => {}
            }
        }
        out.effects.retain(|effect| !matches!(effect, Effect::Send { .. }));
        said
    }

    /// A guest that speaks encrypted; its bytes come cut after `cut` of each step.
    fn encrypted(policy: Encryption, offer: &[Method], opening: usize, cut: usize) -> Outbox {
        let (mut guest, mut out) = (lobby(policy), Outbox::default());
        let fresh = Fresh { private: [3; 20], pad: vec![8; 100] };
        let mut say = Vec::new();
        let words = [&handshake().encode()[..], b"and more"].concat();
        let (first, later) = words.split_at(opening);
        let mut theirs = Initiator::new(&fresh, SWARM, offer, first, &mut say);
        let (start, end) = say.split_at(say.len().min(cut));
        assert_eq!(hear(&mut guest, start, &mut out), Ok(None));
        assert_eq!(hear(&mut guest, end, &mut out), Ok(None));
        say.clear();
        assert_eq!(theirs.hear(&mut &said(&mut out)[..], &mut say), Ok(None));
        let (start, end) = say.split_at(say.len().min(cut));
        let mut heard = hear(&mut guest, start, &mut out).unwrap();
        if heard.is_none() {
            heard = hear(&mut guest, end, &mut out).unwrap();
        }
        let done = theirs.hear(&mut &said(&mut out)[..], &mut say).unwrap().expect("agreed");
        let enciphers = |effect: &Effect| matches!(effect, Effect::Encipher { .. });
        assert_eq!(out.effects.iter().any(enciphers), done.method == Method::Rc4);
        // From here on the driver deciphers.
        let (handshake_heard, mut rest) = match heard {
            Some(heard) => heard,
            None => hear(&mut guest, later, &mut out).unwrap().expect("all of it came"),
        };
        if opening >= 68 {
            rest.extend_from_slice(later);
        }
        assert_eq!((handshake_heard, &rest[..]), (handshake(), &b"and more"[..]));
        out
    }

    #[test]
    fn an_encrypted_handshake_is_answered_whatever_it_carries() {
        const ALL: &[Method] = &[Method::Plain, Method::Rc4];
        for opening in [0, 1, 20, 67, 68, 76] {
            for cut in [0, 1, 95, 96, 97, 150, 200, 1000] {
                encrypted(Encryption::Allow, ALL, opening, cut);
                encrypted(Encryption::Allow, &ALL[1..], opening, cut);
                encrypted(Encryption::Require, ALL, opening, cut);
            }
        }
    }

    #[test]
    fn what_comes_enciphered_behind_the_first_words_is_deciphered() {
        let (mut guest, mut out) = (lobby(Encryption::Require), Outbox::default());
        let (fresh, mut say) = (Fresh { private: [3; 20], pad: Vec::new() }, Vec::new());
        let words = handshake().encode();
        let mut theirs = Initiator::new(&fresh, SWARM, &[Method::Rc4], &words[..60], &mut say);
        hear(&mut guest, &say, &mut out).unwrap();
        say.clear();
        theirs.hear(&mut &said(&mut out)[..], &mut say).unwrap();
        // The keystream of an initiator does not depend on what is answered.
        let mut answered = lobby(Encryption::Require);
        let mut unheard = Outbox::default();
        std::mem::swap(&mut answered, &mut guest);
        let mut probe = say.clone();
        assert_eq!(hear(&mut answered, &probe, &mut unheard), Ok(None));
        let effect = unheard.effects.iter().find_map(|effect| match effect {
            Effect::Encipher { receive, .. } => Some(*receive),
            _ => None,
        });
        let mut stream = Keystream::new(effect.expect("all of it is enciphered"));
        let mut rest = [&words[60..], b"behind"].concat();
        stream.apply(&mut rest);
        probe.extend_from_slice(&rest);
        // The same again, in one piece with what follows.
        let (mut guest, mut out) = (lobby(Encryption::Require), Outbox::default());
        let mut first = Vec::new();
        Initiator::new(&fresh, SWARM, &[Method::Rc4], &words[..60], &mut first);
        hear(&mut guest, &first, &mut out).unwrap();
        let heard = hear(&mut guest, &probe, &mut out).unwrap();
        assert_eq!(heard, Some((handshake(), b"behind".to_vec())));
    }

    #[test]
    fn who_requires_encryption_takes_no_plain_handshake_and_no_plain_stream() {
        let mut guest = lobby(Encryption::Require);
        let heard = hear(&mut guest, &handshake().encode(), &mut Outbox::default());
        assert!(heard.unwrap_err().what.contains("--encryption"));
        let (mut guest, mut out) = (lobby(Encryption::Require), Outbox::default());
        let (fresh, mut say) = (Fresh { private: [3; 20], pad: Vec::new() }, Vec::new());
        let mut theirs = Initiator::new(&fresh, SWARM, &[Method::Plain], b"", &mut say);
        hear(&mut guest, &say, &mut out).unwrap();
        say.clear();
        theirs.hear(&mut &said(&mut out)[..], &mut say).unwrap();
        assert!(hear(&mut guest, &say, &mut out).unwrap_err().what.contains("no method"));
    }

    #[test]
    fn a_crowd_that_wants_encryption_is_answered_at_a_bounded_rate() {
        let mut lobby = Lobby::new(Encrypting::new(Encryption::Allow, &[1; 32], Rng::new(1)));
        let key = *KeyPair::new([4; 20]).public();
        let mut answered = 0;
        for slot in 0..AGREEMENTS_PER_S + 50 {
            let conn = ConnId { slot, generation: 0 };
            lobby.enter(conn, SocketAddr::from(([10, 0, 0, 1], 1)), Time::ZERO);
            let mut out = Outbox::default();
            let mut reception = Reception { swarms: &[SWARM], now: Time::ZERO, out: &mut out };
            answered += u32::from(lobby.hear(conn, &key, &mut reception).is_ok());
        }
        assert_eq!(answered, AGREEMENTS_PER_S);
    }
}
