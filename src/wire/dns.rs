//! Questions to a name server and its answers (RFC 1035, RFC 3596), over UDP with room for 1232
//! bytes (RFC 6891).

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an answer that we say we take: such a datagram is not cut on its way.
const ANSWER_BYTES: u16 = 1232;
/// Shortest record of any section: a question for the root.
const RECORD_BYTES_MIN: usize = 5;
/// Most addresses of one host that are taken.
const ADDRESSES_MAX: usize = 16;

/// Which addresses are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    A,
    Aaaa,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::A, Kind::Aaaa];

    fn code(self) -> TYPE {
        match self {
            Kind::A => TYPE::A,
            Kind::Aaaa => TYPE::AAAA,
        }
    }
}

/// What a name server says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// None, if the name has no address of this kind. At most 16, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    NoSuchName,
    /// It cannot say: another server may.
    Failed,
    /// The answer did not fit in a datagram, and what came of it has no address.
    Cut,
}

/// The question for addresses of a name; `None` if no name can be written so.
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok().filter(|name| !name.get_labels().is_empty())?;
    let (kind, class) = (QTYPE::TYPE(kind.code()), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(name, kind, class, false));
    let room = OPT { opt_codes: Vec::new(), udp_packet_size: ANSWER_BYTES, version: 0 };
    *packet.opt_mut() = Some(room);
    packet.build_bytes_vec().ok()
}

/// The answer to that question; `None` if these bytes are none: another id, another name or kind,
/// or no message at all.
pub fn answer(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let [high, low, _, _, counts @ ..] = bytes else { return None };
    if u16::from_be_bytes([*high, *low]) != id || counts.len() < 8 {
        return None;
    }
    // Room is made for as many records as are promised: no more than can be there.
    let promised: usize = counts
        .chunks_exact(2)
        .take(4)
        .map(|pair| pair.iter().fold(0, |count, byte| count << 8 | usize::from(*byte)))
        .sum();
    if promised * RECORD_BYTES_MIN > bytes.len() {
        return None;
    }
    let packet = Packet::parse(bytes).ok()?;
    let asked = Name::new(name).ok()?;
    let [question] = &packet.questions[..] else { return None };
    let same = question.qname == asked
        && question.qtype == QTYPE::TYPE(kind.code())
        && question.qclass == QCLASS::CLASS(CLASS::IN);
    if !same || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    Some(match packet.rcode() {
        RCODE::NoError => addresses(&packet, asked, kind),
        RCODE::NameError => Answer::NoSuchName,
        _ => Answer::Failed,
    })
}

/// The addresses of a name and of those it is another name for (CNAME).
fn addresses(packet: &Packet<'_>, asked: Name<'_>, kind: Kind) -> Answer {
    let mut names = BTreeSet::from([folded(&asked)]);
    let mut ttl_s = u32::MAX;
    // Servers write a chain in its order; should one not, a pass for each link finds its end.
    for _ in 0..packet.answers.len().min(8) {
        let before = names.len();
        for record in &packet.answers {
            if let RData::CNAME(other) = &record.rdata
                && names.contains(&folded(&record.name))
            {
                ttl_s = ttl_s.min(record.ttl);
                names.insert(folded(&other.0));
            }
        }
        if names.len() == before {
            break;
        }
    }
    let mut found = Vec::new();
    for record in packet.answers.iter().filter(|record| names.contains(&folded(&record.name))) {
        let ip = match (&record.rdata, kind) {
            (RData::A(a), Kind::A) => IpAddr::from(Ipv4Addr::from(a.address)),
            (RData::AAAA(a), Kind::Aaaa) => IpAddr::from(Ipv6Addr::from(a.address)),
            _ => continue,
        };
        ttl_s = ttl_s.min(record.ttl);
        found.push(ip);
    }
    if found.is_empty() && packet.has_flags(PacketFlag::TRUNCATION) {
        return Answer::Cut;
    }
    found.truncate(ADDRESSES_MAX);
    Answer::Addresses(found, if ttl_s == u32::MAX { 0 } else { ttl_s })
}

fn folded(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA, CNAME};

    /// What a server says to the question in `asked`, with these records.
    fn said<'a>(asked: &'a [u8], records: Vec<(&'a str, u32, RData<'a>)>) -> Packet<'a> {
        let mut packet = Packet::parse(asked).unwrap().into_reply();
        packet.set_flags(PacketFlag::RESPONSE);
        packet.answers = records
            .into_iter()
            .map(|(name, ttl, data)| {
                ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, ttl, data)
            })
            .collect();
        packet
    }

    fn a(last: u32) -> RData<'static> {
        RData::A(A { address: 0x0a00_0000 + last })
    }

    #[test]
    fn addresses_come_with_the_shortest_time_of_their_chain() {
        let asked = question(7, "Tracker.Example", Kind::A).unwrap();
        let alias = |name| RData::CNAME(CNAME(Name::new_unchecked(name)));
        let records = vec![
            ("b.example", 30, a(1)),
            ("evil.example", 5, a(66)),
            ("tracker.example", 60, alias("a.example")),
            ("a.example", 20, alias("B.example")),
            ("b.example", 40, a(2)),
        ];
        let bytes = said(&asked, records).build_bytes_vec().unwrap();
        let found = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let answered = answer(&bytes, 7, "tracker.example", Kind::A);
        assert_eq!(answered, Some(Answer::Addresses(found, 20)));
        // Another id, name or kind is another question.
        assert_eq!(answer(&bytes, 8, "tracker.example", Kind::A), None);
        assert_eq!(answer(&bytes, 7, "tracker.example.org", Kind::A), None);
        assert_eq!(answer(&bytes, 7, "tracker.example", Kind::Aaaa), None);
        assert_eq!(answer(&asked, 7, "tracker.example", Kind::A), None, "that is the question");
    }

    #[test]
    fn what_is_no_address_is_told_apart() {
        let asked = question(1, "x.example", Kind::Aaaa).unwrap();
        let of = |packet: Packet<'_>| {
            answer(&packet.build_bytes_vec().unwrap(), 1, "x.example", Kind::Aaaa)
        };
        let v6 = RData::AAAA(AAAA { address: 1 });
        let found = vec!["::1".parse().unwrap()];
        assert_eq!(of(said(&asked, vec![("x.example", 9, v6)])), Some(Answer::Addresses(found, 9)));
        // An IPv4 address is no answer to the question for the others.
        let none = Some(Answer::Addresses(Vec::new(), 0));
        assert_eq!(of(said(&asked, vec![("x.example", 9, a(1))])), none);
        let mut cut = said(&asked, vec![]);
        cut.set_flags(PacketFlag::TRUNCATION);
        assert_eq!(of(cut), Some(Answer::Cut));
        for (code, is) in
            [(RCODE::NameError, Answer::NoSuchName), (RCODE::ServerFailure, Answer::Failed)]
        {
            let mut packet = said(&asked, vec![]);
            *packet.rcode_mut() = code;
            assert_eq!(of(packet), Some(is));
        }
    }

    #[test]
    fn a_header_that_promises_more_than_can_be_there_is_no_answer() {
        let asked = question(1, "x.example", Kind::A).unwrap();
        let mut bytes = said(&asked, vec![("x.example", 9, a(1))]).build_bytes_vec().unwrap();
        assert!(answer(&bytes, 1, "x.example", Kind::A).is_some());
        bytes[6] = 0xff;
        assert_eq!(answer(&bytes, 1, "x.example", Kind::A), None);
    }

    #[test]
    fn what_cannot_be_a_name_is_not_asked() {
        for bad in ["", ".", &"a".repeat(64), &"a.".repeat(200)] {
            assert_eq!(question(1, bad, Kind::A), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let asked = question(0, "x.example", Kind::A).unwrap();
            let at = bytes.len().min(2);
            bytes[..at].fill(0);
            answer(&bytes, 0, "x.example", Kind::A);
            // Behind a good question everything of the reader is reached.
            let mut good = said(&asked, vec![("x.example", 9, a(1))]).build_bytes_vec().unwrap();
            for (place, byte) in bytes.iter().enumerate().skip(2) {
                let place = (place * 7) % good.len();
                if place > 1 { good[place] ^= byte; }
            }
            answer(&good, 0, "x.example", Kind::A);
        }
    }
}
