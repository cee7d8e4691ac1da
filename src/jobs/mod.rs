//! Jobs: short-lived roles that ask a tracker something, say the answer and end.

pub mod inquiry;
pub mod plan;
pub mod probe;
pub mod show;

pub use inquiry::Job;
pub use probe::Probe;
