//! Who has a content: those who announced it, and those who registered it, each once.

use super::Registry;
use crate::core::fault::Refusal;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::tracker::counts::Counts;
use crate::tracker::record::Peer;
use crate::tracker::registrations::{Registrations, Source};
use crate::tracker::sample::{Asker, Candidate};
use crate::tracker::swarms::Swarms;
use crate::tracker::tell;
use crate::wire::catalogue::entry::Entry;

impl Registry {
    /// A node that is a source of all `hashes` from now on, for the life of its connection.
    pub fn register(
        &mut self,
        now: Time,
        (conn, source): (ConnId, Source),
        hashes: &[InfoHash],
        more: bool,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        self.registrations.bind(conn, source, hashes, more)?;
        for hash in hashes {
            if self.swarms.holds(*hash, source.key) {
                self.registrations.announces(*hash, source.key, true);
            }
            self.sources_changed(now, *hash, out);
        }
        Ok(())
    }

    /// Offers who has a content to an asker, those who announced first, until `take` has what it
    /// wants.
    pub fn sample(
        &mut self,
        now: Time,
        hash: InfoHash,
        asker: &Asker,
        take: &mut dyn FnMut(Source) -> bool,
    ) {
        self.choose(now, hash, asker, &mut |candidate| {
            candidate.peer().is_some_and(|peer| take(Source { key: peer.key, id: peer.id }))
        });
    }

    /// The same without copying what nobody looks at.
    pub fn choose(
        &mut self,
        now: Time,
        hash: InfoHash,
        asker: &Asker,
        take: &mut impl FnMut(&Candidate<'_>) -> bool,
    ) {
        let mut wanted = asker.want;
        self.swarms.choose(now, hash, asker, &mut |candidate| {
            let taken = take(candidate);
            wanted = wanted.saturating_sub(usize::from(taken));
            taken
        });
        if asker.complete {
            return;
        }
        let usable = |source: &Source| {
            source.key != asker.key
                && (source.id != asker.id || asker.id.is_blank())
                && source.key.ip().is_ipv4() == asker.v4
        };
        let swarms = &self.swarms;
        for source in self.registrations.sources(hash).filter(usable) {
            if wanted == 0 {
                return;
            }
            let peer = Peer { key: source.key, id: source.id, complete: true };
            if !swarms.holds(hash, source.key) && peer.as_candidate(&mut *take) {
                wanted -= 1;
            }
        }
    }

    /// The counts that an announce or a scrape gives for one info-hash (BEP 15, BEP 48), true at
    /// `now`: who announced it and who registered it.
    pub fn scrape(&mut self, now: Time, hash: InfoHash, out: &mut Outbox) -> (Counts, u32) {
        self.settle(now, hash, out);
        self.known(hash)
    }

    /// The same as far as it is known without a look at who is over.
    pub(super) fn known(&self, hash: InfoHash) -> (Counts, u32) {
        let (mut counts, completed) = self.swarms.scrape(hash);
        counts.complete += self.registered(hash);
        (counts, completed)
    }

    /// Nodes that registered a content and do not announce it.
    pub(super) fn registered(&self, hash: InfoHash) -> u32 {
        self.registrations.unannounced(hash)
    }

    /// Nodes by state: those that announce, each once per content, and those that registered and
    /// announce nothing of it.
    pub fn nodes(&self) -> Counts {
        let mut nodes = self.swarms.nodes();
        nodes.complete += self.registrations.silent() as u32;
        nodes
    }

    pub(super) fn recount(&mut self, hash: InfoHash) {
        if !self.registrations.is_empty() {
            let swarms = &self.swarms;
            match swarms.twin(hash) {
                Some(twin) => {
                    let announced = |key| swarms.holds(hash, key) || swarms.holds(twin, key);
                    self.registrations.unite(hash, twin, announced);
                }
                None => self.registrations.part(hash),
            }
        }
        let (swarms, registrations) = (&self.swarms, &self.registrations);
        self.names.recount(hash, |entry| counts(swarms, registrations, entry));
    }

    /// Names whose content got its first source are shown, those that lost the last one are alone.
    pub(super) fn sources_changed(&mut self, now: Time, hash: InfoHash, out: &mut Outbox) {
        self.recount(hash);
        if self.known(hash).0.complete > 0 {
            for place in self.names.got_source(hash, self.clock.unix_s(now)) {
                if let Some(record) = self.names.get(&place) {
                    out.tell(tell::name("listed", record));
                }
            }
        } else {
            let (swarms, registrations) = (&self.swarms, &self.registrations);
            let still = |entry: &Entry| counts(swarms, registrations, entry).complete > 0;
            self.names.lost_source(hash, now, still);
        }
    }
}

/// Who has the content of an entry and who wants it, each node once.
pub(super) fn counts(swarms: &Swarms, registrations: &Registrations, entry: &Entry) -> Counts {
    let (v1, v2) = (entry.v1, entry.v2.map(|hash| hash.truncated()));
    let mut counts = swarms.counts(v1, v2);
    counts.complete += registrations.count(v1, v2);
    counts
}
