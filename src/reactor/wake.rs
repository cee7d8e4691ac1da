//! Commands from outside the loop: another thread asks, the poll wakes up.

use super::TOKEN_WAKE;
use crate::core::io::Command;
use mio::{Registry, Waker};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Asks a running reactor from anywhere in the process.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

impl Handle {
    /// Hands a command to the role and wakes the loop. False if the reactor is gone.
    pub fn ask(&self, command: Command) -> bool {
        self.commands.send(command).is_ok() && self.waker.wake().is_ok()
    }
}

/// The loop's end of every [`Handle`].
#[derive(Debug)]
pub(super) struct Inbox {
    commands: Receiver<Command>,
    handle: Handle,
}

impl Inbox {
    pub fn new(registry: &Registry) -> io::Result<Inbox> {
        let (sender, commands) = channel();
        let waker = Arc::new(Waker::new(registry, TOKEN_WAKE)?);
        Ok(Inbox { commands, handle: Handle { commands: sender, waker } })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The oldest command not taken yet.
    pub fn next(&mut self) -> Option<Command> {
        self.commands.try_recv().ok()
    }
}
