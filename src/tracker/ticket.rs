//! Tickets: what a UDP control request gives and the TCP hello brings back. Stateless but for the
//! count of connections promised and not yet used.

use super::mac::{Key, ip16};
use super::source::Source;
use crate::core::limits::ADDRESS_TICKETS_MAX;
use crate::wire::catalogue::hello::Owner;
use std::collections::BTreeMap;
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
type Mac = [u8; 16];

/// Whom a ticket is for.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    pub ip: IpAddr,
    /// Of the control request.
    pub nonce: &'a [u8; 8],
    /// The owner of the token that was shown, zeros without one.
    pub owner: Owner,
}

impl Holder<'_> {
    fn parts<'p>(&'p self, head: &'p [u8], ip16: &'p [u8; 16]) -> [&'p [u8]; 5] {
        [b"lmk-tkt1", head, ip16, self.nonce, &self.owner.0]
    }
}

/// The maker and judge of tickets.
#[derive(Clone, Debug)]
pub struct Tickets {
    key: Key,
    /// Promised and unused, by second of expiry.
    reserved: [(u64, u32); RING],
    /// The same of each source whose limits count.
    of_source: BTreeMap<(u64, Source), u32>,
    /// The same of each ticket, by second of expiry and MAC: shown again and again it still was one
    /// promise. As many as there may be connections.
    unused: BTreeMap<(u64, Mac), u32>,
    /// Limits per address count for private addresses, too.
    public: bool,
}

impl Tickets {
    pub fn new(key: Key, public: bool) -> Tickets {
        Tickets {
            key,
            reserved: [(0, 0); RING],
            of_source: BTreeMap::new(),
            unused: BTreeMap::new(),
            public,
        }
    }

    /// Whether an address may be promised one more connection.
    pub fn is_modest(&self, ip: IpAddr, unix_s: u64) -> bool {
        let Some(source) = Source::limited(ip, self.public) else { return true };
        let unused = (unix_s..=unix_s + LIFETIME_S)
            .filter_map(|expiry| self.of_source.get(&(expiry, source)))
            .fold(0u32, |sum, n| sum.saturating_add(*n));
        unused < ADDRESS_TICKETS_MAX
    }

    /// A ticket for a request; counts as one connection to come.
    pub fn give(&mut self, holder: Holder<'_>, rights: u8, unix_s: u64) -> Ticket {
        let expiry = unix_s + LIFETIME_S;
        while let Some(oldest) = self.of_source.first_entry().filter(|e| e.key().0 < unix_s) {
            oldest.remove();
        }
        while let Some(oldest) = self.unused.first_entry().filter(|e| e.key().0 < unix_s) {
            oldest.remove();
        }
        if let Some(source) = Source::limited(holder.ip, self.public) {
            *self.of_source.entry((expiry, source)).or_default() += 1;
        }
        if let Some(second) = self.reserved.get_mut(expiry as usize % RING) {
            let before = if second.0 == expiry { second.1 } else { 0 };
            *second = (expiry, before.saturating_add(1));
        }
        let mut ticket = [0; 24];
        let (head, mac) = ticket.split_at_mut(8);
        let [a, b, c, d] = (expiry as u32).to_be_bytes();
        head.copy_from_slice(&[a, b, c, d, rights, 0, 0, 0]);
        self.key.tag(&holder.parts(head, &ip16(holder.ip)), mac);
        *self.unused.entry((expiry, mac_of(&ticket))).or_default() += 1;
        ticket
    }

    /// The rights a ticket gives when `holder` brings it; `None` if it was not given so or is over.
    pub fn judge(&self, ticket: &Ticket, holder: Holder<'_>, unix_s: u64) -> Option<u8> {
        let (head, mac) = ticket.split_at(8);
        let expiry = self.expiry(ticket);
        let real = self.key.agrees(&holder.parts(head, &ip16(holder.ip)), mac);
        (real && unix_s <= expiry).then_some(head.get(4).copied().unwrap_or_default())
    }

    /// A ticket was used by whom it was given to: its promise is kept, the first time.
    pub fn used(&mut self, ticket: &Ticket, ip: IpAddr) {
        let expiry = self.expiry(ticket);
        let promise = (expiry, mac_of(ticket));
        match self.unused.get_mut(&promise) {
            None => return,
            Some(1) => _ = self.unused.remove(&promise),
            Some(count) => *count = count.saturating_sub(1),
        }
        let source = Source::limited(ip, self.public);
        if let Some(count) = source.and_then(|source| self.of_source.get_mut(&(expiry, source))) {
            *count = count.saturating_sub(1);
        }
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

fn mac_of(ticket: &Ticket) -> Mac {
    let mut mac = [0; 16];
    let (_, bytes) = ticket.split_at(8);
    mac.copy_from_slice(bytes);
    mac
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
        Tickets::new(Key::new(&secret), false)
    }

    fn holder(ip: &str, owner: [u8; 8]) -> Holder<'static> {
        Holder { ip: ip.parse().unwrap(), nonce: &NONCE, owner: Owner(owner) }
    }

    fn judge_hello(hello: &[u8], owner: [u8; 8]) -> Option<u8> {
        let ticket = hello[16..40].try_into().unwrap();
        let nonce = hello[40..48].try_into().unwrap();
        tickets().judge(&ticket, Holder { nonce: &nonce, ..holder("127.0.0.1", owner) }, T0)
    }

    #[test]
    fn the_recipe_gives_the_vector() {
        let hello = include_bytes!("../../tests/vectors/lmk/tcp_hello_read.bin");
        let given = tickets().give(holder("127.0.0.1", [0; 8]), READ, T0);
        assert_eq!(given, hello[16..40]);
        assert_eq!(judge_hello(hello, [0; 8]), Some(READ));
        let hello = include_bytes!("../../tests/vectors/lmk/tcp_hello_write.bin");
        let given = tickets().give(holder("127.0.0.1", *b"OWNER001"), READ | WRITE, T0);
        assert_eq!(given, hello[16..40]);
        assert_eq!(judge_hello(hello, *b"OWNER001"), Some(READ | WRITE));
        assert_eq!(judge_hello(hello, *b"OWNER002"), None, "with a token of another owner");
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
            assert_eq!(judge_hello(hello, [0; 8]), None);
        }
    }

    #[test]
    fn promises_are_counted_until_used_or_over() {
        let mut tickets = tickets();
        let by = holder("10.0.0.1", [0; 8]);
        let first = tickets.give(by, READ, T0);
        tickets.give(by, READ, T0 + 5);
        assert_eq!(tickets.reserved(T0 + 5), 2);
        tickets.used(&first, by.ip);
        assert_eq!(tickets.reserved(T0 + 5), 1);
        assert_eq!(tickets.reserved(T0 + 5 + LIFETIME_S), 1);
        assert_eq!(tickets.reserved(T0 + 6 + LIFETIME_S), 0);
    }

    #[test]
    fn a_ticket_shown_again_and_again_keeps_one_promise() {
        let mut tickets = tickets();
        let by = holder("8.8.8.8", [0; 8]);
        let first = tickets.give(by, READ, T0);
        tickets.give(holder("8.8.4.4", [0; 8]), READ, T0);
        (0..5).for_each(|_| tickets.used(&first, by.ip));
        assert_eq!(tickets.reserved(T0), 1, "that of somebody else");
        // What was asked for twice in a second is two promises of the same bytes.
        let [again, same] = [(); 2].map(|()| tickets.give(by, READ, T0 + 1));
        assert_eq!((again, tickets.reserved(T0 + 1)), (same, 3));
        (0..5).for_each(|_| tickets.used(&again, by.ip));
        assert_eq!((tickets.reserved(T0 + 1), tickets.unused.len()), (1, 1));
        tickets.give(by, READ, T0 + 2 + LIFETIME_S);
        assert_eq!(tickets.unused.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn one_address_is_promised_so_many_connections_and_no_more() {
        let mut tickets = tickets();
        let greedy = holder("8.8.8.8", [0; 8]);
        for n in 0..ADDRESS_TICKETS_MAX {
            assert!(tickets.is_modest(greedy.ip, T0), "{n}");
            tickets.give(greedy, READ, T0);
        }
        let later = T0 + LIFETIME_S;
        assert!(!tickets.is_modest(greedy.ip, T0) && !tickets.is_modest(greedy.ip, later));
        assert!(tickets.is_modest(holder("8.8.4.4", [0; 8]).ip, T0));
        assert!(tickets.is_modest(greedy.ip, later + 1), "what was not used is over");
        let kept = tickets.give(greedy, READ, later + 1);
        assert_eq!(tickets.of_source.len(), 1, "what is over is forgotten");
        tickets.used(&kept, greedy.ip);
        assert!(tickets.of_source.values().all(|unused| *unused == 0));
        // Private addresses have no limit of their own on a tracker for private networks.
        let near = holder("10.0.0.1", [0; 8]);
        (0..2 * ADDRESS_TICKETS_MAX).for_each(|_| _ = tickets.give(near, READ, T0));
        assert!(tickets.is_modest(near.ip, T0));
        tickets.public = true;
        assert!(tickets.is_modest(near.ip, T0));
        (0..ADDRESS_TICKETS_MAX).for_each(|_| _ = tickets.give(near, READ, T0));
        assert!(!tickets.is_modest(near.ip, T0));
    }
}
