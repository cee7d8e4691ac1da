//! Jobs: short-lived roles that ask a tracker something, make a key or a .torrent, say the answer
//! and end.

pub mod create;
pub mod describe;
pub mod inquiry;
pub mod keygen;
mod pages;
pub mod plan;
pub mod probe;
pub mod show;
pub mod token;
pub mod torrent_file;
pub mod verify;

pub use create::Create;
pub use describe::Describe;
pub use inquiry::Job;
pub use probe::Probe;
pub use verify::Verify;

use crate::core::io::Command;
use crate::core::report::Ending;

/// How a job ends that is asked to.
fn stopped(command: Command) -> Ending {
    match command {
        Command::Interrupt => Ending::Interrupted,
        Command::Terminate | Command::Hangup => Ending::Terminated,
    }
}
