//! `lmk keygen`: a key to sign entries with. The secret goes to a file of its own, for this user
//! alone; what others may know of it is the result.

use super::plan::KeygenPlan;
use crate::core::io::{FileDone, FileError, FileOp, Input, Outbox, Role};
use crate::core::report::{Ending, Event, Snapshot, foreign};
use crate::core::time::Time;

/// One run of the command.
#[derive(Debug)]
pub struct Keygen {
    plan: KeygenPlan,
    ended: bool,
}

impl Keygen {
    pub fn new(plan: KeygenPlan) -> Keygen {
        Keygen { plan, ended: false }
    }

    fn failed(&mut self, ending: Ending, why: &str, out: &mut Outbox) {
        let path = foreign(&self.plan.out.to_string_lossy());
        out.tell(Event::error("failed", format!("{path}: {why}; name another place with --out")));
        self.end(ending, out);
    }

    fn got_file(&mut self, done: FileDone, out: &mut Outbox) {
        match done {
            // A key that is lost cannot be made again: nothing is overwritten.
            FileDone::Meta(Ok(_)) => self.failed(Ending::Refused, "it exists already", out),
            FileDone::Meta(Err(FileError::NotFound)) => {
                let bytes = self.plan.secret.write_file();
                out.file(FileOp::Save { path: self.plan.out.clone(), bytes, private: true });
            }
            FileDone::Meta(Err(error)) | FileDone::Done(Err(error)) => {
                self.failed(Ending::Disk, &error.reason(), out);
            }
            FileDone::Done(Ok(())) => {
                let path = foreign(&self.plan.out.to_string_lossy());
                let line = format!("the secret is in {path}: sign with `lmk seeder --sign {path}`");
                out.tell(Event::info("secret", line));
                let line = "others take only what you signed with `lmk leecher --publisher KEY`:";
                out.tell(Event::info("public", line));
                out.tell(Event::result("key", self.plan.secret.public().to_string()));
                self.end(Ending::Done, out);
            }
            _ => self.failed(Ending::Internal, "an answer to another question", out),
        }
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        self.ended = true;
        out.end(ending);
    }
}

impl Role for Keygen {
    fn on(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            _ if self.ended => {}
            Input::Born => {
                out.file(FileOp::Stat { path: self.plan.out.clone() });
            }
            Input::Asked(_) => self.end(Ending::Interrupted, out),
            Input::File { done, .. } => self.got_file(done, out),
            _ => {}
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        Snapshot { phase: "making", ..Snapshot::default() }
    }
}
