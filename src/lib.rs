//! `lmk` puts a file on 2 to 2,000 machines as fast as one copy, by name.
//!
//! The crate is a house of floors; a room imports only from floors below its own. `ARCHITECTURE.md`
//! names every room and the four walks through it.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("lmk runs on Linux 5.6 or newer, on x86_64 and aarch64.");

pub mod announce;
pub mod cli;
pub mod content;
pub mod core;
pub mod engine;
pub mod jobs;
pub mod leecher;
pub mod node;
pub mod peer;
pub mod reactor;
pub mod seeder;
pub mod sim;
pub mod store;
pub mod swarm;
pub mod tracker;
pub mod view;
pub mod wire;
