//! Ways to find out what is wanted: by a name of the catalogue, by a .torrent, or by a magnet link.

use super::magnet::MagnetSearch;
use super::plan::{FetchPlan, TorrentFrom};
use super::seek::Seek;
use super::shared::Shared;
use super::ties::Tie;
use super::torrent::{self, TorrentFile};
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, Outbox};
use crate::core::time::Time;

#[derive(Debug)]
pub enum Search {
    Name(Seek),
    Torrent(TorrentFile),
    Magnet(MagnetSearch),
}

impl Search {
    pub fn new(plan: &FetchPlan) -> Search {
        match plan.torrent.as_ref().map(|torrent| torrent.from.clone()) {
            Some(TorrentFrom::File(path, order)) => Search::Torrent(TorrentFile::new(path, order)),
            Some(TorrentFrom::Magnet(magnet)) => {
                Search::Magnet(MagnetSearch::new(magnet, plan.timeout))
            }
            None => Search::Name(Seek::new(plan.want.clone(), plan.wait)),
        }
    }

    pub fn start(&mut self, now: Time, out: &mut Outbox) {
        match self {
            Search::Name(seek) => seek.start(now),
            Search::Torrent(file) => file.load(out),
            Search::Magnet(magnet) => magnet.say_ignored(out),
        }
    }

    /// A word for what is done.
    pub fn phase(&self) -> &'static str {
        match self {
            Search::Name(_) | Search::Torrent(_) => "looking up",
            Search::Magnet(_) => "fetching metadata",
        }
    }

    /// What is waited for.
    pub fn waiting(&self, shared: &Shared) -> Option<String> {
        match self {
            Search::Name(seek) => seek.waiting(),
            Search::Torrent(_) => None,
            Search::Magnet(magnet) => magnet.waiting(shared),
        }
    }

    /// After every input: the content, once the peers have told it.
    pub fn learn(
        &mut self,
        shared: &mut Shared,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Content>, Fatal> {
        match self {
            Search::Magnet(magnet) => magnet.learn(shared, now, out),
            Search::Name(_) | Search::Torrent(_) => Ok(None),
        }
    }

    /// Bytes of the content, as soon as somebody says so.
    pub fn size(&self) -> Option<u64> {
        match self {
            Search::Name(seek) => seek.size(),
            Search::Torrent(_) | Search::Magnet(_) => None,
        }
    }

    pub fn deadline(&self) -> Time {
        match self {
            Search::Name(seek) => seek.deadline(),
            Search::Torrent(_) => Time::NEVER,
            Search::Magnet(magnet) => magnet.deadline(),
        }
    }

    /// The deadline has come.
    pub fn too_late(&self, tracker: &str, now: Time) -> Fatal {
        match self {
            Search::Name(seek) => seek.too_late(tracker),
            Search::Torrent(file) => file.unreadable("it is not read"),
            Search::Magnet(magnet) => magnet.too_late(now),
        }
    }

    /// News of the tracker; the content once it is known.
    pub fn got_tie(
        &mut self,
        shared: &mut Shared,
        tie: Tie,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Content>, Fatal> {
        match self {
            Search::Name(seek) => seek.got_tie(shared, tie, now, out),
            Search::Magnet(magnet) => {
                magnet.got_tie(&tie);
                Ok(None)
            }
            Search::Torrent(_) => Ok(None),
        }
    }

    /// A file operation came back: the content, or what is not ours.
    pub fn got_file(
        &mut self,
        shared: &mut Shared,
        (ticket, done): (Ticket, FileDone),
        out: &mut Outbox,
    ) -> Result<Result<Content, FileDone>, Fatal> {
        let Search::Torrent(file) = self else { return Ok(Err(done)) };
        let read = match file.got_file(ticket, done) {
            Ok(read) => read?,
            Err(done) => return Ok(Err(done)),
        };
        let (content, outside) = read;
        torrent::take_up(shared, &content, &outside, out);
        Ok(Ok(content))
    }
}
