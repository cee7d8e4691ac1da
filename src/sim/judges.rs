//! The judges of one process beside its [`super::Watch`]: each hears what the role hears and what
//! it wishes.

use super::answers::Answers;
use super::bounds::Bounds;
use super::wire_laws::{Known, WireLaws};
use crate::core::io::{Input, Outbox};
use crate::core::report::Snapshot;
use crate::core::time::Time;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

/// What is to be judged of a process, in all its lives.
#[derive(Clone, Default, Debug)]
pub(super) struct Matters {
    /// The content it shares or fetches.
    pub known: Option<Rc<Known>>,
    /// It answers everybody but these.
    pub answers_but: Option<BTreeSet<IpAddr>>,
}

#[derive(Debug)]
pub(super) struct Judges {
    bounds: Bounds,
    wire: Option<WireLaws>,
    answers: Option<Answers>,
}

impl Judges {
    pub fn new(matters: &Matters) -> Judges {
        Judges {
            bounds: Bounds::default(),
            wire: matters.known.clone().map(WireLaws::new),
            answers: matters.answers_but.clone().map(Answers::new),
        }
    }

    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        self.bounds.input(now, input);
        if let Some(wire) = &mut self.wire {
            wire.input(now, input);
        }
        if let Some(answers) = &mut self.answers {
            answers.input(now, input);
        }
    }

    pub fn effects(&mut self, now: Time, out: &Outbox) -> Result<(), String> {
        if self.wire.is_some() || self.answers.is_some() {
            self.bounds.effects(now, out)?;
        }
        if let Some(answers) = &mut self.answers {
            answers.effects(now, out);
        }
        self.wire.as_mut().map_or(Ok(()), |wire| wire.effects(now, out))
    }

    /// Now and then, with a picture of the role.
    pub fn look(&mut self, now: Time, picture: &Snapshot) -> Result<(), String> {
        let slots = picture.slots;
        if self.wire.is_some() || self.answers.is_some() {
            self.bounds.look(now, slots.total - slots.free)?;
        }
        self.answers.as_ref().map_or(Ok(()), |answers| answers.look(now))?;
        self.wire.as_mut().map_or(Ok(()), |wire| wire.look(now, slots.total))
    }
}
