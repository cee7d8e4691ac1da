//! The living part at the bottom of a terminal: a bar with its figures, a row per fetch if there
//! are several, and a row per neighbour.

use super::{progress, rows};
use crate::core::report::Snapshot;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const WITH_BAR: &str = "{prefix} [{bar:24}] {percent:>3} %  {msg}";
const WITHOUT_BAR: &str = "{prefix}  {msg}";

/// Drawn only when told to: nothing here ticks by itself.
pub struct Bar {
    bar: ProgressBar,
    shows_bar: Option<bool>,
}

impl Bar {
    /// On standard error.
    pub fn new() -> Bar {
        Bar::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Bar {
        Bar { bar: ProgressBar::with_draw_target(Some(0), target), shows_bar: None }
    }

    pub fn draw(&mut self, snapshot: &Snapshot) {
        let transfer = snapshot.transfer.as_ref();
        let unfinished = transfer.filter(|transfer| progress::unfinished(transfer));
        self.shape(unfinished.is_some());
        if let Some(transfer) = unfinished {
            self.bar.set_length(transfer.size);
            self.bar.set_position(transfer.done);
        }
        self.bar.set_prefix(snapshot.phase);
        self.bar.set_message(message(snapshot));
        self.bar.tick();
    }

    /// Takes the display away while `write` prints lines above it.
    pub fn aside(&self, write: impl FnOnce()) {
        match self.shows_bar {
            Some(_) => self.bar.suspend(write),
            // Nothing was drawn yet.
            None => write(),
        }
    }

    /// Takes the display away until the next picture.
    pub fn hide(&mut self) {
        if self.shows_bar.is_some() {
            self.bar.finish_and_clear();
            *self = Bar::new();
        }
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn shape(&mut self, bar: bool) {
        if self.shows_bar != Some(bar) {
            self.shows_bar = Some(bar);
            let template = if bar { WITH_BAR } else { WITHOUT_BAR };
            let plain = ProgressStyle::default_bar();
            let style = plain.clone().template(template).unwrap_or(plain);
            self.bar.set_style(style.progress_chars("=> "));
        }
    }
}

impl Default for Bar {
    fn default() -> Bar {
        Bar::new()
    }
}

/// The figures, what is waited for, and the sources, and a row per neighbour.
fn message(snapshot: &Snapshot) -> String {
    let mut said = match (&snapshot.transfer, &snapshot.tracker) {
        (Some(transfer), _) if progress::unfinished(transfer) => progress::beside_bar(transfer),
        (Some(transfer), _) => progress::serving(transfer),
        (None, Some(tracker)) => progress::tracking(tracker),
        (None, None) => String::new(),
    };
    if let Some(count) = progress::fetched(snapshot) {
        said = format!("{said}  {count}");
    }
    for row in progress::fetches(snapshot) {
        said.push_str("\n  ");
        said.push_str(&row);
    }
    let fetching = snapshot.transfer.as_ref().filter(|transfer| progress::unfinished(transfer));
    let sources = fetching.and_then(progress::sources);
    for line in snapshot.waiting.iter().chain(&sources) {
        said.push_str("\n  ");
        said.push_str(line);
    }
    for row in rows::of(snapshot, false) {
        said.push_str("\n  ");
        said.push_str(&row);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::report::Transfer;

    #[test]
    fn the_templates_are_ones_the_library_takes() {
        for template in [WITH_BAR, WITHOUT_BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn under_the_bar_stand_what_is_waited_for_the_sources_and_a_row_each() {
        let transfer = Transfer { size: 10, sources: [1, 0, 0], ..Transfer::default() };
        let snapshot = Snapshot {
            transfer: Some(transfer),
            peers: vec![rows::tests::row(1, 0), rows::tests::row(2, 9)],
            waiting: Some("for the tracker".into()),
            ..Snapshot::default()
        };
        let said = message(&snapshot);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 5, "{said}");
        assert_eq!(lines[1], "  for the tracker");
        assert!(lines[2].starts_with("  sources: ") && lines[3].starts_with("  127.0.0.1:2 "));
    }
}
