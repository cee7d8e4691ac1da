//! Signals as commands: SIGINT, SIGTERM and SIGHUP arrive through a pipe that the poll watches.

use super::TOKEN_SIGNALS;
use crate::core::io::Command;
use mio::{Interest, Registry};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_mio::v1_0::Signals as Pipe;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(super) struct Signals {
    pipe: Pipe,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals")
    }
}

impl Signals {
    /// Takes over the process's signals. A SIGHUP that was ignored when we started (`nohup`) stays
    /// ignored.
    pub fn new(registry: &Registry) -> io::Result<Signals> {
        let mut wanted = vec![SIGINT, SIGTERM];
        if !ignored_at_start(SIGHUP) {
            wanted.push(SIGHUP);
        }
        let mut pipe = Pipe::new(wanted)?;
        registry.register(&mut pipe, TOKEN_SIGNALS, Interest::READABLE)?;
        // With its default action a write beyond RLIMIT_FSIZE kills us; caught, it is an error of
        // that write.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(Signals { pipe })
    }

    /// The signals since last asked.
    pub fn pending(&mut self) -> Vec<Command> {
        self.pipe.pending().filter_map(command).collect()
    }
}

fn command(signal: i32) -> Option<Command> {
    match signal {
        SIGINT => Some(Command::Interrupt),
        SIGTERM => Some(Command::Terminate),
        SIGHUP => Some(Command::Hangup),
        _ => None,
    }
}

fn ignored_at_start(signal: i32) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

/// Whether a `/proc/PID/status` text shows `signal` as ignored.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read_by_number() {
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT));
        assert!(ignores(status, 13));
        assert!(!ignores("", SIGHUP));
        assert!(!ignores("SigIgn:\tnonsense\n", SIGHUP));
    }
}
