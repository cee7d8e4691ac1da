//! Before there is a download: what is wanted is found out, by its name, its .torrent or its magnet
//! link.

use super::{Fetch, Phase, Shared, Target, Tie};
use crate::content::file_list::Kind;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, Outbox};
use crate::core::meter::Meter;
use crate::core::name;
use crate::core::report::{Ending, Event, counted, foreign, foreign_bytes};
use crate::core::time::Time;
use std::rc::Rc;

impl Fetch {
    /// News of the tracker.
    pub fn got_tie(
        &mut self,
        shared: &mut Shared,
        tie: Tie,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Phase::Seeking(search) = &mut self.phase else { return self.denied(shared, &tie) };
        let content = search.got_tie(shared, tie, now, out)?;
        self.size = search.size().unwrap_or(self.size);
        match content {
            Some(content) => {
                shared.ties.hang_up(out);
                self.place(shared, content, now, out)
            }
            None => Ok(()),
        }
    }

    /// After every input: what peers have told by now.
    pub(super) fn learn(
        &mut self,
        shared: &mut Shared,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Phase::Seeking(search) = &mut self.phase else { return Ok(()) };
        let Some(content) = search.learn(shared, now, out)? else { return Ok(()) };
        self.size = content.geometry.size();
        self.place(shared, content, now, out)
    }

    /// A file operation came back before there is a target; hands back what is not ours.
    pub(super) fn read(
        &mut self,
        shared: &mut Shared,
        (ticket, done): (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        let Phase::Seeking(search) = &mut self.phase else { return Ok(Some(done)) };
        match search.got_file(shared, (ticket, done), out)? {
            Ok(content) => {
                self.size = content.geometry.payload();
                self.place(shared, content, now, out)?;
                Ok(None)
            }
            Err(done) => Ok(Some(done)),
        }
    }

    /// Says what of the content is made, if that is not all.
    fn choose(&self, content: &Content, out: &mut Outbox) -> Result<(), Fatal> {
        let name = foreign(&self.plan.want.name);
        if let Some(chosen) = &self.plan.files {
            let (count, all) = (chosen.of(&content.files).len(), content.files.plain().count());
            if count == 0 {
                let line = format!("{name}: --files names none of its files; lmk show lists them");
                return Err(Fatal { ending: Ending::Usage, line });
            }
            let line = format!("{name}: {count} of {}", counted(all as u64, "file"));
            out.tell(Event::info("files", line).number("files", count as u64));
            let idle = chosen.idle(&content.files);
            if !idle.is_empty() {
                let (named, terms) = (foreign(&idle.join(", ")), idle.len() as u64);
                let line = format!("{name}: no file is named by {named}; lmk show lists them");
                out.tell(Event::warning("idle", line).number("terms", terms));
            }
        }
        let links = content.files.entries().iter().filter(|entry| entry.kind == Kind::Link).count();
        if links > 0 {
            let line = format!("{name}: {} not made", counted(links as u64, "symbolic link"));
            out.tell(Event::warning("links", line).number("links", links as u64));
        }
        Ok(())
    }

    /// The metainfo is what its hash says: where does the file go?
    fn place(
        &mut self,
        shared: &mut Shared,
        content: Content,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let refused = |shown: String, why| Fatal {
            ending: Ending::Refused,
            line: format!("{shown}: {why}; not written"),
        };
        if self.plan.torrent.is_some() {
            let named = name::path_element(&content.name);
            let named = named.map_err(|why| refused(foreign_bytes(&content.name), why))?;
            self.plan.want.name = named.to_owned();
        } else {
            let wanted = &self.plan.want.name;
            name::target_file_name(wanted).map_err(|why| refused(foreign(wanted), why))?;
        }
        self.choose(&content, out)?;
        let (rng, name) = (shared.rng.fork(0x7a), &self.plan.want.name);
        let target = Target::start(&self.plan, Rc::new(content), name, rng, out);
        self.phase = Phase::Placing(Box::new(target));
        (self.started, self.checking) = (now, Meter::new(now));
        Ok(())
    }
}
