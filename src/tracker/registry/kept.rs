//! What of swarms and names outlives a run: how it comes back, and when it is written.

use super::Registry;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::Outbox;
use crate::core::store::{StoreDone, SwarmPart};
use crate::core::time::Time;
use crate::tracker::keeping::{Kept, Turn};
use crate::tracker::names::{Before, Changed, Place, Record};
use crate::tracker::record::LastKnown;
use crate::tracker::tell;
use crate::wire::catalogue::answer::NotSaving;

impl Registry {
    /// Goes on with the count of an earlier run. One that ended in order is continued; after any
    /// other a client may have heard of changes that were not written.
    pub fn resume(&mut self, generation: u64, orderly: bool) {
        self.keeping.load();
        self.swarms.note_changes();
        let fresh = self.names.generation();
        match orderly && generation > 0 {
            true => self.names.resume(generation),
            false => self.names.resume(fresh.max(generation.saturating_add(1))),
        }
    }

    /// Puts an entry of an earlier run back, which is to be written if it is not `as_kept`; whether
    /// there was room.
    pub fn restore_name(&mut self, number: u64, record: Record, as_kept: bool) -> bool {
        let entry = record.entry.clone();
        let place = self.names.restore(number, record);
        let news = place.clone().filter(|_| !as_kept);
        let news = news.map(|place| Changed { place, metainfo: false, before: Before::Unasked });
        self.keeping.note(news.into_iter().collect(), false);
        if let Some(place) = &place {
            self.link(place, &entry);
        }
        place.is_some()
    }

    /// Puts peers of an earlier run back, silently; how many.
    pub fn restore_peers(&mut self, now: Time, part: &SwarmPart) -> usize {
        let restored = self.swarms.restore(now, part);
        if let Some(content) = self.content_of(part.hash) {
            let unix_s = self.clock.unix_s(now);
            for LastKnown { peer, progress, heard_s } in &restored {
                if peer.id.is_lmk() {
                    let silent_s = unix_s.saturating_sub((*heard_s).into());
                    self.fleet.remembers(now, content, peer.key, *progress, silent_s);
                }
            }
        }
        self.recount(part.hash);
        if self.swarms.scrape(part.hash).0.complete > 0 {
            self.names.got_source(part.hash, self.clock.unix_s(now));
        }
        restored.len()
    }

    /// Everything of an earlier run is there: from now on what changes is kept.
    pub fn start_keeping(&mut self, now: Time) {
        self.swarms.note_changes();
        self.keeping.start(now);
    }

    /// An answer of the database; a line when trouble began or ended.
    pub fn stored(
        &mut self,
        now: Time,
        ticket: Ticket,
        done: StoreDone,
        out: &mut Outbox,
    ) -> Option<Turn> {
        let turn = self.keeping.got(now, ticket, done, &mut self.swarms);
        match turn {
            Some(Turn::NotSaving(why)) => self.cannot_save(now, why),
            Some(Turn::Saving) => self.not_saving = None,
            None => {}
        }
        for (place, before) in self.keeping.take_undone() {
            self.undo(now, &place, before, out);
        }
        turn
    }

    /// Takes back a change whose asker hears that it could not be kept.
    fn undo(&mut self, now: Time, place: &Place, before: Before, out: &mut Outbox) {
        match before {
            Before::Unasked => {}
            Before::Absent => {
                if let Some(record) = self.names.withdraw(place) {
                    self.removed(&record, out);
                }
            }
            Before::Was(was) => {
                let entry = was.entry.clone();
                if !self.names.reinstate(place, *was) {
                    return;
                }
                self.link(place, &entry);
                // They came and went while it was not there.
                for hash in entry.swarm_hashes() {
                    self.sources_changed(now, hash, out);
                }
                if let Some(record) = self.names.get(place) {
                    out.tell(tell::name("published", record));
                }
            }
        }
    }

    /// From now on nothing can be saved.
    pub fn cannot_save(&mut self, now: Time, why: &'static str) {
        self.not_saving = Some((why, self.clock.unix_s(now)));
    }

    /// That nothing can be saved at present, for people.
    pub fn not_saving(&self) -> Option<NotSaving> {
        let (why, since_s) = self.not_saving?;
        let row = self.keeping.row().unwrap_or_default();
        let why = row.trouble.unwrap_or(why).to_owned();
        Some(NotSaving { why, since_s, changes: row.unsaved })
    }

    /// The mark of what must be kept before a request of `conn` is answered, if it is one that
    /// `writes`; `None` if nothing must.
    pub fn unsaved_mark(&mut self, writes: bool, conn: ConnId) -> Option<u64> {
        let changed = self.names.take_changed();
        self.keeping.note(changed, writes);
        if writes { self.keeping.mark(conn) } else { None }
    }

    /// Asks the database for what is due.
    pub fn keep(&mut self, now: Time, out: &mut Outbox) {
        let mut changed = self.names.take_changed();
        if self.keeping.is_loading() {
            // Of what is being read only its end is news.
            changed.retain(|changed| self.names.get(&changed.place).is_none());
        }
        self.keeping.note(changed, false);
        for hash in self.swarms.take_forgotten() {
            self.keeping.finished(hash, 0);
        }
        let (clock, names, swarms) = (self.clock, &self.names, &mut self.swarms);
        self.keeping.ask(now, &mut Kept { clock, names, swarms }, out);
    }
}
