//! Reading the peer wire as it flows: no message is ever buffered whole, and cutting the stream
//! anywhere changes nothing.

use super::peer::{BlockRef, Handshake, HashRange, Message, PROTOCOL, Reserved, id};
use crate::core::fault::Fault;
use crate::core::id::{Hash32, InfoHash, PeerId};
use crate::core::limits::{
    EXTENDED_BYTES_MAX, HASHES_BYTES_MAX, PEER_MESSAGE_BYTES_MAX, PIECES_MAX,
};
use crate::core::mark::mark;

/// Longest data of one piece message that is let through to be judged against what was asked: the
/// largest request any known client serves.
const BLOCK_DATA_BYTES_MAX: u32 = 128 * 1024;

/// The head of a message whose body flows by after it. `len` counts the bytes of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Long {
    Bitfield {
        len: u32,
    },
    Block {
        piece: u32,
        begin: u32,
        len: u32,
    },
    /// `id` 0 is the extension handshake (BEP 10).
    Extended {
        id: u8,
        len: u32,
    },
    /// `len` bytes of hashes: a multiple of 32, not zero (BEP 52).
    Hashes {
        range: HashRange,
        len: u32,
    },
    /// An id that is none of ours, to be counted and passed over.
    Unknown {
        id: u8,
        len: u32,
    },
}

/// What the stream says, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// Once, first.
    Handshake(Handshake),
    Message(Message),
    /// Followed by any number of `Bytes` that make up its `len`, and one `End`.
    Start(Long),
    /// Never empty; borrowed from the input.
    Bytes(&'a [u8]),
    End,
}

/// Cuts one direction of one conversation into [`Part`]s. Judges lengths and nothing else: what a
/// message means in its place is the session's to say.
#[derive(Clone, Debug)]
pub struct Framer {
    state: State,
    /// The short head being collected: 48 bytes are the longest (hash range, handshake).
    head: [u8; HEAD_BYTES],
    got: u8,
}

const HEAD_BYTES: usize = 48;

#[derive(Clone, Copy, Debug)]
enum State {
    /// The protocol string, compared byte by byte.
    Protocol { seen: u8 },
    /// The rest of the handshake.
    Handshake,
    /// The length of a message.
    Length,
    /// Its id; `len` counts the id too.
    Id { len: u32 },
    /// The fixed part after the id; `body` bytes flow after it.
    Fixed { id: u8, need: u8, body: u32 },
    /// The body.
    Body { left: u32 },
    /// A fault ends the conversation.
    Broken(Fault),
}

impl Default for Framer {
    fn default() -> Framer {
        Framer::new()
    }
}

impl Framer {
    /// Expects the handshake first.
    pub fn new() -> Framer {
        Framer { state: State::Protocol { seen: 0 }, head: [0; HEAD_BYTES], got: 0 }
    }

    /// Takes bytes off the front of `input` and gives the next part; `None` when more are needed.
    /// To be called until it gives `None`, also when `input` is empty already: an `End` needs no
    /// byte. A fault is final.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Fault> {
        let result = self.step(input);
        if let Err(fault) = result {
            self.state = State::Broken(fault);
        }
        result
    }

    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Fault> {
        loop {
            match self.state {
                State::Broken(fault) => return Err(fault),
                State::Protocol { seen } => {
                    if !self.protocol(seen, input)? {
                        return Ok(None);
                    }
                }
                State::Body { left: 0 } => {
                    self.state = State::Length;
                    return Ok(Some(Part::End));
                }
                State::Body { left } => {
                    let (bytes, rest) = input.split_at(input.len().min(left as usize));
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    *input = rest;
                    self.state = State::Body { left: left - bytes.len() as u32 };
                    return Ok(Some(Part::Bytes(bytes)));
                }
                State::Handshake => {
                    if !self.collect(48, input) {
                        return Ok(None);
                    }
                    self.state = State::Length;
                    return Ok(Some(Part::Handshake(self.handshake())));
                }
                State::Length => {
                    if !self.collect(4, input) {
                        return Ok(None);
                    }
                    match checked_length(self.word(0))? {
                        0 => return Ok(Some(Part::Message(Message::KeepAlive))),
                        len => self.state = State::Id { len },
                    }
                }
                State::Id { len } => {
                    if !self.collect(1, input) {
                        return Ok(None);
                    }
                    let id = self.head[0];
                    let need = fixed_bytes(id, len).map_err(wrong_length)?;
                    self.state = State::Fixed { id, need, body: len - 1 - u32::from(need) };
                }
                State::Fixed { id, need, body } => {
                    if !self.collect(need, input) {
                        return Ok(None);
                    }
                    return Ok(Some(self.message(id, body)));
                }
            }
        }
    }

    /// Compares what came with the protocol string; true when all of it was seen.
    fn protocol(&mut self, mut seen: u8, input: &mut &[u8]) -> Result<bool, Fault> {
        while let Some((first, rest)) = input.split_first() {
            *input = rest;
            let right = match seen.checked_sub(1) {
                None => *first == PROTOCOL.len() as u8,
                Some(at) => PROTOCOL.get(usize::from(at)) == Some(first),
            };
            if !right {
                return Err(Fault::peer("handshake: not the BitTorrent protocol"));
            }
            seen += 1;
            if usize::from(seen) > PROTOCOL.len() {
                self.state = State::Handshake;
                return Ok(true);
            }
        }
        self.state = State::Protocol { seen };
        Ok(false)
    }

    /// Moves bytes from `input` until the head has `need` of them; true when it has.
    fn collect(&mut self, need: u8, input: &mut &[u8]) -> bool {
        let missing = usize::from(need.saturating_sub(self.got));
        let (bytes, rest) = input.split_at(input.len().min(missing));
        let got = usize::from(self.got);
        if let Some(room) = self.head.get_mut(got..got + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        *input = rest;
        self.got += bytes.len() as u8;
        let whole = bytes.len() == missing;
        if whole {
            self.got = 0;
        }
        whole
    }

    /// The message whose fixed part is collected, or its start if a body follows.
    fn message<'a>(&mut self, id: u8, body: u32) -> Part<'a> {
        self.state = State::Length;
        Part::Message(match id {
            id::CHOKE => Message::Choke,
            id::UNCHOKE => Message::Unchoke,
            id::INTERESTED => Message::Interested,
            id::NOT_INTERESTED => Message::NotInterested,
            id::HAVE => Message::Have(self.word(0)),
            id::REQUEST => Message::Request(self.block()),
            id::CANCEL => Message::Cancel(self.block()),
            id::PORT => Message::Port(u16::from_be_bytes([self.head[0], self.head[1]])),
            id::SUGGEST => Message::Suggest(self.word(0)),
            id::HAVE_ALL => Message::HaveAll,
            id::HAVE_NONE => Message::HaveNone,
            id::REJECT => Message::Reject(self.block()),
            id::ALLOWED_FAST => Message::AllowedFast(self.word(0)),
            id::HASH_REQUEST => Message::HashRequest(self.range()),
            id::HASH_REJECT => Message::HashReject(self.range()),
            _ => {
                self.state = State::Body { left: body };
                return Part::Start(self.long(id, body));
            }
        })
    }

    fn long(&self, id: u8, len: u32) -> Long {
        match id {
            id::BITFIELD => Long::Bitfield { len },
            id::PIECE => Long::Block { piece: self.word(0), begin: self.word(4), len },
            id::EXTENDED => Long::Extended { id: self.head[0], len },
            id::HASHES => Long::Hashes { range: self.range(), len },
            _ => Long::Unknown { id, len },
        }
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.head.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().unwrap_or([0; N])
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    fn block(&self) -> BlockRef {
        BlockRef { piece: self.word(0), begin: self.word(4), len: self.word(8) }
    }

    fn range(&self) -> HashRange {
        HashRange {
            root: Hash32(self.array(0)),
            base: self.word(32),
            index: self.word(36),
            length: self.word(40),
            proof: self.word(44),
        }
    }

    fn handshake(&self) -> Handshake {
        Handshake {
            reserved: Reserved(self.array(0)),
            info_hash: InfoHash(self.array(8)),
            peer_id: PeerId(self.array(28)),
        }
    }
}

/// Nothing is kept of a message before its length is known to be one.
fn checked_length(len: u32) -> Result<u32, Fault> {
    if len <= PEER_MESSAGE_BYTES_MAX {
        return Ok(len);
    }
    mark!("D03");
    Err(Fault::peer("message too large"))
}

fn wrong_length(what: &'static str) -> Fault {
    mark!("D04");
    Fault::peer(what)
}

/// Bytes between the id and the body of a message whose length prefix says `len` (at least 1), or
/// what is wrong with that length. The answer is never more than `len - 1`.
fn fixed_bytes(id: u8, len: u32) -> Result<u8, &'static str> {
    let (right, need, wrong) = match id {
        id::CHOKE => (len == 1, 0, "choke: wrong length"),
        id::UNCHOKE => (len == 1, 0, "unchoke: wrong length"),
        id::INTERESTED => (len == 1, 0, "interested: wrong length"),
        id::NOT_INTERESTED => (len == 1, 0, "not interested: wrong length"),
        id::HAVE => (len == 5, 4, "have: wrong length"),
        id::BITFIELD => (len <= 1 + PIECES_MAX.div_ceil(8), 0, "bitfield: too long"),
        id::REQUEST => (len == 13, 12, "request: wrong length"),
        id::PIECE if len <= 9 => (false, 8, "piece: no data"),
        id::PIECE => (len <= 9 + BLOCK_DATA_BYTES_MAX, 8, "piece: too long"),
        id::CANCEL => (len == 13, 12, "cancel: wrong length"),
        id::PORT => (len == 3, 2, "port: wrong length"),
        id::SUGGEST => (len == 5, 4, "suggest: wrong length"),
        id::HAVE_ALL => (len == 1, 0, "have all: wrong length"),
        id::HAVE_NONE => (len == 1, 0, "have none: wrong length"),
        id::REJECT => (len == 13, 12, "reject: wrong length"),
        id::ALLOWED_FAST => (len == 5, 4, "allowed fast: wrong length"),
        id::EXTENDED if len == 1 => (false, 1, "extended: no extension id"),
        id::EXTENDED => (len <= 2 + EXTENDED_BYTES_MAX, 1, "extended: too long"),
        id::HASH_REQUEST => (len == 49, 48, "hash request: wrong length"),
        id::HASHES if len > HASHES_BYTES_MAX => (false, 48, "hashes: too long"),
        id::HASHES => (len > 49 && (len - 49).is_multiple_of(32), 48, "hashes: wrong length"),
        id::HASH_REJECT => (len == 49, 48, "hash reject: wrong length"),
        _ => (true, 0, ""),
    };
    if right { Ok(need) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_costs_tens_of_bytes() {
        assert!(std::mem::size_of::<Framer>() <= 96, "{}", std::mem::size_of::<Framer>());
    }

    #[test]
    fn no_length_is_shorter_than_its_fixed_part() {
        for id in 0..=u8::MAX {
            for len in (1..200).chain([EXTENDED_BYTES_MAX, HASHES_BYTES_MAX, u32::MAX]) {
                if let Ok(need) = fixed_bytes(id, len) {
                    assert!(u32::from(need) < len && usize::from(need) <= HEAD_BYTES);
                }
            }
        }
    }
}
