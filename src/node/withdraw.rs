//! The end of a seeder whose file is not what it was: the tracker forgets the name, the peers are
//! told, and the process ends.

use super::share::{Phase, Share};
use super::shared::Shared;
use super::ties::Tie;
use crate::core::fault::Fatal;
use crate::core::io::Outbox;
use crate::core::report::{Ending, Event, foreign};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::request::Request;

/// How long the tracker and the peers have to hear of it.
const FAREWELL: Span = Span::secs(2);

#[derive(Debug)]
pub struct Withdrawing {
    until: Time,
    /// The request to unpublish that waits for its answer.
    asked: Option<u64>,
}

impl Withdrawing {
    pub fn got_tie(&mut self, tie: &Tie) {
        let over = match tie {
            Tie::Answered { number, .. } => self.asked == Some(*number),
            Tie::Lost(_) => true,
            _ => false,
        };
        if over {
            self.asked = None;
        }
    }
}

impl Share {
    /// The file is not what it was.
    pub(super) fn withdraw(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let name = foreign(self.name());
        let line = format!(
            "{name} changed on disk; no longer sharing it; \
             run the same command to share it as it is now"
        );
        out.tell(Event::error("changed", line).text("name", name));
        let stats = shared.stats();
        let mut asked = None;
        if let Some(swarm) = &mut shared.swarm {
            swarm.withdraw(now, out);
            let hash = swarm.identities().next().map(|(_, hash)| hash);
            if let Some(hash) = hash {
                let unpublish = Request::Unpublish { name: self.name().to_owned(), hash };
                asked = shared.ties.ask(unpublish, now, out);
            }
        }
        shared.ties.stop_announcing(stats, now, out);
        self.phase = Some(Phase::Withdrawing(Withdrawing { until: now + FAREWELL, asked }));
    }

    /// What is due; `failed`: bytes of the file could not be given out.
    pub fn wake(
        &mut self,
        shared: &mut Shared,
        failed: bool,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match &mut self.phase {
            Some(Phase::Fetching(_)) => return self.fetch_on(shared, now, out),
            Some(Phase::Sharing(watch)) if failed => watch.look(now, out),
            Some(Phase::Sharing(watch)) => watch.wake(now, out),
            Some(Phase::Withdrawing(Withdrawing { until, asked })) => {
                let alone = shared.swarm.as_ref().is_none_or(|swarm| swarm.is_alone());
                if now >= *until || (asked.is_none() && alone) {
                    shared.end(Ending::Disk, now, out);
                }
            }
            _ => {}
        }
        // Only an origin is looked up by the work itself.
        shared.found.clear();
        Ok(())
    }

    pub fn deadline(&self) -> Time {
        match &self.phase {
            Some(Phase::Fetching(origin)) => origin.deadline(),
            Some(Phase::Sharing(watch)) => watch.deadline(),
            Some(Phase::Withdrawing(withdrawing)) => withdrawing.until,
            _ => Time::NEVER,
        }
    }
}
