//! Whole .torrent files.

use super::outside::{Outside, write_web_seeds};
use super::{Content, KeyOrder, info};
use crate::content::error::MetaError;
use crate::core::bencode::{DISORDER, Doc, Limits, Mode, Value, Writer, parse};
use crate::core::limits::TORRENT_BYTES_MAX;
use crate::core::mark::mark;

/// The text of a .torrent as values, and whether its keys were out of order.
pub fn open(text: &[u8], order: KeyOrder) -> Result<(Doc<'_>, bool), MetaError> {
    if text.len() > TORRENT_BYTES_MAX {
        return Err(MetaError::Bad("torrent", "is larger than 96 MiB"));
    }
    let (doc, unsorted) = match (parse(text, Mode::Strict, Limits::METAINFO), order) {
        (Ok(doc), _) => (doc, false),
        (Err(strict), KeyOrder::Any) => match lenient(text)? {
            Some(doc) => {
                // The hash is that of the bytes as they stand, never of a re-encoding.
                mark!("A10");
                (doc, true)
            }
            None => return Err(strict.into()),
        },
        (Err(strict), KeyOrder::Sorted) => {
            let hopeless = strict.what == DISORDER && !matches!(lenient(text), Ok(Some(_)));
            return Err(if hopeless { MetaError::Disorder(strict) } else { strict.into() });
        }
    };
    match doc.root().is_dict() {
        true => Ok((doc, unsorted)),
        false => Err(MetaError::Bad("torrent", "is not a dictionary")),
    }
}

/// The text with keys in any order, but each once; only of a v1 torrent.
fn lenient(text: &[u8]) -> Result<Option<Doc<'_>>, MetaError> {
    let Ok(doc) = parse(text, Mode::Tolerant, Limits::METAINFO) else { return Ok(None) };
    let Some(info) = doc.root().get(b"info") else { return Ok(None) };
    if info.get(b"meta version").is_some() || info.get(b"file tree").is_some() {
        return Ok(None);
    }
    match repeats_a_key(info) || keys_repeat(&doc.root()) {
        true => Err(MetaError::Bad("info", "has a dictionary with a key twice")),
        false => Ok(Some(doc)),
    }
}

/// Whether any dictionary in a value has a key twice.
fn repeats_a_key(value: Value) -> bool {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if keys_repeat(&value) {
            return true;
        }
        let inside = value.items().chain(value.entries().map(|(_, value)| value));
        open.extend(inside.filter(|value| value.is_dict() || value.is_list()));
    }
    false
}

fn keys_repeat(value: &Value) -> bool {
    let mut keys: Vec<&[u8]> = value.entries().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// Reads a .torrent of any form.
pub fn read(bytes: &[u8], order: KeyOrder) -> Result<Content, MetaError> {
    let (doc, _) = open(bytes, order)?;
    let dict = doc.root().get(b"info").ok_or(MetaError::Missing("info"))?;
    let content = Content::of_info(&info::read(dict, doc.root().get(b"piece layers"))?)?;
    match &content.v2 {
        Some(v2) if !v2.trees.is_complete() => Err(MetaError::Missing("piece layers")),
        _ => Ok(content),
    }
}

/// What stands beside the info dict.
pub fn outside(bytes: &[u8], order: KeyOrder) -> Outside {
    open(bytes, order).map(|(doc, _)| Outside::read(doc.root())).unwrap_or_default()
}

/// Writes a .torrent: `announce` is the first tracker, `announce-list` has each in a tier of its
/// own (BEP 12); without a tracker neither is written.
pub fn write(
    info: &[u8],
    layers: Option<&[u8]>,
    announce: &[String],
    web_seeds: &[String],
) -> Vec<u8> {
    let mut w = Writer::new();
    w.begin_dict();
    if let Some(first) = announce.first() {
        w.key(b"announce").bytes(first.as_bytes());
    }
    if announce.len() > 1 {
        w.key(b"announce-list").begin_list();
        for url in announce {
            w.begin_list().bytes(url.as_bytes()).end();
        }
        w.end();
    }
    w.key(b"info").raw(info);
    if let Some(layers) = layers {
        w.key(b"piece layers").raw(layers);
    }
    if let Some(urls) = write_web_seeds(web_seeds) {
        w.key(b"url-list").raw(&urls);
    }
    w.end();
    w.finish()
}
