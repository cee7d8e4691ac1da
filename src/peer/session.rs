//! One conversation with one peer: the decoder, the four choke and interest flags, and the rules of
//! who may say what when. It decides nothing: it turns bytes into facts and keeps both sides legal.

use super::Heard;
use super::conduct::Conduct;
use super::encryption::{Offer, Veil};
use super::greeting::{self, Identity, Us};
use super::heard::Hearing;
use crate::content::bitfield::{Bitfield, Loader};
use crate::content::geometry::Geometry;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, Hash32, InfoHash, PeerId};
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::time::Time;
use crate::wire::extended::{ExtendedHandshake, decode_upload_only};
use crate::wire::peer::{BlockRef, Framer, Handshake, HashRange, Long, Message, Part};
use crate::wire::peer_exchange::PeerExchange;
use crate::wire::peer_metadata::MetadataMessage;
use crate::wire::peer_state::UploadState;
use std::net::SocketAddr;

#[derive(Debug)]
pub struct Session {
    pub conn: ConnId,
    pub remote: SocketAddr,
    pub identity: Identity,
    /// Whether we dialled.
    pub outgoing: bool,
    info_hash: InfoHash,
    pub veil: Veil,
    framer: Framer,
    geometry: Geometry,
    body: Body,
    /// Their id, once the handshake came.
    pub peer_id: Option<PeerId>,
    fast: bool,
    /// The v2 hash that a conversation under v1 may go over to, and whether they know of that.
    upgrade: Option<InfoHash>,
    upgrades: bool,
    /// They choke us, we choke them; they want of us, we want of them.
    pub choked: bool,
    pub choking: bool,
    pub interested: bool,
    pub wanting: bool,
    /// The pieces they have.
    pub has: Bitfield,
    /// Their last extension handshake.
    pub introduced: Option<ExtendedHandshake>,
    conduct: Conduct,
    /// When the conversation began, when they last spoke, when we last spoke.
    pub began: Time,
    pub heard: Time,
    pub spoke: Time,
    /// Bytes of ours that have not left, as last told, and whether we stopped listening for them.
    pub(super) unsent: u64,
    /// Those of them that are no blocks, and how many of them may wait.
    pub(super) told: u64,
    pub room: u64,
    pub(super) paused: bool,
}

/// The long message that is coming in.
#[derive(Debug)]
enum Body {
    None,
    Bits(Loader),
    Block,
    Extended { id: u8, bytes: Vec<u8> },
    Hashes { range: HashRange, bytes: Vec<u8> },
    Skipped,
}

impl Session {
    /// A conversation we opened: speaks first.
    pub fn dialled(
        conn: ConnId,
        remote: SocketAddr,
        identity: Identity,
        info_hash: InfoHash,
        geometry: Geometry,
        now: Time,
    ) -> Session {
        let none = Bitfield::new(geometry.pieces());
        Session {
            conn,
            remote,
            identity,
            outgoing: true,
            info_hash,
            veil: Veil::default(),
            framer: Framer::new(),
            geometry,
            body: Body::None,
            peer_id: None,
            fast: false,
            upgrade: None,
            upgrades: false,
            choked: true,
            choking: true,
            interested: false,
            wanting: false,
            has: none,
            introduced: None,
            conduct: Conduct::default(),
            began: now,
            heard: now,
            spoke: now,
            unsent: 0,
            told: 0,
            room: super::saying::room(0),
            paused: false,
        }
    }

    /// A conversation that was opened to us and whose handshake `framer` has already read.
    pub fn accepted(
        conn: ConnId,
        remote: SocketAddr,
        (framer, handshake): (Framer, Handshake),
        identity: Identity,
        geometry: Geometry,
        now: Time,
    ) -> Session {
        let mut session =
            Session::dialled(conn, remote, identity, handshake.info_hash, geometry, now);
        session.outgoing = false;
        session.framer = framer;
        session.take_handshake(handshake);
        session
    }

    fn take_handshake(&mut self, theirs: Handshake) {
        self.peer_id = Some(theirs.peer_id);
        self.fast = theirs.reserved.fast();
        self.upgrades = theirs.reserved.v2_upgrade();
        self.introduced = greeting::extends(&theirs);
    }

    /// Opens the conversation towards a peer we dialled.
    pub fn open(&mut self, us: &Us, offer: Offer, now: Time, out: &mut Outbox) {
        self.upgrade = us.upgrade.filter(|_| self.identity == Identity::V1);
        let words = us.handshake(self.info_hash, self.identity);
        self.veil = Veil::open((self.conn, self.info_hash), &words, offer, out);
        self.spoke = now;
    }

    /// Goes on under v2 what began under v1.
    fn go_over(&mut self, info_hash: InfoHash) {
        (self.identity, self.info_hash) = (Identity::V2, info_hash);
    }

    /// Says who we are and what we have, once their handshake is known.
    pub fn greet(
        &mut self,
        us: &Us,
        have: &Bitfield,
        state: UploadState,
        now: Time,
        out: &mut Outbox,
    ) {
        if !self.outgoing {
            if let (Identity::V1, true, Some(upgrade)) = (self.identity, self.upgrades, us.upgrade)
            {
                self.go_over(upgrade);
            }
            out.send(self.conn, &us.handshake(self.info_hash, self.identity));
        }
        if self.introduced.is_some() {
            let complete = have.is_full();
            us.introduce(self.conn, self.identity, self.remote.ip(), state, complete, out);
        }
        greeting::tell_pieces(self.conn, have, self.fast, out);
        self.spoke = now;
    }

    /// Whether both sides speak the fast extension (BEP 6).
    pub fn fast(&self) -> bool {
        self.fast
    }

    pub fn is_lmk(&self) -> bool {
        self.peer_id.is_some_and(|id| id.is_lmk())
    }

    /// The address under which others may dial this peer, as far as it is known.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        greeting::listens_at(self.remote, self.outgoing, self.introduced.as_ref())
    }

    /// The next fact in `input`, which is advanced past what was understood.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Hearing<'a> {
        while let Some(part) = self.framer.next(input)? {
            if let Some(heard) = self.understand(part)? {
                return Ok(Some(heard));
            }
        }
        Ok(None)
    }

    fn understand<'a>(&mut self, part: Part<'a>) -> Hearing<'a> {
        match part {
            Part::Handshake(theirs) => {
                if self.upgrade == Some(theirs.info_hash) {
                    self.go_over(theirs.info_hash);
                }
                if theirs.info_hash != self.info_hash {
                    return Err(Fault::peer("handshake: another content than we asked for"));
                }
                self.take_handshake(theirs);
                Ok(Some(Heard::Greeted))
            }
            Part::Message(message) => self.got_message(message),
            Part::Start(long) => self.got_start(long),
            Part::Bytes(bytes) => self.got_bytes(bytes),
            Part::End => self.got_end(),
        }
    }

    fn got_message<'a>(&mut self, message: Message) -> Hearing<'a> {
        let heard = match message {
            Message::KeepAlive | Message::Port(_) => return Ok(None),
            Message::Choke => {
                self.choked = true;
                Heard::Choked
            }
            Message::Unchoke => {
                self.choked = false;
                Heard::Unchoked
            }
            Message::Interested => {
                self.interested = true;
                Heard::Interested
            }
            Message::NotInterested => {
                self.interested = false;
                Heard::NotInterested
            }
            Message::Have(index) => return self.got_have(index),
            Message::Request(asked) => return self.got_request(asked),
            Message::Cancel(asked) => Heard::Cancelled(asked),
            Message::HashRequest(range) => {
                self.v2_only()?;
                Heard::AskedHashes(range)
            }
            Message::HashReject(range) => {
                self.v2_only()?;
                Heard::HashesRejected(range)
            }
            fast => return self.got_fast(fast),
        };
        Ok(Some(heard))
    }

    fn got_request<'a>(&mut self, asked: BlockRef) -> Hearing<'a> {
        if self.geometry.span(asked.piece, asked.begin, asked.len).is_err() {
            self.conduct.asked_wrongly()?;
            return Ok(Some(Heard::AskedWrongly(asked)));
        }
        Ok(Some(Heard::Asked(asked)))
    }

    fn got_fast<'a>(&mut self, message: Message) -> Hearing<'a> {
        if !self.fast {
            mark!("D12");
            return Err(Fault::peer("a message of the fast extension, which was not agreed on"));
        }
        match message {
            Message::HaveAll => {
                let all = Bitfield::full(self.geometry.pieces());
                Ok(Some(Heard::HasMany(std::mem::replace(&mut self.has, all))))
            }
            // Sent after pieces were told, it would take them back: nothing is unlearned.
            Message::HaveNone if self.has.is_empty() => Ok(None),
            Message::HaveNone => Err(Fault::peer("have none after pieces were told")),
            Message::Reject(refused) => Ok(Some(Heard::Rejected(refused))),
            // Offers; we need neither and keep nothing of them, however many come.
            Message::Suggest(index) | Message::AllowedFast(index) => {
                mark!("D32");
                self.geometry.checked_piece(index).map(|_| None)
            }
            _ => Ok(None),
        }
    }

    fn got_have<'a>(&mut self, index: u32) -> Hearing<'a> {
        let piece = self
            .geometry
            .piece(index)
            .ok_or(Fault::peer("have: a piece beyond the end of the content"))
            .inspect_err(|_| mark!("D06"))?;
        if self.has.get(index) {
            self.conduct.told_again(self.geometry.pieces())?;
            return Ok(None);
        }
        self.has.set(index);
        Ok(Some(Heard::Has(piece)))
    }

    fn v2_only(&self) -> Result<(), Fault> {
        match self.identity {
            Identity::V2 => Ok(()),
            Identity::V1 => Err(Fault::peer("hash tree messages in a v1 conversation")),
        }
    }

    fn got_start<'a>(&mut self, long: Long) -> Hearing<'a> {
        self.body = match long {
            Long::Bitfield { len } => {
                let loader = Loader::new(self.geometry.pieces(), len);
                Body::Bits(loader.inspect_err(|_| mark!("D05"))?)
            }
            Long::Block { piece, begin, len } => {
                let block = self.geometry.block(piece, begin, len)?;
                self.body = Body::Block;
                return Ok(Some(Heard::BlockBegan(block)));
            }
            Long::Extended { id, .. } => Body::Extended { id, bytes: Vec::new() },
            Long::Hashes { range, .. } => {
                self.v2_only()?;
                Body::Hashes { range, bytes: Vec::new() }
            }
            Long::Unknown { .. } => {
                self.conduct.sent_unknown()?;
                Body::Skipped
            }
        };
        Ok(None)
    }

    fn got_bytes<'a>(&mut self, part: &'a [u8]) -> Hearing<'a> {
        match &mut self.body {
            Body::Bits(loader) => loader.feed(part)?,
            Body::Block => return Ok(Some(Heard::BlockBytes(part))),
            // Both lengths were checked by the decoder before the first byte came; memory grows
            // with what came, not with what was promised.
            Body::Extended { bytes, .. } | Body::Hashes { bytes, .. } => {
                mark!("F04");
                bytes.extend_from_slice(part);
            }
            Body::None | Body::Skipped => {}
        }
        Ok(None)
    }

    fn got_end<'a>(&mut self) -> Hearing<'a> {
        match std::mem::replace(&mut self.body, Body::None) {
            Body::Bits(loader) => {
                let told = loader.finish()?;
                if told.lacks_any_of(&self.has) {
                    mark!("D05");
                    return Err(Fault::peer("bitfield: takes back pieces it had told"));
                }
                Ok(Some(Heard::HasMany(std::mem::replace(&mut self.has, told))))
            }
            Body::Block => Ok(Some(Heard::BlockEnded)),
            Body::Extended { id, bytes } => self.got_extended(id, &bytes),
            Body::Hashes { range, bytes } => {
                let hashes = bytes.as_chunks::<32>().0.iter().map(|hash| Hash32(*hash)).collect();
                Ok(Some(Heard::GotHashes(range, hashes)))
            }
            Body::None | Body::Skipped => Ok(None),
        }
    }

    fn got_extended<'a>(&mut self, id: u8, payload: &[u8]) -> Hearing<'a> {
        let Some(words) = &mut self.introduced else {
            return Err(Fault::peer("an extended message, which was not agreed on"));
        };
        let heard = match id {
            0 => {
                // A bad one is ignored, as everybody does; a later one adds to the earlier.
                self.conduct.introduced()?;
                let Some(new) = ExtendedHandshake::decode(payload) else { return Ok(None) };
                greeting::learn(words, new);
                Some(Heard::Introduced)
            }
            greeting::OUR_EXCHANGE_ID => PeerExchange::decode(payload).map(Heard::GotPeers),
            // The message form of what a handshake says, too (BEP 21).
            greeting::OUR_UPLOAD_ONLY_ID => decode_upload_only(payload).map(|on| {
                words.upload_only = Some(on);
                Heard::Introduced
            }),
            greeting::OUR_STATE_ID => UploadState::decode(payload).map(Heard::Told),
            greeting::OUR_METADATA_ID => match MetadataMessage::decode(payload) {
                Some(MetadataMessage::Request { piece }) => Some(Heard::AskedMetadata(piece)),
                _ => None,
            },
            _ => None,
        };
        Ok(heard)
    }
}
