//! What a seeder publishes: the entry and the metainfo of its content, and which refusals are
//! final.

use crate::content::metainfo::{Content, outside};
use crate::wire::catalogue::code;
use crate::wire::catalogue::entry::{Entry, flag};
use crate::wire::catalogue::request::{Publish, Request};
use crate::wire::catalogue::signature::SecretKey;

/// The request that lists `content` under `name`, signed if there is a key for it.
pub fn request(
    name: &str,
    content: &Content,
    web_seeds: &[String],
    sign: Option<&SecretKey>,
) -> Request {
    let flags =
        content.v1.as_ref().map_or(0, |_| flag::V1) | content.v2.as_ref().map_or(0, |_| flag::V2);
    let mut entry = Entry {
        name: name.to_owned(),
        v1: content.v1.as_ref().map(|v1| v1.info_hash),
        v2: content.v2.as_ref().map(|v2| v2.info_hash),
        size: content.data_bytes(),
        piece_bytes: content.geometry.piece_length(),
        flags,
        sha256: None,
        signed: None,
    };
    entry.signed = sign.map(|key| Box::new(key.sign(&entry)));
    Request::Publish(Publish {
        entry,
        v1_info: content.v1.as_ref().map(|v1| v1.info.clone()),
        v2_info: content.v2.as_ref().map(|v2| v2.info.clone()),
        // An empty dict says nothing.
        layers: content.piece_layers().filter(|layers| layers.len() > 2),
        web_seeds: outside::write_web_seeds(web_seeds),
        same_ok: true,
    })
}

/// Whether asking again cannot help: the name or the content itself is refused.
pub fn is_final(refusal: u8) -> bool {
    matches!(
        refusal,
        code::BAD_REQUEST
            | code::NAME_TAKEN
            | code::HASH_MISMATCH
            | code::BAD_NAME
            | code::TOO_LARGE
            | code::FORBIDDEN
            | code::BAD_SIGNATURE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_that_is_busy_is_asked_again_and_a_bad_name_is_not() {
        assert!(is_final(code::BAD_NAME) && is_final(code::HASH_MISMATCH));
        for passing in [code::BUSY, code::RATE, code::QUOTA, code::INTERNAL] {
            assert!(!is_final(passing));
        }
    }
}
