//! Tickets: what a UDP control request gives and the TCP hello brings back. Stateless but for the
//! count of connections promised and not yet used.

use super::mac::{Key, ip16};
use std::net::IpAddr;

/// Seconds a ticket may be used.
pub const LIFETIME_S: u64 = 20;
/// A second's promises each; more than [`LIFETIME_S`] so that the past and the future never meet.
const RING: usize = 32;

/// May read the catalogue.
pub const READ: u8 = 1;
/// May write to it.
pub const WRITE: u8 = 2;

/// 24 bytes: u32 Unix second of expiry, u8 rights, u8 key epoch, u16 zero, 16 bytes of MAC.
pub type Ticket = [u8; 24];

/// The maker and judge of tickets.
#[derive(Clone, Debug)]
pub struct Tickets {
    key: Key,
    /// Promised and unused, by second of expiry.
    reserved: [(u64, u32); RING],
}

impl Tickets {
    pub fn new(key: Key) -> Tickets {
        Tickets { key, reserved: [(0, 0); RING] }
    }

    /// A ticket for `ip` and the nonce of its request; counts as one connection to come.
    pub fn give(&mut self, ip: IpAddr, nonce: &[u8; 8], rights: u8, unix_s: u64) -> Ticket {
        let expiry = unix_s + LIFETIME_S;
        if let Some(second) = self.reserved.get_mut(expiry as usize % RING) {
            let before = if second.0 == expiry { second.1 } else { 0 };
            *second = (expiry, before.saturating_add(1));
        }
        let mut ticket = [0; 24];
        let (head, mac) = ticket.split_at_mut(8);
        let [a, b, c, d] = (expiry as u32).to_be_bytes();
        head.copy_from_slice(&[a, b, c, d, rights, 0, 0, 0]);
        self.key.tag(&[b"lmk-tkt1", head, &ip16(ip), nonce, &[0; 8]], mac);
        ticket
    }

    /// The rights a ticket gives when it comes from `ip` with `nonce`; `None` if it was not given
    /// so, or is over.
    pub fn judge(&self, ticket: &Ticket, ip: IpAddr, nonce: &[u8; 8], unix_s: u64) -> Option<u8> {
        let (head, mac) = ticket.split_at(8);
        let expiry = self.expiry(ticket);
        let real = self.key.agrees(&[b"lmk-tkt1", head, &ip16(ip), nonce, &[0; 8]], mac);
        (real && unix_s <= expiry).then_some(head.get(4).copied().unwrap_or_default())
    }

    /// A ticket was used: its promise is kept.
    pub fn used(&mut self, ticket: &Ticket) {
        let expiry = self.expiry(ticket);
        if let Some(second) = self.reserved.get_mut(expiry as usize % RING)
            && second.0 == expiry
        {
            second.1 = second.1.saturating_sub(1);
        }
    }

    /// Connections promised and still to come.
    pub fn reserved(&self, unix_s: u64) -> u32 {
        let live = self.reserved.iter().filter(|(expiry, _)| *expiry >= unix_s);
        live.fold(0u32, |sum, (_, n)| sum.saturating_add(*n))
    }

    fn expiry(&self, ticket: &Ticket) -> u64 {
        let [a, b, c, d, ..] = *ticket;
        u64::from(u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The world of the vectors: key, address, nonce and second.
    const T0: u64 = 1_767_225_600;
    const NONCE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    fn tickets() -> Tickets {
        let mut secret = [0; 32];
        secret.iter_mut().zip(0x20..).for_each(|(slot, byte)| *slot = byte);
        Tickets::new(Key::new(&secret))
    }

    fn judge_hello(hello: &[u8]) -> Option<u8> {
        let ticket = hello[16..40].try_into().unwrap();
        let nonce = hello[40..48].try_into().unwrap();
        tickets().judge(&ticket, "127.0.0.1".parse().unwrap(), &nonce, T0)
    }

    #[test]
    fn the_recipe_gives_the_vector() {
        let hello = include_bytes!("../../tests/vectors/lmk/tcp_hello_read.bin");
        let given = tickets().give("127.0.0.1".parse().unwrap(), &NONCE, READ, T0);
        assert_eq!(given, hello[16..40]);
        assert_eq!(judge_hello(hello), Some(READ));
    }

    #[test]
    fn expired_foreign_or_changed_tickets_give_nothing() {
        let invalid: [&[u8]; 4] = [
            include_bytes!("../../tests/vectors/invalid/lmk/hello_ticket_expired.bin"),
            include_bytes!("../../tests/vectors/invalid/lmk/hello_ticket_other_ip.bin"),
            include_bytes!("../../tests/vectors/invalid/lmk/hello_ticket_wrong_nonce.bin"),
            include_bytes!("../../tests/vectors/invalid/lmk/hello_rights_raised.bin"),
        ];
        for hello in invalid {
            assert_eq!(judge_hello(hello), None);
        }
    }

    #[test]
    fn promises_are_counted_until_used_or_over() {
        let mut tickets = tickets();
        let ip = "10.0.0.1".parse().unwrap();
        let first = tickets.give(ip, &NONCE, READ, T0);
        tickets.give(ip, &NONCE, READ, T0 + 5);
        assert_eq!(tickets.reserved(T0 + 5), 2);
        tickets.used(&first);
        assert_eq!(tickets.reserved(T0 + 5), 1);
        assert_eq!(tickets.reserved(T0 + 5 + LIFETIME_S), 1);
        assert_eq!(tickets.reserved(T0 + 6 + LIFETIME_S), 0);
    }
}
