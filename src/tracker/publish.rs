//! What a publisher sends is checked before it is kept: it must hash to the entry, describe one
//! content and agree with the entry about it.

use super::metainfo::Metainfo;
use crate::content::metainfo::{Content, outside};
use crate::core::fault::Refusal;
use crate::wire::catalogue::code;
use crate::wire::catalogue::entry::{Entry, flag};
use crate::wire::catalogue::request::Publish;
use sha1::Sha1;
use sha2::{Digest, Sha256};

const MISMATCH: Refusal =
    Refusal { code: code::HASH_MISMATCH, what: "the metainfo does not hash to the entry" };
const DISAGREES: Refusal =
    Refusal { code: code::HASH_MISMATCH, what: "the metainfo and the entry disagree" };
const BAD_SIGNATURE: Refusal =
    Refusal { code: code::BAD_SIGNATURE, what: "the signature is not that of the entry" };
const BAD: Refusal = Refusal { code: code::BAD_REQUEST, what: "the metainfo is not valid" };

/// Checks a publishing: its entry, and the metainfo to keep (empty when none was sent).
pub fn check(publish: Publish) -> Result<(Entry, Metainfo), Refusal> {
    let Publish { entry, v1_info, v2_info, layers, web_seeds, .. } = publish;
    if entry.signed.as_ref().is_some_and(|signed| !signed.is_of(&entry)) {
        return Err(BAD_SIGNATURE);
    }
    let hybrid = entry.flags & flag::HYBRID != 0;
    if let Some(info) = &v1_info {
        let own = entry.v1.is_some_and(|hash| Sha1::digest(info)[..] == hash.0);
        if !own || (hybrid && !hashes_to_v2(info, &entry)) {
            return Err(MISMATCH);
        }
    }
    if let Some(info) = &v2_info
        && (hybrid || !hashes_to_v2(info, &entry))
    {
        return Err(MISMATCH);
    }
    if v1_info.is_some() || v2_info.is_some() {
        let parts = (v1_info.as_deref(), v2_info.as_deref(), layers.as_deref());
        let content = Content::from_parts(parts.0, parts.1, parts.2).map_err(|_| BAD)?;
        agrees(&entry, &content, hybrid)?;
    } else if layers.is_some() || web_seeds.is_some() {
        return Err(BAD);
    }
    let web_seeds = outside::read_web_seeds(web_seeds.as_deref().unwrap_or_default());
    let shared = |bytes: Option<Vec<u8>>| bytes.map(Into::into);
    let (v1_info, v2_info) = (shared(v1_info), shared(v2_info));
    let web_seeds = shared(outside::write_web_seeds(&web_seeds));
    Ok((entry, Metainfo { v1_info, v2_info, layers: shared(layers), web_seeds, hybrid }))
}

fn hashes_to_v2(info: &[u8], entry: &Entry) -> bool {
    entry.v2.is_some_and(|hash| Sha256::digest(info)[..] == hash.0)
}

/// Whether size, piece length and form of the metainfo are those of the entry.
fn agrees(entry: &Entry, content: &Content, hybrid: bool) -> Result<(), Refusal> {
    let grid = (content.data_bytes(), content.geometry.piece_length());
    let private = entry.flags & flag::PRIVATE != 0;
    if grid != (entry.size, entry.piece_bytes)
        || content.private != private
        || content.is_hybrid() != hybrid
    {
        return Err(DISAGREES);
    }
    Ok(())
}
