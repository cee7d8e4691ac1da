//! Metainfo as it is kept and handed out: bytes shared by every connection that fetches them.

use crate::wire::catalogue::request::What;
use std::sync::Arc;

/// The parts of a content's metainfo that were published with it.
#[derive(Clone, Default, Debug)]
pub struct Metainfo {
    /// The v1 or hybrid info dict.
    pub v1_info: Option<Arc<[u8]>>,
    /// The v2 info dict of a companion.
    pub v2_info: Option<Arc<[u8]>>,
    /// The bencoded piece layers.
    pub layers: Option<Arc<[u8]>>,
    /// The bencoded `url-list`. It is not kept in the database: who publishes says it again.
    pub web_seeds: Option<Arc<[u8]>>,
    /// Whether `v1_info` is a hybrid, which carries the v2 identity too.
    pub hybrid: bool,
}

impl Metainfo {
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        let parts = [&self.v1_info, &self.v2_info, &self.layers, &self.web_seeds];
        parts.into_iter().flatten().map(|part| part.len()).sum()
    }

    /// What a FETCH gives, in parts to be sent one after the other; `None` = there is none. A whole
    /// .torrent names `announce` as its tracker; of two companions it is the v2 one when
    /// `prefer_v2`.
    pub fn parts(&self, what: What, announce: &str, prefer_v2: bool) -> Option<Vec<Arc<[u8]>>> {
        match what {
            What::V1Info => Some(vec![self.v1_info.clone()?]),
            What::V2Info => Some(vec![self.v2()?]),
            What::Layers => Some(vec![self.layers.clone()?]),
            What::WebSeeds => Some(vec![self.web_seeds.clone()?]),
            What::Torrent => {
                let v2 = self.hybrid || self.v1_info.is_none() || prefer_v2;
                let info = if v2 { self.v2()? } else { self.v1_info.clone()? };
                let head = format!("d8:announce{}:{announce}4:info", announce.len());
                let mut parts: Vec<Arc<[u8]>> = vec![head.into_bytes().into(), info];
                if let Some(layers) = self.layers.clone().filter(|_| v2) {
                    parts.extend([b"12:piece layers"[..].into(), layers]);
                }
                if let Some(urls) = self.web_seeds.clone() {
                    parts.extend([b"8:url-list"[..].into(), urls]);
                }
                parts.push(b"e"[..].into());
                Some(parts)
            }
        }
    }

    fn v2(&self) -> Option<Arc<[u8]>> {
        let hybrid = || self.v1_info.clone().filter(|_| self.hybrid);
        self.v2_info.clone().or_else(hybrid)
    }
}
