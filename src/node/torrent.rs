//! A torrent in place of a name: its .torrent is read, its trackers are taken up, and what people
//! know of torrents is said: the tables at the start, and a line for each announce.

use super::places::show;
use super::plan::TorrentFrom;
use super::shared::Shared;
use crate::announce::tiers::{News, Tiers, What};
use crate::content::file_list::Kind;
use crate::content::geometry::Piece;
use crate::content::metainfo::outside::Outside;
use crate::content::metainfo::{Content, KeyOrder};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileOp, Outbox};
use crate::core::limits::TORRENT_BYTES_MAX;
use crate::core::report::{Ending, Event, bytes_text, counted, escaped, foreign, foreign_bytes};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Files of a folder that are named at the start.
const FILES_SHOWN: usize = 20;
/// Peers of one answer of a tracker that are named.
const PEERS_SHOWN: usize = 3;

/// A content, and what its .torrent says beside it.
pub type Read = (Content, Outside);

/// A .torrent that is being read.
#[derive(Debug)]
pub struct TorrentFile {
    path: PathBuf,
    order: KeyOrder,
    ticket: Option<Ticket>,
}

impl TorrentFile {
    pub fn new(path: PathBuf, order: KeyOrder) -> TorrentFile {
        TorrentFile { path, order, ticket: None }
    }

    pub fn load(&mut self, out: &mut Outbox) {
        let (path, bytes_max) = (self.path.clone(), TORRENT_BYTES_MAX as u64);
        self.ticket = Some(out.file(FileOp::Load { path, bytes_max }));
    }

    /// A file operation came back: what the .torrent says, or what is not ours.
    pub fn got_file(
        &mut self,
        ticket: Ticket,
        done: FileDone,
    ) -> Result<Result<Read, Fatal>, FileDone> {
        if self.ticket.take_if(|ours| *ours == ticket).is_none() {
            return Err(done);
        }
        let FileDone::Loaded(loaded) = done else { return Err(done) };
        let failed = |ending, why: String| {
            let line = format!("{}: {why}", show(&self.path));
            Fatal { ending, line }
        };
        let bytes = match loaded {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(failed(Ending::Disk, error.reason()))),
        };
        Ok(match Content::read(&bytes, self.order) {
            Ok(content) => Ok((content, Content::outside_of(&bytes, self.order))),
            Err(why) => {
                let mut line = why.to_string();
                if why.is_disorder() && self.order == KeyOrder::Sorted {
                    line.push_str("; --lenient takes a v1 torrent as it stands");
                }
                Err(failed(Ending::Usage, line))
            }
        })
    }

    pub fn unreadable(&self, why: &str) -> Fatal {
        Fatal { ending: Ending::Disk, line: format!("{}: {why}", show(&self.path)) }
    }
}

/// The trackers of a torrent are asked from now on, and its web seeds once something is missing;
/// the tables at the start are said.
pub fn take_up(shared: &mut Shared, content: &Content, outside: &Outside, out: &mut Outbox) {
    say_content(content, out);
    shared.web.add(&outside.web_seeds);
    take_up_trackers(shared, &outside.tiers, content.private, out);
}

/// The trackers of a torrent are asked from now on. -> whether there is one that can be asked.
pub fn take_up_trackers(
    shared: &mut Shared,
    urls: &[Vec<String>],
    private: bool,
    out: &mut Outbox,
) -> bool {
    let Some(plan) = shared.plan.torrent() else { return false };
    // A private torrent is announced to its own trackers alone (BEP 27).
    let further = plan.further.iter().filter(|_| !private).map(|url| vec![url.clone()]);
    // A link knows no order of tiers, and whoever names a tracker wants it to be asked.
    let in_order = !plan.announce_all && matches!(plan.from, TorrentFrom::File(..));
    let at_once = if in_order { further.clone().count() } else { usize::MAX };
    let urls: Vec<Vec<String>> = urls.iter().cloned().chain(further).collect();
    // Strangers dial the address that an announce comes from.
    let at = shared.plan.listen.map(|listen| listen.ip);
    let tiers = Tiers::new(&urls, shared.rng.fork(0x71)).at_once(at_once).from(at);
    say_trackers(shared, &tiers, out);
    let can_ask = tiers.is_of_use();
    shared.ties.add_tiers(tiers);
    can_ask
}

/// Its two halves describe different bytes, so that nobody can have what it describes.
pub fn contradiction(name: &str, piece: Piece) -> Fatal {
    let line = format!(
        "{} is an inconsistent hybrid: piece {} is right by SHA-256 and wrong by SHA-1; ask \
         whoever made the torrent",
        foreign(name),
        piece.index()
    );
    Fatal { ending: Ending::Verification, line }
}

/// What the torrent is.
pub fn say_content(content: &Content, out: &mut Outbox) {
    let geometry = &content.geometry;
    let (name, size) = (escaped(&content.name), content.data_bytes());
    let (pieces, length) = (geometry.pieces(), geometry.piece_length());
    let v1 = content.v1.as_ref().map(|v1| v1.info_hash.to_string());
    let v2 = content.v2.as_ref().map(|v2| v2.info_hash.to_string());
    let mut event = Event::info(
        "torrent",
        format!(
            "torrent {name}: {}, {} of {}{}",
            bytes_text(size),
            counted(pieces.into(), "piece"),
            bytes_text(length.into()),
            if content.private { ", private" } else { "" }
        ),
    );
    event = event.text("name", name).number("size", size).number("pieces", pieces.into());
    event = event.number("piece_length", length.into()).flag("private", content.private);
    for (key, hash) in [("v1", &v1), ("v2", &v2)] {
        if let Some(hash) = hash {
            event = event.text(key, hash.clone());
        }
    }
    out.tell(event);
    say_files(content, out);
    for (key, hash) in [("v1", v1), ("v2", v2)] {
        if let Some(hash) = hash {
            let line = format!("info-hash {key}  {hash}");
            out.tell(Event::info("info_hash", line).text("form", key).text("hash", hash));
        }
    }
}

/// The files of a folder by the numbers that `--files` takes.
fn say_files(content: &Content, out: &mut Outbox) {
    let entries = content.files.entries().iter().filter(|entry| entry.kind != Kind::Pad);
    let files = entries.filter(|_| content.files.is_folder()).zip(1u64..);
    for (entry, no) in files.clone().take(FILES_SHOWN) {
        let path = escaped(&entry.path);
        let line = format!("file {no:>2}  {:>9}  {path}", bytes_text(entry.length));
        let event = Event::info("file", line).number("no", no).number("size", entry.length);
        out.tell(event.text("path", path));
    }
    let more = files.skip(FILES_SHOWN).count() as u64;
    if more > 0 {
        let line = format!("and {}; `lmk show` lists all", counted(more, "further file"));
        out.tell(Event::info("more_files", line).number("files", more));
    }
}

/// Who we are, and whom we ask.
fn say_trackers(shared: &Shared, tiers: &Tiers, out: &mut Outbox) {
    let id = foreign_bytes(&shared.plan.peer_id.0);
    let line = match shared.port() {
        0 => format!("peer id {id}"),
        port => format!("client port {port}, peer id {id}"),
    };
    out.tell(Event::info("client", line).text("peer_id", id).number("port", shared.port().into()));
    for row in tiers.rows() {
        let line = format!("tier {}  {}  {}", row.tier, row.tracker, row.status);
        out.tell(
            Event::info("tracker", line)
                .number("tier", row.tier as u64)
                .text("tracker", row.tracker)
                .text("status", row.status),
        );
    }
    if !tiers.is_of_use() {
        let line = "no tracker that can be asked; only peers that dial us will be met";
        out.tell(Event::warning("no_tracker", line));
    }
}

/// Some of the peers that a tracker named, and how many more.
fn peers_text(peers: &[SocketAddr]) -> String {
    let count = counted(peers.len() as u64, "peer");
    let named: Vec<String> = peers.iter().take(PEERS_SHOWN).map(SocketAddr::to_string).collect();
    match peers.len().saturating_sub(PEERS_SHOWN) {
        _ if peers.is_empty() => count,
        0 => format!("{count}: {}", named.join(", ")),
        more => format!("{count}: {} and {more} more", named.join(", ")),
    }
}

/// What came of an announce.
pub fn say_heard(news: &News, out: &mut Outbox) {
    let tracker = &news.tracker;
    match &news.what {
        What::Scraped(row) => {
            let (seeders, leechers) = (row.seeders.into(), row.leechers.into());
            let line = format!(
                "{tracker}: counts {}, {}, {}",
                counted(seeders, "seeder"),
                counted(leechers, "leecher"),
                counted(row.completed.into(), "completion"),
            );
            let event = Event::info("scraped", line).text("tracker", tracker.clone());
            let event = event.number("seeders", seeders).number("leechers", leechers);
            out.tell(event.number("completed", row.completed.into()));
        }
        What::Failed(why) => {
            let line = format!("{tracker}: {why}; trying again");
            out.tell(Event::warning("tracker_failed", line).text("tracker", tracker.clone()));
        }
        What::Answered { peers, seeders, leechers, interval } => {
            let said = |n: &Option<u64>, what: &str| match n {
                Some(n) => counted(*n, what),
                None => format!("{what}s not told"),
            };
            let line = format!(
                "{tracker}: interval {} s, {}, {}, {}",
                interval.as_secs(),
                said(seeders, "seeder"),
                said(leechers, "leecher"),
                peers_text(peers),
            );
            let mut event = Event::info("announced", line).text("tracker", tracker.clone());
            event =
                event.number("interval", interval.as_secs()).number("peers", peers.len() as u64);
            for (key, count) in [("seeders", seeders), ("leechers", leechers)] {
                if let Some(count) = count {
                    event = event.number(key, *count);
                }
            }
            out.tell(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_peers_are_named_and_the_others_counted() {
        let peers: Vec<SocketAddr> =
            (1..=9).map(|n| SocketAddr::new([10, 0, 0, n].into(), 7)).collect();
        assert_eq!(peers_text(&[]), "0 peers");
        assert_eq!(peers_text(&peers[..1]), "1 peer: 10.0.0.1:7");
        let three = "10.0.0.1:7, 10.0.0.2:7, 10.0.0.3:7";
        assert_eq!(peers_text(&peers[..3]), format!("3 peers: {three}"));
        assert_eq!(peers_text(&peers), format!("9 peers: {three} and 6 more"));
    }
}
