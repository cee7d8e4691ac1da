//! `lmk show`: what a .torrent or a magnet link says, as a table and as facts.

use super::plan::{ShowPlan, Subject};
use crate::content::file_list::{Entry, Kind};
use crate::content::magnet::Magnet;
use crate::content::metainfo::Metainfo;
use crate::content::metainfo::outside::{is_tracker, is_web_seed};
use crate::core::fault::Fatal;
use crate::core::io::{FileDone, Input, Outbox, Role};
use crate::core::report::{Ending, Event, Snapshot, bytes_text, escaped, excerpt};
use crate::core::time::{Time, utc};

/// Entries told of in one turn of the loop.
const ROWS_A_TURN: usize = 256;

/// One run of the command.
#[derive(Debug)]
pub struct Describe {
    plan: ShowPlan,
    /// What was read, while its files are told.
    telling: Option<Telling>,
    ended: bool,
}

#[derive(Debug)]
struct Telling {
    metainfo: Metainfo,
    /// Index of the entry that comes next, and the number of files before it.
    at: usize,
    told: u64,
}

impl Describe {
    pub fn new(plan: ShowPlan) -> Describe {
        Describe { plan, telling: None, ended: false }
    }

    fn born(&mut self, out: &mut Outbox) {
        match &self.plan.subject {
            Subject::Torrent(file) => {
                out.file(file.load());
            }
            Subject::Magnet(magnet) => {
                if let Some(line) = magnet.ignored.line() {
                    out.tell(Event::warning("ignored", line));
                }
                for event in magnet_events(magnet, self.plan.table) {
                    out.tell(event);
                }
                self.end(Ending::Done, out);
            }
        }
    }

    fn got_file(&mut self, done: FileDone, out: &mut Outbox) -> Result<(), Fatal> {
        let Subject::Torrent(file) = &self.plan.subject else { return Ok(()) };
        let metainfo = file.loaded(done)?;
        if metainfo.unsorted {
            let line = "the keys of the info dictionary are not sorted: other programs may refuse \
                        it, or give it another info-hash";
            out.tell(Event::warning("unsorted", line));
        }
        if metainfo.outside.passed_over > 0 {
            let count = metainfo.outside.passed_over;
            let line =
                format!("{count} URLs are passed over: broken, of another scheme, or too many");
            out.tell(Event::info("passed_over", line).number("urls", count));
        }
        let events = if self.plan.table { table(&metainfo) } else { facts(&metainfo) };
        events.into_iter().for_each(|event| out.tell(event));
        self.telling = Some(Telling { metainfo, at: 0, told: 0 });
        Ok(())
    }

    /// Tells of the next files. So many a turn: they are shown and forgotten before there are more.
    fn go_on(&mut self, out: &mut Outbox) {
        let Some(Telling { metainfo, at, told }) = &mut self.telling else { return };
        let rest = metainfo.files.entries().get(*at..).unwrap_or_default();
        let rest = rest.get(..ROWS_A_TURN).unwrap_or(rest);
        // Pads are nobody's files.
        for entry in rest.iter().filter(|entry| entry.kind != Kind::Pad) {
            *told += 1;
            out.tell(match self.plan.table {
                true => file_row(metainfo, *told, entry),
                false => file_facts(metainfo, *told, entry),
            });
        }
        *at += rest.len();
        if rest.is_empty() {
            self.end(Ending::Done, out);
        }
    }

    fn end(&mut self, ending: Ending, out: &mut Outbox) {
        self.ended = true;
        out.end(ending);
    }
}

impl Role for Describe {
    fn on(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            _ if self.ended => {}
            Input::Born => self.born(out),
            Input::Asked(command) => self.end(super::stopped(command), out),
            Input::Wake => self.go_on(out),
            Input::File { done, .. } => {
                if let Err(Fatal { ending, line }) = self.got_file(done, out) {
                    out.tell(Event::error("failed", line));
                    self.end(ending, out);
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Time {
        if self.telling.is_some() && !self.ended { Time::ZERO } else { Time::NEVER }
    }

    fn snapshot(&self, _now: Time) -> Snapshot {
        Snapshot { phase: "reading", ..Snapshot::default() }
    }
}

/// A word and what is known under it.
type Rows = Vec<(&'static str, String)>;

fn lines(rows: Rows) -> Vec<Event> {
    let line = |(key, value)| Event::result("torrent", format!("{key:<11} {value}"));
    rows.into_iter().map(line).collect()
}

/// The link that fetches what a .torrent describes.
pub fn magnet(metainfo: &Metainfo) -> Magnet {
    Magnet {
        v1: metainfo.v1,
        v2: metainfo.v2,
        name: String::from_utf8(metainfo.name.clone()).ok(),
        trackers: metainfo.outside.tiers.iter().flatten().cloned().collect(),
        web_seeds: metainfo.outside.web_seeds.clone(),
        ..Magnet::default()
    }
}

/// How many of the files, links left out.
fn count(metainfo: &Metainfo) -> u64 {
    metainfo.files.plain().count() as u64
}

fn table(metainfo: &Metainfo) -> Vec<Event> {
    let (outside, grid) = (&metainfo.outside, &metainfo.geometry);
    let size = metainfo.files.data_bytes();
    let text = |text: &String| escaped(text.as_bytes());
    let mut rows: Rows = vec![
        ("name", escaped(&metainfo.name)),
        ("size", format!("{} ({size} bytes)", bytes_text(size))),
        ("pieces", format!("{} of {}", grid.pieces(), bytes_text(grid.piece_length().into()))),
    ];
    rows.extend(metainfo.v2.map(|hash| ("v2", hash.to_string())));
    rows.extend(metainfo.v1.map(|hash| ("v1", hash.to_string())));
    rows.push(("private", if metainfo.private { "yes" } else { "no" }.into()));
    rows.extend(metainfo.source.iter().map(|source| ("source", text(source))));
    rows.extend(outside.created_s.map(|unix_s| ("created", format!("{} UTC", utc(unix_s)))));
    rows.extend(outside.created_by.iter().map(|maker| ("created by", text(maker))));
    rows.extend(outside.comment.iter().map(|comment| ("comment", text(comment))));
    for (tier, urls) in outside.tiers.iter().enumerate() {
        rows.extend(
            urls.iter().map(|url| ("tracker", format!("tier {}  {}", tier + 1, text(url)))),
        );
    }
    rows.extend(outside.web_seeds.iter().map(|url| ("web seed", text(url))));
    rows.push(("magnet", magnet(metainfo).to_string()));
    rows.push(("files", count(metainfo).to_string()));
    let mut events = lines(rows);
    events.push(Event::result(
        "file",
        format!("{:>6}  {:>10}  {:>15}  NAME", "NO", "SIZE", "PIECES"),
    ));
    events
}

/// A file or a link and its number, from 1.
fn file_row(metainfo: &Metainfo, no: u64, entry: &Entry) -> Event {
    let pieces = match pieces_of(metainfo, entry) {
        None => "-".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
    };
    let link = if entry.kind == Kind::Link { "  (symbolic link)" } else { "" };
    let (size, path) = (bytes_text(entry.length), escaped(&entry.path));
    Event::result("file", format!("{no:>6}  {size:>10}  {pieces:>15}  {path}{link}"))
}

/// The first and the last piece with bytes of an entry.
fn pieces_of(metainfo: &Metainfo, entry: &Entry) -> Option<(u64, u64)> {
    let grid = u64::from(metainfo.geometry.piece_length());
    let last = entry.offset + entry.length.checked_sub(1)?;
    Some((entry.offset / grid, last / grid))
}

fn facts(metainfo: &Metainfo) -> Vec<Event> {
    let (outside, grid) = (&metainfo.outside, &metainfo.geometry);
    let name = String::from_utf8_lossy(&metainfo.name).into_owned();
    let mut event = Event::result("torrent", escaped(&metainfo.name)).text("name", name);
    event = event.number("size", metainfo.files.data_bytes());
    event = event.number("pieces", grid.pieces().into());
    event = event.number("piece_bytes", grid.piece_length().into());
    for (key, value) in [
        ("v1", metainfo.v1.map(|hash| hash.to_string())),
        ("v2", metainfo.v2.map(|hash| hash.to_string())),
        ("source", metainfo.source.clone()),
        ("comment", outside.comment.clone()),
        ("created_by", outside.created_by.clone()),
        ("magnet", Some(magnet(metainfo).to_string())),
    ] {
        event = value.into_iter().fold(event, |event, value| event.text(key, value));
    }
    event = outside.created_s.into_iter().fold(event, |event, s| event.number("created_s", s));
    event = event.flag("private", metainfo.private).flag("unsorted", metainfo.unsorted);
    event = event.flag("folder", metainfo.files.is_folder()).number("files", count(metainfo));
    let mut events = vec![event];
    for (tier, url) in
        outside.tiers.iter().zip(1..).flat_map(|(urls, n)| urls.iter().map(move |url| (n, url)))
    {
        events.push(
            Event::result("tracker", escaped(url.as_bytes())).number("tier", tier).text("url", url),
        );
    }
    events.extend(
        outside
            .web_seeds
            .iter()
            .map(|url| Event::result("web_seed", escaped(url.as_bytes())).text("url", url)),
    );
    events
}

/// The same as [`file_row`] as facts.
fn file_facts(metainfo: &Metainfo, no: u64, entry: &Entry) -> Event {
    let path = String::from_utf8_lossy(&entry.path).into_owned();
    let mut event = Event::result("file", escaped(&entry.path)).number("no", no);
    event = event.text("path", path).number("size", entry.length);
    if let Some((first, last)) = pieces_of(metainfo, entry) {
        event = event.number("first_piece", first).number("last_piece", last);
    }
    if let Some(root) = entry.root {
        event = event.text("root", root.to_string());
    }
    event = event.flag("executable", entry.executable).flag("hidden", entry.hidden);
    event.flag("link", entry.kind == Kind::Link)
}

fn magnet_events(magnet: &Magnet, table: bool) -> Vec<Event> {
    let peer = |(host, port): &(String, u16)| match host.contains(':') {
        true => escaped(format!("[{host}]:{port}").as_bytes()),
        false => escaped(format!("{host}:{port}").as_bytes()),
    };
    let range = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let select = magnet.select.iter().map(range).collect::<Vec<_>>().join(",");
    if table {
        let text = |text: &String| escaped(excerpt(text.as_bytes()).as_bytes());
        let use_of = |good: bool| if good { "" } else { "  (not used: no such URL)" };
        let tracker = |url: &String| format!("{}{}", text(url), use_of(is_tracker(url)));
        let web_seed = |url: &String| format!("{}{}", text(url), use_of(is_web_seed(url)));
        let mut rows: Rows = Vec::new();
        rows.extend(magnet.name.iter().map(|name| ("name", text(name))));
        rows.extend(magnet.v2.map(|hash| ("v2", hash.to_string())));
        rows.extend(magnet.v1.map(|hash| ("v1", hash.to_string())));
        rows.extend(magnet.trackers.iter().map(|url| ("tracker", tracker(url))));
        rows.extend(magnet.web_seeds.iter().map(|url| ("web seed", web_seed(url))));
        rows.extend(magnet.peers.iter().map(|at| ("peer", peer(at))));
        rows.extend((!select.is_empty()).then_some(("files", select)));
        return lines(rows);
    }
    let name = magnet.name.as_ref().map(|name| excerpt(name.as_bytes()));
    let shown = name.as_ref().map_or_else(|| "magnet".into(), |name| escaped(name.as_bytes()));
    let mut event = Event::result("magnet", shown);
    for (key, value) in [
        ("name", name),
        ("v1", magnet.v1.map(|hash| hash.to_string())),
        ("v2", magnet.v2.map(|hash| hash.to_string())),
        ("select", Some(select).filter(|select| !select.is_empty())),
    ] {
        event = value.into_iter().fold(event, |event, value| event.text(key, value));
    }
    let each = |kind, values: &[String], is_taken: fn(&str) -> bool| -> Vec<Event> {
        let row = |url: &String| {
            let text = excerpt(url.as_bytes());
            let event = Event::result(kind, escaped(text.as_bytes())).text("url", text);
            event.flag("used", is_taken(url))
        };
        values.iter().map(row).collect()
    };
    let mut events = vec![event];
    events.extend(each("tracker", &magnet.trackers, is_tracker));
    events.extend(each("web_seed", &magnet.web_seeds, is_web_seed));
    events.extend(
        magnet.peers.iter().map(|at| Event::result("peer", peer(at)).text("addr", peer(at))),
    );
    events
}
