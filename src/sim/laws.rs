//! What must hold at the door after every event, whoever drives: one [`Watch`] stands between a
//! role and its world (or its reactor) and names the first thing that cannot be.

use crate::core::chunk::Chunk;
use crate::core::id::{ConnId, Ticket};
use crate::core::io::{Closed, Effect, FileDone, FileOp, Input, Outbox, Role};
use crate::core::report::{Snapshot, State};
use crate::core::store::{StoreDone, StoreError};
use crate::core::time::Time;
use std::collections::BTreeMap;

/// The kind of completion a ticket was promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Promise {
    Listening,
    Joined,
    Opened,
    Meta,
    Read,
    Wrote,
    Done,
    Free,
    Loaded,
    Listed,
    Holder,
    Extent,
    Guarded,
    Stored(Row),
}

/// The kind of completion of a database operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    Opened,
    Names,
    Finished,
    Swarms,
    Written,
}

#[derive(Debug, Default)]
struct Conn {
    up: bool,
    /// The role wants it closed: at once, or after its queue.
    closing: bool,
    /// It wants it closed at once.
    dropped: bool,
    paused: bool,
    enciphered: bool,
    /// Bytes the role queued before it closed, and how many of them were told as left.
    queued: u64,
    left: u64,
}

/// Looks at every input and effect of one role.
#[derive(Debug, Default)]
pub struct Watch {
    now: Time,
    born: bool,
    conns: BTreeMap<ConnId, Conn>,
    promises: BTreeMap<Ticket, Promise>,
}

type Verdict = Result<(), String>;

fn law(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl Watch {
    /// Before the role hears `input`; `deadline` is the role's own before it.
    pub fn input(&mut self, now: Time, deadline: Time, input: &Input<'_>) -> Verdict {
        law(now >= self.now, || format!("time ran backwards: {now:?} after {:?}", self.now))?;
        self.now = now;
        law(self.born != matches!(input, Input::Born), || {
            format!("Born must be the first input and come once, not: {input:?}")
        })?;
        match input {
            Input::Born => self.born = true,
            Input::Wake => law(now >= deadline, || {
                format!("Wake at {now:?}, before the deadline {deadline:?}")
            })?,
            Input::Asked(_) | Input::Datagram { .. } => {}
            Input::Listening { ticket, .. } => self.answered(*ticket, Promise::Listening)?,
            Input::Joined { ticket, .. } => self.answered(*ticket, Promise::Joined)?,
            Input::File { ticket, done } => self.answered(*ticket, told(done))?,
            Input::Stored { ticket, done } => {
                self.answered(*ticket, Promise::Stored(told_row(done)))?;
            }
            Input::Accepted { conn, .. } => {
                let new = Conn { up: true, ..Conn::default() };
                let known = self.conns.insert(*conn, new).is_some();
                law(!known, || format!("Accepted {conn:?} that is in use"))?;
            }
            Input::Connected { conn, .. } => {
                let state = self.conn(*conn, "Connected")?;
                law(!state.up && !state.dropped, || {
                    format!("Connected {conn:?} twice, or after its close")
                })?;
                state.up = true;
            }
            Input::Bytes { conn, bytes } => self.bytes(*conn, bytes)?,
            Input::Sent { conn, bytes, queued } => self.sent(*conn, *bytes, *queued)?,
            Input::Closed { conn, why } => {
                let state = self.conn(*conn, "Closed")?;
                let dial_failed = matches!(why, Closed::Refused | Closed::Unreachable);
                law(!(dial_failed && state.up), || {
                    format!("Closed {conn:?} {why:?} after it was established")
                })?;
                law(*why != Closed::ByUs || state.closing, || {
                    format!("Closed {conn:?} ByUs without a wish")
                })?;
                let flushed = *why == Closed::ByUs && !state.dropped && state.up;
                law(!flushed || state.left == state.queued, || {
                    let (left, all) = (state.left, state.queued);
                    format!("Closed {conn:?} after its flush, but {left} of {all} bytes were Sent")
                })?;
                self.conns.remove(conn);
            }
        }
        Ok(())
    }

    /// After the role stated its wishes: those of the outbox behind the first `known`.
    pub fn effects(&mut self, out: &Outbox, known: usize) -> Verdict {
        for effect in out.effects.iter().skip(known) {
            match effect {
                Effect::Dial { conn, .. } => {
                    let known = self.conns.insert(*conn, Conn::default()).is_some();
                    law(!known, || format!("Dial with {conn:?} that is in use"))?;
                }
                Effect::Send { conn, chunk } => {
                    if let Chunk::Arena { start, len } = chunk {
                        law(out.bytes(*start, *len).len() == *len as usize, || {
                            format!("Send {conn:?} of bytes that are not in the arena")
                        })?;
                    }
                    if let Some(state) = self.conns.get_mut(conn).filter(|state| !state.closing) {
                        state.queued += len(chunk);
                    }
                }
                Effect::Close { conn, flush } => {
                    if let Some(state) = self.conns.get_mut(conn) {
                        state.closing = true;
                        state.dropped |= !flush;
                    }
                }
                Effect::Encipher { conn, .. } => {
                    if let Some(state) = self.conns.get_mut(conn) {
                        let twice = std::mem::replace(&mut state.enciphered, true);
                        law(!twice, || format!("Encipher {conn:?} twice"))?;
                    }
                }
                Effect::Reading { conn, on } => {
                    if let Some(state) = self.conns.get_mut(conn) {
                        state.paused = !on;
                    }
                }
                Effect::Listen { ticket, .. } => self.promised(*ticket, Promise::Listening)?,
                Effect::Join { ticket, .. } => self.promised(*ticket, Promise::Joined)?,
                Effect::File { ticket, op } => self.promised(*ticket, promise(op))?,
                Effect::Store { ticket, op } => {
                    let done = op.refused(StoreError::Absent);
                    self.promised(*ticket, Promise::Stored(told_row(&done)))?;
                }
                Effect::Datagram { .. } | Effect::Tell(_) | Effect::End(_) => {}
            }
        }
        Ok(())
    }

    /// When nothing is on its way to the role any more: nothing may be owed to it. `still` says how
    /// many bytes of a connection wait in the driver.
    pub fn at_rest(&self, still: impl Fn(ConnId) -> u64) -> Verdict {
        law(self.promises.is_empty(), || format!("never answered: {:?}", self.promises))?;
        self.conns.iter().try_for_each(|(conn, state)| {
            let owed = state.queued - state.left;
            law(state.closing || owed == still(*conn), || {
                format!("{conn:?}: {owed} bytes not told as Sent, {} are queued", still(*conn))
            })
        })
    }

    /// Connections that were neither closed by the role nor told as closed.
    pub fn open_conns(&self) -> usize {
        self.conns.values().filter(|state| !state.closing).count()
    }

    fn conn(&mut self, conn: ConnId, what: &str) -> Result<&mut Conn, String> {
        let known = self.conns.get_mut(&conn);
        known.ok_or_else(|| format!("{what} {conn:?}, which is closed or was never there"))
    }

    fn bytes(&mut self, conn: ConnId, bytes: &[u8]) -> Verdict {
        let state = self.conn(conn, "Bytes")?;
        law(state.up, || format!("Bytes {conn:?} before it was established"))?;
        law(!state.closing, || format!("Bytes {conn:?} after the role closed it"))?;
        law(!state.paused, || format!("Bytes {conn:?} while the role does not read"))?;
        law(!bytes.is_empty(), || format!("Bytes {conn:?}, but none"))
    }

    fn sent(&mut self, conn: ConnId, bytes: u64, queued: u64) -> Verdict {
        let state = self.conn(conn, "Sent")?;
        law(state.up, || format!("Sent {conn:?} before it was established"))?;
        state.left += bytes;
        let (left, all) = (state.left, state.queued);
        law(left <= all && queued == all - left, || {
            format!("Sent {conn:?}: {left} of {all} bytes left, but {queued} said to be queued")
        })
    }

    fn promised(&mut self, ticket: Ticket, promise: Promise) -> Verdict {
        let known = self.promises.insert(ticket, promise).is_some();
        law(!known, || format!("{ticket:?} used twice"))
    }

    fn answered(&mut self, ticket: Ticket, told: Promise) -> Verdict {
        let promised = self.promises.remove(&ticket);
        law(promised == Some(told), || {
            format!("{ticket:?} answered with {told:?}, promised was {promised:?}")
        })
    }
}

fn len(chunk: &Chunk) -> u64 {
    match chunk {
        Chunk::Head(head) => head.bytes().len() as u64,
        Chunk::Arena { len, .. } => u64::from(*len),
        Chunk::File(span) => u64::from(span.len),
    }
}

fn promise(op: &FileOp) -> Promise {
    match op {
        FileOp::Open { .. } | FileOp::OpenRow { .. } => Promise::Opened,
        FileOp::Stat { .. } | FileOp::StatOpen { .. } | FileOp::StatNamed { .. } => Promise::Meta,
        FileOp::Read { .. } => Promise::Read,
        FileOp::Write { .. } => Promise::Wrote,
        FileOp::FreeSpace { .. } => Promise::Free,
        FileOp::Load { .. } => Promise::Loaded,
        FileOp::ListDir { .. } => Promise::Listed,
        FileOp::Holder { .. } => Promise::Holder,
        FileOp::NextExtent { .. } => Promise::Extent,
        FileOp::Guard { .. } => Promise::Guarded,
        _ => Promise::Done,
    }
}

fn told_row(done: &StoreDone) -> Row {
    match done {
        StoreDone::Opened(_) => Row::Opened,
        StoreDone::Names(_) => Row::Names,
        StoreDone::Finished(_) => Row::Finished,
        StoreDone::Swarms(_) => Row::Swarms,
        StoreDone::Written { .. } => Row::Written,
    }
}

fn told(done: &FileDone) -> Promise {
    match done {
        FileDone::Opened(_) => Promise::Opened,
        FileDone::Meta(_) => Promise::Meta,
        FileDone::Read { .. } => Promise::Read,
        FileDone::Wrote { .. } => Promise::Wrote,
        FileDone::Done(_) => Promise::Done,
        FileDone::Free(_) => Promise::Free,
        FileDone::Loaded(_) => Promise::Loaded,
        FileDone::Listed(_) => Promise::Listed,
        FileDone::Holder(_) => Promise::Holder,
        FileDone::Extent(_) => Promise::Extent,
        FileDone::Guarded(_) => Promise::Guarded,
    }
}

/// What a snapshot may never show. `slots_max`: how many neighbours are served at once, if the role
/// was told.
pub fn snapshot(picture: &Snapshot, slots_max: Option<u32>) -> Verdict {
    if let Some(transfer) = &picture.transfer {
        law(transfer.done <= transfer.size, || {
            format!("the snapshot says {} of {} bytes", transfer.done, transfer.size)
        })?;
    }
    let slots = picture.slots;
    law(slots.free <= slots.total && (slots.free == 0 || slots.queued == 0), || {
        format!("S8: {} of {} slots are free, {} wait", slots.free, slots.total, slots.queued)
    })?;
    let served = picture.peers.iter().filter(|row| row.state == State::Connected).count();
    law(slots_max.is_none_or(|slots| served <= slots as usize), || {
        format!("{served} neighbours are Connected, slots: {slots_max:?}")
    })
}

/// A role under watch, for drivers that are not the simulator. Panics at the first breach.
pub struct Watched {
    role: Box<dyn Role>,
    watch: Watch,
}

impl Watched {
    pub fn new(role: Box<dyn Role>) -> Watched {
        Watched { role, watch: Watch::default() }
    }
}

impl Role for Watched {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let verdict = self.watch.input(now, self.role.deadline(), &input);
        assert_eq!(verdict, Ok(()), "at {now:?}");
        let known = out.effects.len();
        self.role.on(now, input, out);
        assert_eq!(self.watch.effects(out, known), Ok(()), "at {now:?}");
    }

    fn deadline(&self) -> Time {
        self.role.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.role.snapshot(now)
    }

    fn audit(&self) -> Result<(), String> {
        self.role.audit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::report::{SlotsRow, Transfer};

    fn dialled() -> (Watch, Outbox, ConnId) {
        let (mut watch, mut out) = (Watch::default(), Outbox::default());
        watch.input(Time(1), Time::NEVER, &Input::Born).unwrap();
        let conn = out.dial(([127, 0, 0, 1], 1).into());
        out.send(conn, b"four");
        watch.effects(&out, 0).unwrap();
        out.effects.clear();
        let local = ([127, 0, 0, 1], 2).into();
        watch.input(Time(2), Time::NEVER, &Input::Connected { conn, local }).unwrap();
        (watch, out, conn)
    }

    #[test]
    fn a_second_closed_is_caught() {
        let (mut watch, _, conn) = dialled();
        let closed = Input::Closed { conn, why: Closed::Reset };
        assert_eq!(watch.input(Time(3), Time::NEVER, &closed), Ok(()));
        assert!(watch.input(Time(3), Time::NEVER, &closed).is_err());
    }

    #[test]
    fn bytes_after_the_roles_own_close_are_caught() {
        let (mut watch, mut out, conn) = dialled();
        let bytes = Input::Bytes { conn, bytes: b"x" };
        assert_eq!(watch.input(Time(3), Time::NEVER, &bytes), Ok(()));
        out.close_after_flush(conn);
        watch.effects(&out, 0).unwrap();
        assert!(watch.input(Time(3), Time::NEVER, &bytes).is_err());
    }

    #[test]
    fn a_sent_that_tells_too_much_or_a_wrong_rest_is_caught() {
        let told = |bytes, queued| {
            let (mut watch, _, conn) = dialled();
            watch.input(Time(3), Time::NEVER, &Input::Sent { conn, bytes, queued })
        };
        assert_eq!(told(3, 1), Ok(()));
        assert!(told(5, 0).is_err());
        assert!(told(3, 0).is_err());
    }

    #[test]
    fn a_sent_that_is_never_told_is_caught_at_rest() {
        let (mut watch, _, conn) = dialled();
        assert_eq!(watch.at_rest(|_| 4), Ok(()));
        assert!(watch.at_rest(|_| 0).is_err());
        watch.input(Time(3), Time::NEVER, &Input::Sent { conn, bytes: 4, queued: 0 }).unwrap();
        assert_eq!(watch.at_rest(|_| 0), Ok(()));
    }

    #[test]
    fn an_early_wake_a_second_birth_and_time_backwards_are_caught() {
        let (mut watch, _, _) = dialled();
        assert!(watch.input(Time(5), Time(6), &Input::Wake).is_err());
        assert!(watch.input(Time(5), Time(5), &Input::Wake).is_ok());
        assert!(watch.input(Time(5), Time::NEVER, &Input::Born).is_err());
        assert!(watch.input(Time(4), Time(0), &Input::Wake).is_err());
    }

    #[test]
    fn an_answer_nobody_asked_for_or_of_another_kind_is_caught() {
        let (mut watch, mut out, _) = dialled();
        let ticket = out.file(FileOp::Stat { path: "/x".into() });
        watch.effects(&out, 0).unwrap();
        assert!(watch.at_rest(|_| 4).is_err());
        let wrong = Input::File { ticket, done: FileDone::Done(Ok(())) };
        assert!(watch.input(Time(3), Time::NEVER, &wrong).is_err());
        assert!(watch.input(Time(3), Time::NEVER, &wrong).is_err());
    }

    #[test]
    fn a_slot_that_is_free_while_somebody_waits_is_caught() {
        let with = |total, free, queued| {
            let slots = SlotsRow { total, free, queued };
            snapshot(&Snapshot { slots, ..Snapshot::default() }, None)
        };
        assert_eq!(with(2, 0, 5), Ok(()));
        assert_eq!(with(2, 2, 0), Ok(()));
        assert!(with(2, 1, 1).is_err());
        assert!(with(2, 3, 0).is_err());
    }

    #[test]
    fn a_picture_with_more_done_than_there_is_is_caught() {
        let transfer = Transfer { size: 5, done: 6, ..Transfer::default() };
        let picture = Snapshot { transfer: Some(transfer), ..Snapshot::default() };
        assert!(snapshot(&picture, None).is_err());
    }
}
