//! Newline-delimited JSON on standard output: one object a line for every event and, every second,
//! one for progress. Keys `event`, `level`, `text` and `t_ms` are on every event; facts add theirs.
//! The last line is the event `ended`, which says how in `ending`.

use super::output::Output;
use super::{NEVER, Showing, View};
use crate::core::json::Object;
use crate::core::report::{Ending, Event, Fact, FetchRow, Level, Snapshot};
use crate::core::time::{Span, Time};

const PROGRESS_EVERY: Span = Span::secs(1);

pub struct Json {
    out: Output,
    showing: Showing,
    /// The last picture written: one that says nothing new is left out.
    last: Option<Snapshot>,
}

impl Json {
    pub fn new(out: Output, showing: Showing) -> Json {
        Json { out, showing, last: None }
    }
}

impl View for Json {
    fn event(&mut self, now: Time, event: &Event) {
        if !self.showing.shows(event.level) {
            return;
        }
        let mut object = line(event.kind, event.level, now).text("text", &event.line);
        for (key, fact) in &event.facts {
            if matches!(*key, "event" | "level" | "text" | "t_ms") {
                continue;
            }
            object = match fact {
                Fact::Text(text) => object.text(key, text),
                Fact::Number(number) => object.number(key, *number),
                Fact::Flag(flag) => object.raw(key, &flag.to_string()),
            };
        }
        self.out.line(&object.end());
    }

    fn frame(&mut self, now: Time, snapshot: &Snapshot) {
        if self.last.as_ref() == Some(snapshot) {
            return;
        }
        self.last = Some(snapshot.clone());
        self.out.line(&picture(now, snapshot));
    }

    fn frame_every(&self) -> Span {
        if self.showing.quiet { NEVER } else { PROGRESS_EVERY }
    }

    fn finish(&mut self, now: Time, snapshot: &Snapshot, ending: Ending) {
        if !self.showing.quiet {
            self.frame(now, snapshot);
        }
        let word = word(ending);
        let ended = line("ended", Level::Result, now);
        self.out.line(&ended.text("text", &format!("ended: {word}")).text("ending", word).end());
    }
}

/// The word for an ending; each has its own exit code.
fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Internal => "internal",
        Ending::Usage => "usage",
        Ending::NotFound => "not_found",
        Ending::Disk => "disk",
        Ending::Network => "network",
        Ending::Verification => "verification",
        Ending::Refused => "refused",
        Ending::Ambiguous => "ambiguous",
        Ending::NoSource => "no_source",
        Ending::Interrupted => "interrupted",
        Ending::Terminated => "terminated",
    }
}

/// A line of progress.
pub(super) fn picture(now: Time, snapshot: &Snapshot) -> String {
    let mut object = line("progress", Level::Info, now).text("phase", snapshot.phase);
    if let Some(waiting) = &snapshot.waiting {
        object = object.text("waiting", waiting);
    }
    if let Some(at) = &snapshot.transfer {
        let [available, connected, unavailable] = at.sources.map(u64::from);
        object = object.text("name", &at.name).numbers(&[
            ("size", at.size),
            ("done", at.done),
            ("rate_down", at.rate_down),
            ("rate_up", at.rate_up),
            ("downloaded", at.downloaded),
            ("uploaded", at.uploaded),
            ("sources_available", available),
            ("sources_connected", connected),
            ("sources_unavailable", unavailable),
        ]);
    }
    if let Some(row) = &snapshot.tracker {
        object = object.numbers(&[
            ("names", row.names),
            ("seeders", row.seeders),
            ("leechers", row.leechers),
            ("answered", row.answered),
            ("dropped", row.dropped),
        ]);
    }
    if !snapshot.fetches.is_empty() {
        let fetches: Vec<String> = snapshot.fetches.iter().map(fetch).collect();
        object = object.list("fetches", &fetches);
    }
    let peers: Vec<String> = snapshot.peers.iter().map(peer).collect();
    object.list("peers", &peers).end()
}

/// One of several fetches.
fn fetch(row: &FetchRow) -> String {
    let object = Object::default().text("want", &row.want).text("phase", row.phase);
    let object = object.raw("complete", &row.complete.to_string()).numbers(&[
        ("size", row.transfer.size),
        ("done", row.transfer.done),
        ("rate_down", row.transfer.rate_down),
        ("rate_up", row.transfer.rate_up),
    ]);
    object.end()
}

fn peer(row: &crate::core::report::PeerRow) -> String {
    let object = Object::default().text("addr", &row.addr.to_string()).text("client", &row.client);
    let object = object.text("state", row.state.name()).numbers(&[
        ("has", row.has),
        ("downloaded", row.downloaded),
        ("uploaded", row.uploaded),
        ("rate_down", row.rate_down),
        ("rate_up", row.rate_up),
    ]);
    object.end()
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Result => "result",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Detail => "detail",
    }
}

/// The keys that every line has.
fn line(event: &str, level: Level, now: Time) -> Object {
    let object = Object::default().text("event", event).text("level", level_name(level));
    object.number("t_ms", now.0 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Sheet;
    use super::*;
    use crate::core::report::{PeerRow, State, TrackerRow, Transfer};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn lines(showing: Showing, tell: impl Fn(&mut Json)) -> Vec<Value> {
        let sheet = Sheet::default();
        tell(&mut Json::new(Output::to(sheet.clone()), showing));
        sheet.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn an_event_is_one_object_with_its_facts() {
        let event = Event::info("joined", "a \"b\"\n").text("name", "x").number("size", 7);
        let said = lines(Showing::default(), |view| {
            view.event(Time(5_000_000), &event.clone().flag("new", true).text("level", "no"));
        });
        assert_eq!(
            said,
            [json!({"event": "joined", "level": "info", "t_ms": 5, "text": "a \"b\"\n",
                "name": "x", "size": 7, "new": true})]
        );
    }

    #[test]
    fn a_picture_is_told_once_until_it_changes() {
        let peer = PeerRow {
            addr: "[::1]:7".parse().unwrap(),
            client: "lmk".into(),
            state: State::Connected,
            has: 1,
            downloaded: 2,
            uploaded: 3,
            rate_down: 4,
            rate_up: 5,
        };
        let snapshot = Snapshot {
            phase: "downloading",
            transfer: Some(Transfer { name: "n".into(), size: 9, done: 1, ..Default::default() }),
            tracker: Some(TrackerRow::default()),
            peers: vec![peer],
            ..Snapshot::default()
        };
        let said = lines(Showing::default(), |view| {
            view.frame(Time::ZERO, &snapshot);
            view.frame(Time::ZERO, &snapshot);
            view.finish(Time::ZERO, &Snapshot::default(), Ending::Done);
        });
        assert_eq!(said.len(), 3);
        assert_eq!(said[2]["ending"], "done");
        assert_eq!(said[0]["size"], 9);
        assert_eq!(said[0]["peers"][0]["state"], "Connected");
        assert_eq!(said[1]["peers"], json!([]));
    }

    #[test]
    fn each_of_several_fetches_is_an_object_of_its_own() {
        let transfer = Transfer { size: 9, done: 4, ..Transfer::default() };
        let row = |want: &str, complete| FetchRow {
            want: want.into(),
            phase: "x",
            complete,
            transfer: transfer.clone(),
        };
        let fetches = vec![row("a", true), row("b", false)];
        let snapshot = Snapshot { fetches, ..Snapshot::default() };
        let said = lines(Showing::default(), |view| view.frame(Time::ZERO, &snapshot));
        assert_eq!(said[0]["fetches"][0]["complete"], true);
        assert_eq!(
            said[0]["fetches"][1],
            json!({"want": "b", "phase": "x", "complete": false, "size": 9, "done": 4,
                "rate_down": 0, "rate_up": 0})
        );
    }

    #[test]
    fn quiet_leaves_results_and_errors() {
        let quiet = Showing { quiet: true, ..Showing::default() };
        let said = lines(quiet, |view| {
            view.event(Time::ZERO, &Event::info("joined", "x"));
            view.event(Time::ZERO, &Event::result("complete", "y"));
            view.finish(Time::ZERO, &Snapshot::default(), Ending::NoSource);
        });
        assert_eq!(said.len(), 2);
        assert_eq!(said[0]["event"], "complete");
        assert_eq!((&said[1]["event"], &said[1]["ending"]), (&json!("ended"), &json!("no_source")));
    }

    proptest! {
        #[test]
        fn any_text_survives_the_journey(text in any::<String>()) {
            let event = Event::info("k", text.clone()).text("fact", text.clone());
            let said = lines(Showing::default(), |view| view.event(Time::ZERO, &event));
            prop_assert_eq!(said.len(), 1);
            prop_assert_eq!(said[0]["text"].as_str(), Some(text.as_str()));
            prop_assert_eq!(said[0]["fact"].as_str(), Some(text.as_str()));
        }
    }
}
