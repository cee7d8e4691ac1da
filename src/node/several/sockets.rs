//! The listener and the socket for datagrams, which all fetches have in common: the first wish
//! opens one, wide enough for all of them, and the others get the same answer.

use crate::core::id::Ticket;
use crate::core::io::{Listening, NetError};
use crate::node::plan::NodePlan;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses that datagrams went to, remembered at a time: trackers and name servers.
const SPOKEN_MAX: usize = 4096;

/// One of them wants a socket at an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub who: usize,
    pub ticket: Ticket,
    pub at: SocketAddr,
}

/// A socket of one kind.
#[derive(Debug, Default)]
struct Socket {
    /// Where it is, or was asked for last.
    at: Option<IpAddr>,
    open: Option<Listening>,
    /// What the world was asked by.
    asked: Option<Ticket>,
    waiting: Vec<Wish>,
}

type Answer = (usize, Ticket, Result<Listening, NetError>);

#[derive(Debug, Default)]
pub(super) struct Sockets {
    tcp: Socket,
    udp: Socket,
    /// Some of them are about torrents, whose peers and trackers are anywhere.
    anywhere: bool,
    /// The person said where to listen.
    named: bool,
    without_ipv6: bool,
    answers: VecDeque<Answer>,
    /// Who sent datagrams where, a bit for each.
    spoken: BTreeMap<(IpAddr, u16), u64>,
}

impl Sockets {
    pub fn of(plans: &[NodePlan]) -> Sockets {
        Sockets {
            anywhere: plans.iter().any(|plan| plan.torrent().is_some()),
            named: plans.iter().any(|plan| plan.listen.is_some()),
            ..Sockets::default()
        }
    }

    /// Whether the world is asked, and at which address: one that does for all of them.
    pub fn wished(&mut self, wish: Wish, tcp: bool, at: &mut SocketAddr) -> bool {
        at.set_ip(self.wide(at.ip(), tcp));
        let socket = if tcp { &mut self.tcp } else { &mut self.udp };
        let fits = socket.at.is_some_and(|has| has == at.ip() || has.is_unspecified());
        if let (true, Some(open)) = (fits, socket.open) {
            self.answers.push_back((wish.who, wish.ticket, Ok(open)));
            return false;
        }
        socket.waiting.push(wish);
        if fits && socket.asked.is_some() {
            return false;
        }
        (socket.at, socket.open, socket.asked) = (Some(at.ip()), None, Some(wish.ticket));
        true
    }

    fn wide(&self, ip: IpAddr, tcp: bool) -> IpAddr {
        let any_v4 = || IpAddr::from(Ipv4Addr::UNSPECIFIED);
        match (ip, tcp) {
            _ if !self.anywhere || tcp && self.named => ip,
            (IpAddr::V6(_), true) => Ipv6Addr::UNSPECIFIED.into(),
            (IpAddr::V4(_), true) => any_v4(),
            // That is any address of either kind.
            (_, false) if !self.without_ipv6 => Ipv6Addr::UNSPECIFIED.into(),
            (_, false) => any_v4(),
        }
    }

    pub fn got(&mut self, ticket: Ticket, result: Result<Listening, NetError>) {
        let udp = self.udp.asked == Some(ticket);
        let socket = match udp {
            true => &mut self.udp,
            false if self.tcp.asked == Some(ticket) => &mut self.tcp,
            // The answer to a wish that a wider one replaced.
            false => return,
        };
        socket.asked = None;
        socket.open = result.ok();
        let waiting = std::mem::take(&mut socket.waiting);
        let mut told = waiting;
        if result.is_err() {
            socket.at = None;
            if udp && self.anywhere && !self.without_ipv6 {
                // Whoever wished for that ask again without it; the others wait for what they get.
                self.without_ipv6 = true;
                let (asks, waits) = told.into_iter().partition(|wish| wish.at.is_ipv6());
                (told, socket.waiting) = (asks, waits);
            }
        }
        self.answers.extend(told.into_iter().map(|wish| (wish.who, wish.ticket, result)));
    }

    /// The next answer that one of them gets.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// A datagram goes to `to`. -> true: it is passed on.
    pub fn speaks(&mut self, who: usize, to: SocketAddr) -> bool {
        if self.spoken.len() >= SPOKEN_MAX {
            // Whoever misses an answer for it asks again.
            self.spoken.clear();
        }
        *self.spoken.entry((to.ip(), to.port())).or_insert(0) |= bit(who);
        true
    }

    /// Who may understand a datagram of `from`: those who sent it one. Which of them is told by the
    /// transaction in it.
    pub fn spoke_to(&self, from: SocketAddr) -> impl Iterator<Item = usize> + use<> {
        let bits = self.spoken.get(&(from.ip(), from.port())).copied().unwrap_or(0);
        (0..u64::BITS as usize).filter(move |who| bits & bit(*who) != 0)
    }
}

fn bit(who: usize) -> u64 {
    1_u64.checked_shl(who as u32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(port: u16) -> Listening {
        Listening { tcp: Some(([0, 0, 0, 0], port).into()), udp: None }
    }

    fn answers(sockets: &mut Sockets) -> Vec<(usize, bool)> {
        let answers = std::iter::from_fn(|| sockets.answer());
        answers.map(|(who, _, result)| (who, result.is_ok())).collect()
    }

    fn wishes(sockets: &mut Sockets, who: usize, at: &str, tcp: bool) -> Option<String> {
        let mut at: SocketAddr = at.parse().unwrap();
        let wish = Wish { who, ticket: Ticket(100 + who as u64), at };
        sockets.wished(wish, tcp, &mut at).then(|| at.to_string())
    }

    #[test]
    fn one_asks_and_all_are_answered() {
        let mut sockets = Sockets::default();
        assert_eq!(wishes(&mut sockets, 0, "127.0.0.1:6881", true).unwrap(), "127.0.0.1:6881");
        assert_eq!(wishes(&mut sockets, 1, "127.0.0.1:6881", true), None);
        assert_eq!(wishes(&mut sockets, 2, "127.0.0.1:0", false).unwrap(), "127.0.0.1:0");
        sockets.got(Ticket(100), Ok(listening(6881)));
        assert_eq!(answers(&mut sockets), [(0, true), (1, true)]);
        assert_eq!(wishes(&mut sockets, 3, "127.0.0.1:6881", true), None);
        assert_eq!(answers(&mut sockets), [(3, true)]);
        // The tracker opened to the network: a wider one is needed, and then does for all.
        assert!(wishes(&mut sockets, 1, "0.0.0.0:6881", true).is_some());
        assert_eq!(wishes(&mut sockets, 0, "0.0.0.0:6881", true), None);
        sockets.got(Ticket(101), Err(NetError::InUse));
        assert_eq!(answers(&mut sockets), [(1, false), (0, false)]);
    }

    #[test]
    fn with_a_torrent_among_them_sockets_reach_everywhere() {
        let mut sockets = Sockets { anywhere: true, ..Sockets::default() };
        assert_eq!(wishes(&mut sockets, 0, "127.0.0.1:6881", true).unwrap(), "0.0.0.0:6881");
        assert_eq!(wishes(&mut sockets, 1, "127.0.0.1:0", false).unwrap(), "[::]:0");
        assert_eq!(wishes(&mut sockets, 2, "[::]:0", false), None);
        // There is no IPv6: the one about a torrent asks again, and the other one gets that.
        sockets.got(Ticket(101), Err(NetError::NotOurs));
        assert_eq!(answers(&mut sockets), [(2, false)]);
        assert_eq!(wishes(&mut sockets, 2, "0.0.0.0:0", false).unwrap(), "0.0.0.0:0");
        sockets.got(Ticket(102), Ok(listening(1)));
        assert_eq!(answers(&mut sockets), [(1, true), (2, true)]);
    }

    #[test]
    fn a_datagram_is_heard_by_those_who_asked_there() {
        let mut sockets = Sockets::default();
        let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
        for (who, port) in [(0, 1), (63, 1), (2, 2)] {
            assert!(sockets.speaks(who, at(port)));
        }
        let heard = |port| sockets.spoke_to(at(port)).collect::<Vec<_>>();
        assert_eq!((heard(1), heard(2), heard(3)), (vec![0, 63], vec![2], vec![]));
    }
}
