//! What a node (seeder or leecher) is told at birth: every choice already made, the tracker's host
//! name resolved, every path absolute.

use crate::announce::name_files::NameFiles;
use crate::content::chosen::Chosen;
use crate::content::magnet::Magnet;
use crate::content::metainfo::KeyOrder;
use crate::core::id::PeerId;
use crate::core::time::Span;
use crate::peer::Encryption;
use crate::swarm::{Company, Terms};
use crate::wire::catalogue::signature::{PublicKey, SecretKey};
use crate::wire::token::Bearer;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodePlan {
    pub job: Job,
    /// The tracker, resolved.
    pub tracker: SocketAddr,
    /// The tracker as the user named it, with its port, for lines to type elsewhere.
    pub tracker_text: String,
    /// Where to listen for peers; `None` = loopback or all addresses, as the tracker is reached.
    pub listen: Option<Listen>,
    /// Addresses of this machine that others may use, loopback left out.
    pub addresses: Vec<IpAddr>,
    pub peer_id: PeerId,
    /// Seed for everything that is random and no secret.
    pub seed: u64,
    /// 32 fresh bytes from the system: the node key unless `key_file` already holds one.
    pub secret: [u8; 32],
    /// Where the node key is kept between runs; `None` = nowhere.
    pub key_file: Option<PathBuf>,
    /// Whether conversations with peers are encrypted (`--encryption`).
    pub encryption: Encryption,
    /// Slots for leechers: how many are served at once.
    pub slots: u32,
    /// How it takes part in swarms beside that.
    pub terms: Terms,
    /// Shown to the tracker, if it asks for one (`--token`).
    pub token: Option<Bearer>,
    /// Where it stands how hosts of others are found.
    pub names: NameFiles,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    pub ip: IpAddr,
    /// First port tried, and the last one.
    pub ports: (u16, u16),
}

impl Listen {
    /// The ports tried when none is named: the customary ones of BitTorrent, then some.
    pub const PORTS: (u16, u16) = (6881, 6999);
}

impl NodePlan {
    /// The terms of its swarms: a torrent that no tracker of ours lists brings strangers.
    pub fn terms(&self) -> Terms {
        let among_strangers = self.torrent().is_some_and(|torrent| !torrent.listed);
        let company = if among_strangers { Company::Strangers } else { Company::Ours };
        Terms { company, ..self.terms }
    }

    /// The torrent that the job is about, if it is about one.
    pub fn torrent(&self) -> Option<&TorrentPlan> {
        match &self.job {
            Job::Seed(seed) => seed.torrent.as_ref(),
            Job::Fetch(fetch) => fetch.torrent.as_ref(),
        }
    }
}

/// A torrent, in place of a name of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TorrentPlan {
    pub from: TorrentFrom,
    /// Further trackers, as URLs: each is a tier of its own.
    pub further: Vec<String>,
    /// The tracker of the plan lists it, too.
    pub listed: bool,
    /// `--announce-all`: all tiers of trackers are asked at once.
    pub announce_all: bool,
}

/// What says which torrent it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TorrentFrom {
    /// A .torrent, absolute, and in which order its keys may stand.
    File(PathBuf, KeyOrder),
    Magnet(Box<MagnetPlan>),
}

/// A magnet link, and where the peers are that it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MagnetPlan {
    pub link: Magnet,
    /// `x.pe`, resolved.
    pub peers: Vec<SocketAddr>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    Seed(SeedPlan),
    Fetch(FetchPlan),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeedPlan {
    /// What the file must be (`--torrent`); else it is hashed.
    pub torrent: Option<TorrentPlan>,
    /// The file, absolute.
    pub path: PathBuf,
    /// The bytes of its last path element: the `name` of the info dicts.
    pub file_name: Vec<u8>,
    /// `--as NAME`: published under this name in place of the file's own.
    pub publish_as: Option<String>,
    /// `--write-torrent FILE`.
    pub torrent_out: Option<PathBuf>,
    /// `--sign FILE`: the key that the entry is signed with.
    pub sign: Option<SecretKey>,
    /// Directory of remembered hashes; `None` = hash every time.
    pub hash_cache: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchPlan {
    /// With a torrent its name once that is known, and no pin.
    pub want: Want,
    pub torrent: Option<TorrentPlan>,
    /// `--files`: which files of a folder are made; `None` = all.
    pub files: Option<Chosen>,
    /// Directory that relative results go to: the working directory, absolute.
    pub directory: PathBuf,
    /// `--out`, absolute: an existing directory, or the file to write. A text that ended in `/`
    /// must be a directory.
    pub out: Option<PathBuf>,
    pub out_must_be_directory: bool,
    /// `--overwrite`: an existing target with other content is replaced.
    pub overwrite: bool,
    /// `--keep-seeding`: stay after completion.
    pub keep_seeding: bool,
    /// `--timeout`: give up when no source was there for so long; `None` = wait.
    pub timeout: Option<Span>,
    /// `--wait`: how long to wait for a name that nobody has published yet; `None` = not at all.
    pub wait: Option<Span>,
    /// `--sources`: how many sources are dialled and kept at a time.
    pub sources: u32,
}

/// What is wanted: a name, and possibly which of several contents of that name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    pub name: String,
    pub pin: Option<Pin>,
    /// Only entries that this key signed (`--publisher`, or `@ed25519:` in the want).
    pub publisher: Option<PublicKey>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pin {
    /// 8 or more lower-case hex digits: the start of an info-hash, v2 or v1.
    Hash(String),
    /// The SHA-256 of the file itself.
    Sha256([u8; 32]),
}
