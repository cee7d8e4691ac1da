//! Scenes of the conformance suite about multicast groups.

use crate::scripted::{Shared, role};
use crate::suite::Stage;
use lmk::core::io::{Input, Role};
use lmk::core::report::Ending;
use lmk::core::time::Span;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const MEMBERS: usize = 2;

/// Who has heard whom, the member itself included.
type Heard = Shared<[[bool; MEMBERS]; MEMBERS]>;

/// A group that no other run of the tests uses at the same time.
fn group() -> SocketAddr {
    let number = std::process::id();
    let port = 20_000 + (number % 20_000) as u16;
    SocketAddr::from(([239, 255, (number >> 8) as u8, 77], port))
}

fn word(who: usize) -> Vec<u8> {
    format!("this is {who} of {}", std::process::id()).into_bytes()
}

/// Says who it is until every member has heard every one.
fn member(me: usize, heard: Heard) -> Box<dyn Role> {
    let (mut joined, mut beat) = (false, lmk::core::time::Time::ZERO);
    role(move |now, input, out| {
        match input {
            Input::Born => {
                out.join(group(), ANY);
                // Once more changes nothing.
                out.join(group(), ANY);
            }
            Input::Joined { result: Ok(()), .. } => joined = true,
            Input::Joined { result: Err(why), .. } => {
                println!("skipped: no group can be joined here ({why:?})");
                heard.set([[true; MEMBERS]; MEMBERS]);
            }
            Input::Datagram { from, to, bytes } => {
                assert_eq!((to, from.port()), (group().ip(), group().port()));
                assert_ne!(bytes, word(MEMBERS), "one who did not join was heard");
                if let Some(who) = (0..MEMBERS).find(|who| bytes == word(*who)) {
                    heard.with(|all| all[me][who] = true);
                }
            }
            _ => {}
        }
        if heard.get() == [[true; MEMBERS]; MEMBERS] {
            out.end(Ending::Done);
        } else if joined && now >= beat {
            beat = now + Span::ms(50);
            out.datagram(group(), ANY, &word(me));
        }
        now + Span::ms(10)
    })
}

pub fn what_is_said_to_a_group_is_heard_by_every_member_and_by_oneself(stage: &mut dyn Stage) {
    let heard = Heard::default();
    let mut roles: Vec<Box<dyn Role>> = (0..MEMBERS).map(|me| member(me, heard.clone())).collect();
    // One who has not joined says something: it goes nowhere.
    roles.push(role(move |now, input, out| {
        assert!(!matches!(input, Input::Datagram { .. }), "heard without having joined");
        out.datagram(group(), ANY, &word(MEMBERS));
        if heard.get() == [[true; MEMBERS]; MEMBERS] {
            out.end(Ending::Done);
        }
        now + Span::ms(20)
    }));
    stage.play(roles);
}
