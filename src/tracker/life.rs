//! The life of a tracker: what it waits for before it listens, and what it finishes before it ends.

use super::datagrams::Datagrams;
use super::keeping::Turn;
use super::keeping_load::{Loaded, Loading};
use super::lists::Lists;
use super::{Tracker, key_file, tell};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{Command, FileDone, Listening, NetError, Outbox};
use crate::core::report::{Ending, Event};
use crate::core::store::StoreDone;
use crate::core::time::Time;

impl Tracker {
    /// What an earlier run kept comes first, then its key.
    pub(super) fn born(&mut self, out: &mut Outbox) {
        self.registry.access.load(out);
        match &self.plan.database {
            Some(_) => self.loading = Some(Loading::start(self.plan.wall_start_s, out)),
            None => self.load_key(out),
        }
    }

    pub(super) fn load_key(&mut self, out: &mut Outbox) {
        match &self.plan.key_file {
            Some(path) => self.load = Some(key_file::load(path, out)),
            None => self.listen(out),
        }
    }

    /// No id is given before the key is known, and nobody is let in before it is known who may:
    /// listening comes last.
    pub(super) fn listen(&mut self, out: &mut Outbox) {
        self.waits_for_access = !self.registry.access.is_ready();
        if self.waits_for_access {
            return;
        }
        let at = self.plan.bind;
        self.listen = Some(out.listen(at, at.port(), true, true));
    }

    pub(super) fn got_listening(&mut self, result: Result<Listening, NetError>, out: &mut Outbox) {
        match result {
            Ok(got) => {
                let at = got.udp.or(got.tcp).unwrap_or(self.plan.bind);
                self.listening = true;
                self.datagrams.listens(at);
                tell::listening(&self.plan, at).into_iter().for_each(|event| out.tell(event));
            }
            Err(error) => {
                out.tell(tell::cannot_listen(self.plan.bind, error));
                out.end(Ending::Network);
            }
        }
    }

    pub(super) fn got_file(&mut self, now: Time, ticket: Ticket, done: FileDone, out: &mut Outbox) {
        if self.load.take_if(|load| *load == ticket).is_some() {
            let (secret, there) = key_file::loaded(&self.plan, done, out);
            // One that keeps its names has them all at once.
            self.ran_before = there && !self.registry.keeping.is_on();
            (self.datagrams, self.tickets) = Datagrams::keyed(&secret, &self.plan);
            self.listen(out);
        } else if self.registry.access.has_asked(ticket) {
            match self.registry.access.got_file(now, ticket, done, out) {
                Err(Fatal { ending, line }) => {
                    out.tell(Event::error("access", line));
                    out.end(ending);
                }
                Ok(()) if self.waits_for_access => self.listen(out),
                Ok(()) => {}
            }
        } else {
            key_file::saved(&self.plan, &done, out);
        }
    }

    pub(super) fn got_stored(
        &mut self,
        now: Time,
        ticket: Ticket,
        done: StoreDone,
        out: &mut Outbox,
    ) {
        if let Some(loading) = self.loading.as_mut().filter(|one| one.waits_for(ticket)) {
            match loading.got(now, &self.plan, done, &mut self.registry, out) {
                Loaded::More => return,
                Loaded::All => self.registry.start_keeping(now),
                Loaded::Nothing => {
                    self.registry.cannot_save(now, "not saving: the database cannot be used");
                }
                Loaded::Fatal(ending) => return out.end(ending),
            }
            self.loading = None;
            self.load_key(out);
            return;
        }
        let turn = self.registry.stored(now, ticket, done, out);
        if let Some(event) = turn.map(tell::saving) {
            out.tell(event);
        }
        self.lists(now, out, Lists::stored);
    }

    pub(super) fn asked(&mut self, command: Command, out: &mut Outbox) {
        let ending = match command {
            Command::Interrupt => Ending::Interrupted,
            Command::Terminate => Ending::Terminated,
            // A tracker outlives the terminal it was started from.
            Command::Hangup => return self.registry.access.load(out),
        };
        if self.ending.replace(ending).is_some() {
            // Asked twice: at once.
            out.end(ending);
        }
        self.registry.keeping.close();
    }

    /// Ends when there is nothing left to be written.
    pub(super) fn end(&mut self, out: &mut Outbox) {
        if let (Some(ending), Some(kept)) = (self.ending, self.registry.keeping.closed()) {
            if !kept {
                out.tell(tell::saving(Turn::NotSaving("not everything was saved at the end")));
            }
            out.end(ending);
        }
    }
}
