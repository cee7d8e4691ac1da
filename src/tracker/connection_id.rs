//! Connection ids (BEP 15): a MAC over the time window and the source address, so that the tracker
//! remembers nothing per client and nobody can announce for an address that is not theirs.

use super::mac::{Key, ip16};
use crate::core::mark::mark;
use std::cell::RefCell;
use std::net::IpAddr;

/// Seconds of one window. An id is valid in its own and the next one: 120 to 240 s, as BEP 15 asks.
pub const WINDOW_S: u64 = 120;
/// How many windows back an id is still recognised as ours and told to be expired.
const WINDOWS_KNOWN: u64 = 10;

/// What an id that came in is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Given to this address in this window or the one before.
    Valid,
    /// Given to this address 2 to 10 windows ago: worth an answer, so that an honest client
    /// connects again at once.
    Expired,
    /// Not ours, of another address, of the future, or older: worth silence.
    Unknown,
}

/// Ids made lately that are remembered, a power of two: an address connects and then announces, or
/// announces many contents one after the other.
const RECENT: usize = 1024;

/// An id that was made: for whom, for which window, and what it is.
#[derive(Clone, Copy)]
struct Made {
    ip: [u8; 16],
    window: u64,
    id: u64,
}

/// The maker and judge of connection ids.
#[derive(Clone)]
pub struct ConnectionIds {
    key: Key,
    /// By address and window; who shares a place with another takes it.
    recent: RefCell<Vec<Option<Made>>>,
}

impl ConnectionIds {
    pub fn new(key: Key) -> ConnectionIds {
        ConnectionIds { key, recent: RefCell::new(vec![None; RECENT]) }
    }

    /// The id for `ip` at Unix second `unix_s`.
    pub fn give(&self, ip: IpAddr, unix_s: u64) -> u64 {
        self.of(ip16(ip), unix_s / WINDOW_S)
    }

    fn of(&self, ip: [u8; 16], window: u64) -> u64 {
        let mut recent = self.recent.borrow_mut();
        let number = u128::from_be_bytes(ip) ^ u128::from(window) << 64;
        let mixed = ((number >> 64) as u64 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let made = recent.get_mut((mixed >> 32) as usize % RECENT);
        if let Some(Some(made)) = &made
            && made.ip == ip
            && made.window == window
        {
            return made.id;
        }
        let mut id = [0; 8];
        self.key.tag(&[b"lmk-cid1", &window_bytes(window), &ip], &mut id);
        let id = u64::from_be_bytes(id);
        if let Some(made) = made {
            *made = Some(Made { ip, window, id });
        }
        id
    }

    /// Judges `id` coming from `ip` at Unix second `unix_s`.
    pub fn judge(&self, id: u64, ip: IpAddr, unix_s: u64) -> Standing {
        let ip = ip16(ip);
        let age = (0..=WINDOWS_KNOWN).find(|age| {
            let Some(window) = (unix_s / WINDOW_S).checked_sub(*age) else { return false };
            match age {
                // One subtraction: it takes the same time for every wrong id.
                0 | 1 => {
                    mark!("B06");
                    self.of(ip, window) == id
                }
                // Not worth a place among the recent ones.
                _ => {
                    let window = window_bytes(window);
                    self.key.agrees(&[b"lmk-cid1", &window, &ip], &id.to_be_bytes())
                }
            }
        });
        match age {
            Some(0 | 1) => Standing::Valid,
            Some(_) => Standing::Expired,
            // Windows to come are not tried, and another address has another id.
            None => {
                mark!("B04");
                mark!("B05");
                Standing::Unknown
            }
        }
    }
}

impl std::fmt::Debug for ConnectionIds {
    /// Ids are never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionIds(..)")
    }
}

fn window_bytes(window: u64) -> [u8; 4] {
    // 32 bits of windows last until the year 18,000.
    (window as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: [u8; 32] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31,
    ];

    fn ids() -> ConnectionIds {
        ConnectionIds::new(Key::new(&SECRET))
    }

    #[test]
    fn the_recipe_gives_the_vector() {
        let text = include_str!("../../tests/vectors/lmk/connection_id.json");
        let vector: serde_json::Value = serde_json::from_str(text).unwrap();
        let hex = |key: &str| u64::from_str_radix(vector[key].as_str().unwrap(), 16).unwrap();
        let unix = vector["unix"].as_u64().unwrap();
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(ids().give(ip, unix), hex("connection_id"));
        assert_eq!(ids().give(ip, unix - WINDOW_S), hex("previous"));
    }

    #[test]
    fn an_id_lives_two_windows_is_known_for_ten_and_then_forgotten() {
        let ip: IpAddr = "192.0.2.7".parse().unwrap();
        let born = 1000 * WINDOW_S;
        let id = ids().give(ip, born);
        let at = |windows: u64| ids().judge(id, ip, born + windows * WINDOW_S);
        assert_eq!((at(0), at(1)), (Standing::Valid, Standing::Valid));
        assert_eq!((at(2), at(10)), (Standing::Expired, Standing::Expired));
        assert_eq!(at(11), Standing::Unknown);
        assert_eq!(ids().judge(id, ip, born - 1), Standing::Unknown, "from the future");
    }

    proptest! {
        #[test]
        fn an_id_serves_one_address_and_no_guess_serves_any(
            a: std::net::Ipv4Addr, b: std::net::Ipv6Addr, unix in 0..1u64 << 33, guess: u64,
        ) {
            prop_assume!(b.to_ipv4_mapped() != Some(a));
            let id = ids().give(a.into(), unix);
            prop_assert_eq!(ids().judge(id, a.into(), unix), Standing::Valid);
            prop_assert_eq!(ids().judge(id, a.to_ipv6_mapped().into(), unix), Standing::Valid);
            prop_assert_eq!(ids().judge(id, b.into(), unix), Standing::Unknown);
            prop_assert_eq!(ids().judge(guess, a.into(), unix), Standing::Unknown);
        }
    }
}
