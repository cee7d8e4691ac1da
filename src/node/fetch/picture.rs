//! What a download shows of itself: a word for what it does, and its figures before there is a
//! swarm.

use super::{Fetch, Phase};
use crate::core::report::Transfer;
use crate::core::time::Time;

impl Fetch {
    pub fn phase(&self) -> &'static str {
        match &self.phase {
            Phase::Between => "looking up",
            Phase::Seeking(search) => search.phase(),
            Phase::Placing(target) | Phase::Finishing(target) => target.progress().0,
            Phase::Downloading(_) => "downloading",
            Phase::Full { .. } => "disk full",
            Phase::Stopping(..) => "stopping",
            Phase::HandingOver { .. } => "handing over",
            Phase::Seeding(_) => "seeding",
        }
    }

    /// The transfer row before there is a swarm.
    pub fn transfer(&self, now: Time) -> Option<Transfer> {
        let done = self.target().map_or(0, |target| target.progress().1);
        let name = self.plan.want.name.clone();
        let rate_down = self.checking.rate(now);
        // What is looked at may be more than what is fetched.
        let whole = self.target().map_or(0, |target| target.content().geometry.payload());
        let size = self.size.max(whole);
        (size > 0).then(|| Transfer { name, size, done, rate_down, ..Transfer::default() })
    }
}
