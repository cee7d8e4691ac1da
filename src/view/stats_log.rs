//! The figures of each second as JSON lines in a file, beside what is shown: what the progress
//! lines of `--json` have, whether anything changed or not.

use super::output::Output;
use super::{NEVER, View, json};
use crate::core::report::{Ending, Event, Snapshot};
use crate::core::time::{Span, Time};

const EVERY: Span = Span::secs(1);

pub struct StatsLog {
    view: Box<dyn View>,
    out: Output,
    /// When each of them wants a picture.
    view_due: Time,
    due: Time,
}

impl StatsLog {
    /// Writes to `out` beside what `view` shows.
    pub fn new(view: Box<dyn View>, out: Output) -> StatsLog {
        StatsLog { view, out, view_due: Time::ZERO, due: Time::ZERO }
    }
}

impl View for StatsLog {
    fn event(&mut self, now: Time, event: &Event) {
        self.view.event(now, event);
    }

    fn frame(&mut self, now: Time, snapshot: &Snapshot) {
        if now >= self.due {
            self.due = now + EVERY;
            self.out.line(&json::picture(now, snapshot));
        }
        let every = self.view.frame_every();
        if every != NEVER && now >= self.view_due {
            self.view_due = now + every;
            self.view.frame(now, snapshot);
        }
    }

    fn frame_every(&self) -> Span {
        self.view.frame_every().min(EVERY)
    }

    fn finish(&mut self, now: Time, snapshot: &Snapshot, ending: Ending) {
        self.out.line(&json::picture(now, snapshot));
        self.view.finish(now, snapshot, ending);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Showing;
    use super::super::output::tests::Sheet;
    use super::*;
    use crate::core::report::Transfer;
    use serde_json::Value;

    #[test]
    fn each_second_has_a_line_whatever_the_view_shows() {
        for quiet in [false, true] {
            let (shown, log) = (Sheet::default(), Sheet::default());
            let showing = Showing { quiet, ..Showing::default() };
            let view = Box::new(json::Json::new(Output::to(shown.clone()), showing));
            let mut both = StatsLog::new(view, Output::to(log.clone()));
            assert_eq!(both.frame_every(), EVERY);
            let transfer = Transfer { size: 9, done: 4, ..Transfer::default() };
            let snapshot = Snapshot { transfer: Some(transfer), ..Snapshot::default() };
            for ms in [1000, 1250, 2000, 3000] {
                both.frame(Time::ZERO + Span::ms(ms), &snapshot);
            }
            both.finish(Time::ZERO + Span::secs(4), &snapshot, Ending::Done);
            let lines: Vec<Value> =
                log.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
            let at: Vec<u64> = lines.iter().map(|line| line["t_ms"].as_u64().unwrap()).collect();
            assert_eq!(at, [1000, 2000, 3000, 4000]);
            assert!(lines.iter().all(|line| line["done"] == 4 && line["event"] == "progress"));
            // The view beside it says what it says without.
            assert_eq!(shown.text().lines().count(), if quiet { 1 } else { 2 });
        }
    }
}
