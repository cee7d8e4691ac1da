//! How often a peer shall announce, and how long it may be silent. Both follow the age and the size
//! of its swarm: while nodes still look for each other news must be fresh, later it must be cheap.

use crate::core::rng::Rng;
use crate::core::time::Span;

/// Seconds between announces while a swarm is young or small.
pub const SHORTEST_S: u64 = 5;
/// A swarm is young for this long.
pub const YOUNG_S: u64 = 60;
/// Below this many peers a node has not the neighbours it wants.
pub const GRAPH_WANTED: u64 = 8;
/// From this many peers on, size no longer shortens the interval; up to here an unfinished node of
/// ours is asked every [`UNFINISHED_S`] so that its progress can be shown.
pub const LARGE: u64 = 200;
pub const UNFINISHED_S: u64 = 10;
/// Other clients raise what is shorter, or take it ill.
pub const STOCK_SHORTEST_S: u64 = 60;
/// A tracker full of small swarms is not asked more often than this in all.
pub const ANNOUNCES_PER_S: u64 = 4000;
/// libtorrent announces every 300 s at most; twice that and some air.
const STOCK_EXPIRY_S: u64 = 660;
const EXPIRY_S_MIN: u64 = 30;

/// What the interval depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// Whether the peer id says it is a node of ours.
    pub lmk: bool,
    pub complete: bool,
}

/// How old and how large a swarm is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    pub age_s: u64,
    pub peers: u64,
    /// Peers that the tracker knows in all.
    pub total: u64,
}

/// Seconds until the next announce, at most `longest_s` but for clients that take less ill.
pub fn interval_s(asker: Asker, size: Size, longest_s: u64) -> u64 {
    let Size { age_s, peers, total } = size;
    let longest_s = longest_s.max(SHORTEST_S);
    let grown = if age_s < YOUNG_S || peers < GRAPH_WANTED {
        SHORTEST_S
    } else {
        // 60 s of age are worth 5 s of interval, 24 minutes 120; a swarm of half the large size
        // goes half of the way.
        let by_age = (age_s / 12).clamp(SHORTEST_S, longest_s);
        SHORTEST_S + (by_age - SHORTEST_S) * peers.min(LARGE) / LARGE
    };
    let load = (total / ANNOUNCES_PER_S).min(longest_s);
    match asker {
        Asker { lmk: false, .. } => grown.max(load).max(STOCK_SHORTEST_S),
        Asker { complete: false, .. } if peers <= LARGE => grown.min(UNFINISHED_S).max(load),
        _ => grown.max(load),
    }
}

/// `interval_s` made up to 10 % longer or shorter, so that peers do not march in step; never below
/// the shortest that the client takes.
pub fn jittered(asker: Asker, interval_s: u64, rng: &mut Rng) -> u64 {
    let tenth = interval_s / 10;
    let least = if asker.lmk { SHORTEST_S } else { STOCK_SHORTEST_S };
    rng.between(interval_s - tenth, interval_s + tenth).max(least)
}

/// How long a peer that was given `interval_s` stays without a further announce.
pub fn expiry(lmk: bool, interval_s: u64) -> Span {
    match lmk {
        true => Span::secs((interval_s * 5).div_ceil(2).max(EXPIRY_S_MIN)),
        false => Span::secs((interval_s * 5).div_ceil(2).max(STOCK_EXPIRY_S)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_S: u64 = 120;
    const SEEDER: Asker = Asker { lmk: true, complete: true };
    const LEECHER: Asker = Asker { lmk: true, complete: false };
    const STOCK: Asker = Asker { lmk: false, complete: false };

    fn of(asker: Asker, age_s: u64, peers: u64) -> u64 {
        interval_s(asker, Size { age_s, peers, total: peers }, LONGEST_S)
    }

    #[test]
    fn young_and_small_swarms_are_asked_every_five_seconds() {
        assert_eq!(of(SEEDER, 0, 2000), 5);
        assert_eq!(of(SEEDER, YOUNG_S - 1, 2000), 5);
        assert_eq!(of(SEEDER, 100_000, GRAPH_WANTED - 1), 5);
    }

    #[test]
    fn the_interval_grows_with_age_and_size_to_two_minutes() {
        for peers in [8, 50, 200, 20_000] {
            for age_s in 0..2000 {
                assert!(of(SEEDER, age_s + 1, peers) >= of(SEEDER, age_s, peers));
                assert!(of(SEEDER, age_s, peers + 10) >= of(SEEDER, age_s, peers));
            }
        }
        assert_eq!(of(SEEDER, 1440, LARGE), LONGEST_S);
        assert_eq!(of(SEEDER, u64::MAX, u64::MAX), LONGEST_S);
    }

    #[test]
    fn an_unfinished_node_is_asked_every_ten_seconds_up_to_200_peers() {
        assert_eq!(of(LEECHER, 1440, LARGE), UNFINISHED_S);
        assert_eq!(of(LEECHER, 1440, LARGE + 1), LONGEST_S);
        assert_eq!(of(LEECHER, 0, 3), SHORTEST_S);
    }

    #[test]
    fn other_clients_are_asked_every_minute_at_most() {
        assert_eq!(of(STOCK, 0, 2), 60);
        assert_eq!(of(STOCK, 1440, LARGE), LONGEST_S);
    }

    #[test]
    fn many_small_swarms_do_not_flood_the_tracker() {
        let of = |asker, total| interval_s(asker, Size { age_s: 0, peers: 1, total }, LONGEST_S);
        assert_eq!((of(SEEDER, 100_000), of(LEECHER, 4_000_000)), (25, LONGEST_S));
    }

    #[test]
    fn the_longest_interval_is_what_the_operator_says() {
        let of = |longest_s, age_s| {
            interval_s(SEEDER, Size { age_s, peers: LARGE, total: 0 }, longest_s)
        };
        assert_eq!(
            (of(900, 100_000), of(900, 1440), of(30, 100_000), of(0, 9999)),
            (900, 120, 30, 5)
        );
    }

    #[test]
    fn intervals_differ_by_a_tenth_and_never_fall_below_the_least() {
        let mut rng = Rng::new(1);
        let given: std::collections::BTreeSet<u64> =
            (0..2000).map(|_| jittered(SEEDER, 120, &mut rng)).collect();
        assert_eq!((given.first(), given.last(), given.len()), (Some(&108), Some(&132), 25));
        assert!((0..200).all(|_| (60..=66).contains(&jittered(STOCK, 60, &mut rng))));
        assert_eq!(jittered(LEECHER, 5, &mut rng), 5);
    }

    #[test]
    fn expiry_is_two_and_a_half_intervals_and_never_hasty() {
        assert_eq!(expiry(true, 5), Span::secs(30));
        assert_eq!(expiry(true, 120), Span::secs(300));
        assert_eq!(expiry(true, 15), Span::secs(38));
        assert_eq!(expiry(false, 60), Span::secs(660));
        assert_eq!(expiry(false, 600), Span::secs(1500));
    }
}
