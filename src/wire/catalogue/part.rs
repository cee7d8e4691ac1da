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
    /// By their numbers; 4 names nothing, and is refused.
    const ALL: [(u64, What); 5] = [
        (0, What::V1Info),
        (1, What::Layers),
        (2, What::Torrent),
        (3, What::V2Info),
        (5, What::WebSeeds),
    ];

    pub(super) fn number(self) -> u64 {
        What::ALL.iter().find(|(_, what)| *what == self).map_or(0, |(number, _)| *number)
    }

    pub(super) fn of(number: u64) -> Option<What> {
        What::ALL.iter().find(|(of, _)| *of == number).map(|(_, what)| *what)
    }
}
