//! The simulator and the swarms it plays.

#[path = "sim/canaries.rs"]
mod canaries;
#[path = "sim/catalogue.rs"]
mod catalogue;
#[path = "sim/local.rs"]
mod local;
#[path = "sim/names.rs"]
mod names;
#[path = "sim/origins.rs"]
mod origins;
#[path = "sim/scripted.rs"]
mod scripted;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "sim/slots.rs"]
mod slots;
#[path = "sim/stand_in.rs"]
mod stand_in;
#[path = "sim/strangers.rs"]
mod strangers;
#[path = "sim/swarms.rs"]
mod swarms;
#[path = "sim/world.rs"]
mod world;
