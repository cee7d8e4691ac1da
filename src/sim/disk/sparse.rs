//! The bytes of one simulated file: only written pages take memory, and what was not synced can be
//! taken back, sector by sector.

use crate::core::rng::Rng;
use std::collections::BTreeMap;

pub(super) const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

type Block = Box<[u8]>;

#[derive(Clone, Default, Debug)]
pub(super) struct Sparse {
    len: u64,
    pages: BTreeMap<u64, Block>,
    /// What a power cut may bring back: pages as they were when last synced, and the length.
    before: BTreeMap<u64, Option<Block>>,
    /// Pages that a failed sync left behind: the system calls them clean and writes them no more.
    lost: BTreeMap<u64, Option<Block>>,
    synced_len: u64,
}

impl Sparse {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of memory (and of the simulated disk) in use.
    pub fn used_bytes(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    /// How much a write of `len` bytes at `offset` would add to `used_bytes`.
    pub fn growth(&self, offset: u64, len: usize) -> u64 {
        let pages = split(offset, len);
        let new = pages.filter(|part| !self.pages.contains_key(&part.page)).count();
        (new * PAGE_BYTES) as u64
    }

    /// Fills `into` from `offset`; returns how many bytes there were before the end of the file.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let len = self.len.saturating_sub(offset).min(into.len() as u64) as usize;
        for part in split(offset, len) {
            let target = &mut into[part.at..part.at + part.len];
            match self.pages.get(&part.page) {
                Some(page) => target.copy_from_slice(&page[part.start..part.start + part.len]),
                None => target.fill(0),
            }
        }
        len
    }

    /// The first stretch of written pages at or after `offset`, as first byte and end.
    pub fn next_extent(&self, offset: u64) -> Option<(u64, u64)> {
        let page_bytes = PAGE_BYTES as u64;
        let mut pages = self.pages.range(offset / page_bytes..).map(|(number, _)| *number);
        let first = pages.next()?;
        let next = pages.zip(first + 1..).take_while(|(page, next)| page == next).count() as u64;
        let (start, end) = (first * page_bytes, (first + 1 + next) * page_bytes);
        (start.max(offset) < self.len).then(|| (start.max(offset), end.min(self.len)))
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for part in split(offset, bytes.len()) {
            self.remember(part.page);
            let page = self.pages.entry(part.page).or_insert_with(|| vec![0; PAGE_BYTES].into());
            page[part.start..part.start + part.len]
                .copy_from_slice(&bytes[part.at..part.at + part.len]);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.cut(len);
        }
        self.len = len;
    }

    pub fn sync(&mut self) {
        self.before.clear();
        self.synced_len = self.len;
    }

    /// As Linux does it: the pages stay as they are in memory, and are not written any more.
    pub fn sync_failed(&mut self) {
        for (page, old) in std::mem::take(&mut self.before) {
            self.lost.entry(page).or_insert(old);
        }
    }

    /// The power fails: every sector that was not synced survives with `survive_pm`.
    pub fn power_cut(&mut self, rng: &mut Rng, survive_pm: u64) {
        self.sync_failed();
        for (number, old) in std::mem::take(&mut self.lost) {
            let fresh = vec![0; PAGE_BYTES].into();
            let mut page: Block = self.pages.remove(&number).unwrap_or(fresh);
            for start in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
                if rng.chance(survive_pm) {
                    continue;
                }
                let sector = &mut page[start..start + SECTOR_BYTES];
                match &old {
                    Some(old) => sector.copy_from_slice(&old[start..start + SECTOR_BYTES]),
                    None => sector.fill(0),
                }
            }
            self.pages.insert(number, page);
        }
        let len = if rng.chance(survive_pm) { self.len } else { self.synced_len };
        self.cut(len);
        self.len = len;
        self.sync();
    }

    fn remember(&mut self, page: u64) {
        let (now, lost) = (self.pages.get(&page), self.lost.remove(&page));
        self.before.entry(page).or_insert_with(|| lost.unwrap_or_else(|| now.cloned()));
    }

    /// Takes away everything from `len` on: what is beyond the end reads as zero later.
    fn cut(&mut self, len: u64) {
        let page = len / PAGE_BYTES as u64;
        let start = (len % PAGE_BYTES as u64) as usize;
        let beyond: Vec<u64> = self.pages.range(page..).map(|(number, _)| *number).collect();
        for number in beyond {
            self.remember(number);
            if number > page || start == 0 {
                self.pages.remove(&number);
            } else if let Some(kept) = self.pages.get_mut(&number) {
                kept[start..].fill(0);
            }
        }
    }
}

struct Part {
    page: u64,
    /// First byte within the page.
    start: usize,
    len: usize,
    /// First byte within the caller's bytes.
    at: usize,
}

/// A range of bytes as parts of pages.
fn split(offset: u64, len: usize) -> impl Iterator<Item = Part> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let here = offset + at as u64;
        let start = (here % PAGE_BYTES as u64) as usize;
        let part_len = (PAGE_BYTES - start).min(len - at);
        let part = Part { page: here / PAGE_BYTES as u64, start, len: part_len, at };
        at += part_len;
        (part_len > 0).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(file: &Sparse) -> Vec<u8> {
        let mut bytes = vec![0xee; file.len() as usize];
        assert_eq!(file.read(0, &mut bytes), bytes.len());
        bytes
    }

    #[test]
    fn it_reads_what_a_flat_vector_would() {
        let mut rng = Rng::new(3);
        let (mut file, mut flat) = (Sparse::default(), Vec::new());
        for _ in 0..500 {
            let (offset, len) = (rng.below(20_000) as usize, rng.below(9000) as usize);
            if rng.chance(100) {
                file.set_len(offset as u64);
                flat.resize(offset, 0);
            } else {
                let mut bytes = vec![0; len];
                rng.fill(&mut bytes);
                file.write(offset as u64, &bytes);
                flat.resize(flat.len().max(offset + len), 0);
                flat[offset..offset + len].copy_from_slice(&bytes);
            }
            assert_eq!(all(&file), flat);
        }
    }

    #[test]
    fn a_hole_of_a_tebibyte_takes_no_memory() {
        let mut file = Sparse::default();
        file.set_len(1 << 40);
        file.write(1 << 39, &[7]);
        assert_eq!(file.used_bytes(), PAGE_BYTES as u64);
        let mut two = [9; 2];
        assert_eq!(file.read((1 << 39) - 1, &mut two), 2);
        assert_eq!(two, [0, 7]);
    }

    #[test]
    fn a_power_cut_takes_back_what_was_not_synced_and_nothing_else() {
        let mut file = Sparse::default();
        file.write(0, &[1; 10_000]);
        file.sync();
        file.write(4000, &[2; 20_000]);
        let (mut lost, mut kept, mut torn) = (file.clone(), file.clone(), file.clone());
        lost.power_cut(&mut Rng::new(1), 0);
        assert_eq!(all(&lost), vec![1; 10_000]);
        kept.power_cut(&mut Rng::new(1), 1000);
        assert_eq!(all(&kept), all(&file));
        torn.power_cut(&mut Rng::new(1), 500);
        let bytes = all(&torn);
        assert_eq!(bytes[..4000 / 512 * 512], vec![1; 4000 / 512 * 512]);
        assert!(bytes[4096..].contains(&2) && !bytes[4096..].iter().all(|b| *b == 2));
    }

    #[test]
    fn what_a_failed_sync_left_behind_no_later_sync_saves_unless_it_is_written_again() {
        let mut file = Sparse::default();
        file.write(0, &[1; 8192]);
        file.sync();
        file.write(0, &[2; 8192]);
        file.sync_failed();
        file.write(4096, &[3; 10]);
        file.sync();
        file.power_cut(&mut Rng::new(1), 0);
        let bytes = all(&file);
        assert_eq!((bytes[0], bytes[4096], bytes[4200]), (1, 3, 2));
    }

    #[test]
    fn a_cut_off_tail_comes_back_when_the_cut_was_not_synced() {
        let mut file = Sparse::default();
        file.write(0, &[1; 10_000]);
        file.sync();
        file.set_len(100);
        assert_eq!(all(&file), vec![1; 100]);
        file.power_cut(&mut Rng::new(1), 0);
        assert_eq!(all(&file), vec![1; 10_000]);
    }
}
