//! How often a peer shall announce, and how long it may be silent. Both follow the age and the size
//! of its swarm: while nodes still look for each other news must be fresh, later it must be cheap.

use crate::core::time::Span;

/// Seconds between announces while a swarm is young or small.
pub const SHORTEST_S: u64 = 5;
/// Seconds between announces when a swarm is old and large: the legacy ping of two minutes.
pub const LONGEST_S: u64 = 120;
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

/// Seconds until the next announce in a swarm of `peers` that is `age` old, on a tracker that knows
/// `peers_total`.
pub fn interval_s(asker: Asker, age: Span, peers: u64, peers_total: u64) -> u64 {
    let age_s = age.as_secs();
    let grown = if age_s < YOUNG_S || peers < GRAPH_WANTED {
        SHORTEST_S
    } else {
        // 60 s of age are worth 5 s of interval, 24 minutes the whole 120; a swarm of half the
        // large size goes half of the way.
        let by_age = (age_s / 12).clamp(SHORTEST_S, LONGEST_S);
        SHORTEST_S + (by_age - SHORTEST_S) * peers.min(LARGE) / LARGE
    };
    let load = (peers_total / ANNOUNCES_PER_S).min(LONGEST_S);
    match asker {
        Asker { lmk: false, .. } => grown.max(load).max(STOCK_SHORTEST_S),
        Asker { complete: false, .. } if peers <= LARGE => grown.min(UNFINISHED_S).max(load),
        _ => grown.max(load),
    }
}

/// How long a peer that was given `interval_s` stays without a further announce.
pub fn expiry(lmk: bool, interval_s: u64) -> Span {
    match lmk {
        true => Span::secs((interval_s * 5).div_ceil(2).max(EXPIRY_S_MIN)),
        false => Span::secs(STOCK_EXPIRY_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDER: Asker = Asker { lmk: true, complete: true };
    const LEECHER: Asker = Asker { lmk: true, complete: false };
    const STOCK: Asker = Asker { lmk: false, complete: false };

    fn of(asker: Asker, age_s: u64, peers: u64) -> u64 {
        interval_s(asker, Span::secs(age_s), peers, peers)
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
        assert_eq!(interval_s(SEEDER, Span::ZERO, 1, 100_000), 25);
        assert_eq!(interval_s(LEECHER, Span::ZERO, 1, 4_000_000), LONGEST_S);
    }

    #[test]
    fn expiry_is_two_and_a_half_intervals_and_never_hasty() {
        assert_eq!(expiry(true, 5), Span::secs(30));
        assert_eq!(expiry(true, 120), Span::secs(300));
        assert_eq!(expiry(true, 15), Span::secs(38));
        assert_eq!(expiry(false, 60), Span::secs(660));
    }
}
