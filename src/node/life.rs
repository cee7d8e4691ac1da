//! How a node begins and how a signal ends it.

use super::{KEY_BYTES, Node, Work, shared};
use crate::core::fault::Fatal;
use crate::core::io::{Command, FileOp, Outbox};
use crate::core::report::{Ending, Event};
use crate::core::time::Time;
use std::net::SocketAddr;

impl Node {
    pub(super) fn born(&mut self, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        if let Work::Refused(fatal) = &self.work {
            return Err(fatal.clone());
        }
        let any = SocketAddr::new(shared::towards(self.shared.plan.tracker.ip()), 0);
        out.listen(any, 0, false, true);
        match self.shared.plan.key_file.clone() {
            Some(path) => {
                self.key = Some(out.file(FileOp::Load { path, bytes_max: KEY_BYTES }));
            }
            None => self.shared.ties.start(self.shared.plan.secret, now, out),
        }
        match &mut self.work {
            Work::Share(share) => share.start(out),
            Work::Fetch(fetch) => fetch.start(now),
            Work::Refused(_) => {}
        }
        Ok(())
    }

    /// The node key of an earlier run, or a new one.
    pub(super) fn got_key(&mut self, loaded: Option<Vec<u8>>, now: Time, out: &mut Outbox) {
        let kept: Option<[u8; 32]> = loaded.and_then(|bytes| bytes.try_into().ok());
        let key = kept.unwrap_or(self.shared.plan.secret);
        if let (None, Some(path)) = (kept, self.shared.plan.key_file.clone()) {
            out.file(FileOp::Save { path, bytes: key.to_vec() });
        }
        self.shared.ties.start(key, now, out);
    }

    /// A signal: the tracker and the peers are told that we go.
    pub(super) fn asked(&mut self, command: Command, now: Time, out: &mut Outbox) {
        let ending = match command {
            Command::Interrupt => Ending::Interrupted,
            // Seeders go on without their terminal.
            Command::Hangup if matches!(self.work, Work::Share(_)) => return,
            Command::Terminate | Command::Hangup => Ending::Terminated,
        };
        if let Some(swarm) = &mut self.shared.swarm {
            swarm.leave(now, out);
        }
        let farewell = match &self.work {
            Work::Fetch(fetch) => fetch.farewell(&self.shared),
            _ => "stopped sharing".into(),
        };
        out.tell(Event::info("stopped", farewell));
        self.shared.end(ending, now, out);
    }
}
