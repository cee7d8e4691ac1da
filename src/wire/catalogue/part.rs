//! The parts of a content's metainfo that a FETCH names.

/// Which part of the metainfo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The v1 or hybrid info dict.
    V1Info,
    /// The bencoded `piece layers`.
    Layers,
    /// A whole .torrent file.
    Torrent,
    /// The v2 info dict.
    V2Info,
    /// The bencoded `url-list` (BEP 19): servers of the web that have the file.
    WebSeeds,
}

impl What {
    const ALL: [What; 5] =
        [What::V1Info, What::Layers, What::Torrent, What::V2Info, What::WebSeeds];

    pub(super) fn number(self) -> u64 {
        What::ALL.iter().position(|what| *what == self).unwrap_or_default() as u64
    }

    pub(super) fn of(number: u64) -> Option<What> {
        What::ALL.get(usize::try_from(number).ok()?).copied()
    }
}
