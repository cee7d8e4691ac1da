//! A leecher that goes on sharing what it fetched: the finished file is watched as a seeder's is,
//! and whoever edits it ends the sharing before a byte of the edit leaves.

use super::{Fetch, Phase};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileError, Outbox};
use crate::core::report::{Ending, Event, foreign};
use crate::core::time::{Span, Time};
use crate::node::file_watch::FileWatch;
use crate::node::say;
use crate::node::shared::Shared;

/// How long the tracker and the peers have to hear that the file is gone.
const FAREWELL: Span = Span::secs(2);

#[derive(Debug)]
pub enum Keeping {
    Sharing(FileWatch),
    /// The file is not what it was: tracker and peers are told, then the process ends.
    Leaving {
        until: Time,
    },
}

impl Keeping {
    pub fn deadline(&self) -> Time {
        match self {
            Keeping::Sharing(watch) => watch.deadline(),
            Keeping::Leaving { until } => *until,
        }
    }
}

impl Fetch {
    /// Goes on as a seeder of the finished file, if that is wished.
    pub(super) fn keeps(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) -> bool {
        let finished = self.target().and_then(|target| target.finished());
        let Some((path, opened)) = finished.filter(|_| self.plan.keep_seeding) else {
            return false;
        };
        self.phase = Phase::Seeding(Keeping::Sharing(FileWatch::new(path, opened, now, out)));
        self.got_listening(shared, now, out);
        say::listening(shared, out);
        true
    }

    /// A look at the file came back; hands back what is not ours.
    pub(super) fn looked(
        &mut self,
        shared: &mut Shared,
        (ticket, done): (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Option<FileDone> {
        let Phase::Seeding(Keeping::Sharing(watch)) = &mut self.phase else { return Some(done) };
        match watch.got_file(ticket, done) {
            Ok(true) => {}
            Ok(false) => self.stop_sharing(shared, now, out),
            Err(done) => return Some(done),
        }
        None
    }

    /// Bytes of the file could not be given out.
    pub(super) fn file_failed(
        &mut self,
        shared: &mut Shared,
        error: FileError,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match &mut self.phase {
            Phase::Seeding(Keeping::Sharing(watch)) => watch.look(now, out),
            Phase::Downloading(_) | Phase::Stopping(..) if error == FileError::Changed => {
                self.changed(shared, now, out);
            }
            Phase::Downloading(target) => {
                let placed = target.unreadable(error);
                return self.placed(shared, placed, now, out);
            }
            _ => {}
        }
        Ok(())
    }

    /// What is due while the file is shared.
    pub(super) fn keep_on(
        &mut self,
        shared: &mut Shared,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match &mut self.phase {
            Phase::Seeding(Keeping::Sharing(watch)) => watch.wake(now, out),
            Phase::Seeding(Keeping::Leaving { .. }) => shared.end(Ending::Disk, now, out),
            _ => {}
        }
        Ok(())
    }

    fn stop_sharing(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let name = foreign(self.name());
        let line = format!(
            "{name} changed on disk; no longer sharing it; \
             fetch it again, or share it as it is now: lmk seeder --file"
        );
        out.tell(Event::error("changed", line).text("name", name));
        let stats = shared.stats();
        if let Some(swarm) = &mut shared.swarm {
            swarm.withdraw(now, out);
        }
        shared.ties.stop_announcing(stats, now, out);
        self.phase = Phase::Seeding(Keeping::Leaving { until: now + FAREWELL });
    }
}
