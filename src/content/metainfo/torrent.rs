//! Whole .torrent files.

use super::outside::Outside;
use super::{Content, info};
use crate::content::error::MetaError;
use crate::core::bencode::{Limits, Mode, Writer, parse};
use crate::core::limits::TORRENT_BYTES_MAX;

/// Reads a .torrent of any form.
pub fn read(bytes: &[u8]) -> Result<Content, MetaError> {
    if bytes.len() > TORRENT_BYTES_MAX {
        return Err(MetaError::Bad("torrent", "is larger than 96 MiB"));
    }
    let doc = parse(bytes, Mode::Strict, Limits::METAINFO)?;
    let root = doc.root();
    if !root.is_dict() {
        return Err(MetaError::Bad("torrent", "is not a dictionary"));
    }
    let dict = root.get(b"info").ok_or(MetaError::Missing("info"))?;
    let content = info::content(dict, root.get(b"piece layers"))?;
    match &content.v2 {
        Some(v2) if !v2.has_layer(&content.geometry) => Err(MetaError::Missing("piece layers")),
        _ => Ok(content),
    }
}

/// What stands beside the info dict.
pub fn outside(bytes: &[u8]) -> Outside {
    let bytes = if bytes.len() > TORRENT_BYTES_MAX { &[] } else { bytes };
    match parse(bytes, Mode::Strict, Limits::METAINFO) {
        Ok(doc) => Outside::read(doc.root()),
        Err(_) => Outside::default(),
    }
}

/// Writes a .torrent: `announce` is the first tracker, `announce-list` has each in a tier of its
/// own (BEP 12); without a tracker neither is written.
pub fn write(info: &[u8], layers: Option<&[u8]>, announce: &[String]) -> Vec<u8> {
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
    w.end();
    w.finish()
}
