//! The key for connection ids and tickets, kept between runs so that a restart within two minutes
//! goes unnoticed.

use super::plan::TrackerPlan;
use crate::core::io::{FileDone, FileError, FileOp, Outbox};
use crate::core::report::{Event, foreign};

/// Bytes of the file: the key and nothing else.
pub const KEY_BYTES: usize = 32;

/// Asks for the file.
pub fn load(path: &std::path::Path, out: &mut Outbox) -> crate::core::id::Ticket {
    out.file(FileOp::Load { path: path.to_owned(), bytes_max: KEY_BYTES as u64 })
}

/// The key that the file holds, and that it holds one; without one, the plan's fresh key, which is
/// then kept.
pub fn loaded(plan: &TrackerPlan, done: FileDone, out: &mut Outbox) -> ([u8; 32], bool) {
    let trouble = match done {
        FileDone::Loaded(Ok(bytes)) => match bytes.try_into() {
            Ok(key) => {
                // Ids of the run before stay good.
                crate::mark!("B07");
                return (key, true);
            }
            Err(_) => "it does not hold a key".to_owned(),
        },
        FileDone::Loaded(Err(FileError::NotFound)) => {
            save(plan, out);
            return (plan.secret, false);
        }
        FileDone::Loaded(Err(error)) => error.reason(),
        _ => "an answer to another question".to_owned(),
    };
    out.tell(warning(plan, "read", &trouble));
    (plan.secret, false)
}

/// The file was written, or not.
pub fn saved(plan: &TrackerPlan, done: &FileDone, out: &mut Outbox) {
    if let FileDone::Done(Err(error)) = done {
        out.tell(warning(plan, "write", &error.reason()));
    }
}

fn save(plan: &TrackerPlan, out: &mut Outbox) {
    if let Some(path) = plan.key_file.clone() {
        out.file(FileOp::Save { path, bytes: plan.secret.to_vec(), private: true });
    }
}

fn warning(plan: &TrackerPlan, verb: &str, trouble: &str) -> Event {
    let path = plan.key_file.as_deref().map(|path| foreign(&path.to_string_lossy()));
    let path = path.unwrap_or_default();
    let line = format!(
        "cannot {verb} {path}: {trouble}; this run uses a key of its own, clients reconnect once"
    );
    Event::warning("key", line).text("path", path)
}
