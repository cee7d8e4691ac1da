//! The floor of every UDP tracker: each request gets an answer of the usual length at once, and
//! nothing is done in between.
//!
//! `cargo run --release --example echo -- plain|batched ADDR:PORT`

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvfrom, recvmmsg, sendmmsg, sendto};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

const BATCH: usize = 64;
/// An announce answer with 50 peers.
const ANSWER_BYTES: usize = 320;
type Answer = [u8; ANSWER_BYTES];

/// Action and transaction id of the request, then nothing: a connection id, or peers. -> its length
fn answer(request: &[u8], answer: &mut Answer) -> usize {
    answer[..8].copy_from_slice(&request[8..16]);
    if request.len() < 98 { 16 } else { ANSWER_BYTES }
}

fn plain(fd: RawFd) -> Result<(), Errno> {
    let (mut buffer, mut out) = ([0; 2048], [0; ANSWER_BYTES]);
    loop {
        let (len, from) = recvfrom::<SockaddrIn>(fd, &mut buffer)?;
        let from = from.expect("a source");
        let len = answer(&buffer[..len], &mut out);
        sendto(fd, &out[..len], &from, MsgFlags::empty())?;
    }
}

fn batched(fd: RawFd) -> Result<(), Errno> {
    let mut buffers = vec![[0; 2048]; BATCH];
    let mut out = vec![[0; ANSWER_BYTES]; BATCH];
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    loop {
        let got: Vec<_> = {
            let mut parts: Vec<_> = buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
            let flags = MsgFlags::MSG_WAITFORONE;
            let got = recvmmsg(fd, &mut incoming, parts.iter_mut(), flags, None)?;
            got.map(|message| (message.bytes, message.address)).collect()
        };
        let to: Vec<_> = got.iter().map(|(_, from)| *from).collect();
        let lengths: Vec<usize> = got
            .iter()
            .zip(buffers.iter().zip(&mut out))
            .map(|((len, _), (request, out))| answer(&request[..*len], out))
            .collect();
        let parts: Vec<_> =
            lengths.iter().zip(&out).map(|(len, out)| [IoSlice::new(&out[..*len])]).collect();
        sendmmsg(fd, &mut outgoing, &parts, &to, [], MsgFlags::empty())?;
    }
}

fn main() {
    let mut typed = std::env::args().skip(1);
    let mode = typed.next().expect("plain or batched");
    let socket = UdpSocket::bind(typed.next().expect("ADDR:PORT")).expect("a free port");
    let fd = socket.as_raw_fd();
    let ended = if mode == "batched" { batched(fd) } else { plain(fd) };
    eprintln!("{ended:?}");
}
