//! What an earlier run left is read before anybody is served: names, peers, then counts, page by
//! page.

use super::keeping_rows as rows;
use super::names::Life;
use super::plan::{Database, TrackerPlan};
use super::registry::Registry;
use crate::core::id::{InfoHash, Ticket};
use crate::core::io::Outbox;
use crate::core::mark::mark;
use crate::core::report::{Ending, Event, foreign};
use crate::core::store::{NameRow, StoreDone, StoreError, StoreOp, SwarmPart};
use crate::core::time::{Span, Time};

/// Bytes and rows of one page.
const PAGE_BYTES: usize = 1024 * 1024;
const PAGE_ROWS: u32 = 20_000;

/// How far the reading is.
#[derive(Debug)]
pub struct Loading {
    ticket: Ticket,
    /// The earlier run ended in order.
    orderly: bool,
    names: u64,
    peers: u64,
}

/// What an answer of the database leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// Another page was asked for.
    More,
    /// Everything is there.
    All,
    /// There is no database in this run; the line about it was told.
    Nothing,
    /// The tracker cannot be.
    Fatal(Ending),
}

impl Loading {
    pub fn start(unix_s: u64, out: &mut Outbox) -> Loading {
        let ticket = out.store(StoreOp::Open { unix_s });
        Loading { ticket, orderly: false, names: 0, peers: 0 }
    }

    pub fn waits_for(&self, ticket: Ticket) -> bool {
        self.ticket == ticket
    }

    pub fn got(
        &mut self,
        now: Time,
        plan: &TrackerPlan,
        done: StoreDone,
        registry: &mut Registry,
        out: &mut Outbox,
    ) -> Loaded {
        let next = match done {
            StoreDone::Opened(Ok(opened)) => {
                if let Some(aside) = &opened.damaged {
                    out.tell(put_aside(plan, &aside.to_string_lossy()));
                }
                self.orderly = opened.orderly;
                registry.resume(opened.generation, self.orderly);
                Ok(StoreOp::Names { after: 0, bytes_max: PAGE_BYTES })
            }
            StoreDone::Opened(Err(error)) => return cannot_open(plan, &error, out),
            StoreDone::Names(page) => page.map(|page| self.got_names(now, plan, page, registry)),
            StoreDone::Swarms(page) => page.map(|page| self.got_swarms(now, &page, registry)),
            StoreDone::Finished(Ok(page)) if page.is_empty() => {
                out.tell(self.all(plan));
                return Loaded::All;
            }
            StoreDone::Finished(page) => page.map(|page| got_finished(&page, registry)),
            _ => Err(StoreError::Damaged),
        };
        match next {
            Ok(op) => {
                self.ticket = out.store(op);
                Loaded::More
            }
            Err(error) => {
                mark!("C17");
                let why = error.reason();
                let line = format!(
                    "cannot read {}: {why}; move it away to start with an empty one",
                    shown(plan)
                );
                out.tell(Event::error("database", line).text("path", shown(plan)));
                Loaded::Fatal(Ending::Disk)
            }
        }
    }

    fn got_names(
        &mut self,
        now: Time,
        plan: &TrackerPlan,
        page: Vec<NameRow>,
        registry: &mut Registry,
    ) -> StoreOp {
        let Some(after) = page.last().map(|row| row.number) else {
            return StoreOp::Swarms { after: None, bytes_max: PAGE_BYTES };
        };
        let keep = Span::secs(plan.keep_names_s);
        for row in page {
            let (number, listed) = (row.number, row.listed);
            let record = rows::record(row, self.orderly, now, registry.unix_s(now), keep);
            let as_kept = listed == matches!(record.life, Life::Listed { .. });
            self.names += u64::from(registry.restore_name(number, record, as_kept));
        }
        StoreOp::Names { after, bytes_max: PAGE_BYTES }
    }

    fn got_swarms(&mut self, now: Time, page: &[SwarmPart], registry: &mut Registry) -> StoreOp {
        let Some(last) = page.last() else {
            return StoreOp::Finished { after: None, rows_max: PAGE_ROWS };
        };
        for part in page {
            self.peers += registry.restore_peers(now, part) as u64;
        }
        StoreOp::Swarms { after: Some((last.hash, last.part)), bytes_max: PAGE_BYTES }
    }

    fn all(&self, plan: &TrackerPlan) -> Event {
        mark!("C18");
        let (names, peers, path) = (self.names, self.peers, shown(plan));
        let line = format!("{path}: {names} names and {peers} peers of the last run");
        let event = Event::detail("database", line).text("path", path);
        event.number("names", names).number("peers", peers)
    }
}

fn got_finished(page: &[(InfoHash, u32)], registry: &mut Registry) -> StoreOp {
    for (hash, downloads) in page {
        registry.swarms.remember_completed(*hash, *downloads);
    }
    let after = page.last().map(|(hash, _)| *hash);
    StoreOp::Finished { after, rows_max: PAGE_ROWS }
}

fn shown(plan: &TrackerPlan) -> String {
    let path = plan.database.as_ref().map(|database| foreign(&database.path.to_string_lossy()));
    path.unwrap_or_default()
}

fn put_aside(plan: &TrackerPlan, aside: &str) -> Event {
    let (path, aside) = (shown(plan), foreign(aside));
    let line = format!(
        "{path} was damaged: kept as {aside}; this tracker starts with no names, \
         seeders that are running publish theirs again"
    );
    Event::error("database", line).text("path", path).text("kept_as", aside)
}

fn cannot_open(plan: &TrackerPlan, error: &StoreError, out: &mut Outbox) -> Loaded {
    mark!("C17");
    let (path, why) = (shown(plan), error.reason());
    let required = plan.database.as_ref().is_some_and(|Database { required, .. }| *required);
    let (ending, advice) = match error {
        StoreError::InUse(_) => (Some(Ending::Refused), "stop that one, or use another --db FILE"),
        StoreError::Newer(_) => (Some(Ending::Disk), "use that lmk, or another --db FILE"),
        StoreError::Foreign => (Some(Ending::Disk), "use another --db FILE"),
        _ if required => (Some(Ending::Disk), "use another --db FILE, or --db none"),
        _ => (None, ""),
    };
    let Some(ending) = ending else {
        let line = format!(
            "cannot use {path}: {why}; not saving: names are lost when this tracker ends \
             (--db FILE keeps them elsewhere)"
        );
        out.tell(Event::warning("database", line).text("path", path));
        return Loaded::Nothing;
    };
    let line = format!("cannot use {path}: {why}; {advice}");
    out.tell(Event::error("database", line).text("path", path));
    Loaded::Fatal(ending)
}
