//! What we say in a conversation, and how much of it waits for a peer that does not read.

use super::Session;
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::extended::Extension;
use crate::wire::peer::{self, Message};
use crate::wire::peer_exchange::PeerExchange;
use crate::wire::peer_metadata::MetadataMessage;
use crate::wire::peer_state::UploadState;

/// What we say, blocks apart, may wait for one peer up to so many bytes, ...
const TOLD_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// ... and up to so many while more than this waits for all peers of a swarm: many that ask and do
/// not read must not cost much together.
const TOLD_BYTES_TIGHT: u64 = 64 * 1024;
const TOLD_ALL_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes that may wait for one peer, when `all` wait for all of them.
pub fn room(all: u64) -> u64 {
    if all > TOLD_ALL_BYTES { TOLD_BYTES_TIGHT } else { TOLD_BYTES_MAX }
}

impl Session {
    /// Says a fixed-length message and keeps our side of the flags.
    pub fn say(&mut self, message: Message, now: Time, out: &mut Outbox) {
        match message {
            Message::Choke => {
                self.choking = true;
            }
            Message::Unchoke => self.choking = false,
            Message::Interested => self.wanting = true,
            Message::NotInterested => self.wanting = false,
            _ => {}
        }
        self.send(&message.encode(), now, out);
    }

    /// Queues bytes of ours, and counts them until they have left.
    pub fn send(&mut self, bytes: &[u8], now: Time, out: &mut Outbox) {
        out.send(self.conn, bytes);
        self.unsent += bytes.len() as u64;
        self.told += bytes.len() as u64;
        self.spoke = now;
    }

    /// Blocks were queued for the peer: so many bytes that lie in a file.
    pub fn handed_over(&mut self, bytes: u64) {
        self.unsent += bytes;
    }

    /// Bytes of ours that wait, blocks apart; an estimate where both are mixed.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Told by the driver what of the queue is left.
    pub fn got_sent(&mut self, queued: u64, out: &mut Outbox) {
        let before = u128::from(self.unsent.max(queued).max(1));
        let told = u128::from(self.told) * u128::from(queued) / before;
        self.told = u64::try_from(told).unwrap_or(queued);
        self.unsent = queued;
        if self.paused && self.told <= self.room / 2 {
            self.paused = false;
            out.reading(self.conn, true);
        }
    }

    /// Whether so much waits for a peer that does not read that long answers are refused it.
    pub fn is_crowded(&self) -> bool {
        self.told > self.room
    }

    /// A peer that asks and does not read is not listened to until it does.
    pub fn pause_if_crowded(&mut self, out: &mut Outbox) {
        if self.is_crowded() && !self.paused {
            self.paused = true;
            out.reading(self.conn, false);
        }
    }

    /// Tells our upload state, if the peer understands it.
    pub fn tell_state(&mut self, state: UploadState, now: Time, out: &mut Outbox) {
        let Some(id) = self.speaks(Extension::LmkState) else { return };
        self.extended(id, &state.encode(), now, out);
    }

    /// Sends a metadata message, if the peer understands it.
    pub fn tell_metadata(&mut self, message: &MetadataMessage<'_>, now: Time, out: &mut Outbox) {
        let Some(id) = self.speaks(Extension::UtMetadata) else { return };
        self.extended(id, &message.encode(), now, out);
    }

    /// Tells of further peers, if the peer wants to hear of them.
    pub fn tell_peers(&mut self, peers: &PeerExchange, now: Time, out: &mut Outbox) {
        let Some(id) = self.speaks(Extension::UtPex) else { return };
        self.extended(id, &peers.encode(), now, out);
    }

    /// Whether the peer wants to hear of further peers.
    pub fn hears_of_peers(&self) -> bool {
        self.speaks(Extension::UtPex).is_some()
    }

    /// Tells that we want nothing any more (BEP 21).
    pub fn tell_upload_only(&mut self, now: Time, out: &mut Outbox) {
        let Some(id) = self.speaks(Extension::UploadOnly) else { return };
        self.extended(id, &[1], now, out);
    }

    /// Whether the peer says that it wants nothing (BEP 21).
    pub fn wants_nothing(&self) -> bool {
        self.introduced.as_ref().and_then(|words| words.upload_only) == Some(true)
    }

    /// The id under which the peer wants to hear an extension, if it knows it.
    pub(super) fn speaks(&self, extension: Extension) -> Option<u8> {
        self.introduced.as_ref()?.ids.id(extension)
    }

    pub(super) fn extended(&mut self, id: u8, payload: &[u8], now: Time, out: &mut Outbox) {
        self.send(&peer::extended_head(id, payload.len() as u32), now, out);
        self.send(payload, now, out);
    }
}
