//! How it ends: one after the other, and the process with the last.

use super::Several;
use crate::core::io::{Outbox, Role};
use crate::core::report::{Ending, Event};
use crate::core::time::Time;

impl Several {
    /// If one is over, what it holds is given back, and its share goes to the others.
    pub(super) fn look_whether_over(&mut self, who: usize, now: Time, out: &mut Outbox) {
        let Some(fetch) = self.fetches.get_mut(who) else { return };
        let Some(node) = fetch.node.take_if(|_| fetch.ending.is_some()) else { return };
        fetch.last = node.snapshot(now).transfer.unwrap_or_default();
        self.owners.left(who, out);
        let count = self.active().count();
        if count == 0 {
            return self.end(out);
        }
        let limits = self.shares.among(count);
        for fetch in &mut self.fetches {
            if let Some(node) = &mut fetch.node {
                node.limit(limits);
                fetch.deadline.set(None);
            }
        }
    }

    /// How many are complete, of how many.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.fetches.iter().filter(|fetch| fetch.complete).count(), self.fetches.len())
    }

    pub(super) fn end(&mut self, out: &mut Outbox) {
        let (complete, of) = self.count();
        let event = Event::info("fetched", format!("{complete} of {of} complete"));
        out.tell(event.number("complete", complete as u64).number("of", of as u64));
        out.end(ending(self.fetches.iter().filter_map(|fetch| fetch.ending)));
    }
}

/// That of a signal; else that of the first that failed, in the order of the command line.
fn ending(endings: impl Iterator<Item = Ending> + Clone) -> Ending {
    let signal = |ending: &Ending| matches!(ending, Ending::Interrupted | Ending::Terminated);
    let failed = endings.clone().find(|ending| *ending != Ending::Done);
    endings.clone().find(signal).or(failed).unwrap_or(Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_counts_and_a_signal_more() {
        use Ending::{Disk, Done, Interrupted, NotFound};
        let of = |endings: &[Ending]| ending(endings.iter().copied());
        assert_eq!(of(&[Done, Done]), Done);
        assert_eq!(of(&[Done, Disk, NotFound]), Disk);
        assert_eq!(of(&[NotFound, Done, Disk]), NotFound);
        assert_eq!(of(&[NotFound, Done, Interrupted]), Interrupted);
    }
}
