//! How many key agreements are computed for those who come: each costs as much time as a hundred
//! messages, and anybody may ask for one.

use crate::core::limits::{ADDRESS_AGREEMENTS_PER_S, AGREEMENTS_PER_S};
use crate::core::network::public_source;
use crate::core::time::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Those of the present second.
#[derive(Debug, Default)]
pub struct Agreements {
    second: u64,
    all: u32,
    /// No longer than `all`.
    by_source: BTreeMap<IpAddr, u32>,
}

impl Agreements {
    /// Whether one more is computed for `ip` now.
    pub fn take(&mut self, ip: IpAddr, now: Time) -> bool {
        let second = now.since(Time::ZERO).as_secs();
        if second != self.second {
            *self = Agreements { second, ..Agreements::default() };
        }
        if self.all >= AGREEMENTS_PER_S {
            return false;
        }
        if let Some(source) = public_source(ip) {
            let taken = self.by_source.entry(source).or_default();
            if *taken >= ADDRESS_AGREEMENTS_PER_S {
                return false;
            }
            *taken += 1;
        }
        self.all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Span;

    #[test]
    fn one_address_and_all_together_get_so_many_a_second() {
        let mut agreements = Agreements::default();
        let now = Time::ZERO + Span::secs(5);
        let mut taken = |ip: [u8; 4], tries: u32, now: Time| {
            (0..tries).filter(|_| agreements.take(ip.into(), now)).count() as u32
        };
        assert_eq!(taken([8, 8, 8, 8], 1000, now), ADDRESS_AGREEMENTS_PER_S);
        assert_eq!(taken([8, 8, 4, 4], 1, now), 1, "another one is served");
        let left = AGREEMENTS_PER_S - ADDRESS_AGREEMENTS_PER_S - 1;
        assert_eq!(taken([10, 0, 0, 1], 1000, now), left, "neighbours share what there is");
        assert_eq!(taken([9, 9, 9, 9], 1, now + Span::ms(999)), 0);
        assert_eq!(taken([8, 8, 8, 8], 1, now + Span::secs(1)), 1);
        assert!(agreements.by_source.len() <= 1, "what is over is forgotten");
    }
}
