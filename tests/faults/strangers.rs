//! Among strangers: peers that tell of peers, peers that want nothing, and tables that are full.

use crate::table::{self, Table};
use lmk::core::id::ConnId;
use lmk::core::mark::expect_mark;
use lmk::core::time::Span;
use lmk::swarm::{Company, Terms};
use lmk::wire::extended::{ExtendedHandshake, Extension};
use lmk::wire::peer::{self, Message};
use lmk::wire::peer_exchange::{PeerExchange, flags};
use std::net::SocketAddr;

/// Under which ids guests want to be told of peers, and of upload-only.
const PEX: u8 = 7;
const UPLOAD_ONLY: u8 = 3;
/// Under which we do.
const OUR_PEX: u8 = 1;
const OUR_UPLOAD_ONLY: u8 = 3;

fn among_strangers() -> Terms {
    Terms { company: Company::Strangers, ..Terms::default() }
}

fn extended(table: &mut Table, conn: ConnId, id: u8, payload: &[u8]) {
    table.says(conn, &[&peer::extended_head(id, payload.len() as u32)[..], payload].concat());
}

/// A guest that listens, and takes part in peer exchange.
fn guest(table: &mut Table) -> ConnId {
    let conn = table.guest(true);
    introduces_itself(table, conn);
    conn
}

fn introduces_itself(table: &mut Table, conn: ConnId) {
    let mut words = ExtendedHandshake {
        listen_port: Some(6881),
        yourip: Some([8, 8, 8, 8].into()),
        upload_only: Some(false),
        ..ExtendedHandshake::default()
    };
    words.ids.set(Extension::UtPex, PEX);
    words.ids.set(Extension::UploadOnly, UPLOAD_ONLY);
    extended(table, conn, 0, &words.encode());
}

/// What a guest was told of peers since last asked.
fn told(table: &mut Table, conn: ConnId) -> Vec<PeerExchange> {
    let all = table.heard_extended(conn).into_iter().filter(|(id, _)| *id == PEX);
    all.map(|(_, payload)| PeerExchange::decode(&payload).unwrap()).collect()
}

fn at(n: u8) -> SocketAddr {
    ([10, 0, 0, n], 6881).into()
}

fn added(addrs: &[SocketAddr]) -> Vec<u8> {
    let added = addrs.iter().map(|addr| (*addr, 0)).collect();
    PeerExchange { added, dropped: vec![] }.encode()
}

#[test]
fn peers_hear_of_each_other_once_a_minute_and_not_of_themselves() {
    let mut table = Table::on(true, 1, among_strangers());
    let (first, second) = (guest(&mut table), guest(&mut table));
    table.passes(Span::ms(250));
    let one = |n: u8| PeerExchange { added: vec![(at(n), 0)], dropped: vec![] };
    assert_eq!(told(&mut table, first), [one(2)]);
    assert_eq!(told(&mut table, second), [one(1)]);
    let third = guest(&mut table);
    table.passes(Span::ms(250));
    assert_eq!(told(&mut table, third)[0].added.len(), 2);
    assert_eq!(told(&mut table, first), [], "the last word is not a minute old");
    table.leaves(second);
    let mut heard = Vec::new();
    for _ in 0..4 * 61 {
        table.passes(Span::ms(250));
        // It is not silent.
        table.say(first, Message::KeepAlive);
        heard.extend(told(&mut table, first));
    }
    assert_eq!(heard, [PeerExchange { added: vec![(at(3), 0)], dropped: vec![at(2)] }]);
}

#[test]
fn nobody_is_told_of_anybody_in_a_private_torrent_or_under_a_name_of_ours() {
    let private = lmk::content::metainfo::Content { private: true, ..table::content() };
    let tables = [
        Table::seated(private, None, (true, 1), among_strangers()),
        Table::on(true, 1, Terms::default()),
    ];
    for mut table in tables {
        let (first, _second) = (guest(&mut table), guest(&mut table));
        let words = table.heard_extended(first).remove(0);
        let words = ExtendedHandshake::decode(&words.1).unwrap();
        assert_eq!(words.ids.id(Extension::UtPex), None);
        table.passes(Span::secs(61));
        assert_eq!(told(&mut table, first), []);
        extended(&mut table, first, OUR_PEX, &added(&[at(77)]));
        table.passes(Span::secs(3));
        assert_eq!(table.dials(), []);
    }
}

#[test]
fn of_a_flood_of_peers_fifty_a_minute_are_taken_and_one_who_goes_on_and_on_is_left() {
    let mut table = Table::on(false, 1, among_strangers());
    let conn = guest(&mut table);
    let many: Vec<SocketAddr> = (0..10_000u16).map(|n| ([10, 1, 0, 1], 1024 + n).into()).collect();
    extended(&mut table, conn, OUR_PEX, &added(&many[..2_000]));
    table.passes(Span::secs(3));
    let dialled = table.dials();
    assert!(!dialled.is_empty() && dialled.iter().all(|addr| many[..50].contains(addr)));
    expect_mark!("D28", {
        for n in 0..100 {
            extended(&mut table, conn, OUR_PEX, &added(&many[n * 100..][..100]));
            table.passes(Span::ms(10));
        }
    });
    assert!(table.dials().iter().all(|addr| many[..50].contains(addr)));
    assert!(table.is_closed(conn));
}

#[test]
fn who_wants_nothing_is_told_so_and_left_by_one_who_has_all() {
    // The message, and the handshake.
    for early in [false, true] {
        let mut table = Table::on(true, 1, among_strangers());
        let conn = guest(&mut table);
        assert!(!table.is_closed(conn));
        let words = ExtendedHandshake { upload_only: Some(true), ..ExtendedHandshake::default() };
        match early {
            true => extended(&mut table, conn, 0, &words.encode()),
            false => extended(&mut table, conn, OUR_UPLOAD_ONLY, &[1]),
        }
        assert!(table.is_closed(conn), "early: {early}");
    }
    // One who lacks something goes on.
    let mut table = Table::on(false, 1, among_strangers());
    let conn = guest(&mut table);
    extended(&mut table, conn, OUR_UPLOAD_ONLY, &[1]);
    assert!(!table.is_closed(conn));
    // And the others hear of it as of a seed.
    let other = guest(&mut table);
    table.passes(Span::ms(250));
    assert_eq!(told(&mut table, other)[0].added, [(at(1), flags::SEED)]);
}

#[test]
fn a_table_full_of_idle_peers_keeps_a_quarter_for_those_we_dial_and_takes_better_ones() {
    let mut table = Table::on(false, 1, Terms { conversations_max: 40, ..among_strangers() });
    let guests: Vec<ConnId> = (0..30).map(|_| guest(&mut table)).collect();
    assert!(guests.iter().all(|guest| !table.is_closed(*guest)));
    // Nobody goes within its first minute.
    let young = expect_mark!("D24", table.guest(true));
    assert!(table.is_closed(young));
    for _ in 0..2 {
        table.passes(Span::secs(50));
        guests.iter().for_each(|guest| table.say(*guest, Message::KeepAlive));
    }
    let later: Vec<ConnId> = (0..20).map(|_| table.guest(true)).collect();
    let taken = later.iter().filter(|guest| !table.is_closed(**guest)).count();
    let gone = guests.iter().filter(|guest| table.is_closed(**guest)).count();
    assert_eq!(taken, gone, "one for one");
    assert!((1..20).contains(&taken), "{taken}: by priority, neither all nor none");
    assert!(guests[..4].iter().all(|guest| !table.is_closed(*guest)), "the oldest stay");
    // There is room to dial.
    let named: Vec<SocketAddr> = (1..=20).map(at).map(|a| (a.ip(), 7000).into()).collect();
    table.swarm.got_named(lmk::peer::Identity::V2, &named, table.now, &mut table.out);
    assert_eq!(table.dials().len(), 10);
}

/// A table of twelve seats for those who dial us, all of them taken by these.
fn full_table(seats: impl Iterator<Item = SocketAddr>) -> (Table, Vec<ConnId>) {
    let mut table = Table::on(false, 1, Terms { conversations_max: 16, ..among_strangers() });
    let guests: Vec<ConnId> = seats.map(|from| table.guest_from(from)).collect();
    assert_eq!(guests.len(), 12);
    guests.iter().for_each(|guest| introduces_itself(&mut table, *guest));
    assert!(guests.iter().all(|guest| !table.is_closed(*guest)));
    (table, guests)
}

/// Time passes, and nobody falls silent.
fn pass(table: &mut Table, seconds: u64, guests: &[ConnId]) {
    for _ in 0..seconds / 50 {
        table.passes(Span::secs(50));
        guests.iter().for_each(|guest| table.say(*guest, Message::KeepAlive));
    }
}

#[test]
fn of_a_full_table_those_who_gave_most_stay_and_who_gave_lately() {
    let (mut table, guests) = full_table((1..13).map(at));
    // They give a block each, the last four two.
    for (n, guest) in guests.iter().enumerate().skip(4) {
        table.say(*guest, Message::HaveAll);
        table.say(*guest, Message::Unchoke);
        table.gives(*guest, if n < 8 { 1 } else { 2 });
    }
    pass(&mut table, 250, &guests);
    (1..100).for_each(|n| _ = table.guest_from(([10, n, 0, 1], 6881).into()));
    assert!(guests.iter().all(|guest| !table.is_closed(*guest)), "they gave lately, or are old");
    pass(&mut table, 100, &guests);
    (1..100).for_each(|n| _ = table.guest_from(([10, n, 0, 1], 6881).into()));
    let stays: Vec<bool> = guests.iter().map(|guest| !table.is_closed(*guest)).collect();
    assert!(stays[..4].iter().all(|stays| *stays), "the oldest: {stays:?}");
    assert!(stays[8..].iter().all(|stays| *stays), "who gave most: {stays:?}");
    assert!(stays[4..8].contains(&false), "idle, and not among the best: {stays:?}");
}

#[test]
fn of_a_full_table_one_of_the_largest_network_goes_first() {
    let crowded = |n: u8| SocketAddr::from(([9, 9, 9, n], 6881));
    let alone = |n: u8| SocketAddr::from(([20 + n, 1, 1, 1], 6881));
    let (mut table, guests) = full_table((0..6).map(alone).chain((0..6).map(crowded)));
    let few = guests[..6].to_vec();
    pass(&mut table, 100, &guests);
    // More of the same network get no more of the table.
    let same: Vec<ConnId> = (100..150).map(|n| table.guest_from(crowded(n))).collect();
    assert!(few.iter().all(|guest| !table.is_closed(*guest)));
    pass(&mut table, 100, &[guests, same].concat());
    // From elsewhere one comes for each of them, whatever its priority, until they are few.
    let newcomers: Vec<ConnId> = (50..54).map(|n| table.guest_from(alone(n))).collect();
    assert!(newcomers.iter().all(|guest| !table.is_closed(*guest)));
    assert!(few.iter().all(|guest| !table.is_closed(*guest)));
}
