//! A seeder that was given a .torrent: the file must be what that says.

use super::{Phase, Share};
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileOp, Outbox};
use crate::core::report::{Ending, Event, bytes_text, counted, foreign};
use crate::node::check::Check;
use crate::node::layout::Layout;
use crate::node::places::show;
use crate::node::shared::Shared;
use crate::node::torrent;
use std::rc::Rc;

impl Share {
    /// Whether the tracker of the plan lists the content.
    pub(super) fn is_listed(&self) -> bool {
        self.plan.torrent.as_ref().is_none_or(|torrent| torrent.listed)
    }

    /// A file operation of these two phases came back; hands back what is not ours.
    pub(super) fn got_said(
        &mut self,
        shared: &mut Shared,
        phase: Phase,
        (ticket, done): (Ticket, FileDone),
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        match phase {
            Phase::Reading(mut file) => match file.got_file(ticket, done) {
                Ok(read) => {
                    let (content, outside) = read?;
                    torrent::take_up(shared, &content, &outside, out);
                    let layout = Layout::whole(&content.files, content.geometry.size())?;
                    self.said = Some(Rc::new(content));
                    self.open(&layout, out);
                }
                Err(done) => {
                    self.phase = Some(Phase::Reading(file));
                    return Ok(Some(done));
                }
            },
            Phase::Checking(mut check) => {
                let foreign = check.got_file(ticket, done, out);
                let foreign = foreign.map_err(|error| self.cannot(error))?;
                match check.is_done() {
                    true => self.checked(&check, out)?,
                    false => self.phase = Some(Phase::Checking(check)),
                }
                return Ok(foreign);
            }
            other => self.phase = Some(other),
        }
        Ok(None)
    }

    /// The file is open: is it what the .torrent says?
    pub(super) fn check(&mut self, out: &mut Outbox) -> Result<(), Fatal> {
        let (Some(content), Some((file, meta))) = (self.said.clone(), self.file) else {
            return Ok(());
        };
        let geometry = &content.geometry;
        if meta.size != geometry.size() {
            let (path, says) = (show(&self.plan.path), geometry.size());
            let line = match content.files.is_folder() {
                true => format!(
                    "{path} lacks files of the torrent, or they have other sizes; \
                     lmk verify says which"
                ),
                false => format!(
                    "{path} has {} bytes, and the torrent says {says}; is it the right file?",
                    meta.size
                ),
            };
            return Err(Fatal { ending: Ending::Verification, line });
        }
        let line =
            format!("checking {} ({})", foreign(self.name()), bytes_text(content.data_bytes()));
        out.tell(Event::info("checking", line).number("size", content.data_bytes()));
        let all = Bitfield::full(geometry.pieces());
        let check = Check::start(content, file, &all, out);
        match check.is_done() {
            true => self.checked(&check, out)?,
            false => self.phase = Some(Phase::Checking(Box::new(check))),
        }
        Ok(())
    }

    fn checked(&mut self, check: &Check, out: &mut Outbox) -> Result<(), Fatal> {
        let (Some(content), Some((file, _))) = (self.said.clone(), self.file) else {
            return Ok(());
        };
        if let Some(piece) = check.contradiction() {
            return Err(torrent::contradiction(self.name(), piece));
        }
        let bad = content.geometry.pieces() - check.good.count();
        if bad > 0 {
            let path = show(&self.plan.path);
            let bad = counted(bad.into(), "piece");
            let line = format!("{path} is not what the torrent says: {bad} bad; not shared");
            return Err(Fatal { ending: Ending::Verification, line });
        }
        let content = Box::new(Content::clone(&content));
        self.phase = Some(Phase::Looking(out.file(FileOp::StatOpen { file }), content));
        Ok(())
    }
}
