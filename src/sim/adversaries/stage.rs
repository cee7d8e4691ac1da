//! Hostile peers enter a swarm, and what must hold among the honest ones meanwhile.

use super::{Adversary, Trick};
use crate::core::report::{Event, Fact, Level};
use crate::core::time::{Span, Time};
use crate::sim::swarm::{NAME, Swarm};
use crate::sim::world::{Act, NodeId};
use std::net::{IpAddr, SocketAddr};

/// Where the machines of hostile peers are.
const FIRST: u8 = 100;

impl Swarm {
    /// A hostile peer joins at `at` and stays.
    pub fn is_joined_by(&mut self, trick: Trick, at: Time) -> Option<NodeId> {
        let content = self.content.clone();
        let one = self.scene.one_machine;
        let tracker = SocketAddr::from((if one { [127, 0, 0, 1] } else { [10, 0, 0, 1] }, 6969));
        Adversary::new(trick, tracker, (NAME, content.clone()), 0)?;
        let number = if one { 1 } else { FIRST.saturating_add(self.hostile.len() as u8) };
        let node = self.world.add_idle(IpAddr::from([10, 0, 0, number]), move |env| {
            let made = Adversary::new(trick, tracker, (NAME, content.clone()), env.seed);
            Box::new(made.expect("it was made before"))
        });
        self.world.plan(at.max(Time::ZERO + Span::ms(1)), node, Act::Start);
        self.hostile.push(node);
        Some(node)
    }

    /// No honest peer strikes another (while disks do not lie, and each has a machine of its own).
    pub(in crate::sim) fn honest_are_not_struck(&mut self) -> Result<(), String> {
        if self.scene.one_machine {
            return Ok(());
        }
        let nodes: Vec<NodeId> = self.honest().collect();
        self.heard.resize(nodes.len(), 0);
        for (node, heard) in nodes.into_iter().zip(&mut self.heard) {
            let events = self.world.events(node);
            for (at, event) in events.get(*heard..).unwrap_or_default() {
                if let Some(struck) = struck(event).filter(|ip| is_honest(*ip)) {
                    let line = &event.line;
                    return Err(format!("at {at:?} node {} struck {struck}: {line}", node.0));
                }
            }
            *heard = events.len();
        }
        Ok(())
    }
}

impl Swarm {
    /// How often honest peers blamed hostile ones.
    pub fn blamed(&self) -> usize {
        let events = self.honest().flat_map(|node| self.world.events(node));
        events.filter_map(|(_, event)| struck(event)).filter(|ip| !is_honest(*ip)).count()
    }
}

fn is_honest(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[3] < FIRST)
}

/// Whom an event blames.
fn struck(event: &Event) -> Option<IpAddr> {
    if event.level != Level::Warning || !matches!(event.kind, "peer_gone" | "corrupt") {
        return None;
    }
    let peer = event.facts.iter().find(|(key, _)| *key == "peer");
    let Some((_, Fact::Text(peer))) = peer else { return None };
    peer.parse::<SocketAddr>().ok().map(|at| at.ip())
}
