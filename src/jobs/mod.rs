//! Jobs: short-lived roles that ask a tracker something or make a key, say the answer and end.

pub mod inquiry;
pub mod keygen;
pub mod plan;
pub mod probe;
pub mod show;
pub mod token;

pub use inquiry::Job;
pub use probe::Probe;
