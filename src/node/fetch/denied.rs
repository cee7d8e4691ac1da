//! A tracker that does not let a leecher in, or not any more.

use super::{Fetch, Phase, Shared, Tie};
use crate::core::fault::Fatal;

impl Fetch {
    /// What sources already give is not thrown away: as long as there are any, the download goes
    /// on.
    pub(super) fn denied(&self, shared: &Shared, tie: &Tie) -> Result<(), Fatal> {
        let sources = shared.swarm.as_ref().map_or(0, |swarm| swarm.sources());
        match self.phase {
            Phase::Downloading(_) if sources == 0 && matches!(tie, Tie::Denied) => {
                Err(shared.denied())
            }
            _ => Ok(()),
        }
    }
}
