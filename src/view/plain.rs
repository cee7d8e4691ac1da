//! Lines for people: results on standard output, everything else on standard error, with a bar at
//! the bottom where standard error is a terminal.

use super::bar::Bar;
use super::output::Output;
use super::progress::Pace;
use super::{NEVER, Showing, View, rows};
use crate::core::report::{Ending, Event, Level, Snapshot};
use crate::core::time::{Span, Time};

/// A bar is redrawn so often.
const BAR_EVERY: Span = Span::ms(200);
/// Where there is no bar, changes are looked for so often.
const LOOK_EVERY: Span = Span::ms(250);

pub struct Plain {
    out: Output,
    err: Output,
    showing: Showing,
    bar: Option<Bar>,
    pace: Pace,
    waiting: Option<String>,
}

impl Plain {
    pub fn new(out: Output, err: Output, showing: Showing) -> Plain {
        let bar = (showing.bar && !showing.quiet).then(Bar::new);
        Plain { out, err, showing, bar, pace: Pace::default(), waiting: None }
    }

    fn write(&mut self, level: Level, line: &str) {
        if !self.showing.shows(level) {
            return;
        }
        let stream = if level == Level::Result { &mut self.out } else { &mut self.err };
        let line = format!("{}{line}", prefix(level, self.showing.colour));
        match &mut self.bar {
            // There may be a great many of them: until the next picture there is no bar.
            Some(bar) if level == Level::Result => {
                bar.hide();
                stream.line(&line);
            }
            Some(bar) => bar.aside(|| stream.line(&line)),
            None => stream.line(&line),
        }
    }
}

impl View for Plain {
    fn event(&mut self, _: Time, event: &Event) {
        self.write(event.level, &event.line);
    }

    fn frame(&mut self, now: Time, snapshot: &Snapshot) {
        if self.showing.quiet {
            return;
        }
        if let Some(bar) = &mut self.bar {
            bar.draw(snapshot);
            return;
        }
        if snapshot.waiting != self.waiting {
            self.waiting.clone_from(&snapshot.waiting);
            if let Some(why) = &snapshot.waiting {
                self.write(Level::Info, why);
            }
        }
        if let Some(line) = self.pace.line(now, snapshot) {
            self.write(Level::Info, &line);
            for row in rows::of(snapshot, true) {
                self.write(Level::Info, &format!("  {row}"));
            }
        }
    }

    fn frame_every(&self) -> Span {
        match (&self.bar, self.showing.quiet) {
            (_, true) => NEVER,
            (Some(_), false) => BAR_EVERY,
            (None, false) => LOOK_EVERY,
        }
    }

    fn finish(&mut self, _: Time, _: &Snapshot, _: Ending) {
        if let Some(bar) = self.bar.take() {
            bar.clear();
        }
    }
}

fn prefix(level: Level, colour: bool) -> &'static str {
    match (level, colour) {
        (Level::Error, true) => "\x1b[1;31merror:\x1b[0m ",
        (Level::Error, false) => "error: ",
        (Level::Warning, true) => "\x1b[33mwarning:\x1b[0m ",
        (Level::Warning, false) => "warning: ",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Sheet;
    use super::*;
    use crate::core::report::Transfer;

    fn shown(showing: Showing) -> (String, String) {
        let (out, err) = (Sheet::default(), Sheet::default());
        let mut view = Plain::new(Output::to(out.clone()), Output::to(err.clone()), showing);
        for event in [
            Event::result("complete", "complete"),
            Event::error("disk", "no room"),
            Event::warning("slow", "slow"),
            Event::info("joined", "joined"),
            Event::detail("asked", "asked"),
        ] {
            view.event(Time::ZERO, &event);
        }
        let transfer = Transfer { size: 100, done: 50, ..Transfer::default() };
        let snapshot = Snapshot {
            phase: "downloading",
            waiting: Some("waiting for a source".into()),
            transfer: Some(transfer),
            ..Snapshot::default()
        };
        view.frame(Time::ZERO, &snapshot);
        view.frame(Time::ZERO + Span::secs(9), &snapshot);
        view.finish(Time::ZERO, &snapshot, Ending::Done);
        (out.text(), err.text())
    }

    #[test]
    fn results_go_to_one_stream_and_all_else_to_the_other() {
        let (out, err) = shown(Showing::default());
        assert_eq!(out, "complete\n");
        assert_eq!(
            err,
            "error: no room\nwarning: slow\njoined\nwaiting for a source\n\
             downloading  50 %  50 B of 100 B  0 B/s\n"
        );
    }

    #[test]
    fn quiet_shows_results_and_errors_only() {
        let quiet = Showing { quiet: true, verbose: true, ..Showing::default() };
        assert_eq!(shown(quiet), ("complete\n".into(), "error: no room\n".into()));
    }

    #[test]
    fn verbose_shows_details_and_colour_only_where_it_is_wanted() {
        let (_, err) = shown(Showing { verbose: true, ..Showing::default() });
        assert!(err.contains("asked\n") && !err.contains('\x1b'), "{err:?}");
        let (_, err) = shown(Showing { colour: true, ..Showing::default() });
        assert!(err.contains("\x1b[1;31merror:\x1b[0m no room"), "{err:?}");
    }
}
