//! BEP 41 options: what may follow a UDP announce, and a control request of ours.

use super::read::Fields;

const END: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// Most bytes of URLData kept, all options together; the rest is left out.
pub const URL_DATA_BYTES_MAX: usize = 1024;

/// The URLData of an option list, joined; empty when there is none. `None` when an option is cut
/// off by the end of the datagram. Other types are skipped, bytes after EndOfOptions are not read.
pub fn url_data(options: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields(options);
    let mut joined = Vec::new();
    while let Some(kind) = fields.u8() {
        if kind == END {
            break;
        }
        if kind == NOP {
            continue;
        }
        let len = fields.u8()?;
        let data = fields.bytes(usize::from(len))?;
        if kind == URL_DATA {
            let room = URL_DATA_BYTES_MAX.saturating_sub(joined.len());
            joined.extend_from_slice(data.get(..room).unwrap_or(data));
        }
    }
    Some(joined)
}

/// Appends `url_data` as options of at most 255 bytes each; nothing when it is empty.
pub fn write_url_data(url_data: &[u8], out: &mut Vec<u8>) {
    for part in url_data.chunks(255) {
        out.extend_from_slice(&[URL_DATA, part.len() as u8]);
        out.extend_from_slice(part);
    }
}

/// Fills with NOP up to `len` bytes.
pub fn pad(out: &mut Vec<u8>, len: usize) {
    if out.len() < len {
        out.resize(len, NOP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_url_data_is_split_and_joined_again() {
        let long: Vec<u8> = (0..700).map(|n| n as u8).collect();
        let mut options = Vec::new();
        write_url_data(&long, &mut options);
        assert_eq!(options.len(), 700 + 3 * 2);
        assert_eq!(url_data(&options), Some(long));
    }

    #[test]
    fn a_flood_of_url_data_is_kept_up_to_the_bound() {
        let options = [2, 200].into_iter().chain([7; 200]).collect::<Vec<u8>>().repeat(100);
        assert_eq!(url_data(&options).map(|d| d.len()), Some(URL_DATA_BYTES_MAX));
    }
}
