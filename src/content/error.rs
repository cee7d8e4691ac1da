//! Why a content, its metainfo or its layers were not taken: one clear line each.

use crate::core::bencode::{BencodeError, DISORDER};
use crate::core::name::NameError;
use std::fmt;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaError {
    /// Not bencode, or not the canonical form.
    Bencode(BencodeError),
    /// Keys out of order where no order but the canonical one is taken.
    Disorder(BencodeError),
    /// A key that must be there is not.
    Missing(&'static str),
    /// A key has a value it must not have: key, rule.
    Bad(&'static str, &'static str),
    /// More than `limits::PIECES_MAX` pieces.
    TooManyPieces,
    /// File lengths that do not fit 63 bits together.
    TooLarge,
    /// The name breaks the rules for names.
    Name(NameError),
    /// So does an element of the path under this key.
    Element(&'static str, NameError),
    /// The piece layers break a rule of BEP 52.
    Layers(&'static str),
    /// The two identities describe different contents: in what they differ.
    Disagree(&'static str),
    /// Fewer or more bytes were read than the file had when it was opened.
    SizeChanged { expected: u64, got: u64 },
}

impl MetaError {
    /// Whether nothing is wrong but the order of keys of a v1 torrent.
    pub fn is_disorder(&self) -> bool {
        matches!(self, MetaError::Bencode(why) if why.what == DISORDER)
    }
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetaError::Bencode(why) => write!(f, "metainfo: {why}"),
            MetaError::Disorder(why) => {
                write!(f, "metainfo: {why}; a v1 torrent alone may be taken as it stands")
            }
            MetaError::Missing(key) => write!(f, "metainfo: `{key}` is missing"),
            MetaError::Bad(key, rule) => write!(f, "metainfo: `{key}` {rule}"),
            MetaError::TooManyPieces => {
                write!(f, "metainfo: more than {} pieces", crate::core::limits::PIECES_MAX)
            }
            MetaError::TooLarge => write!(f, "metainfo: file sizes overflow"),
            MetaError::Element(key, why) => {
                write!(f, "metainfo: `{key}` has an element that is none: {why}")
            }
            MetaError::Name(why) => write!(f, "metainfo: {why}"),
            MetaError::Layers(why) => write!(f, "metainfo: piece layers: {why}"),
            MetaError::Disagree(what) => {
                write!(f, "metainfo: v1 and v2 parts describe different files: {what}")
            }
            MetaError::SizeChanged { expected, got } => {
                write!(f, "file changed while it was read: {expected} bytes expected, {got} read")
            }
        }
    }
}

impl std::error::Error for MetaError {}

impl From<NameError> for MetaError {
    fn from(why: NameError) -> MetaError {
        MetaError::Name(why)
    }
}

impl From<BencodeError> for MetaError {
    fn from(why: BencodeError) -> MetaError {
        MetaError::Bencode(why)
    }
}
