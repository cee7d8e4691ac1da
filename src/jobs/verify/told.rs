//! What `lmk verify` says at the end: which files and pieces are not what they must be.

use super::{Reading, Wrong};
use crate::content::file_list::{Entry, Kind};
use crate::core::io::Outbox;
use crate::core::report::{Event, bytes_text, counted, escaped};

/// Entries looked at in one turn of the loop: what is told of them is shown and forgotten before
/// there is more.
const ROWS_A_TURN: usize = 256;
/// Ranges of pieces that a line names.
const RANGES_TOLD_MAX: usize = 16;

/// How far it is told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Index of the entry that comes next.
    at: usize,
    files: u64,
    files_bad: u64,
}

impl Reading {
    /// Tells of each file that is not what it must be, so many entries at a time, then of all.
    /// -> whether all are, at the end.
    pub(super) fn say(&self, told: &mut Told, out: &mut Outbox) -> Option<bool> {
        let rest = self.metainfo.files.entries().get(told.at..).unwrap_or_default();
        let rest = rest.get(..ROWS_A_TURN).unwrap_or(rest);
        for (at, entry) in (told.at..).zip(rest).filter(|(_, entry)| entry.kind == Kind::Plain) {
            told.files += 1;
            let wrong = self.wrong.get(&at).copied();
            if wrong.is_some() || self.proving.bad_of(at).next().is_some() {
                told.files_bad += 1;
                self.say_bad(at, entry, wrong, out);
            }
        }
        told.at += rest.len();
        rest.is_empty().then(|| self.say_all(told, out))
    }

    fn say_all(&self, told: &Told, out: &mut Outbox) -> bool {
        let list = &self.metainfo.files;
        let (files, files_bad) = (told.files, told.files_bad);
        let (pieces, bad) = (self.metainfo.geometry.pieces(), self.proving.bad());
        let name = escaped(&self.metainfo.name);
        let good = files_bad == 0 && bad.is_empty();
        let line = match good {
            true => {
                let size = bytes_text(list.data_bytes());
                let files = counted(files, "file");
                let pieces = counted(pieces.into(), "piece");
                format!("{name} is what the torrent says: {files}, {pieces}, {size}")
            }
            false => {
                let count = bad.count();
                format!(
                    "{name}: {files_bad} of {files} files and {count} of {pieces} pieces are bad"
                )
            }
        };
        let event = Event::result("verified", line).flag("good", good);
        let event = event.number("files", files).number("files_bad", files_bad);
        let event = event.number("pieces", pieces.into());
        let event = event.number("pieces_bad", bad.count().into());
        out.tell(event.text("bad_pieces", ranges(bad.ones(), usize::MAX)));
        good
    }

    fn say_bad(&self, at: usize, entry: &Entry, wrong: Option<Wrong>, out: &mut Outbox) {
        let bad = || self.proving.bad_of(at);
        let path = escaped(&entry.path);
        let why = match wrong {
            Some(Wrong::Unreadable(error)) => format!(": {}", error.reason()),
            Some(Wrong::Short(on_disk) | Wrong::Long(on_disk)) => {
                format!(": {on_disk} bytes instead of {}", entry.length)
            }
            Some(Wrong::Missing) | None => String::new(),
        };
        let word = wrong.map_or("bad", Wrong::word);
        let mut line = format!("{word:<10}  {path}{why}");
        if bad().next().is_some() {
            line.push_str(&format!("; bad pieces: {}", ranges(bad(), RANGES_TOLD_MAX)));
        }
        let event = Event::result("file", line).text("state", word);
        let event = event.text("path", String::from_utf8_lossy(&entry.path));
        let mut event = event.number("size", entry.length);
        if let Some(Wrong::Short(on_disk) | Wrong::Long(on_disk)) = wrong {
            event = event.number("on_disk", on_disk);
        }
        out.tell(event.text("bad_pieces", ranges(bad(), usize::MAX)));
    }
}

/// `0-2,5`, of at most `most` ranges.
fn ranges(pieces: impl Iterator<Item = u32>, most: usize) -> String {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for piece in pieces {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == piece => *last = piece,
            _ => found.push((piece, piece)),
        }
    }
    let text = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let mut said = found.iter().take(most).map(text).collect::<Vec<_>>().join(",");
    if found.len() > most {
        said.push_str(&format!(" and {} more", found.len() - most));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_as_ranges() {
        assert_eq!(ranges([].into_iter(), 9), "");
        assert_eq!(ranges([0, 1, 2, 5, 7, 8].into_iter(), 9), "0-2,5,7-8");
        assert_eq!(ranges([0, 2, 4, 6].into_iter(), 3), "0,2,4 and 1 more");
    }
}
