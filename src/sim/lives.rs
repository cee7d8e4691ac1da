//! Lives of processes and machines: started, ended, killed, cut off from power.

use super::judges::Judges;
use super::laws::Watch;
use super::net::Bound;
use super::world::{Act, NodeEnv, NodeId, Process, WALL_START_S, World};
use crate::core::io::{Input, Outbox};
use crate::core::time::Time;
use std::collections::BTreeMap;

impl World {
    pub(super) fn act(&mut self, node: usize, act: Act) {
        let at = self.at(node);
        self.trace.world(at, format_args!("{act:?}"));
        match act {
            Act::Start => self.start(node),
            Act::Kill => self.end_process(node, false),
            Act::PowerCut => self.power_cut(node),
            Act::Ask(command) => self.tell(node, Input::Asked(command)),
            Act::DiskFails(fault) => self.disk(NodeId(node)).fail(fault),
            Act::DiskFills(bytes) => self.disk(NodeId(node)).leave_free(bytes),
            Act::DiskHeals => self.disk(NodeId(node)).heal(),
        }
    }

    fn start(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.process.is_some() {
            return;
        }
        node.life += 1;
        (node.ending, node.born) = (None, self.now);
        let host = &mut self.hosts[node.host];
        host.up = true;
        let role = (node.make)(NodeEnv {
            ip: host.ip,
            life: node.life,
            seed: self.rng.nodes.next_u64(),
            wall_start_s: WALL_START_S + self.now.secs(),
        });
        node.process = Some(Process {
            role,
            out: Outbox::default(),
            watch: Watch::default(),
            judges: Judges::new(&node.matters),
            born: self.now,
            conns: BTreeMap::new(),
            bound: Bound::default(),
            wake_at: Time::NEVER,
            files_after: Time::ZERO,
            stores: Vec::new(),
            wakes_in_a_row: 0,
            turns: 0,
        });
        self.tell(number, Input::Born);
    }

    /// The process is gone; the system closes what it had open. `orderly`: what fits into the
    /// windows still leaves, as a last flush would have it.
    pub(super) fn end_process(&mut self, node: usize, orderly: bool) {
        let Some(process) = self.nodes[node].process.take() else { return };
        for (stream, side) in process.conns.into_values() {
            self.orphan(stream, side, orderly);
        }
        self.hosts[self.nodes[node].host].disk.process_ends(node);
    }

    fn power_cut(&mut self, node: usize) {
        let host = self.nodes[node].host;
        for node in self.nodes.iter_mut().filter(|node| node.host == host) {
            node.process = None;
        }
        self.hosts[host].up = false;
        self.forget_ends_of(host);
        self.hosts[host].base.power_cut();
        self.hosts[host].disk.power_cut(&mut self.rng.crash, self.weather.survive_pm);
    }
}
