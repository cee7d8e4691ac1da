//! The node key: what makes this node the owner of the names it publishes, kept between runs.

use super::plan::NodePlan;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileOp, Outbox};

/// Bytes of a node key.
const KEY_BYTES: u64 = 32;

/// Asks for the key of an earlier run; `None` where none is kept.
pub fn load(plan: &NodePlan, out: &mut Outbox) -> Option<Ticket> {
    let path = plan.key_file.clone()?;
    Some(out.file(FileOp::Load { path, bytes_max: KEY_BYTES }))
}

/// The key of an earlier run, or a new one, which is kept for the next.
pub fn loaded(plan: &NodePlan, done: FileDone, out: &mut Outbox) -> [u8; 32] {
    let kept: Option<[u8; 32]> = match done {
        FileDone::Loaded(Ok(bytes)) => bytes.try_into().ok(),
        _ => None,
    };
    if let (None, Some(path)) = (kept, plan.key_file.clone()) {
        out.file(FileOp::Save { path, bytes: plan.secret.to_vec(), private: true });
    }
    kept.unwrap_or(plan.secret)
}
