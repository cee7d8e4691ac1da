//! Small roles for tests of the drivers: a role is a closure, and a list of file operations with
//! what each must answer.

#![allow(dead_code)] // Two test programs share it, and neither uses all.

use lmk::core::id::{FileId, Ticket};
use lmk::core::io::{FileDone, FileOp, Input, Outbox, Role};
use lmk::core::report::{Ending, Snapshot};
use lmk::core::time::{Span, Time};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A role whose every turn is one call; it returns the deadline.
pub struct Scripted<F> {
    turn: F,
    deadline: Time,
}

/// A role from a closure `(now, input, out) -> deadline`.
pub fn role<F>(turn: F) -> Box<dyn Role>
where
    F: FnMut(Time, Input<'_>, &mut Outbox) -> Time + 'static,
{
    Box::new(Scripted { turn, deadline: Time::NEVER })
}

impl<F: FnMut(Time, Input<'_>, &mut Outbox) -> Time> Role for Scripted<F> {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.deadline = (self.turn)(now, input, out);
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn snapshot(&self, _: Time) -> Snapshot {
        Snapshot::default()
    }
}

/// A value several roles of one test see: an address, a log.
pub struct Shared<T>(Rc<RefCell<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Shared(Rc::new(RefCell::new(T::default())))
    }
}

impl<T> Shared<T> {
    pub fn set(&self, value: T) {
        *self.0.borrow_mut() = value;
    }

    pub fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        with(&mut self.0.borrow_mut())
    }
}

impl<T: Clone> Shared<T> {
    pub fn get(&self) -> T {
        self.0.borrow().clone()
    }
}

/// How soon a role looks again at something shared that is not there yet.
pub fn soon(now: Time) -> Time {
    now + Span::ms(1)
}

/// Bytes that differ at every place that matters: a pattern of a period that no buffer size has.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ (i / 65_536) as u8).collect()
}

type Ask = Box<dyn FnOnce(&[FileId]) -> FileOp>;
type Check = Box<dyn FnOnce(FileDone)>;

/// File operations one after another; every answer is checked.
#[derive(Default)]
pub struct FileSteps {
    steps: VecDeque<(Ask, Check)>,
}

impl FileSteps {
    /// `ask` gets the files opened so far, in order.
    pub fn then(
        mut self,
        ask: impl FnOnce(&[FileId]) -> FileOp + 'static,
        check: impl FnOnce(FileDone) + 'static,
    ) -> FileSteps {
        self.steps.push_back((Box::new(ask), Box::new(check)));
        self
    }

    /// The role that performs them and ends.
    pub fn role(self) -> Box<dyn Role> {
        let mut steps = self.steps;
        let mut files = Vec::new();
        let mut waiting: Option<(Ticket, Check)> = None;
        role(move |_, input, out| {
            if let Input::File { ticket, done } = input {
                let (asked, check) = waiting.take().expect("nothing was asked");
                assert_eq!(ticket, asked);
                if let FileDone::Opened(Ok((file, _))) = &done {
                    files.push(*file);
                }
                check(done);
            }
            if waiting.is_none() {
                match steps.pop_front() {
                    Some((ask, check)) => waiting = Some((out.file(ask(&files)), check)),
                    None => out.end(Ending::Done),
                }
            }
            Time::NEVER
        })
    }
}
