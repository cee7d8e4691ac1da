//! the tricks of hostile peers

/// What one of them does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trick {
    /// Serves wrong bytes: in every block, in the last one of a piece, in every seventh block.
    LiesAlways,
    LiesLast,
    LiesSeventh,
    /// Serves wrong bytes and false leaf hashes with them.
    HashLiar,
    /// Claims everything and refuses every request.
    BitfieldLiar,
    /// Sends blocks nobody asked for.
    UnaskedBlocks,
    /// Announces a message of 4 GiB.
    HugePrefix,
    HaveFlooder,
    RequestFlooder,
    ChokeFlapper,
    GarbageHandshake,
    /// Has the peer id of somebody else of its kind, on every connection.
    DupPeerId,
    /// Takes on the peer id of the first full source it meets, and lies under it.
    Copycat,
    /// Claims everything, never unchokes, keeps the connection alive.
    KeepAliver,
    /// Unchokes, takes requests, answers none.
    Snubber,
    /// Answers at one byte a second.
    Slowloris,
    /// Hangs up in the middle of a block.
    ResetMidBlock,
    /// Sends the tracker requests of all kinds, and what is none. It does not play against
    /// peers.
    AnnounceFlooder,
}

impl Trick {
    /// All who play against peers; scenes draw them alike.
    pub const DRAWN: [Trick; 17] = [
        Trick::LiesAlways,
        Trick::LiesLast,
        Trick::LiesSeventh,
        Trick::HashLiar,
        Trick::BitfieldLiar,
        Trick::UnaskedBlocks,
        Trick::HugePrefix,
        Trick::HaveFlooder,
        Trick::RequestFlooder,
        Trick::ChokeFlapper,
        Trick::GarbageHandshake,
        Trick::DupPeerId,
        Trick::KeepAliver,
        Trick::Snubber,
        Trick::Slowloris,
        Trick::ResetMidBlock,
        Trick::Copycat,
    ];

    /// Whether it sends bytes that are not the content's.
    pub fn corrupts(self) -> bool {
        use Trick::{Copycat, HashLiar, LiesAlways, LiesLast, LiesSeventh};
        matches!(self, LiesAlways | LiesLast | LiesSeventh | HashLiar | Copycat)
    }
}
