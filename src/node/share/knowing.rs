//! From bytes to a content that is known: hashes that are remembered, a last look at what was
//! hashed, and the swarm that begins.

use super::{Phase, Share};
use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::io::{FileError, FileOp, Meta, Outbox};
use crate::core::report::{Event, foreign};
use crate::core::time::Time;
use crate::node::file_watch::FileWatch;
use crate::node::memory;
use crate::node::shared::Shared;
use std::rc::Rc;

impl Share {
    pub(super) fn remembered(
        &mut self,
        shared: &mut Shared,
        bytes: Option<Vec<u8>>,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let meta = self.file.map(|(_, meta)| meta);
        let content =
            bytes.zip(meta).and_then(|(bytes, meta)| memory::read(&bytes, &meta, self.info_name()));
        match content.filter(|content| self.lies_as(content)) {
            Some(content) => {
                let line = format!("hashes of {} are remembered", foreign(&self.name));
                out.tell(Event::info("remembered", line));
                self.know(shared, content, now, out);
                Ok(())
            }
            None => self.hash(now, out),
        }
    }

    /// Was it changed while it was hashed?
    pub(super) fn looked_at(
        &mut self,
        shared: &mut Shared,
        (meta, content): (Result<Meta, FileError>, Box<Content>),
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let meta = meta.map_err(|error| self.cannot(error))?;
        if Some(meta) != self.file.map(|(_, before)| before) {
            return Err(self.changed());
        }
        if self.said.is_none() {
            self.remember(&meta, &content, out);
        }
        self.know(shared, *content, now, out);
        Ok(())
    }

    fn remember(&self, meta: &Meta, content: &Content, out: &mut Outbox) {
        let cache = self.plan.hash_cache.as_ref();
        if let Some((directory, bytes)) = cache.zip(memory::write(meta, content)) {
            out.file(FileOp::Save { path: memory::path(directory, meta), bytes, private: true });
        }
    }

    /// The content is known: a swarm begins, and the tracker may hear of it.
    fn know(&mut self, shared: &mut Shared, content: Content, now: Time, out: &mut Outbox) {
        let Some((file, meta)) = self.file else { return };
        let watch = FileWatch::new(self.plan.path.clone(), (file, meta), now, out);
        self.phase = Some(Phase::Sharing(watch));
        let have = Bitfield::full(content.geometry.pieces());
        shared.begin_swarm(Rc::new(content), file, have, now);
        match self.published {
            true => self.got_listening(shared, now, out),
            false => self.publish(shared, now, out),
        }
    }
}
