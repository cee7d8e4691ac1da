//! A bounded number of open descriptors for any number of files: who was not used for longest is
//! closed first.

use crate::core::mark::mark;
use std::os::fd::OwnedFd;

/// Descriptors open at once for one row of files.
pub(super) const POOL_DESCRIPTORS_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pool {
    open: Vec<Held>,
    uses: u64,
}

#[derive(Debug)]
struct Held {
    file: usize,
    fd: OwnedFd,
    used: u64,
}

impl Pool {
    /// The descriptor of a file, if it is open.
    pub fn get(&mut self, file: usize) -> Option<&OwnedFd> {
        self.uses += 1;
        let held = self.open.iter_mut().find(|held| held.file == file)?;
        held.used = self.uses;
        Some(&held.fd)
    }

    /// Closes half of them. -> whether there were any.
    pub fn give_up_half(&mut self) -> bool {
        self.open.sort_by_key(|held| held.used);
        let half = self.open.len().div_ceil(2);
        self.open.drain(..half).count() > 0
    }

    pub fn put(&mut self, file: usize, fd: OwnedFd) {
        self.uses += 1;
        self.open.retain(|held| held.file != file);
        if self.open.len() >= POOL_DESCRIPTORS_MAX {
            let oldest = self.open.iter().enumerate().min_by_key(|(_, held)| held.used);
            if let Some(at) = oldest.map(|(at, _)| at) {
                mark!("E25");
                self.open.swap_remove(at);
            }
        }
        self.open.push(Held { file, fd, used: self.uses });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    #[test]
    fn who_was_not_used_for_longest_goes_first() {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut pool = Pool::default();
        (0..POOL_DESCRIPTORS_MAX).for_each(|file| pool.put(file, fd()));
        assert!(pool.get(0).is_some());
        expect_mark!("E25", pool.put(1000, fd()));
        assert_eq!(pool.open.len(), POOL_DESCRIPTORS_MAX);
        assert!(pool.get(0).is_some() && pool.get(1000).is_some() && pool.get(2).is_some());
        assert!(pool.get(1).is_none());
    }
}
