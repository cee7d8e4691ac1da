//! Who plays in a swarm, and what each is told at birth.

use super::plans;
use super::scene::Scene;
use super::swarm::NAME;
use super::world::NodeEnv;
use crate::core::io::Role;
use crate::node::Node;
use crate::node::plan::{FetchPlan, Job, Listen, NodePlan, SeedPlan};
use crate::tracker::Tracker;
use crate::tracker::plan::{Database, TrackerPlan};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub(super) const SOURCE: &str = "/home/seeder/big.zip";

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
    let usual = plans::tracker(env);
    let ip = if scene.one_machine { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    TrackerPlan {
        bind: SocketAddr::new(ip.into(), usual.bind.port()),
        key_file: scene.remembers.then(|| "/home/tracker/.state/key".into()),
        database: scene
            .remembers
            .then(|| Database { path: "/home/tracker/.state/tracker.db".into(), required: true }),
        ..usual
    }
}

pub(super) fn node_plan(scene: &Scene, env: NodeEnv, home: &str, job: Job) -> NodePlan {
    let usual = plans::node(env, job);
    let tracker_ip =
        if scene.one_machine { Ipv4Addr::LOCALHOST.into() } else { usual.tracker.ip() };
    let tracker = SocketAddr::new(tracker_ip, usual.tracker.port());
    let listen_on_all = Listen { ip: Ipv4Addr::UNSPECIFIED.into(), ports: Listen::PORTS };
    NodePlan {
        tracker,
        tracker_text: tracker.to_string(),
        listen: (env.seed.is_multiple_of(2) && !scene.one_machine).then_some(listen_on_all),
        key_file: scene.remembers.then(|| format!("/home/{home}/.state/key").into()),
        slots: scene.slots,
        ..usual
    }
}

pub(super) fn seed_plan(scene: &Scene) -> SeedPlan {
    let hash_cache = scene.remembers.then(|| "/home/seeder/.cache".into());
    SeedPlan { hash_cache, ..plans::seed(SOURCE) }
}

pub(super) fn fetch_plan(scene: &Scene, directory: PathBuf) -> FetchPlan {
    FetchPlan { keep_seeding: scene.keep_seeding, ..plans::fetch(NAME, directory) }
}
