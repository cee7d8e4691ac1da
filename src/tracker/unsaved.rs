//! Answers that wait until what they say is kept, and those behind them, in their order.

use super::keeping::{Fate, Keeping};
use super::requests::Reply;
use crate::core::id::ConnId;
use std::collections::VecDeque;

/// Answers of one connection, and bytes of them that are written: beyond, its requests wait.
const ANSWERS_MAX: usize = 256;
const BYTES_MAX: usize = 256 * 1024;

/// One connection's answers. `mark` is up to where changes must be kept before one is given.
#[derive(Debug, Default)]
pub struct Unsaved {
    queue: VecDeque<One>,
    bytes: usize,
}

#[derive(Debug)]
struct One {
    number: u16,
    /// 0 = nothing stands against it any more.
    mark: u64,
    reply: Reply,
}

impl Unsaved {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of answers that are written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is room for a further answer.
    pub fn has_room(&self) -> bool {
        self.queue.len() < ANSWERS_MAX && self.bytes < BYTES_MAX
    }

    pub fn push(&mut self, number: u16, mark: u64, reply: Reply) {
        self.bytes += reply.bytes();
        self.queue.push_back(One { number, mark, reply });
    }

    /// What the database has said since decides, whether or not there is room to say it now: what
    /// was lost is refused for good, although later changes are kept.
    pub fn settle(&mut self, conn: ConnId, keeping: &mut Keeping) {
        for one in self.queue.iter_mut().filter(|one| one.mark > 0) {
            match keeping.fate(one.mark) {
                Fate::Open => return keeping.wait(conn),
                Fate::Kept => {}
                Fate::Lost(refusal) => {
                    self.bytes = self.bytes.saturating_sub(one.reply.bytes());
                    one.reply = Reply::Answer(refusal.into());
                }
            }
            one.mark = 0;
        }
    }

    /// The first answer, once nothing stands against it.
    pub fn next(&mut self) -> Option<(u16, Reply)> {
        let One { number, reply, .. } = self.queue.pop_front_if(|one| one.mark == 0)?;
        self.bytes = self.bytes.saturating_sub(reply.bytes());
        Some((number, reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fault::Refusal;

    #[test]
    fn written_answers_that_wait_are_bounded_by_their_bytes() {
        let mut unsaved = Unsaved::default();
        unsaved.push(1, 7, Reply::Payload(0x84, vec![0; BYTES_MAX]));
        assert!(!unsaved.has_room());
        assert!(unsaved.next().is_none(), "given before it is kept");
        unsaved.queue[0].mark = 0;
        assert!(matches!(unsaved.next(), Some((1, Reply::Payload(..)))));
        assert!(unsaved.has_room() && unsaved.is_empty());
        for number in 0..ANSWERS_MAX as u16 {
            assert!(unsaved.has_room());
            let refusal = Refusal { code: 1, what: "no" };
            unsaved.push(number, 7, Reply::Answer(refusal.into()));
        }
        assert!(!unsaved.has_room());
    }
}
