//! The first words on both sides: handshake (BEP 3), extension handshake (BEP 10), and what we
//! have.

use crate::content::bitfield::Bitfield;
use crate::core::id::{ConnId, InfoHash, PeerId};
use crate::core::io::Outbox;
use crate::wire::extended::{ExtendedHandshake, Extension, ExtensionIds};
use crate::wire::peer::{self, Handshake, Message, Reserved};
use crate::wire::peer_state::UploadState;
use std::net::{IpAddr, SocketAddr};

/// Which of a content's identities a conversation runs under. Both feed the same pieces; only under
/// v2 may hashes be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Identity {
    V1,
    V2,
}

/// What we say of ourselves in every greeting.
#[derive(Clone, Debug)]
pub struct Us {
    pub peer_id: PeerId,
    /// Port we listen on for peers; 0 = none.
    pub listen_port: u16,
    /// Bytes of the info dict we can serve, v1 and v2; 0 = none.
    pub metadata_bytes: [u32; 2],
    /// Whether we tell and hear of further peers (BEP 11).
    pub exchanges: bool,
    /// The v2 hash of a hybrid: a conversation that opens under its v1 hash goes over to this one
    /// if both sides know it (BEP 52). Companions have none: who has one need not know the other.
    pub upgrade: Option<InfoHash>,
}

/// Requests we queue for one peer before we drop some.
pub const REQUESTS_QUEUED_MAX: u32 = 500;

/// Extension ids under which we want to be spoken to.
pub const OUR_EXCHANGE_ID: u8 = 1;
pub const OUR_METADATA_ID: u8 = 2;
pub const OUR_UPLOAD_ONLY_ID: u8 = 3;
pub const OUR_STATE_ID: u8 = 9;

impl Us {
    /// The 68 bytes that open a conversation under one of our identities, or answer one.
    pub fn handshake(&self, info_hash: InfoHash, identity: Identity) -> [u8; 68] {
        let reserved = Reserved::new().with_extended().with_fast();
        let reserved = match (identity, self.upgrade) {
            (Identity::V1, Some(_)) => reserved.with_v2_upgrade(),
            _ => reserved,
        };
        Handshake { reserved, info_hash, peer_id: self.peer_id }.encode()
    }

    /// Says who we are in extension words.
    pub fn introduce(
        &self,
        conn: ConnId,
        identity: Identity,
        their_ip: IpAddr,
        state: UploadState,
        complete: bool,
        out: &mut Outbox,
    ) {
        let metadata_bytes = self.metadata_bytes[identity as usize];
        let mut ids = ExtensionIds::default();
        ids.set(Extension::LmkState, OUR_STATE_ID);
        ids.set(Extension::UploadOnly, OUR_UPLOAD_ONLY_ID);
        if self.exchanges {
            ids.set(Extension::UtPex, OUR_EXCHANGE_ID);
        }
        if metadata_bytes > 0 {
            ids.set(Extension::UtMetadata, OUR_METADATA_ID);
        }
        let words = ExtendedHandshake {
            ids,
            metadata_size: (metadata_bytes > 0).then_some(metadata_bytes),
            listen_port: (self.listen_port > 0).then_some(self.listen_port),
            client: Some(concat!("lmk/", env!("CARGO_PKG_VERSION")).as_bytes().to_vec()),
            yourip: Some(their_ip),
            reqq: Some(REQUESTS_QUEUED_MAX),
            upload_only: Some(complete),
            lmk: Some(state),
        };
        say_words(conn, &words, out);
    }

    /// Says who we are while the content is not known: we take metadata, and have none.
    pub fn introduce_early(&self, conn: ConnId, their_ip: IpAddr, out: &mut Outbox) {
        let mut ids = ExtensionIds::default();
        ids.set(Extension::UtMetadata, OUR_METADATA_ID);
        let words = ExtendedHandshake {
            ids,
            listen_port: (self.listen_port > 0).then_some(self.listen_port),
            client: Some(concat!("lmk/", env!("CARGO_PKG_VERSION")).as_bytes().to_vec()),
            yourip: Some(their_ip),
            reqq: Some(REQUESTS_QUEUED_MAX),
            ..ExtendedHandshake::default()
        };
        say_words(conn, &words, out);
    }
}

fn say_words(conn: ConnId, words: &ExtendedHandshake, out: &mut Outbox) {
    let payload = words.encode();
    out.send(conn, &peer::extended_head(0, payload.len() as u32));
    out.send(conn, &payload);
}

/// Says which pieces we have, in the shortest legal form.
pub fn tell_pieces(conn: ConnId, have: &Bitfield, fast: bool, out: &mut Outbox) {
    if fast && have.is_full() && !have.is_empty() {
        out.send(conn, &Message::HaveAll.encode());
    } else if have.is_empty() {
        if fast {
            out.send(conn, &Message::HaveNone.encode());
        }
    } else {
        out.send(conn, &peer::bitfield_head(have.as_bytes().len() as u32));
        out.send(conn, have.as_bytes());
    }
}

/// What is known of a peer by its handshake alone: nothing yet, or that it will never tell.
pub fn extends(theirs: &Handshake) -> Option<ExtendedHandshake> {
    theirs.reserved.extended().then(ExtendedHandshake::default)
}

/// The address under which others may dial a peer, as far as it is known: the one we dialled, or
/// the port it named.
pub fn listens_at(
    remote: SocketAddr,
    outgoing: bool,
    introduced: Option<&ExtendedHandshake>,
) -> Option<SocketAddr> {
    if outgoing {
        return Some(remote);
    }
    Some(SocketAddr::new(remote.ip(), introduced?.listen_port?))
}

/// A later extension handshake adds to what the first said (BEP 10).
pub fn learn(known: &mut ExtendedHandshake, later: ExtendedHandshake) {
    known.ids.learn(&later.ids);
    known.listen_port = later.listen_port.or(known.listen_port);
    known.client = later.client.or(known.client.take());
    known.yourip = later.yourip.or(known.yourip);
    known.reqq = later.reqq.or(known.reqq);
    known.metadata_size = later.metadata_size.or(known.metadata_size);
    known.upload_only = later.upload_only.or(known.upload_only);
    known.lmk = later.lmk.or(known.lmk);
}
