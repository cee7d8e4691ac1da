//! How much is brought to the disk at a time.

use crate::core::limits::{SYNC_BYTES, SYNC_BYTES_MIN, SYNC_SPAN};
use crate::core::time::Span;

/// The loop stands still while a sync takes its time: how many bytes the next one may have to
/// bring to the disk, after one of `bytes` took `span`. Slow ones count at once, quick ones slowly.
pub(super) fn next_batch(batch: u64, bytes: u64, span: Span) -> u64 {
    let within = bytes.saturating_mul(SYNC_SPAN.as_ms()) / span.as_ms().max(1);
    let next = if span > SYNC_SPAN { within.min(batch) } else { within.clamp(batch, batch * 2) };
    next.clamp(SYNC_BYTES_MIN, SYNC_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_slow_disk_is_given_less_at_a_time_and_a_quick_one_more() {
        let quick = (0..9).fold(SYNC_BYTES_MIN, |batch, _| next_batch(batch, batch, Span::ms(9)));
        assert_eq!(quick, SYNC_BYTES);
        // 40 MB/s: what takes a tenth of a second.
        let after = next_batch(SYNC_BYTES, 32 * MIB, Span::ms(800));
        assert_eq!(after, SYNC_BYTES_MIN);
        assert_eq!(next_batch(SYNC_BYTES, 32 * MIB, Span::ms(200)), 16 * MIB);
        // A little that was synced in time says nothing of more.
        assert_eq!(next_batch(8 * MIB, 1, Span::ms(3)), 8 * MIB);
        assert_eq!(next_batch(8 * MIB, 8 * MIB, Span::ZERO), 16 * MIB);
    }
}
