//! Bytes that connections hold back, against what there is for all of them: every address has a
//! share of it, so that one never takes the room of all. Who is in want of little is never refused.

use super::source::Source;
use crate::core::limits::{ADDRESS_HELD_BYTES_MAX, CATALOGUE_HELD_BYTES_MAX};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Bytes held back for all HTTP connections together: pipelined requests that wait for their turn,
/// beyond what each connection has for a head.
pub const HTTP_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of these, bytes of one address (or IPv6 /64).
pub const ADDRESS_HTTP_BYTES_MAX: usize = HTTP_BYTES_MAX / 8;
/// Bytes of catalogue connections of one private address: a quarter of all there are.
const NEAR_HELD_BYTES_MAX: usize = CATALOGUE_HELD_BYTES_MAX / 4;

/// Bytes of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// Of an HTTP connection, beyond a head.
    pub http: usize,
    /// Of a catalogue connection, beyond what each has for itself.
    pub large: usize,
}

impl Held {
    /// All of these, without `less` and with `more`.
    fn moved(self, less: Held, more: Held) -> Held {
        Held {
            http: (self.http + more.http).saturating_sub(less.http),
            large: (self.large + more.large).saturating_sub(less.large),
        }
    }
}

/// Whose bytes are counted together, and how many of a catalogue there may be.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    source: Source,
    large_max: usize,
}

impl Share {
    /// `public`: limits per address count for private addresses too.
    pub fn of(ip: IpAddr, public: bool) -> Share {
        let large_max = match Source::limited(ip, public) {
            Some(_) => ADDRESS_HELD_BYTES_MAX,
            None if ip.is_loopback() => CATALOGUE_HELD_BYTES_MAX,
            None => NEAR_HELD_BYTES_MAX,
        };
        Share { source: Source::of(ip), large_max }
    }
}

/// Bytes of all connections.
#[derive(Debug, Default)]
pub struct Budget {
    all: Held,
    of_source: BTreeMap<Source, Held>,
}

impl Budget {
    /// A connection holds `after` instead of `before`; false if it grew beyond what there is.
    #[must_use]
    pub fn moved(&mut self, share: Share, before: Held, after: Held) -> bool {
        if before == after {
            return true;
        }
        self.all = self.all.moved(before, after);
        let own = self.of_source.entry(share.source).or_default();
        *own = own.moved(before, after);
        let held = *own;
        if held == Held::default() {
            self.of_source.remove(&share.source);
        }
        let http = self.all.http <= HTTP_BYTES_MAX && held.http <= ADDRESS_HTTP_BYTES_MAX;
        let large = self.all.large <= CATALOGUE_HELD_BYTES_MAX && held.large <= share.large_max;
        (after.http <= before.http || http) && (after.large <= before.large || large)
    }

    pub fn bytes(&self) -> usize {
        self.all.http + self.all.large
    }

    /// Sources that hold something.
    pub fn sources(&self) -> usize {
        self.of_source.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const NONE: Held = Held { http: 0, large: 0 };

    fn large(bytes: usize) -> Held {
        Held { large: bytes, ..NONE }
    }

    fn http(bytes: usize) -> Held {
        Held { http: bytes, ..NONE }
    }

    fn share(text: &str) -> Share {
        Share::of(text.parse().unwrap(), false)
    }

    #[test]
    fn one_source_holds_its_share_and_another_has_room() {
        let mut budget = Budget::default();
        let (greedy, modest) = (share("8.8.8.8"), share("8.8.4.4"));
        assert!(budget.moved(greedy, NONE, large(ADDRESS_HELD_BYTES_MAX)));
        assert!(!budget.moved(greedy, NONE, large(1)), "another connection of it");
        assert!(budget.moved(modest, NONE, large(8 * MIB)));
        assert!(budget.moved(greedy, large(ADDRESS_HELD_BYTES_MAX), large(MIB)), "less is fine");
        assert!(budget.moved(greedy, NONE, http(ADDRESS_HTTP_BYTES_MAX)));
        assert!(!budget.moved(greedy, http(5), http(6)));
        assert!(budget.moved(modest, NONE, http(1)));
    }

    #[test]
    fn private_addresses_have_larger_shares_unless_the_tracker_is_public() {
        let of = |ip: &str, public| Share::of(ip.parse().unwrap(), public).large_max;
        let (all, near) = (CATALOGUE_HELD_BYTES_MAX, NEAR_HELD_BYTES_MAX);
        assert_eq!((of("127.0.0.1", true), of("10.0.0.1", false)), (all, near));
        assert_eq!(of("10.0.0.1", true), ADDRESS_HELD_BYTES_MAX);
    }

    #[test]
    fn all_together_hold_no_more_than_there_is_and_what_they_gave_back_is_free() {
        let mut budget = Budget::default();
        let each = |n: usize| Share::of([9, 9, 9, n as u8].into(), false);
        let sources = CATALOGUE_HELD_BYTES_MAX / ADDRESS_HELD_BYTES_MAX;
        for n in 0..sources {
            assert!(budget.moved(each(n), NONE, large(ADDRESS_HELD_BYTES_MAX)), "{n}");
        }
        assert!(!budget.moved(each(200), NONE, large(1)), "all is taken");
        assert!(budget.moved(each(200), large(1), NONE));
        assert!(budget.moved(each(0), large(ADDRESS_HELD_BYTES_MAX), NONE));
        assert!(budget.moved(each(200), NONE, large(1)));
        let kinds = HTTP_BYTES_MAX / ADDRESS_HTTP_BYTES_MAX;
        for n in 0..kinds {
            assert!(budget.moved(each(n), NONE, http(ADDRESS_HTTP_BYTES_MAX)), "{n}");
        }
        assert!(!budget.moved(each(200), NONE, http(1)));
        assert!(budget.moved(each(200), http(1), NONE));
        for n in 0..kinds {
            assert!(budget.moved(each(n), http(ADDRESS_HTTP_BYTES_MAX), NONE));
        }
        for n in 1..sources {
            assert!(budget.moved(each(n), large(ADDRESS_HELD_BYTES_MAX), NONE));
        }
        assert_eq!((budget.bytes(), budget.sources()), (1, 1));
        assert!(budget.moved(each(200), large(1), NONE));
        assert_eq!((budget.bytes(), budget.sources()), (0, 0));
    }
}
