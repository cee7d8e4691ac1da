//! One conversation with one peer while the content is not known yet, only its info-hash. What a
//! peer tells of pieces is passed over: the conversation ends when the content is known, and in the
//! next one all of it is told again and judged by the content.

use super::conduct::Conduct;
use super::encryption::{Offer, Veil};
use super::greeting::{self, Identity, Us};
use super::heard::EarlyHeard;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, Hash32, InfoHash, PeerId};
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::time::Time;
use crate::wire::extended::{ExtendedHandshake, Extension};
use crate::wire::peer::{self, Framer, Handshake, HashRange, Long, Message, Part};
use crate::wire::peer_metadata::MetadataMessage;
use std::net::SocketAddr;

#[derive(Debug)]
pub struct Early {
    pub conn: ConnId,
    pub remote: SocketAddr,
    pub identity: Identity,
    /// Whether we dialled.
    pub outgoing: bool,
    info_hash: InfoHash,
    pub veil: Veil,
    framer: Framer,
    body: Body,
    /// Their id, once the handshake came.
    pub peer_id: Option<PeerId>,
    fast: bool,
    /// What they said of themselves, all extension handshakes together.
    pub introduced: Option<ExtendedHandshake>,
    conduct: Conduct,
    /// When the conversation began, when they last spoke, when we last spoke.
    pub began: Time,
    pub heard: Time,
    pub spoke: Time,
}

/// The long message that is coming in.
#[derive(Debug)]
enum Body {
    Skipped,
    Extended { id: u8, bytes: Vec<u8> },
    Hashes { range: HashRange, bytes: Vec<u8> },
}

impl Early {
    /// A conversation we opened: speaks first.
    pub fn dialled(
        conn: ConnId,
        remote: SocketAddr,
        (identity, info_hash): (Identity, InfoHash),
        now: Time,
    ) -> Early {
        Early {
            conn,
            remote,
            identity,
            outgoing: true,
            info_hash,
            veil: Veil::default(),
            framer: Framer::new(),
            body: Body::Skipped,
            peer_id: None,
            fast: false,
            introduced: None,
            conduct: Conduct::default(),
            began: now,
            heard: now,
            spoke: now,
        }
    }

    /// A conversation that was opened to us and whose handshake `framer` has already read.
    pub fn accepted(
        conn: ConnId,
        remote: SocketAddr,
        (framer, handshake): (Framer, Handshake),
        identity: Identity,
        now: Time,
    ) -> Early {
        let mut early = Early::dialled(conn, remote, (identity, handshake.info_hash), now);
        early.outgoing = false;
        early.framer = framer;
        early.take_handshake(handshake);
        early
    }

    fn take_handshake(&mut self, theirs: Handshake) {
        self.peer_id = Some(theirs.peer_id);
        self.fast = theirs.reserved.fast();
        self.introduced = greeting::extends(&theirs);
    }

    /// Opens the conversation towards a peer we dialled.
    pub fn open(&mut self, us: &Us, offer: Offer, now: Time, out: &mut Outbox) {
        let words = us.handshake(self.info_hash, self.identity);
        self.veil = Veil::open((self.conn, self.info_hash), &words, offer, out);
        self.spoke = now;
    }

    /// Says who we are, and that we have nothing, once their handshake is known.
    pub fn greet(&mut self, us: &Us, now: Time, out: &mut Outbox) {
        if !self.outgoing {
            out.send(self.conn, &us.handshake(self.info_hash, self.identity));
        }
        if self.introduced.is_some() {
            us.introduce_early(self.conn, self.remote.ip(), out);
        }
        if self.fast {
            out.send(self.conn, &Message::HaveNone.encode());
        }
        self.spoke = now;
    }

    /// Bytes of the info dict, of a peer that can send it.
    pub fn metadata_bytes(&self) -> Option<u32> {
        let words = self.introduced.as_ref()?;
        words.ids.id(Extension::UtMetadata).and(words.metadata_size)
    }

    /// The address under which others may dial this peer, as far as it is known.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        greeting::listens_at(self.remote, self.outgoing, self.introduced.as_ref())
    }

    /// Says a message of fixed length.
    pub fn say(&mut self, message: Message, now: Time, out: &mut Outbox) {
        out.send(self.conn, &message.encode());
        self.spoke = now;
    }

    /// Says a message of the metadata exchange, if the peer understands it.
    pub fn tell_metadata(&mut self, message: &MetadataMessage<'_>, now: Time, out: &mut Outbox) {
        let words = self.introduced.as_ref();
        let Some(id) = words.and_then(|words| words.ids.id(Extension::UtMetadata)) else { return };
        let payload = message.encode();
        out.send(self.conn, &peer::extended_head(id, payload.len() as u32));
        out.send(self.conn, &payload);
        self.spoke = now;
    }

    /// The next fact in `input`, which is advanced past what was understood. Whoever asks for what
    /// we cannot have is refused at once.
    pub fn next(
        &mut self,
        input: &mut &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<EarlyHeard>, Fault> {
        while let Some(part) = self.framer.next(input)? {
            let heard = match part {
                Part::Handshake(theirs) => self.got_handshake(theirs)?,
                Part::Message(message) => self.got_message(message, now, out)?,
                Part::Start(long) => self.got_start(long)?,
                Part::Bytes(bytes) => self.got_bytes(bytes),
                Part::End => self.got_end(now, out)?,
            };
            if heard.is_some() {
                return Ok(heard);
            }
        }
        Ok(None)
    }

    fn got_handshake(&mut self, theirs: Handshake) -> Result<Option<EarlyHeard>, Fault> {
        if theirs.info_hash != self.info_hash {
            return Err(Fault::peer("handshake: another content than we asked for"));
        }
        self.take_handshake(theirs);
        Ok(Some(EarlyHeard::Greeted))
    }

    fn got_message(
        &mut self,
        message: Message,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<EarlyHeard>, Fault> {
        match message {
            Message::Request(block) => {
                self.conduct.asked_wrongly()?;
                if self.fast {
                    self.say(Message::Reject(block), now, out);
                }
            }
            Message::HashRequest(range) => {
                self.v2_only()?;
                self.conduct.asked_wrongly()?;
                self.say(Message::HashReject(range), now, out);
            }
            Message::HashReject(range) => {
                self.v2_only()?;
                return Ok(Some(EarlyHeard::HashesRejected(range)));
            }
            // Numbers of pieces mean nothing before it is known how many there are.
            Message::Have(_) => mark!("D06"),
            Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::Suggest(_)
            | Message::AllowedFast(_)
                if !self.fast =>
            {
                mark!("D12");
                return Err(Fault::peer(
                    "a message of the fast extension, which was not agreed on",
                ));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Hashes belong to conversations under v2, whatever the content turns out to be.
    fn v2_only(&self) -> Result<(), Fault> {
        if self.identity == Identity::V2 {
            return Ok(());
        }
        mark!("D27");
        Err(Fault::peer("hash tree messages in a v1 conversation"))
    }

    fn got_start(&mut self, long: Long) -> Result<Option<EarlyHeard>, Fault> {
        self.body = match long {
            Long::Extended { id, .. } => Body::Extended { id, bytes: Vec::new() },
            Long::Hashes { range, .. } => {
                self.v2_only()?;
                Body::Hashes { range, bytes: Vec::new() }
            }
            Long::Block { .. } => return Err(Fault::peer("a block that nobody asked for")),
            Long::Bitfield { .. } => {
                mark!("D05");
                Body::Skipped
            }
            Long::Unknown { .. } => {
                self.conduct.sent_unknown()?;
                Body::Skipped
            }
        };
        Ok(None)
    }

    fn got_bytes(&mut self, part: &[u8]) -> Option<EarlyHeard> {
        match &mut self.body {
            Body::Extended { bytes, .. } | Body::Hashes { bytes, .. } => {
                bytes.extend_from_slice(part);
            }
            Body::Skipped => {}
        }
        None
    }

    fn got_end(&mut self, now: Time, out: &mut Outbox) -> Result<Option<EarlyHeard>, Fault> {
        match std::mem::replace(&mut self.body, Body::Skipped) {
            Body::Skipped => Ok(None),
            Body::Extended { id, bytes } => self.got_extended(id, &bytes, now, out),
            Body::Hashes { range, bytes } => {
                let hashes = bytes.as_chunks::<32>().0.iter().map(|hash| Hash32(*hash)).collect();
                Ok(Some(EarlyHeard::GotHashes(range, hashes)))
            }
        }
    }

    fn got_extended(
        &mut self,
        id: u8,
        payload: &[u8],
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<EarlyHeard>, Fault> {
        let Some(words) = &mut self.introduced else {
            return Err(Fault::peer("an extended message, which was not agreed on"));
        };
        match id {
            0 => {
                self.conduct.introduced()?;
                let Some(new) = ExtendedHandshake::decode(payload) else { return Ok(None) };
                greeting::learn(words, new);
                Ok(Some(EarlyHeard::Introduced))
            }
            greeting::OUR_METADATA_ID => match MetadataMessage::decode(payload) {
                Some(MetadataMessage::Data { piece, total_size, block }) => {
                    let block = block.to_vec();
                    Ok(Some(EarlyHeard::GotMetadata { piece, total_size, block }))
                }
                Some(MetadataMessage::Reject { piece }) => {
                    Ok(Some(EarlyHeard::MetadataRejected(piece)))
                }
                Some(MetadataMessage::Request { piece }) => {
                    self.conduct.asked_wrongly()?;
                    self.tell_metadata(&MetadataMessage::Reject { piece }, now, out);
                    Ok(None)
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
