//! What a node is there for: to share a file, or to fetch a name. One way to speak to both.

use super::fetch::Fetch;
use super::plan::Job;
use super::share::Share;
use super::shared::Shared;
use super::ties::Tie;
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, Input, Outbox};
use crate::core::report::{Ending, Transfer};
use crate::core::time::Time;
use crate::swarm::Happened;
use crate::wire::control::Op;

#[derive(Debug)]
pub enum Work {
    Share(Share),
    Fetch(Fetch),
    /// The plan cannot be carried out; said at birth.
    Refused(Fatal),
}

impl Work {
    pub fn new(job: Job) -> Work {
        match job {
            Job::Seed(seed) => Share::new(seed).map_or_else(Work::Refused, Work::Share),
            Job::Fetch(fetch) => Work::Fetch(Fetch::new(fetch)),
        }
    }

    /// What the work asks of the catalogue.
    pub fn op(&self) -> Op {
        match self {
            Work::Fetch(_) => Op::Read,
            _ => Op::Write,
        }
    }

    pub fn start(&mut self, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        match self {
            Work::Share(share) => share.start(now, out),
            Work::Fetch(fetch) => fetch.start(now, out),
            Work::Refused(fatal) => return Err(fatal.clone()),
        }
        Ok(())
    }

    /// The listener is open: what waited for its port goes on.
    pub fn got_listening(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        match self {
            Work::Share(share) => share.got_listening(shared, now, out),
            Work::Fetch(fetch) => fetch.got_listening(shared, now, out),
            Work::Refused(_) => {}
        }
    }

    /// A file operation came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        shared: &mut Shared,
        done: (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        match self {
            Work::Share(share) => share.got_file(shared, done, now, out),
            Work::Fetch(fetch) => fetch.got_file(shared, done, now, out),
            Work::Refused(_) => Ok(None),
        }
    }

    /// News of the tracker.
    pub fn got_tie(
        &mut self,
        shared: &mut Shared,
        tie: Tie,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match self {
            Work::Share(share) => share.got_tie(shared, tie, now, out),
            Work::Fetch(fetch) => fetch.got_tie(shared, tie, now, out),
            Work::Refused(_) => Ok(()),
        }
    }

    /// After every input: what happened in the swarm, and what is due.
    pub fn settle(
        &mut self,
        shared: &mut Shared,
        happened: Vec<Happened>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        match self {
            Work::Share(share) => {
                let failed = happened.iter().any(|what| matches!(what, Happened::FileFailed(_)));
                share.wake(shared, failed, now, out)?;
            }
            Work::Fetch(fetch) => {
                for happened in happened {
                    fetch.got_happened(shared, happened, now, out)?;
                }
                fetch.wake(shared, now, out)?;
                fetch.go_if_idle(shared, now, out);
            }
            Work::Refused(_) => {}
        }
        Ok(())
    }

    /// A signal. -> whether the work ends by itself, soon.
    pub fn stop(
        &mut self,
        shared: &mut Shared,
        ending: Ending,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        match self {
            Work::Fetch(fetch) => fetch.stop(shared, ending, now, out),
            Work::Share(share) => share.stop(ending, now, out),
            Work::Refused(_) => false,
        }
    }

    /// News of a connection of its own; hands back what is not ours.
    pub fn got_connection<'a>(
        &mut self,
        input: Input<'a>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Input<'a>>, Fatal> {
        match self {
            Work::Share(share) => share.got_connection(input, now, out),
            _ => Ok(Some(input)),
        }
    }

    /// Whether a signal came before, and was answered with a last line.
    pub fn is_stopping(&self) -> bool {
        match self {
            Work::Fetch(fetch) => fetch.is_stopping(),
            Work::Share(share) => share.is_stopping(),
            Work::Refused(_) => false,
        }
    }

    /// Seeders go on without their terminal.
    pub fn outlives_terminal(&self) -> bool {
        matches!(self, Work::Share(_))
    }

    /// What is said when a signal ends the work.
    pub fn farewell(&self, shared: &Shared) -> String {
        match self {
            Work::Fetch(fetch) => fetch.farewell(shared),
            Work::Share(share) if share.is_fetching() => {
                "stopped; what came is kept, run the same command to go on".into()
            }
            _ => "stopped sharing".into(),
        }
    }

    pub fn deadline(&self) -> Time {
        match self {
            Work::Share(share) => share.deadline(),
            Work::Fetch(fetch) => fetch.deadline(),
            Work::Refused(_) => Time::NEVER,
        }
    }

    /// A word for what it does, the name it is about, and its figures before there is a swarm.
    pub fn picture(&self, now: Time) -> (&'static str, &str, Option<Transfer>) {
        match self {
            Work::Share(share) => (share.phase(), share.name(), share.transfer(now)),
            Work::Fetch(fetch) => (fetch.phase(), fetch.name(), fetch.transfer(now)),
            Work::Refused(_) => ("refused", "", None),
        }
    }
}
