//! Datagrams: addresses on both ends, batches, and errors that end nothing.

use crate::world::World;
use lmk::core::io::Input;
use lmk::core::mark;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Answers every datagram from the address it came to.
fn answering() -> World {
    World::acting(|_, input, out| {
        if let Input::Datagram { from, to, bytes } = input {
            out.datagram(*from, *to, bytes);
        }
    })
}

fn client(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let mut world = answering();
    let port = world.listen("0.0.0.0:0", 0, (false, true)).unwrap().udp.unwrap().port();
    let client = client("127.0.0.1:0");
    let asked: SocketAddr = format!("127.0.0.2:{port}").parse().unwrap();
    client.send_to(b"who", asked).unwrap();
    world.until("a datagram", |w| !w.seen().datagrams.is_empty());
    let expected = (client.local_addr().unwrap(), asked.ip(), b"who".to_vec());
    assert_eq!(world.seen().datagrams, [expected]);
    let mut buffer = [0; 100];
    assert_eq!(client.recv_from(&mut buffer).unwrap(), (3, asked));
    // Without a wish for it the system chooses, and for this client it chooses the first address.
    let to = client.local_addr().unwrap();
    world.wish(move |out| out.datagram(to, ANY, b"free"));
    let (n, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..n], from.ip()), (&b"free"[..], IpAddr::V4(Ipv4Addr::LOCALHOST)));
}

#[test]
fn a_dual_stack_socket_shows_ipv4_addresses_as_such() {
    let mut world = answering();
    let Ok(listening) = world.listen("[::]:0", 0, (true, true)) else {
        assert!(UdpSocket::bind("[::1]:0").is_err(), "IPv6 works here, listening on it does not");
        return;
    };
    let port = listening.udp.unwrap().port();
    let mut buffer = [0; 100];
    for asked in ["127.0.0.2", "::1"] {
        let asked = SocketAddr::new(asked.parse().unwrap(), port);
        let client = client(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        client.send_to(b"who", asked).unwrap();
        let before = world.seen().datagrams.len();
        world.until("a datagram", |w| w.seen().datagrams.len() > before);
        let (from, to, _) = world.seen().datagrams[before].clone();
        assert_eq!((from, to), (client.local_addr().unwrap(), asked.ip()));
        assert_eq!(client.recv_from(&mut buffer).unwrap(), (3, asked));
        let stream = std::net::TcpStream::connect(asked).unwrap();
        let n = world.seen().accepted.len();
        world.accepted(n);
        let (_, remote, local) = world.seen().accepted[n];
        assert_eq!((remote, local), (stream.local_addr().unwrap(), asked));
    }
}

#[test]
fn a_batch_is_told_in_order() {
    let mut world = World::new();
    let addr = world.listen("127.0.0.1:0", 0, (false, true)).unwrap().udp.unwrap();
    let client = client("127.0.0.1:0");
    for round in 0..5_u32 {
        let first = round * 200;
        for n in first..first + 200 {
            client.send_to(&n.to_be_bytes(), addr).unwrap();
        }
        world.until("the batch", |w| w.seen().datagrams.len() as u32 == first + 200);
    }
    let told: Vec<Vec<u8>> = world.seen().datagrams.iter().map(|(.., b)| b.clone()).collect();
    let sent: Vec<Vec<u8>> = (0..1000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(told, sent);
}

#[test]
fn datagrams_that_cannot_leave_are_counted_and_end_nothing() {
    mark::clear();
    let mut world = answering();
    let addr = world.listen("127.0.0.1:0", 0, (false, true)).unwrap().udp.unwrap();
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.wish(move |out| {
        for _ in 0..300 {
            out.datagram(deaf, ANY, b"nobody there");
        }
        // Too long, of the other family, from an address that is not ours.
        out.datagram(deaf, ANY, &[0; 70_000]);
        out.datagram("[::1]:9".parse().unwrap(), ANY, b"x");
        out.datagram(deaf, IpAddr::V6(Ipv6Addr::LOCALHOST), b"x");
        out.datagram(deaf, "192.0.2.1".parse().unwrap(), b"x");
    });
    world.turns(50);
    assert!(!cfg!(debug_assertions) || mark::hits().contains("B22"));
    let counters = world.reactor.counters();
    assert_eq!(counters.datagrams_out, 300);
    assert_eq!(counters.datagrams_dropped, 4);
    let client = client("127.0.0.1:0");
    client.send_to(b"alive", addr).unwrap();
    world.until("a datagram", |w| !w.seen().datagrams.is_empty());
    let mut buffer = [0; 100];
    assert_eq!(client.recv_from(&mut buffer).unwrap(), (5, addr));
    // An empty datagram is one too.
    client.send_to(b"", addr).unwrap();
    world.until("the empty one", |w| w.seen().datagrams.len() == 2);
}

#[test]
fn without_a_socket_a_datagram_is_dropped() {
    let mut world = World::new();
    world.wish(|out| out.datagram("127.0.0.1:9".parse().unwrap(), ANY, b"x"));
    assert_eq!(world.reactor.counters().datagrams_dropped, 1);
}
