//! A gate between leechers and a seeder: it stands where the tracker says that the seeder is, and
//! lets so many bytes of each conversation through and no more until it is opened. That makes "in
//! the middle of the transfer" a place and not a moment.

use crate::bed::{Bed, Lmk, Tracker};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

pub struct Gate {
    /// Where the seeder behind the gate must listen.
    pub seeder: SocketAddr,
    door: Arc<Door>,
}

#[derive(Default)]
struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    streams: Vec<TcpStream>,
    /// How often all conversations were ended.
    cuts: u32,
}

impl Gate {
    /// A closed gate that lets `bytes` through of what each connection brings from the seeder.
    pub fn new(bed: &Bed, bytes: usize) -> Gate {
        // Nodes announce from here unless told otherwise, so here the tracker sends those who ask.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let seeder = SocketAddr::new(bed.ip(1), listener.local_addr().unwrap().port());
        let door = Arc::new(Door::default());
        let inside = door.clone();
        thread::spawn(move || {
            for leecher in listener.incoming().map_while(Result::ok) {
                // Without a seeder the leecher sees its connection end.
                let Ok(there) = TcpStream::connect(seeder) else { continue };
                inside.carry(&leecher, &there, usize::MAX);
                inside.carry(&there, &leecher, bytes);
            }
        });
        Gate { seeder, door }
    }

    /// From now on everything goes through.
    pub fn open(&self) {
        self.door.state().open = true;
        self.door.changed.notify_all();
    }

    /// Ends all conversations, as the system does when the seeder dies.
    pub fn cut(&self) {
        let mut state = self.door.state();
        state.cuts += 1;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.door.changed.notify_all();
    }

    /// A seeder behind the gate, ready to serve.
    pub fn seeder(&self, tracker: &Tracker, bed: &Bed, file: &str, more: &str) -> Lmk {
        tracker.seeder(bed, "seeder", file, &format!("--listen {} {more}", self.seeder))
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Hands bytes on, `free` of them while the door is closed; the end of one side is the end of
    /// the other.
    fn carry(self: &Arc<Door>, from: &TcpStream, to: &TcpStream, mut free: usize) {
        let door = self.clone();
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let mut state = self.state();
        state.streams.push(from.try_clone().unwrap());
        let cuts = state.cuts;
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            loop {
                if free == 0 {
                    let closed = |state: &mut State| !state.open && state.cuts == cuts;
                    drop(door.changed.wait_while(door.state(), closed).unwrap());
                    free = usize::MAX;
                }
                let room = bytes.len().min(free);
                match from.read(&mut bytes[..room]) {
                    Ok(got @ 1..) if to.write_all(&bytes[..got]).is_ok() => {
                        free = if free == usize::MAX { free } else { free - got };
                    }
                    _ => break,
                }
            }
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
}
