//! Progress in words, and when a plain line of it is due.

use crate::core::report::{FetchRow, Snapshot, TrackerRow, Transfer, bytes_text, counted};
use crate::core::time::{Span, Time};

/// A line at least this often while something moves.
const LINE_EVERY: Span = Span::secs(2);
/// Rows of several fetches shown at once; the rest is counted.
const FETCHES_SHOWN: usize = 8;
/// And a line whenever so much more is done.
const LINE_PERCENT: u64 = 10;

/// Whole percent done; a content without bytes is done.
pub fn percent(transfer: &Transfer) -> u64 {
    match transfer.size {
        0 => 100,
        size => (u128::from(transfer.done.min(size)) * 100 / u128::from(size)) as u64,
    }
}

/// Whether something of the content is still missing.
pub fn unfinished(transfer: &Transfer) -> bool {
    transfer.done < transfer.size
}

/// Rate and time left: what stands beside the bar.
pub fn beside_bar(transfer: &Transfer) -> String {
    let rate = format!("{}/s", bytes_text(transfer.rate_down));
    match transfer.eta() {
        Some(left) => format!("{rate}  ETA {left}"),
        None => rate,
    }
}

/// Sources by state; `None` while no source is known.
pub fn sources(transfer: &Transfer) -> Option<String> {
    let [available, connected, unavailable] = transfer.sources;
    (transfer.sources != [0, 0, 0]).then(|| {
        format!("sources: {connected} connected, {available} available, {unavailable} unavailable")
    })
}

/// How many of several fetches are complete; `None` if it is about one thing.
pub fn fetched(snapshot: &Snapshot) -> Option<String> {
    let complete = snapshot.fetches.iter().filter(|row| row.complete).count();
    let all = snapshot.fetches.len();
    (all > 0).then(|| format!("{complete} of {all} complete"))
}

/// A row for each of several fetches that is not over, in their order.
pub fn fetches(snapshot: &Snapshot) -> Vec<String> {
    let open: Vec<&FetchRow> = snapshot.fetches.iter().filter(|row| !is_over(row)).collect();
    let mut rows: Vec<String> = open.iter().take(FETCHES_SHOWN).map(|row| fetch(row)).collect();
    if open.len() > FETCHES_SHOWN {
        rows.push(format!("and {} more", open.len() - FETCHES_SHOWN));
    }
    rows
}

fn is_over(row: &FetchRow) -> bool {
    matches!(row.phase, "complete" | "failed")
}

fn fetch(FetchRow { want, phase, transfer, .. }: &FetchRow) -> String {
    match transfer.size {
        0 => format!("{want}: {phase}"),
        _ if !unfinished(transfer) => format!("{want}: {phase}  {}", serving(transfer)),
        _ => format!("{want}: {phase} {} %  {}", percent(transfer), beside_bar(transfer)),
    }
}

/// What a complete source says of itself.
pub fn serving(transfer: &Transfer) -> String {
    format!("{}/s up, {} sent so far", bytes_text(transfer.rate_up), bytes_text(transfer.uploaded))
}

/// What a tracker says of itself.
pub fn tracking(row: &TrackerRow) -> String {
    let names = counted(row.names, "name");
    let (seeders, leechers) = (counted(row.seeders, "seeder"), counted(row.leechers, "leecher"));
    let answered = counted(row.answered, "request");
    format!("{names}, {seeders}, {leechers}; {answered} answered, {} dropped", row.dropped)
}

/// Decides when a progress line is printed where no bar can be.
#[derive(Debug, Default)]
pub struct Pace {
    /// Time, percent and bytes of the last line.
    last: Option<(Time, u64, u64)>,
    phase: &'static str,
}

impl Pace {
    /// The line that is due now, if one is.
    pub fn line(&mut self, now: Time, snapshot: &Snapshot) -> Option<String> {
        let transfer = snapshot.transfer.as_ref()?;
        if snapshot.phase != self.phase {
            self.phase = snapshot.phase;
            self.last = None;
        }
        let busy = unfinished(transfer);
        let moved = if busy { transfer.done } else { transfer.uploaded };
        let percent = percent(transfer);
        let due = match self.last {
            // Where nothing has moved yet there is nothing to say.
            None => moved > 0 && (busy || transfer.rate_up > 0),
            Some((at, before, moved_before)) => {
                let more = busy && percent >= before.saturating_add(LINE_PERCENT);
                more || (moved > moved_before && now.since(at) >= LINE_EVERY)
            }
        };
        if !due {
            return None;
        }
        self.last = Some((now, percent, moved));
        let line = if busy {
            let (done, size) = (bytes_text(transfer.done), bytes_text(transfer.size));
            let beside = beside_bar(transfer);
            let sources = sources(transfer).map_or(String::new(), |said| format!("  {said}"));
            format!("{} {percent:>3} %  {done} of {size}  {beside}{sources}", snapshot.phase)
        } else {
            format!("{}  {}", snapshot.phase, serving(transfer))
        };
        Some(match fetched(snapshot) {
            Some(count) => format!("{line}  {count}"),
            None => line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(phase: &'static str, done: u64, uploaded: u64) -> Snapshot {
        let transfer = Transfer { size: 1000, done, uploaded, rate_up: 1, ..Transfer::default() };
        Snapshot { phase, transfer: Some(transfer), ..Snapshot::default() }
    }

    fn secs(n: u64) -> Time {
        Time::ZERO + Span::secs(n)
    }

    #[test]
    fn a_line_comes_every_two_seconds_or_ten_percent() {
        let mut pace = Pace::default();
        assert_eq!(pace.line(secs(0), &at("downloading", 0, 0)), None);
        assert!(pace.line(secs(1), &at("downloading", 1, 0)).is_some());
        assert_eq!(pace.line(secs(2), &at("downloading", 99, 0)), None);
        assert!(pace.line(secs(2), &at("downloading", 100, 0)).is_some());
        assert!(pace.line(secs(4), &at("downloading", 101, 0)).is_some());
        assert_eq!(pace.line(secs(9), &at("downloading", 101, 0)), None, "it stands still");
    }

    #[test]
    fn one_of_a_thing_is_one_thing() {
        let row =
            TrackerRow { names: 1, seeders: 2, leechers: 1, answered: 1, ..Default::default() };
        assert_eq!(tracking(&row), "1 name, 2 seeders, 1 leecher; 1 request answered, 0 dropped");
    }

    #[test]
    fn a_source_speaks_only_while_it_sends() {
        let mut pace = Pace::default();
        assert_eq!(pace.line(secs(1), &at("seeding", 1000, 0)), None);
        let line = pace.line(secs(2), &at("seeding", 1000, 2048)).unwrap();
        assert_eq!(line, "seeding  1 B/s up, 2.0 KiB sent so far");
        assert_eq!(pace.line(secs(9), &at("seeding", 1000, 2048)), None);
    }

    #[test]
    fn the_line_has_percent_rate_sources_and_time_left() {
        let transfer = Transfer {
            size: 4096,
            done: 1024,
            rate_down: 1024,
            sources: [1, 2, 3],
            ..Transfer::default()
        };
        let snapshot =
            Snapshot { phase: "downloading", transfer: Some(transfer), ..Snapshot::default() };
        assert_eq!(
            Pace::default().line(secs(1), &snapshot).unwrap(),
            "downloading  25 %  1.0 KiB of 4.0 KiB  1.0 KiB/s  ETA 3.0 s  \
             sources: 2 connected, 1 available, 3 unavailable"
        );
    }

    #[test]
    fn of_several_it_is_said_how_many_are_complete_and_what_the_others_do() {
        let row = |n: u64, phase, transfer| FetchRow {
            want: format!("f{n}"),
            phase,
            complete: phase == "complete",
            transfer,
        };
        let half = Transfer { size: 2, done: 1, ..Transfer::default() };
        let mut snapshot = at("downloading", 500, 0);
        assert_eq!((fetched(&snapshot), fetches(&snapshot)), (None, vec![]));
        snapshot.fetches = vec![
            row(1, "complete", Transfer::default()),
            row(2, "failed", Transfer::default()),
            row(3, "looking up", Transfer::default()),
            row(4, "downloading", half),
        ];
        assert_eq!(fetched(&snapshot).unwrap(), "1 of 4 complete");
        assert_eq!(fetches(&snapshot), ["f3: looking up", "f4: downloading 50 %  0 B/s"]);
        let line = Pace::default().line(secs(1), &snapshot).unwrap();
        assert!(line.ends_with("  1 of 4 complete"), "{line}");
        snapshot.fetches = (0..20).map(|n| row(n, "waiting", Transfer::default())).collect();
        assert_eq!(fetches(&snapshot).len(), 9);
        assert_eq!(fetches(&snapshot)[8], "and 12 more");
    }

    #[test]
    fn percent_is_100_only_when_all_is_there() {
        let of = |size, done| percent(&Transfer { size, done, ..Transfer::default() });
        assert_eq!((of(0, 0), of(1000, 999), of(u64::MAX, u64::MAX)), (100, 99, 100));
        assert_eq!(of(10, 20), 100);
    }
}
