//! Peers are written in slices: each takes about as long as it may, by what those before it took.

use super::{Sqlite, rows, schema};
use crate::core::id::Ticket;
use crate::core::store::{StoreDone, StoreError, SwarmPart};
use crate::core::time::{Span, Time};

/// What a slice of liveness rows may take.
const SLICE: Span = Span::ms(1);
/// Bytes of the first slice, and the bounds of all others.
pub const SLICE_BYTES: usize = 64 * 1024;
const SLICE_BYTES_MIN: usize = 4 * 1024;
const SLICE_BYTES_MAX: usize = 512 * 1024;
/// What a row costs beside its bytes, in bytes.
const ROW_BYTES: usize = 256;

impl Sqlite {
    /// The next slice of what nobody waits for.
    pub(super) fn write_slice(
        &mut self,
        clock: &mut dyn FnMut() -> Time,
        last: bool,
        done: &mut dyn FnMut(Ticket, StoreDone),
    ) {
        let most = if last { usize::MAX } else { self.slice_bytes };
        let mut left = most;
        let parts = self.liveness.iter().flat_map(|(_, parts)| parts).take_while(|part| {
            let first = left == most;
            let cost = part.packed.len() + ROW_BYTES;
            let fits = first || cost <= left;
            left = left.saturating_sub(cost);
            fits
        });
        let parts: Vec<&SwarmPart> = parts.collect();
        let (count, bytes) = (parts.len(), parts.iter().map(|p| p.packed.len() + ROW_BYTES).sum());
        let began = clock();
        let result = self.transact(schema::RELAXED, last, |db| {
            parts.iter().try_for_each(|part| rows::swarm_part(db, part))
        });
        let now = clock();
        if self.comes_again(&result, now, last) {
            return;
        }
        self.adapt(bytes, now.since(began));
        self.logged(bytes, now);
        self.slice_longest = self.slice_longest.max(now.since(began));
        self.told(count, &result, done);
    }

    /// Forgets the first `count` parts and tells the operations that are whole.
    fn told(
        &mut self,
        mut count: usize,
        result: &Result<(), StoreError>,
        done: &mut dyn FnMut(Ticket, StoreDone),
    ) {
        let mut commit = None;
        while let Some((ticket, parts)) = self.liveness.front_mut() {
            let whole = parts.len() <= count || result.is_err();
            if !whole {
                parts.drain(..count);
                return;
            }
            count = count.saturating_sub(parts.len());
            let ticket = *ticket;
            let commit = *commit.get_or_insert_with(|| {
                let longest = std::mem::take(&mut self.slice_longest);
                self.number_of(longest)
            });
            done(ticket, StoreDone::Written { result: result.clone(), commit });
            self.liveness.pop_front();
            if count == 0 {
                return;
            }
        }
    }

    /// The next slice takes about as long as it may, by what this one took.
    fn adapt(&mut self, bytes: usize, took: Span) {
        let fitting = (bytes as u64).saturating_mul(SLICE.0) / took.0.max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        // Small slices say little of larger ones: grow by steps, shrink at once.
        let grown = self.slice_bytes.saturating_mul(2);
        let grows = bytes >= self.slice_bytes / 2;
        let most = if grows { grown } else { self.slice_bytes };
        self.slice_bytes = fitting.min(most).clamp(SLICE_BYTES_MIN, SLICE_BYTES_MAX);
    }
}
