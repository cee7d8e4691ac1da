//! How a leecher ends: the part becomes the target, the person is told, and what others asked for
//! is handed over.

use super::{Fetch, Phase};
use crate::content::bitfield::Bitfield;
use crate::core::fault::Fatal;
use crate::core::id::FileId;
use crate::core::io::Outbox;
use crate::core::report::{Ending, Event, bytes_text};
use crate::core::time::{Span, Time};
use crate::node::say;
use crate::node::shared::Shared;
use crate::node::target::show;

/// Blocks already asked of us are handed over for so long after completion.
const HAND_OVER: Span = Span::secs(2);

impl Fetch {
    pub(super) fn finish(
        &mut self,
        shared: &mut Shared,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let phase = std::mem::replace(&mut self.phase, Phase::Reaching);
        let Phase::Downloading(mut target) = phase else {
            self.phase = phase;
            return Ok(());
        };
        shared.waiting = None;
        let placed = target.finish(out);
        self.phase = Phase::Finishing(target);
        self.placed(shared, placed, now, out)
    }

    /// Every byte is verified and durable under its name.
    pub(super) fn complete(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let path = self.target().map(|target| show(&target.path)).unwrap_or_default();
        let took = now.since(self.started);
        let rate = (self.size as f64 / took.as_secs_f64().max(1e-3)) as u64;
        let size = bytes_text(self.size);
        let line = format!("complete {path} ({size} in {took}, {}/s)", bytes_text(rate));
        self.tell_complete(shared, &line, &path, took, out);
        shared.ties.completed(shared.stats(), now, out);
        self.stay_or_go(shared, now, out);
    }

    pub(super) fn tell_complete(
        &self,
        shared: &Shared,
        line: &str,
        path: &str,
        took: Span,
        out: &mut Outbox,
    ) {
        let hash = shared.swarm.as_ref().and_then(|swarm| swarm.content().v2.as_ref());
        out.tell(
            Event::result("complete", line)
                .text("path", path)
                .text("hash", hash.map(|v2| v2.info_hash.to_string()).unwrap_or_default())
                .number("size", self.size)
                .number("ms", took.as_ms()),
        );
    }

    /// The target was there and is what was wanted.
    pub(super) fn already(
        &mut self,
        shared: &mut Shared,
        file: FileId,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(target) = self.target() else { return };
        let (path, content) = (show(&target.path), target.content());
        let have = Bitfield::full(content.geometry.pieces());
        shared.begin_swarm(content, file, have, now);
        let line = format!("complete {path} was there already; --out DIR|FILE makes another copy");
        self.tell_complete(shared, &line, &path, Span::ZERO, out);
        self.stay_or_go(shared, now, out);
    }

    pub(super) fn stay_or_go(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        if self.plan.keep_seeding {
            self.phase = Phase::Seeding;
            self.got_listening(shared, now, out);
            say::listening(shared, out);
            return;
        }
        self.phase = Phase::HandingOver { until: now + HAND_OVER, hung_up: false };
        if let Some(swarm) = &mut shared.swarm {
            swarm.leave(now, out);
        }
        self.go_if_idle(shared, now, out);
    }

    /// Ends as soon as nobody is owed a block: first what was asked leaves us, then the connections
    /// end in order, so that nothing on its way is lost.
    pub fn go_if_idle(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let Phase::HandingOver { hung_up, .. } = &mut self.phase else { return };
        match &mut shared.swarm {
            Some(swarm) if swarm.busy() => {}
            Some(swarm) if !*hung_up => {
                *hung_up = true;
                swarm.hang_up(out);
                if swarm.is_alone() {
                    shared.end(Ending::Done, now, out);
                }
            }
            Some(swarm) if !swarm.is_alone() => {}
            _ => shared.end(Ending::Done, now, out),
        }
    }

    /// What is said when a signal ends the work.
    pub fn farewell(&self, shared: &Shared) -> String {
        let done = shared.swarm.as_ref().map_or(0, |swarm| swarm.done_bytes());
        let percent = (done * 100).checked_div(self.size).unwrap_or(0);
        match self.phase {
            Phase::Seeding | Phase::HandingOver { .. } => "stopped sharing".into(),
            _ => format!("stopped at {percent} %; run the same command to go on"),
        }
    }
}
