//! The journal held against everything that may happen to its bytes.

use super::*;
use crate::core::io::FileKind;
use crate::core::mark::expect_mark;
use proptest::prelude::*;

const HASH: Hash32 = Hash32([7; 32]);
const PART: Meta = Meta {
    kind: FileKind::Regular,
    size: 10 * 16384,
    device: 1,
    inode: 5,
    mtime_ns: 9,
    ctime_ns: 9,
};

fn geometry() -> Geometry {
    Geometry::new(PART.size, 16384).unwrap()
}

fn bits(pieces: &[u32]) -> Bitfield {
    let mut bits = Bitfield::new(10);
    pieces.iter().for_each(|piece| assert!(bits.set(*piece)));
    bits
}

fn kept(bytes: &[u8]) -> Option<Kept> {
    read(bytes, HASH, &geometry(), &PART)
}

fn writer() -> Writer {
    Writer::new(Header::new(HASH, &geometry(), PART.inode, [3; 16]))
}

/// 0 from before; 1, 2 durable; 3 written.
fn sample() -> Vec<u8> {
    let mut writer = writer();
    let mut bytes = writer.begin(&bits(&[0]));
    bytes.extend(writer.written(&[1, 2]));
    let covers = writer.last();
    bytes.extend(writer.written(&[3]));
    bytes.extend(writer.durable(covers));
    bytes
}

fn pieces(bits: &Bitfield) -> Vec<u32> {
    bits.ones().collect()
}

#[test]
fn what_a_sync_covered_is_durable_and_what_came_later_is_only_written() {
    let kept = kept(&sample()).unwrap();
    assert_eq!((pieces(&kept.durable), pieces(&kept.written)), (vec![0, 1, 2], vec![3]));
    assert_eq!(kept.clean, None);
}

#[test]
fn an_orderly_end_counts_for_the_file_it_left_and_only_as_the_last_word() {
    let mut writer = writer();
    let mut bytes = writer.begin(&bits(&[0]));
    bytes.extend(writer.clean(&PART));
    assert_eq!(kept(&bytes).unwrap().clean, Some(true));
    for other in [Meta { mtime_ns: 8, ..PART }, Meta { mtime_ns: -9, ..PART }] {
        let kept = read(&bytes, HASH, &geometry(), &other).unwrap();
        assert_eq!(kept.clean, Some(false));
    }
    bytes.extend(writer.written(&[1]));
    assert_eq!(kept(&bytes).unwrap().clean, None);
}

#[test]
fn a_journal_of_something_else_is_none() {
    expect_mark!("E15", {
        let bytes = sample();
        let other = Geometry::new(PART.size, 32768).unwrap();
        assert_eq!(read(&bytes, Hash32([8; 32]), &geometry(), &PART), None);
        assert_eq!(read(&bytes, HASH, &other, &PART), None);
        assert_eq!(read(&bytes, HASH, &geometry(), &Meta { inode: 6, ..PART }), None);
        assert_eq!(read(&bytes, HASH, &geometry(), &Meta { size: 1, ..PART }), None);
        assert_eq!(kept(&[]), None);
        assert_eq!(kept(&[0; 4096]), None);
        let mut future = bytes;
        future[11] = 2;
        let crc = crc32c(&[&future[..80]]).to_be_bytes();
        future[80..84].copy_from_slice(&crc);
        assert_eq!(kept(&future), None);
    });
}

#[test]
fn a_bitmap_of_another_length_or_a_piece_beyond_the_end_voids_the_journal() {
    for record in [
        writer().record(BITMAP, &[0xff]),
        writer().record(BITMAP, &[0xff; 3]),
        writer().record(BITMAP, &[0xff, 0xff]),
        writer().written(&[10]),
        writer().record(WRITTEN, &[1]),
        writer().record(9, &[]),
    ] {
        let mut bytes = writer().header.encode();
        bytes.extend(record);
        assert_eq!(kept(&bytes), None, "{bytes:?}");
    }
}

/// Nothing beyond what the whole journal vouches for.
fn within(part: &Kept, whole: &Kept) -> bool {
    let mut known = whole.durable.clone();
    whole.written.ones().for_each(|piece| _ = known.set(piece));
    !whole.durable.lacks_any_of(&part.durable) && !known.lacks_any_of(&part.written)
}

#[test]
fn every_truncation_vouches_for_no_more_than_the_whole() {
    let bytes = sample();
    let whole = kept(&bytes).unwrap();
    expect_mark!("E18", {
        for end in 0..bytes.len() {
            match kept(&bytes[..end]) {
                Some(part) => assert!(end >= HEADER_BYTES && within(&part, &whole), "{end}"),
                None => assert!(end < HEADER_BYTES, "{end}"),
            }
        }
    });
}

#[test]
fn every_flipped_bit_is_seen() {
    let bytes = sample();
    let whole = kept(&bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match kept(&flipped) {
            Some(part) => assert!(bit >= HEADER_BYTES * 8 && within(&part, &whole), "bit {bit}"),
            None => assert!(bit < HEADER_BYTES * 8, "bit {bit}"),
        }
    }
}

#[test]
fn records_of_another_run_behind_the_end_are_not_read() {
    let mut other = Writer::new(Header { run: [4; 16], ..writer().header });
    let old = [other.begin(&bits(&[0])), other.written(&[9])].concat();
    let mut writer = writer();
    let mut bytes = writer.begin(&bits(&[0]));
    bytes.extend_from_slice(&old[bytes.len()..]);
    assert_eq!(kept(&bytes).map(|kept| pieces(&kept.written)), Some(vec![]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, cut in 0..500_usize) {
        kept(&bytes);
        let mut half = sample();
        half.truncate(cut);
        half.extend(&bytes);
        let whole = kept(&sample()).unwrap();
        if let Some(part) = kept(&half) {
            prop_assert!(within(&part, &whole));
        }
    }
}
