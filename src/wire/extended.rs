//! Payloads of the extension protocol (BEP 10): its handshake, `lt_donthave` (BEP 54) and
//! `upload_only` (BEP 21) here, `lmk_state` and the metadata exchange (BEP 9) in files apart.
//! A payload that cannot be read is `None`: the message is ignored.

pub use super::peer_metadata::{METADATA_BLOCK_BYTES, METADATA_BYTES_MAX, MetadataMessage};
pub use super::peer_state::{Reason, UploadState};

use crate::core::bencode::{Limits, Mode, Value, Writer, parse};
use std::net::IpAddr;

/// Longest extension handshake written: rtorrent 0.9.8 resets on larger ones.
pub const HANDSHAKE_BYTES_MAX: usize = 600;
/// Bytes kept and written of a client's name for itself.
pub const CLIENT_BYTES_MAX: usize = 64;

/// The extensions this program can speak.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Extension {
    LmkState,
    LtDontHave,
    UploadOnly,
    UtHolepunch,
    UtMetadata,
    UtPex,
}

impl Extension {
    /// In the order of their names, which is the order on the wire.
    pub const ALL: [Extension; 6] = [
        Extension::LmkState,
        Extension::LtDontHave,
        Extension::UploadOnly,
        Extension::UtHolepunch,
        Extension::UtMetadata,
        Extension::UtPex,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Extension::LmkState => "lmk_state",
            Extension::LtDontHave => "lt_donthave",
            Extension::UploadOnly => "upload_only",
            Extension::UtHolepunch => "ut_holepunch",
            Extension::UtMetadata => "ut_metadata",
            Extension::UtPex => "ut_pex",
        }
    }
}

/// The `m` of one side: under which id it wants to be sent which extension. Ids are chosen by the
/// receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtensionIds {
    /// By `Extension as usize`. `None`: not mentioned; 0: turned off.
    ids: [Option<u8>; Extension::ALL.len()],
}

impl ExtensionIds {
    /// The id to send an extension under, if the other side takes it.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        self.mentioned(extension).filter(|id| *id != 0)
    }

    /// The extension that an id of ours stands for.
    pub fn extension(&self, id: u8) -> Option<Extension> {
        Extension::ALL.into_iter().find(|extension| self.id(*extension) == Some(id))
    }

    /// Mentions an extension; id 0 turns it off.
    pub fn set(&mut self, extension: Extension, id: u8) {
        if let Some(place) = self.ids.get_mut(extension as usize) {
            *place = Some(id);
        }
    }

    /// Adds what a later handshake of the same side mentions; the rest stays.
    pub fn learn(&mut self, later: &ExtensionIds) {
        for extension in Extension::ALL {
            if let Some(id) = later.mentioned(extension) {
                self.set(extension, id);
            }
        }
    }

    fn mentioned(&self, extension: Extension) -> Option<u8> {
        self.ids.get(extension as usize).copied().flatten()
    }

    /// Entries whose id does not fit a byte are passed over, and so are two that share one id.
    fn decode(m: Value) -> ExtensionIds {
        let id_of = |value: Value| value.uint().and_then(|id| u8::try_from(id).ok());
        let mut ids = ExtensionIds::default();
        let mut uses = [0u32; 256];
        for extension in Extension::ALL {
            if let Some(id) = m.get(extension.name().as_bytes()).and_then(id_of) {
                ids.set(extension, id);
                uses[usize::from(id)] += 1;
            }
        }
        for (name, value) in m.entries() {
            let known = Extension::ALL.iter().any(|e| e.name().as_bytes() == name);
            if let (false, Some(id)) = (known, id_of(value)) {
                uses[usize::from(id)] += 1;
            }
        }
        for place in &mut ids.ids {
            *place = place.filter(|id| *id == 0 || uses[usize::from(*id)] == 1);
        }
        ids
    }

    fn encode(&self, out: &mut Writer) {
        out.begin_dict();
        for extension in Extension::ALL {
            if let Some(id) = self.mentioned(extension) {
                out.key(extension.name().as_bytes()).uint(u64::from(id));
            }
        }
        out.end();
    }
}

/// Payload of extension message 0. Each field may be absent; a later handshake adds to the first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedHandshake {
    /// `m`.
    pub ids: ExtensionIds,
    /// `p`: TCP port the sender listens on; never 0.
    pub listen_port: Option<u16>,
    /// `v`: name and version of the client, as it came, at most [`CLIENT_BYTES_MAX`] bytes.
    pub client: Option<Vec<u8>>,
    /// The receiver's address as the sender sees it.
    pub yourip: Option<IpAddr>,
    /// Requests the sender queues without dropping.
    pub reqq: Option<u32>,
    /// Bytes of the info dict (BEP 9), 1 to [`METADATA_BYTES_MAX`].
    pub metadata_size: Option<u32>,
    /// BEP 21.
    pub upload_only: Option<bool>,
    /// The sender's upload side toward the receiver, where it is one of ours.
    pub lmk: Option<UploadState>,
}

impl ExtendedHandshake {
    /// The payload. At most [`HANDSHAKE_BYTES_MAX`] bytes whatever the fields hold.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.begin_dict();
        if let Some(state) = &self.lmk {
            state.write(out.key(b"lmk"), true);
        }
        self.ids.encode(out.key(b"m"));
        if let Some(size) = self.metadata_size {
            out.key(b"metadata_size").uint(u64::from(size));
        }
        if let Some(port) = self.listen_port {
            out.key(b"p").uint(u64::from(port));
        }
        if let Some(requests) = self.reqq {
            out.key(b"reqq").uint(u64::from(requests));
        }
        if let Some(on) = self.upload_only {
            out.key(b"upload_only").uint(u64::from(on));
        }
        if let Some(client) = &self.client {
            out.key(b"v").bytes(first_bytes(client));
        }
        match self.yourip {
            Some(IpAddr::V4(ip)) => drop(out.key(b"yourip").bytes(&ip.octets())),
            Some(IpAddr::V6(ip)) => drop(out.key(b"yourip").bytes(&ip.octets())),
            None => {}
        }
        out.end();
        out.finish()
    }

    /// A field of the wrong type or range counts as absent.
    pub fn decode(payload: &[u8]) -> Option<ExtendedHandshake> {
        let doc = parse(payload, Mode::Tolerant, Limits::MESSAGE).ok()?;
        let root = doc.root();
        if !root.is_dict() {
            return None;
        }
        let number = |key: &[u8]| root.get(key).and_then(|value| value.uint());
        let small = |key: &[u8]| number(key).and_then(|n| u32::try_from(n).ok());
        let port = number(b"p").and_then(|n| u16::try_from(n).ok());
        Some(ExtendedHandshake {
            ids: root.get(b"m").map(ExtensionIds::decode).unwrap_or_default(),
            listen_port: port.filter(|port| *port != 0),
            client: root.get(b"v").and_then(|v| v.bytes()).map(|v| first_bytes(v).to_vec()),
            yourip: root.get(b"yourip").and_then(|v| v.bytes()).and_then(address),
            reqq: small(b"reqq"),
            metadata_size: small(b"metadata_size").filter(|n| (1..=METADATA_BYTES_MAX).contains(n)),
            upload_only: number(b"upload_only").map(|n| n != 0),
            lmk: root.get(b"lmk").and_then(UploadState::read),
        })
    }
}

fn first_bytes(client: &[u8]) -> &[u8] {
    client.get(..CLIENT_BYTES_MAX).unwrap_or(client)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Payload of `lt_donthave` (BEP 54): the index of a piece the sender no longer has.
pub fn encode_dont_have(piece: u32) -> [u8; 4] {
    piece.to_be_bytes()
}

/// The piece index of an `lt_donthave`.
pub fn decode_dont_have(payload: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(payload).ok().map(u32::from_be_bytes)
}

/// The word of an `upload_only` in its message form (libtorrent): one byte.
pub fn decode_upload_only(payload: &[u8]) -> Option<bool> {
    match payload {
        [on] => Some(*on != 0),
        _ => None,
    }
}
