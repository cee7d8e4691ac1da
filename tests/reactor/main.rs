//! The reactor against real loopback sockets and files.

mod conns;
mod datagrams;
mod descriptors;
mod files;
mod output;
mod rate;
mod turns;
mod world;
