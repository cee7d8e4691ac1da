//! The tracker role, driven by inputs and judged by its effects in virtual time.

#[path = "tracker/world.rs"]
mod world;

#[path = "tracker/access.rs"]
mod access;
#[path = "tracker/announces.rs"]
mod announces;
#[path = "tracker/catalogue.rs"]
mod catalogue;
#[path = "tracker/connections.rs"]
mod connections;
#[path = "tracker/cut_short.rs"]
mod cut_short;
#[path = "tracker/following.rs"]
mod following;
#[path = "tracker/frames.rs"]
mod frames;
#[path = "tracker/keeping.rs"]
mod keeping;
#[path = "tracker/limits.rs"]
mod limits;
#[path = "tracker/many_swarms.rs"]
mod many_swarms;
#[path = "tracker/model.rs"]
mod model;
#[path = "tracker/restarts.rs"]
mod restarts;
#[path = "tracker/soak.rs"]
mod soak;
#[path = "tracker/start.rs"]
mod start;

#[path = "http/asked.rs"]
mod http_asked;
#[path = "http/connections.rs"]
mod http_connections;
#[path = "http/heads.rs"]
mod http_heads;
#[path = "http/pages.rs"]
mod http_pages;
#[path = "http/same.rs"]
mod http_same;
