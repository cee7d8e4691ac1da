//! The tracker role.

pub mod plan;
