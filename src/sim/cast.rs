//! Who plays in a swarm, and what each is told at birth.

use super::scene::Scene;
use super::swarm::NAME;
use super::world::NodeEnv;
use crate::announce::name_files::NameFiles;
use crate::core::id::PeerId;
use crate::core::io::Role;
use crate::core::limits::SOURCES_DEFAULT;
use crate::core::rng::Rng;
use crate::node::Node;
use crate::node::plan::{FetchPlan, Job, Listen, NodePlan, SeedPlan, Want};
use crate::peer::Encryption;
use crate::tracker::Tracker;
use crate::tracker::plan::{Database, TrackerPlan};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub(super) const SOURCE: &str = "/home/seeder/big.zip";
const TRACKER_PORT: u16 = 6969;

/// Who plays: makes the two roles. Another cast puts a planted bug on the stage.
#[derive(Clone, Copy)]
pub struct Cast {
    pub tracker: fn(TrackerPlan) -> Box<dyn Role>,
    pub node: fn(NodePlan) -> Box<dyn Role>,
    /// Whether they bear disks that fill up, fail, or lose their power.
    pub bears_disks: bool,
}

impl Cast {
    /// The roles of this program.
    pub fn real() -> Cast {
        Cast {
            tracker: |plan| Box::new(Tracker::new(plan)),
            node: |plan| Box::new(Node::new(plan)),
            bears_disks: true,
        }
    }
}

pub(super) fn tracker_plan(scene: &Scene, env: NodeEnv) -> TrackerPlan {
    let ip = if scene.one_machine { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    TrackerPlan {
        bind: SocketAddr::new(ip.into(), TRACKER_PORT),
        addresses: vec![env.ip],
        wall_start_s: env.wall_start_s,
        seed: env.seed,
        secret: secret(env.seed),
        key_file: scene.remembers.then(|| "/home/tracker/.state/key".into()),
        database: scene
            .remembers
            .then(|| Database { path: "/home/tracker/.state/tracker.db".into(), required: true }),
        keep_names_s: 24 * 3600,
        access: Default::default(),
        trace: false,
        bounds: Default::default(),
        sites: vec![],
    }
}

pub(super) fn node_plan(scene: &Scene, env: NodeEnv, home: &str, job: Job) -> NodePlan {
    let tracker_ip = if scene.one_machine { [127, 0, 0, 1] } else { [10, 0, 0, 1] };
    let tracker = SocketAddr::from((tracker_ip, TRACKER_PORT));
    let mut peer_id = *b"-LM0100-............";
    peer_id[8..].copy_from_slice(&secret(env.seed ^ 1)[..12]);
    let listen_on_all = Listen { ip: Ipv4Addr::UNSPECIFIED.into(), ports: Listen::PORTS };
    NodePlan {
        job,
        tracker,
        tracker_text: tracker.to_string(),
        listen: (env.seed.is_multiple_of(2) && !scene.one_machine).then_some(listen_on_all),
        addresses: vec![env.ip],
        peer_id: PeerId(peer_id),
        seed: env.seed,
        secret: secret(env.seed),
        key_file: scene.remembers.then(|| format!("/home/{home}/.state/key").into()),
        encryption: Encryption::Allow,
        slots: scene.slots,
        terms: Default::default(),
        token: None,
        names: NameFiles::default(),
    }
}

pub(super) fn seed_plan(scene: &Scene) -> SeedPlan {
    SeedPlan {
        origin: None,
        torrent: None,
        path: SOURCE.into(),
        file_name: NAME.into(),
        publish_as: None,
        torrent_out: None,
        sign: None,
        hash_cache: scene.remembers.then(|| "/home/seeder/.cache".into()),
    }
}

pub(super) fn fetch_plan(scene: &Scene, directory: PathBuf) -> FetchPlan {
    FetchPlan {
        files: None,
        torrent: None,
        want: Want { name: NAME.into(), pin: None, publisher: None },
        directory,
        out: None,
        out_must_be_directory: false,
        overwrite: false,
        keep_seeding: scene.keep_seeding,
        wait: None,
        timeout: None,
        sources: SOURCES_DEFAULT,
    }
}

fn secret(seed: u64) -> [u8; 32] {
    let mut secret = [0; 32];
    Rng::new(seed).fork(32).fill(&mut secret);
    secret
}
