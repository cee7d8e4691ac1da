//! What the disk does to a download: pieces become durable, a full disk is waited for, a part file
//! that another program changed is read again, and a signal leaves everything in order.

use super::{Fetch, Phase};
use crate::content::geometry::Piece;
use crate::core::fault::Fatal;
use crate::core::io::{FileDone, FileError, Outbox};
use crate::core::limits::{DISK_FULL_RETRY, STOP_FLUSH};
use crate::core::mark::mark;
use crate::core::report::{Ending, Event, bytes_text};
use crate::core::time::Time;
use crate::node::shared::Shared;
use crate::node::target::Target;

/// A download that is being stopped.
#[derive(Debug)]
pub struct Stop {
    ending: Ending,
    /// Then it ends, durable or not.
    until: Time,
    /// The last writes are back and are being made durable.
    closing: bool,
}

impl Fetch {
    /// A piece stands in the part file.
    pub(super) fn stored(&mut self, shared: &Shared, piece: Piece, now: Time, out: &mut Outbox) {
        if self.room.found() {
            self.room.say_going_on(self.percent(shared), out);
        }
        if let Phase::Downloading(target) | Phase::Stopping(target, _) = &mut self.phase {
            target.stored(piece, now, out);
        }
    }

    pub(super) fn disk_deadline(&self) -> Time {
        match &self.phase {
            Phase::Downloading(target) => target.deadline().min(self.room.deadline()),
            Phase::Stopping(target, stop) => target.deadline().min(stop.until),
            Phase::Full { until, .. } => *until,
            _ => Time::NEVER,
        }
    }

    /// What is due at the disk.
    pub(super) fn tend_disk(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        match &mut self.phase {
            Phase::Downloading(target) => {
                self.room.look(target, now, out);
                let is_full = target.tend(now, out);
                let is_short = self.room.is_short();
                let waits = is_short || target.waits_for_room();
                if let Some(swarm) = &mut shared.swarm {
                    swarm.rest(is_full || is_short, now, out);
                }
                self.say_room(shared, waits, out);
            }
            Phase::Full { until, .. } if now >= *until => {
                let phase = std::mem::replace(&mut self.phase, Phase::Between);
                if let Phase::Full { mut target, .. } = phase {
                    target.again(out);
                    self.phase = Phase::Placing(target);
                }
            }
            Phase::Stopping(target, stop) => {
                if now >= stop.until {
                    return shared.end(stop.ending, now, out);
                }
                let writes = shared.swarm.as_ref().is_some_and(|swarm| swarm.writes());
                if !writes && !stop.closing {
                    stop.closing = true;
                    target.close(now, out);
                }
            }
            _ => {}
        }
    }

    /// A piece could not be written.
    pub(super) fn disk_failed(
        &mut self,
        shared: &mut Shared,
        error: FileError,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Phase::Downloading(target) = &self.phase else { return Ok(()) };
        if error == FileError::NoSpace {
            // It is asked for again; all else stands, and so do the connections.
            self.room.refused(now);
            return Ok(());
        }
        let placed = target.failed(error);
        self.placed(shared, placed, now, out)
    }

    fn say_room(&mut self, shared: &Shared, waits: bool, out: &mut Outbox) {
        let percent = self.percent(shared);
        if waits {
            self.room.say_full(percent, out);
        } else if self.room.is_enough() {
            self.room.say_going_on(percent, out);
        }
    }

    /// How much is free on a disk that was full.
    pub(super) fn got_room(
        &mut self,
        shared: &mut Shared,
        done: FileDone,
        now: Time,
        out: &mut Outbox,
    ) {
        let FileDone::Free(free) = done else { return };
        let done_bytes = shared.swarm.as_ref().map_or(0, |swarm| swarm.done_bytes());
        let missing = self.size.saturating_sub(done_bytes);
        if let Phase::Downloading(target) = &self.phase {
            self.room.got_free(free, (target, missing), now);
        }
        self.tend_disk(shared, now, out);
    }

    /// There is no room. One who just began is told so; a download that was under way waits: it
    /// asks nobody for anything and keeps what it has.
    pub(super) fn full(
        &mut self,
        shared: &mut Shared,
        line: String,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if !self.began {
            return Err(Fatal { ending: Ending::Disk, line });
        }
        if let Phase::Stopping(_, stop) = &self.phase {
            shared.end(stop.ending, now, out);
            return Ok(());
        }
        let percent = self.percent(shared);
        self.abandon(shared, now, out);
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let (Phase::Placing(mut target)
        | Phase::Downloading(mut target)
        | Phase::Finishing(mut target)) = phase
        else {
            return Ok(());
        };
        target.let_go(out);
        self.phase = Phase::Full { target, until: now + DISK_FULL_RETRY };
        self.room.say_full(percent, out);
        Ok(())
    }

    /// Another program changed the part file: what it holds now is found out anew.
    pub(super) fn changed(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        mark!("E12");
        let line = "part file was changed by another program; reading it again";
        out.tell(Event::warning("part_changed", line));
        self.abandon(shared, now, out);
        match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Placing(mut target)
            | Phase::Downloading(mut target)
            | Phase::Finishing(mut target) => {
                target.touched(out);
                target.again(out);
                self.phase = Phase::Placing(target);
            }
            Phase::Stopping(mut target, stop) => {
                target.touched(out);
                shared.end(stop.ending, now, out);
            }
            phase => self.phase = phase,
        }
    }

    /// What this machine holds does not stay what it was. The next run believes nothing of what is
    /// there before it has read it.
    pub(super) fn damaged(&mut self, piece: Option<Piece>, out: &mut Outbox) -> Fatal {
        if let Phase::Placing(target)
        | Phase::Downloading(target)
        | Phase::Full { target, .. }
        | Phase::Stopping(target, _)
        | Phase::Finishing(target) = &mut self.phase
        {
            target.touched(out);
        }
        let what = piece.map_or_else(
            || "known bytes have another hash".to_owned(),
            |piece| format!("piece {} was proven and reads back different", piece.index()),
        );
        let line = format!(
            "local data is being damaged (disk or memory): {what}; check this machine, then run \
             the same command: it reads everything again"
        );
        Fatal { ending: Ending::Disk, line }
    }

    pub(super) fn abandon(&self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        if let Some(swarm) = shared.swarm.take() {
            shared.struck = swarm.abandon(out);
            shared.web.swarm_gone(now, out);
        }
    }

    pub(super) fn percent(&self, shared: &Shared) -> u64 {
        let done = shared.swarm.as_ref().map_or(0, |swarm| swarm.done_bytes());
        (done * 100).checked_div(self.size).unwrap_or(0)
    }

    /// What is said when a signal ends the work.
    pub fn farewell(&self, shared: &Shared) -> String {
        let percent = self.percent(shared);
        match self.phase {
            Phase::Seeding(_) | Phase::HandingOver { .. } => "stopped sharing".into(),
            _ => format!("stopped at {percent} %; run the same command to go on"),
        }
    }

    /// A signal. -> whether the download ends by itself, once what it has is durable.
    pub fn stop(
        &mut self,
        shared: &mut Shared,
        ending: Ending,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Downloading(target) => {
                if ending == Ending::Interrupted {
                    mark!("F15");
                } else {
                    mark!("F16");
                }
                if let Some(swarm) = &mut shared.swarm {
                    swarm.rest(true, now, out);
                }
                let stop = Stop { ending, until: now + STOP_FLUSH, closing: false };
                self.phase = Phase::Stopping(target, stop);
                true
            }
            phase => {
                self.phase = phase;
                false
            }
        }
    }

    /// Everything is durable, and the journal says so.
    pub(super) fn closed(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        if let Phase::Stopping(_, stop) = &self.phase {
            shared.end(stop.ending, now, out);
        }
    }

    /// Going on where the disk had stopped us: the sources are asked for again.
    pub(super) fn went_on(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let unguarded = self.target().is_some_and(Target::is_unguarded);
        if let Some(swarm) = shared.swarm.as_mut().filter(|_| unguarded) {
            swarm.withhold();
        }
        if std::mem::replace(&mut self.began, true) {
            shared.ties.hurry(now);
        }
        self.found_room(shared, out);
    }

    /// What had to find room found it.
    pub(super) fn found_room(&mut self, shared: &Shared, out: &mut Outbox) {
        self.room.opened();
        self.room.say_going_on(self.percent(shared), out);
    }

    pub(super) fn waits_for_disk(&self) -> Option<String> {
        self.room.line()
    }

    /// The only thing that may end a stop early is a second signal.
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping(..))
    }

    /// What an earlier run, or the time before the disk stopped us, left.
    pub(super) fn tell_resumed(kept: u64, checked: u64, out: &mut Outbox) {
        let line = match kept {
            0 => "nothing of an earlier run is good; all of it is fetched again".into(),
            _ => format!("{} of an earlier run are good", bytes_text(kept)),
        };
        out.tell(Event::info("resumed", line).number("kept", kept).number("checked", checked));
    }
}
