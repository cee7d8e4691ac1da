//! HTTP/1 as a tracker speaks it (BEP 3, RFC 9112): request heads, query strings, announces and
//! scrapes as queries, bencoded answers, response heads.

pub mod announce;
pub mod answer;
pub mod asking;
pub mod date;
pub mod head;
pub mod incoming;
pub mod query;
pub mod reply;
pub mod response;
