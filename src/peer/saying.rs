//! What we say in a conversation, and how much of it waits for a peer that does not read.

use super::Session;
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::extended::Extension;
use crate::wire::peer::{self, Message};
use crate::wire::peer_metadata::MetadataMessage;
use crate::wire::peer_state::UploadState;

/// Bytes that may wait for one peer: what the upload pump hands over at a time, and as much again.
const UNSENT_BYTES_MAX: u64 = 2 * 1024 * 1024;

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
        self.spoke = now;
    }

    /// Told by the driver what of the queue is left.
    pub fn got_sent(&mut self, queued: u64, out: &mut Outbox) {
        self.unsent = queued;
        if self.paused && queued < UNSENT_BYTES_MAX / 2 {
            self.paused = false;
            out.reading(self.conn, true);
        }
    }

    /// Whether so much waits for a peer that does not read that long answers are refused it.
    pub fn is_crowded(&self) -> bool {
        self.unsent > UNSENT_BYTES_MAX
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

    /// The id under which the peer wants to hear an extension, if it knows it.
    pub(super) fn speaks(&self, extension: Extension) -> Option<u8> {
        self.introduced.as_ref()?.ids.id(extension)
    }

    pub(super) fn extended(&mut self, id: u8, payload: &[u8], now: Time, out: &mut Outbox) {
        self.send(&peer::extended_head(id, payload.len() as u32), now, out);
        self.send(payload, now, out);
    }
}
