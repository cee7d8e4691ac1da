//! The .torrent that a seeder leaves for stock clients (`--write-torrent`).

use super::Share;
use crate::core::fault::Fatal;
use crate::core::io::{FileDone, FileOp, Outbox};
use crate::core::report::{Ending, Event};
use crate::node::places::show;
use crate::node::say;
use crate::node::shared::Shared;

impl Share {
    /// Only now is it known under which address others reach the tracker.
    pub(super) fn write_torrent(&mut self, shared: &Shared, out: &mut Outbox) {
        let urls = [say::announce_url(shared)];
        let content = shared.swarm.as_ref().map(|swarm| swarm.content());
        let seeds = self.web_seeds(shared);
        let bytes = content.and_then(|content| content.write_torrent_v1_with(&urls, &seeds));
        if let (Some(path), Some(bytes)) = (self.plan.torrent_out.clone(), bytes) {
            self.torrent = Some(out.file(FileOp::Save { path, bytes, private: false }));
        }
    }

    pub(super) fn wrote_torrent(&self, done: &FileDone, out: &mut Outbox) -> Result<(), Fatal> {
        let path = self.plan.torrent_out.as_deref().map(show).unwrap_or_default();
        if let FileDone::Done(Err(error)) = done {
            let why = error.reason();
            let line = format!("{path}: {why}; name another place with --write-torrent");
            return Err(Fatal { ending: Ending::Disk, line });
        }
        out.tell(Event::info("torrent", format!("wrote {path}")).text("path", path));
        Ok(())
    }
}
