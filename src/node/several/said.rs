//! What the fetches say of themselves: each line says which of them it is about, and what all of
//! them find out about the same tracker is said once.

use crate::core::report::{Event, Level};
use std::collections::BTreeMap;

/// News of the process and its tracker, which each of them has.
const OF_ALL: [&str; 6] =
    ["listening", "tracker_silent", "tracker_back", "tracker_lost", "tracker_refuses", "client"];
/// Different lines of that kind that are remembered.
const REMEMBERED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Said {
    /// Who said a line since it was passed on, a bit for each.
    by: BTreeMap<(&'static str, String), u64>,
}

impl Said {
    /// Makes an event say which fetch it is about. -> whether it is passed on.
    pub fn passes(&mut self, (who, label): (usize, &str), event: &mut Event) -> bool {
        if OF_ALL.contains(&event.kind) {
            return self.is_news(who, event);
        }
        if event.level != Level::Result && !event.line.contains(label) {
            event.line = format!("{label}: {}", event.line);
        }
        event.facts.push(("want", crate::core::report::Fact::Text(label.to_owned())));
        true
    }

    /// Whoever says something again that others said, too, begins another round.
    fn is_news(&mut self, who: usize, event: &Event) -> bool {
        if self.by.len() >= REMEMBERED_MAX {
            self.by.clear();
        }
        let bit = 1_u64.checked_shl(who as u32).unwrap_or(0);
        let by = self.by.entry((event.kind, event.line.clone())).or_insert(0);
        let is_news = *by == 0 || *by & bit != 0;
        *by = if is_news { bit } else { *by | bit };
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::report::Fact;

    #[test]
    fn a_line_says_whose_it_is_and_a_result_stays_what_it_was() {
        let mut said = Said::default();
        let mut event = Event::warning("slow", "no source");
        assert!(said.passes((1, "a.zip"), &mut event));
        assert_eq!(event.line, "a.zip: no source");
        assert_eq!(event.facts, [("want", Fact::Text("a.zip".into()))]);
        for (mut event, line) in [
            (Event::info("joined", "joined a.zip"), "joined a.zip"),
            (Event::result("complete", "complete x"), "complete x"),
        ] {
            assert!(said.passes((1, "a.zip"), &mut event));
            assert_eq!(event.line, line);
        }
    }

    #[test]
    fn what_concerns_all_is_said_once_a_round() {
        let mut said = Said::default();
        let mut passes = |who| said.passes((who, "x"), &mut Event::warning("tracker_silent", "t"));
        assert_eq!(
            [0, 1, 2, 1, 0, 2, 2].map(&mut passes),
            [true, false, false, true, false, false, true]
        );
        for n in 0..1000 {
            said.passes((0, "x"), &mut Event::warning("tracker_lost", n.to_string()));
        }
        assert!(said.by.len() <= REMEMBERED_MAX);
    }
}
