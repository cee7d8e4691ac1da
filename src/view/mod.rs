//! Floor 6: how a role looks from outside. A view paints from events and complete snapshots; it
//! knows no role.

pub mod bar;
pub mod json;
pub mod output;
pub mod plain;
pub mod progress;
pub mod rows;
pub mod stats_log;

use crate::core::report::{Ending, Event, Level, Snapshot};
use crate::core::time::{Span, Time};

/// Shows one run of an engine.
pub trait View {
    /// One thing happened.
    fn event(&mut self, now: Time, event: &Event);
    /// A picture, every [`View::frame_every`] or a little later.
    fn frame(&mut self, now: Time, snapshot: &Snapshot);
    /// How often this view wants a picture; `Span(u64::MAX)` for never.
    fn frame_every(&self) -> Span;
    /// The last picture, and how it ended.
    fn finish(&mut self, now: Time, snapshot: &Snapshot, ending: Ending);
}

/// No picture is wanted.
pub const NEVER: Span = Span(u64::MAX);

/// How much is shown, and with what means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Showing {
    /// Results and errors only.
    pub quiet: bool,
    /// Details too.
    pub verbose: bool,
    /// Standard error is a terminal that can hold a bar.
    pub bar: bool,
    pub colour: bool,
}

impl Showing {
    /// Whether an event of this level is shown.
    pub fn shows(&self, level: Level) -> bool {
        match level {
            Level::Result | Level::Error => true,
            Level::Warning | Level::Info => !self.quiet,
            Level::Detail => self.verbose && !self.quiet,
        }
    }
}
