//! Watches of one connection: each is told the entries that are there, then what changes, page by
//! page, at the pace at which its client reads. A watch keeps its choice and how far it got, never
//! what it has to tell: that stands in the log of changes, and who falls behind it reads anew.

use super::listing::{Choice, Page};
use super::names::Place;
use super::registry::Registry;
use crate::core::bencode::Writer;
use crate::core::fault::Refusal;
use crate::wire::catalogue::hello::Owner;
use crate::wire::catalogue::request::Watch;
use crate::wire::catalogue::{LIST_PAGE_MAX, code};

/// Watches of one connection.
pub const CONNECTION_WATCHES_MAX: usize = 4;
/// Bytes that the choices of all watches take together.
pub const WATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a watch takes besides its names.
const WATCH_BYTES: usize = 128;

#[derive(Debug)]
struct Watching {
    stream: u16,
    choice: Choice,
    /// Everything up to here is told, or is told while it lists.
    told: u64,
    /// Still at what there was at the start: after this place. `Some(None)` = from the first.
    lists: Option<Option<Place>>,
    /// Nothing was said yet.
    fresh: bool,
    bytes: usize,
}

#[derive(Debug, Default)]
pub struct Watches {
    all: Vec<Watching>,
}

/// A page of news for a stream, or why there is none any more.
pub struct News {
    pub stream: u16,
    pub payload: Result<Vec<u8>, Refusal>,
}

impl Watches {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether there is something to tell.
    pub fn has_news(&self, generation: u64) -> bool {
        self.all.iter().any(|watch| watch.has_news(generation))
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.all.iter().map(|watch| watch.bytes).sum()
    }

    /// Takes a watch on a stream. The bytes of all watches are counted in the registry.
    pub fn begin(
        &mut self,
        stream: u16,
        asked: &Watch,
        registry: &mut Registry,
    ) -> Result<(), Refusal> {
        let refuse = |code, what| Err(Refusal { code, what });
        if self.all.iter().any(|watch| watch.stream == stream) {
            return refuse(code::BAD_REQUEST, "the stream is a watch already");
        }
        if self.all.len() >= CONNECTION_WATCHES_MAX {
            return refuse(code::QUOTA, "too many watches on one connection");
        }
        let choice = Choice::new("", &asked.names)?;
        let bytes = WATCH_BYTES + choice.bytes();
        if registry.watch_bytes + bytes > WATCH_BYTES_MAX {
            return refuse(code::BUSY, "too many watches");
        }
        let generation = registry.names.generation();
        if let Some(since) = asked.since {
            let _known = registry.names.changes(since)?;
        }
        registry.watch_bytes += bytes;
        self.all.push(Watching {
            stream,
            choice,
            told: asked.since.unwrap_or(generation),
            lists: asked.since.is_none().then_some(None),
            fresh: true,
            bytes,
        });
        Ok(())
    }

    /// Ends the watch of a stream, if there is one.
    pub fn end(&mut self, stream: u16, registry: &mut Registry) {
        let before = self.bytes();
        self.all.retain(|watch| watch.stream != stream);
        registry.watch_bytes = registry.watch_bytes.saturating_sub(before - self.bytes());
    }

    /// The first page of the watch that was begun last.
    pub fn first(&mut self, viewer: Option<Owner>, registry: &mut Registry) -> Option<News> {
        let watch = self.all.last_mut()?;
        let stream = watch.stream;
        let payload = watch.page(viewer, registry).transpose()?;
        Some(News { stream, payload })
    }

    /// The next page of whatever there is to tell.
    pub fn next(&mut self, viewer: Option<Owner>, registry: &mut Registry) -> Option<News> {
        let generation = registry.names.generation();
        // Another watch comes first the next time.
        let at = self.all.iter().position(|watch| watch.has_news(generation))?;
        self.all.get_mut(at..)?.rotate_left(1);
        let watch = self.all.last_mut()?;
        let stream = watch.stream;
        let mut payload = watch.page(viewer, registry).transpose();
        while payload.is_none() && registry.work.is_left() && watch.has_news(generation) {
            payload = watch.page(viewer, registry).transpose();
        }
        let payload = payload?;
        if payload.is_err() {
            self.end(stream, registry);
        }
        Some(News { stream, payload })
    }
}

impl Watching {
    fn has_news(&self, generation: u64) -> bool {
        self.fresh || self.lists.is_some() || self.told < generation
    }

    /// The next page; `None` if nothing of what was looked at is worth one.
    fn page(
        &mut self,
        viewer: Option<Owner>,
        registry: &mut Registry,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let mut writer = Writer::new();
        writer.begin_dict();
        let mut page = Page::new(writer, LIST_PAGE_MAX);
        match self.lists.take() {
            Some(after) => {
                let next = page.list(registry, viewer, &self.choice, after);
                self.lists = next.map(|(last, _)| Some(last));
            }
            None => {
                let (told, _) = page.changes(registry, viewer, &self.choice, self.told)?;
                self.told = told;
            }
        }
        registry.work.spend(page.steps());
        let generation = registry.names.generation();
        let more = self.lists.is_some() || self.told < generation;
        if page.entries == 0 && !self.fresh {
            return Ok(None);
        }
        self.fresh = false;
        page.writer.end().key(b"g").uint(self.told);
        if more {
            page.writer.key(b"m").uint(1);
        }
        page.writer.end();
        Ok(Some(page.writer.finish()))
    }
}
