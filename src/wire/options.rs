//! BEP 41 options: what may follow a UDP announce, and a control request of ours.

use super::read::Fields;

const END: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// Most bytes of URLData kept, all options together; the rest is left out.
pub const URL_DATA_BYTES_MAX: usize = 1024;

/// One option as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opt<'a> {
    /// Nothing is read after it.
    End,
    Nop,
    UrlData(&'a [u8]),
    /// Type and data.
    Other(u8, &'a [u8]),
    /// The end of the datagram cuts it off; nothing comes after it.
    Cut,
}

/// The options of a list with the place where each begins.
pub fn walk(options: &[u8]) -> impl Iterator<Item = (usize, Opt<'_>)> {
    let mut fields = Fields(options);
    let mut over = false;
    std::iter::from_fn(move || {
        let at = options.len() - fields.0.len();
        let kind = fields.u8().filter(|_| !over)?;
        let option = match kind {
            END => Opt::End,
            NOP => Opt::Nop,
            _ => match fields.u8().and_then(|len| fields.bytes(usize::from(len))) {
                Some(data) if kind == URL_DATA => Opt::UrlData(data),
                Some(data) => Opt::Other(kind, data),
                None => Opt::Cut,
            },
        };
        over = matches!(option, Opt::End | Opt::Cut);
        Some((at, option))
    })
}

/// The URLData of an option list, joined; empty when there is none. `None` when an option is cut
/// off by the end of the datagram. Other types are skipped, bytes after EndOfOptions are not read.
pub fn url_data(options: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    for (_, option) in walk(options) {
        match option {
            Opt::UrlData(data) => {
                let room = URL_DATA_BYTES_MAX.saturating_sub(joined.len());
                joined.extend_from_slice(data.get(..room).unwrap_or(data));
            }
            Opt::Cut => return None,
            _ => {}
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
