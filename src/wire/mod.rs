//! Floor 1: bytes <-> meaning, one file per format. Pure; nothing here knows a conversation.

pub mod catalogue;
pub mod control;
pub mod dns;
pub mod extended;
pub mod http;
pub mod lsd;
pub mod meaning;
pub mod mse;
pub mod options;
pub mod peer;
pub mod peer_exchange;
pub mod peer_framer;
pub mod peer_metadata;
pub mod peer_state;
pub mod read;
pub mod slot_word;
pub mod token;
pub mod token_keys;
pub mod tracker_url;
pub mod udp;
