//! What the roles of a world are told at birth: every field once, with the choice that most stages
//! want. What a stage wants otherwise it says by struct update, so that a new field is added here.

use super::world::NodeEnv;
use crate::announce::name_files::NameFiles;
use crate::content::metainfo::KeyOrder;
use crate::core::id::PeerId;
use crate::core::limits::{SLOTS_DEFAULT, SOURCES_DEFAULT};
use crate::core::rng::Rng;
use crate::node::plan::{FetchPlan, Job, NodePlan, SeedPlan, TorrentFrom, TorrentPlan, Want};
use crate::peer::Encryption;
use crate::tracker::plan::TrackerPlan;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where the tracker of a world is, unless it is elsewhere.
pub const TRACKER: ([u8; 4], u16) = ([10, 0, 0, 1], 6969);

/// A tracker on all addresses of its machine that keeps nothing between runs.
pub fn tracker(env: NodeEnv) -> TrackerPlan {
    TrackerPlan {
        bind: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), TRACKER.1),
        addresses: vec![env.ip],
        wall_start_s: env.wall_start_s,
        seed: env.seed,
        secret: secret(env.seed),
        key_file: None,
        database: None,
        keep_names_s: 24 * 3600,
        access: Default::default(),
        trace: false,
        bounds: Default::default(),
        sites: vec![],
    }
}

/// A node that asks the tracker at [`TRACKER`].
pub fn node(env: NodeEnv, job: Job) -> NodePlan {
    let tracker = SocketAddr::from(TRACKER);
    let mut peer_id = *b"-LM0100-............";
    peer_id[8..].copy_from_slice(&secret(env.seed ^ 1)[..12]);
    NodePlan {
        job,
        tracker,
        tracker_text: tracker.to_string(),
        listen: None,
        addresses: vec![env.ip],
        peer_id: PeerId(peer_id),
        seed: env.seed,
        secret: secret(env.seed),
        key_file: None,
        encryption: Encryption::Allow,
        slots: SLOTS_DEFAULT,
        terms: Default::default(),
        token: None,
        names: NameFiles::default(),
    }
}

/// The file or folder at `path`, published under its own name.
pub fn seed(path: impl Into<PathBuf>) -> SeedPlan {
    let path = path.into();
    SeedPlan {
        torrent: None,
        file_name: path.file_name().unwrap_or_default().as_encoded_bytes().to_vec(),
        path,
        publish_as: None,
        torrent_out: None,
        sign: None,
        hash_cache: None,
    }
}

/// `name`, into `directory`, by a leecher that ends when it has it.
pub fn fetch(name: &str, directory: impl Into<PathBuf>) -> FetchPlan {
    FetchPlan {
        want: Want { name: name.into(), pin: None, publisher: None },
        torrent: None,
        files: None,
        directory: directory.into(),
        out: None,
        out_must_be_directory: false,
        overwrite: false,
        keep_seeding: false,
        timeout: None,
        wait: None,
        sources: SOURCES_DEFAULT,
    }
}

/// The .torrent at `path`, which no tracker of ours lists.
pub fn torrent(path: impl Into<PathBuf>) -> TorrentPlan {
    unlisted(TorrentFrom::File(path.into(), KeyOrder::Sorted))
}

/// A torrent which no tracker of ours lists.
pub fn unlisted(from: TorrentFrom) -> TorrentPlan {
    TorrentPlan { from, further: vec![], listed: false, announce_all: false }
}

/// 32 bytes for keys that follow from a seed.
fn secret(seed: u64) -> [u8; 32] {
    let mut secret = [0; 32];
    Rng::new(seed).fork(32).fill(&mut secret);
    secret
}
