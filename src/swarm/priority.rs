//! Canonical peer priority (BEP 40): both ends of a connection rank it alike, so that those who
//! have too many let the same ones go, and every swarm becomes a graph that is hard to split.

use crate::core::crc32c::crc32c;
use std::net::{IpAddr, SocketAddr};

/// The priority of a connection between two addresses, either of them first; `None` between
/// families. The greater one is kept.
pub fn priority(one: SocketAddr, other: SocketAddr) -> Option<u32> {
    let (a, b) = match (one.ip().to_canonical(), other.ip().to_canonical()) {
        (a, b) if a == b => {
            let [a, b] = [one, other].map(|addr| addr.port().to_be_bytes().to_vec());
            (a, b)
        }
        (IpAddr::V4(a), IpAddr::V4(b)) => masked(&a.octets(), &b.octets(), 1),
        (IpAddr::V6(a), IpAddr::V6(b)) => masked(&a.octets(), &b.octets(), 5),
        _ => return None,
    };
    let (less, more) = if a <= b { (a, b) } else { (b, a) };
    Some(crc32c(&[&less, &more]))
}

/// Both addresses: `least` bytes and one more count whole, or one more than are shared; of the rest
/// every second bit does.
fn masked(a: &[u8], b: &[u8], least: usize) -> (Vec<u8>, Vec<u8>) {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let whole = (least + 1).max(shared + 1);
    let mask = |bytes: &[u8]| {
        let each = bytes.iter().enumerate();
        each.map(|(at, byte)| if at < whole { *byte } else { byte & 0x55 }).collect()
    };
    (mask(a), mask(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(one: (&str, u16), other: (&str, u16)) -> Option<u32> {
        let addr = |(ip, port): (&str, u16)| SocketAddr::new(ip.parse().unwrap(), port);
        let (a, b) = (addr(one), addr(other));
        assert_eq!(priority(a, b), priority(b, a));
        priority(a, b)
    }

    #[test]
    fn the_vectors_come_out() {
        let p = |a, b| of((a, 0), (b, 0));
        assert_eq!(p("123.213.32.10", "98.76.54.32"), Some(0xec2d_7224));
        assert_eq!(p("123.213.32.10", "123.213.32.234"), Some(0x9956_8189));
        assert_eq!(p("10.0.1.2", "10.0.9.9"), Some(0x86a5_bfac));
        assert_eq!(p("2001:db8::1", "2001:db8:1::1"), Some(0xdf8e_1c1a));
        assert_eq!(of(("127.0.0.1", 6881), ("127.0.0.1", 6882)), Some(0x67f8_fe57));
        assert_eq!(p("10.0.0.1", "2001:db8::1"), None);
    }
}
