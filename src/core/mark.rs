//! marks: a place where a promised behaviour happens carries its name, and a test can demand that
//! it was passed.
//!
//! `mark!("D03")` stands where the behaviour of row D03 happens; `expect_mark!("D03", { .. })` in a
//! test runs a block and fails if that place was not passed. A test that goes on passing although
//! it no longer reaches what it is about is thus seen. Nothing of it is left in a release build.

use std::cell::RefCell;
use std::collections::BTreeSet;

pub use crate::{expect_mark, mark};

thread_local! {
    static HITS: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Says that the behaviour of a row happens here. A no-op in release builds.
#[macro_export]
macro_rules! mark {
    ($row:literal) => {
        if cfg!(debug_assertions) {
            $crate::core::mark::hit($row);
        }
    };
}

/// Runs a block of a test on this thread and fails unless it passed the mark of the row; its value
/// is the block's.
#[macro_export]
macro_rules! expect_mark {
    ($row:literal, $body:expr) => {
        $crate::core::mark::expect_mark($row, || $body)
    };
}

/// Notes a mark of this thread; `mark!` calls it.
pub fn hit(row: &'static str) {
    HITS.with_borrow_mut(|hits| hits.insert(row));
}

/// The marks passed by this thread since [`clear`].
pub fn hits() -> BTreeSet<&'static str> {
    HITS.with_borrow(Clone::clone)
}

pub fn clear() {
    HITS.with_borrow_mut(BTreeSet::clear);
}

/// Runs `body` on this thread and panics unless it passed the mark of `row`. In a release build
/// there are no marks and nothing is demanded.
#[track_caller]
pub fn expect_mark<T>(row: &'static str, body: impl FnOnce() -> T) -> T {
    let before = HITS.with_borrow_mut(std::mem::take);
    let value = body();
    let passed = !cfg!(debug_assertions) || HITS.with_borrow(|hits| hits.contains(row));
    HITS.with_borrow_mut(|hits| hits.extend(before));
    assert!(passed, "the mark of {row} was not passed");
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_seen_by_the_test_that_expects_it() {
        clear();
        let value = expect_mark!("D03", {
            mark!("D03");
            7
        });
        assert_eq!(value, 7);
        assert_eq!(hits().contains("D03"), cfg!(debug_assertions));
        expect_mark("D04", || mark!("D04"));
        clear();
        assert!(hits().is_empty());
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_mark_from_before_does_not_count_and_is_not_lost() {
        clear();
        mark!("D03");
        let missed = std::panic::catch_unwind(|| expect_mark!("D03", mark!("D04")));
        assert!(missed.is_err(), "D03 was passed before the block, not in it");
        assert_eq!(hits().into_iter().collect::<Vec<_>>(), ["D03", "D04"]);
    }
}
