//! What may be served: the pieces that are proven and stand in the file, and the nodes of the hash
//! tree that follow from the content itself.

use crate::content::bitfield::Bitfield;
use crate::content::metainfo::Content;
use crate::core::chunk::FileSpan;
use crate::core::id::FileId;
use crate::peer::Identity;
use crate::wire::peer::BlockRef;
use std::rc::Rc;

#[derive(Debug)]
pub struct Library {
    content: Rc<Content>,
    file: FileId,
    have: Bitfield,
    /// Their bytes: to count them anew takes long where many pieces are short.
    have_bytes: u64,
    /// Instead of `have`, what is offered.
    offered: Option<Bitfield>,
    /// What is to be there in the end, if that is not all.
    wanted: Option<Bitfield>,
}

impl Library {
    /// A library of the pieces `have` in `file`.
    pub fn new(content: Rc<Content>, file: FileId, have: Bitfield) -> Library {
        let have_bytes = content.geometry.payload_of(&have);
        Library { content, file, have, have_bytes, offered: None, wanted: None }
    }

    pub fn content(&self) -> &Rc<Content> {
        &self.content
    }

    /// The info dict of one identity; empty if the content has none.
    pub fn info(&self, identity: Identity) -> &[u8] {
        match identity {
            Identity::V1 => self.content.v1.as_ref().map_or(&[], |v1| &v1.info),
            Identity::V2 => self.content.v2.as_ref().map_or(&[], |v2| &v2.info),
        }
    }

    pub fn file(&self) -> FileId {
        self.file
    }

    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    pub fn have_bytes(&self) -> u64 {
        self.have_bytes
    }

    /// What others may be told of and given.
    pub fn offered(&self) -> &Bitfield {
        self.offered.as_ref().unwrap_or(&self.have)
    }

    /// From now on nothing is offered.
    pub fn withhold(&mut self) {
        self.offered = Some(Bitfield::new(self.have.len()));
    }

    /// Only these pieces are to be there in the end.
    pub fn want_only(&mut self, wanted: Bitfield) {
        self.wanted = Some(wanted).filter(|wanted| !wanted.is_full());
    }

    /// Bytes that are to be there in the end, and those that are there without having been wanted.
    pub fn wanted_bytes(&self) -> u64 {
        let Some(mut wanted) = self.wanted.clone() else { return self.content.geometry.payload() };
        self.have.ones().for_each(|piece| _ = wanted.set(piece));
        self.content.geometry.payload_of(&wanted)
    }

    /// A piece was proven and written.
    pub fn add(&mut self, piece: u32) {
        if let Some(known) = self.content.geometry.piece(piece)
            && !self.have.get(piece)
        {
            self.have_bytes += u64::from(self.content.geometry.piece_len(known));
        }
        self.have.set(piece);
    }

    /// Where the bytes of a request stand; `None` unless the piece is proven and the range inside
    /// it. What of the range lies behind the end of the file is not in the span: it is zeros.
    pub fn span(&self, asked: BlockRef) -> Option<FileSpan> {
        if !self.offered().get(asked.piece) {
            return None;
        }
        let (offset, len) = self.content.geometry.span(asked.piece, asked.begin, asked.len).ok()?;
        let rest = self.content.geometry.size().saturating_sub(offset);
        let len = u32::try_from(rest).map_or(len, |rest| rest.min(len));
        Some(FileSpan { file: self.file, offset, len })
    }
}
