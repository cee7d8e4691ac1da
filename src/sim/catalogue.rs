//! Law S6: no name whose publishing was acknowledged is lost, whatever befalls the tracker at any
//! of its durable writes. Publishers make versions of their names, replace them and take them back;
//! the tracker is killed, or its disk refuses, at the write that a scene says.

use super::cast::Cast;
use super::plans;
use super::publisher::{Fate, Publisher, Shared};
use super::store::Blow;
use super::weather::Weather;
use super::world::{Act, NodeEnv, NodeId, World};
use crate::core::id::InfoHash;
use crate::core::time::{Span, Time};
use crate::tracker::plan::{Database, TrackerPlan};
use std::collections::BTreeSet;

const PUBLISHERS: u8 = 3;
/// So long the tracker stays away.
const AWAY: Span = Span::secs(1);
/// When it must be over: before a name without a source is swept.
pub(super) const END: Span = Span::secs(55);
/// The stage.
pub struct Publishing {
    pub world: World,
    pub tracker: NodeId,
    ledger: Shared,
}

impl Publishing {
    /// Publishers and a tracker; the durable write of number `at` meets `blow`.
    pub fn new(seed: u64, cast: Cast, blow: Option<(u64, Blow)>) -> Publishing {
        let mut world = World::new(seed, Weather::calm());
        let ledger = Shared::default();
        let tracker = world.add_node([10, 0, 0, 1].into(), move |env| (cast.tracker)(plan(env)));
        for number in 0..PUBLISHERS {
            let ledger = ledger.clone();
            let ip = [10, 0, 0, 10 + number].into();
            let node = world.add_idle(ip, move |env| {
                Box::new(Publisher::new(number, env.seed, ledger.clone()))
            });
            let begins = Span::ms(100 + 10 * u64::from(number));
            world.plan(Time::ZERO + begins, node, Act::Start);
        }
        world.base(tracker).blow = blow;
        Publishing { world, tracker, ledger }
    }

    /// Plays to the end; how many durable writes there were. An error names what was lost.
    pub fn play(&mut self) -> Result<u64, String> {
        let end = Time::ZERO + END;
        let mut returns = false;
        while self.world.step(end) {
            if let Some(what) = self.world.breach() {
                return Err(what.into());
            }
            let runs = self.world.running(self.tracker);
            if !runs && !returns && self.world.now() > Time::ZERO {
                self.world.plan(self.world.now() + AWAY, self.tracker, Act::Start);
            }
            returns = !runs;
            self.look()?;
        }
        self.is_served()?;
        Ok(self.world.base(self.tracker).writes())
    }

    /// Requests that were answered well, and those that were refused.
    pub fn answers(&self) -> (u64, u64) {
        (self.ledger.borrow().answered, self.ledger.borrow().refused)
    }

    /// What was acknowledged is in the database from that moment on.
    fn look(&mut self) -> Result<(), String> {
        let base = self.world.base(self.tracker);
        let kept: BTreeSet<(&str, Option<InfoHash>)> =
            base.names().map(|row| (row.name.as_str(), row.v1)).collect();
        let ledger = self.ledger.borrow();
        let promised = ledger.versions.iter().filter(|(_, fate)| **fate == Fate::Promised);
        let mut lost = promised.filter(|((name, hash), _)| !kept.contains(&(name, Some(*hash))));
        match lost.next() {
            Some(((name, hash), _)) => {
                Err(format!("S6: {hash:?} of {name} was acknowledged and is not kept"))
            }
            None => Ok(()),
        }
    }

    /// At the end each publisher sees what it was promised.
    fn is_served(&self) -> Result<(), String> {
        let ledger = self.ledger.borrow();
        if ledger.seen.len() != usize::from(PUBLISHERS) {
            return Err(format!("only {} publishers came to their end", ledger.seen.len()));
        }
        let promised = ledger.versions.iter().filter(|(_, fate)| **fate == Fate::Promised);
        for ((name, hash), _) in promised {
            let seen = ledger.seen.iter().find(|(of, _)| of == name);
            if !seen.is_some_and(|(_, seen)| seen.contains(hash)) {
                return Err(format!("S6: {hash:?} of {name} is kept and not served"));
            }
        }
        Ok(())
    }
}

fn plan(env: NodeEnv) -> TrackerPlan {
    let database = Some(Database { path: "/tracker.db".into(), required: true });
    TrackerPlan { database, ..plans::tracker(env) }
}
