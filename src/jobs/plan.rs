//! What a job is told at birth.

use super::torrent_file::TorrentFile;
use crate::content::magnet::Magnet;
use crate::content::metainfo::Wanted;
use crate::core::id::InfoHash;
use crate::wire::catalogue::signature::SecretKey;
use crate::wire::token::Bearer;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobPlan {
    pub ask: Ask,
    /// The tracker, resolved.
    pub tracker: SocketAddr,
    /// The tracker as the user named it, with its port.
    pub tracker_text: String,
    /// Shown to the tracker, if it asks for one (`--token`).
    pub token: Option<Bearer>,
    /// Seed for everything that is random and no secret.
    pub seed: u64,
    /// Lines are read by a person, in columns under a head; otherwise each stands for itself.
    pub table: bool,
}

/// What is asked of the tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// `lmk ls [GLOB]`: names that fit, all without a glob.
    List { glob: Option<String> },
    /// `lmk info NAME`: all contents of a name.
    Info { name: String },
    /// `lmk status`: how the tracker is doing, and the names that somebody has or wants.
    Status,
}

/// `lmk token`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenPlan {
    /// The file of keys, absolute.
    pub keys_file: PathBuf,
    pub ask: TokenAsk,
    /// Unix seconds now.
    pub wall_s: u64,
    /// 32 fresh bytes from the system: a key, if one is made, and who owns what is published.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for TokenPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenPlan({:?}, ..)", self.ask)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenAsk {
    /// Makes a token.
    Make {
        /// Bits of [`crate::wire::token::scope`].
        scope: u8,
        /// `--for`: the one content it is for.
        bound: Option<InfoHash>,
        /// Seconds from now; `None` = for ever.
        expires_s: Option<u64>,
        /// `--key`: with this key; `None` = with the newest one.
        key: Option<u16>,
        /// `--owner`: the same text gives the same owner of entries; `None` = a new one.
        owner: Option<String>,
    },
    List,
    NewKey,
    Revoke(u16),
}

/// `lmk keygen`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeygenPlan {
    /// Where the secret goes, absolute.
    pub out: PathBuf,
    pub secret: SecretKey,
}

/// `lmk probe`: talk to a tracker and tell each step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbePlan {
    /// The tracker, resolved.
    pub tracker: SocketAddr,
    /// Scheme, host and port as the user named them; no path, as there may be a token in it.
    pub tracker_text: String,
    pub speech: Speech,
    /// What is announced and scraped.
    pub hash: InfoHash,
    /// Seed for everything that is random and no secret.
    pub seed: u64,
    /// Lines are read by a person; otherwise each stands for itself.
    pub table: bool,
}

/// How a tracker is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Speech {
    /// BEP 15, with path and query of the URL as BEP 41 has them.
    Udp { url_data: Vec<u8> },
    /// BEP 3: the host as it was named, path of the announce and query of the URL.
    Http {
        host: String,
        path: String,
        query: String,
        /// Over TLS, with whom the certificate must name.
        tls: Option<String>,
    },
}

/// `lmk create`: make a .torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatePlan {
    /// The file or folder, absolute.
    pub path: PathBuf,
    /// Its own name.
    pub name: Vec<u8>,
    /// Where the .torrent goes, absolute.
    pub out: PathBuf,
    /// Replace what is there.
    pub overwrite: bool,
    pub wanted: Wanted,
    /// Lines are read by a person; otherwise each stands for itself.
    pub table: bool,
}

/// `lmk show`: tell what a .torrent or a link says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShowPlan {
    pub subject: Subject,
    /// Lines are read by a person; otherwise each stands for itself.
    pub table: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    Torrent(TorrentFile),
    Magnet(Box<Magnet>),
}

/// `lmk verify`: compare files with a .torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyPlan {
    pub torrent: TorrentFile,
    /// The file or folder, or what it lies in; absolute.
    pub path: PathBuf,
}
