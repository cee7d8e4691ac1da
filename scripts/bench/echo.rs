//! The floor of every UDP server: datagrams are sent back as they came, nothing is done in between.
//!
//! `cargo run --release --example echo -- plain|batched ADDR:PORT`

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvfrom, recvmmsg, sendmmsg, sendto};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

const BATCH: usize = 64;

fn plain(fd: RawFd) -> Result<(), Errno> {
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = recvfrom::<SockaddrIn>(fd, &mut buffer)?;
        let from = from.expect("a source");
        // A connect answer has 16 bytes, an announce answer begins with 20.
        sendto(fd, &buffer[..len], &from, MsgFlags::empty())?;
    }
}

fn batched(fd: RawFd) -> Result<(), Errno> {
    let mut buffers = vec![[0; 2048]; BATCH];
    loop {
        let got: Vec<_> = {
            let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
            let mut parts: Vec<_> = buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
            let flags = MsgFlags::MSG_WAITFORONE;
            let got = recvmmsg(fd, &mut incoming, parts.iter_mut(), flags, None)?;
            got.map(|message| (message.bytes, message.address)).collect()
        };
        let to: Vec<_> = got.iter().map(|(_, from)| *from).collect();
        let parts: Vec<_> =
            got.iter().zip(&buffers).map(|((len, _), b)| [IoSlice::new(&b[..*len])]).collect();
        let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
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
