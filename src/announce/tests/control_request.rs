//! The control request for a ticket, against a scripted tracker.

use super::{at, bytes, sent, tracker};
use crate::announce::control::{self, Control, News};
use crate::announce::session::Health;
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::control::{ControlRequest, ControlResponse, Op, Status, caps};
use crate::wire::udp::{Request, Response};

/// A control conversation up to its request.
fn controlled(op: Op, give_up_at: Option<Time>) -> (Control, Outbox, ControlRequest) {
    let mut control = Control::new(at(0), tracker(), op, give_up_at, 7);
    let mut out = Outbox::default();
    assert_eq!(control.poll(at(0), &mut out), None);
    let connect = sent(&mut out).remove(0);
    let Ok(Request::Connect { tid }) = Request::decode(&connect) else { panic!() };
    let answer = bytes(Response::Connect { tid, cid: 8 });
    assert_eq!(control.got_datagram(at(0), tracker(), &answer), None);
    assert_eq!(control.deadline(), at(0));
    control.poll(at(0), &mut out);
    let request = ControlRequest::decode(&sent(&mut out)[0]).unwrap();
    assert_eq!((request.cid, request.op, request.versions), (8, op, (1, 1)));
    (control, out, request)
}

fn control_bytes(response: ControlResponse) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    bytes
}

#[test]
fn a_control_request_yields_the_ticket_with_its_nonce() {
    let (mut control, _, request) = controlled(Op::Write, None);
    let answer = control_bytes(ControlResponse {
        tcp_port: 7000,
        seconds: 20,
        ticket: [3; 24],
        generation: 42,
        names: 5,
        caps: caps::WRITE | caps::OPEN,
        max_frame: 1 << 20,
        max_page: 100,
        ..ControlResponse::bare(request.tid, 1, Status::Ready)
    });
    let cut = control.got_datagram(at(1), tracker(), &answer[..71]);
    assert_eq!(cut, None, "a cut answer ends nothing");
    let Some(control::Heard::Ready(ready)) = control.got_datagram(at(1), tracker(), &answer) else {
        panic!()
    };
    assert_eq!((ready.ticket, ready.nonce), ([3; 24], request.nonce));
    assert_eq!(ready.catalogue, "10.0.0.1:7000".parse().unwrap());
    assert_eq!(ready.until, at(20_001));
    assert!(ready.is_open() && control.is_over());
    assert_eq!(control.deadline(), Time::NEVER);
    assert_eq!(control.connection().unwrap().cid, 8);
}

#[test]
fn a_busy_tracker_is_asked_again_when_it_said() {
    let (mut control, mut out, request) = controlled(Op::Read, None);
    let busy =
        ControlResponse { seconds: 3, ..ControlResponse::bare(request.tid, 1, Status::Busy) };
    let heard = control.got_datagram(at(0), tracker(), &control_bytes(busy));
    assert_eq!(heard, Some(control::Heard::Busy { seconds: 3 }));
    assert!(!control.is_over());
    assert_eq!(control.deadline(), at(3000));
    control.poll(at(2999), &mut out);
    assert!(sent(&mut out).is_empty());
    control.poll(at(3000), &mut out);
    let again = ControlRequest::decode(&sent(&mut out)[0]).unwrap();
    assert_ne!(again.tid, request.tid);

    for (status, version) in [(Status::Disabled, 1), (Status::Ready, 2)] {
        let (mut control, _, request) = controlled(Op::Read, None);
        let no = control_bytes(ControlResponse::bare(request.tid, version, status));
        let heard = control.got_datagram(at(0), tracker(), &no);
        let want = if status == Status::Ready { Status::BadVersion } else { status };
        assert_eq!(heard, Some(control::Heard::Refused(want)));
        assert!(control.is_over());
    }
}

#[test]
fn an_error_of_a_stock_tracker_ends_the_control_conversation() {
    let (mut control, _, request) = controlled(Op::Hello, None);
    let error = bytes(Response::Error { tid: request.tid, text: "unknown action".into() });
    let heard = control.got_datagram(at(0), tracker(), &error);
    assert_eq!(heard, Some(control::Heard::Stock("unknown action".into())));
    assert!(control.is_over());
}

#[test]
fn a_silent_tracker_is_reported_once_and_given_up_when_told() {
    let mut control = Control::new(at(0), tracker(), Op::Read, Some(at(5000)), 7);
    let (mut out, mut news, mut now) = (Outbox::default(), Vec::new(), at(0));
    let mut sendings = 0;
    while !control.is_over() {
        news.extend(control.poll(now, &mut out));
        sendings += sent(&mut out).len();
        now = control.deadline();
    }
    let silent = News::Health(Health::NotAnswering { tries: 3 });
    assert_eq!(news, [silent, News::GaveUp]);
    assert_eq!((sendings, now), (5, Time::NEVER));
}
