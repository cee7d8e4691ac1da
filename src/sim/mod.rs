//! The reactor's twin: a world in one value, with virtual time, a network, disks and weather that
//! all follow from one seed. It drives the same roles as the reactor does and knows no protocol.
//!
//! - [`world`]: machines, processes, the agenda of what happens next, one turn of a role.
//! - `net`: addresses, listeners, datagrams. `tcp`: byte streams. `lives`, `turn`: what befalls a
//!   process, and how it is asked.
//! - [`disk`]: files in memory, and what a power cut leaves of them.
//! - [`store`]: a database in memory, and what a crash leaves of it.
//! - [`weather`]: which faults a seed brings, and when they cease.
//! - [`swarm`]: the stage for the roles of this program: a small swarm from a seed.
//! - [`plans`]: what those roles are told at birth.
//! - [`catalogue`]: publishers, and a tracker that is killed at any of its durable writes.
//! - [`adversaries`]: hostile peers that a swarm must bear.
//! - [`laws`]: what must hold after every event.
//! - [`trace`]: everything that happened, as one number.

pub mod adversaries;
mod answers;
mod bounds;
mod cast;
pub mod catalogue;
pub mod disk;
mod durability;
mod judges;
pub mod laws;
mod lives;
mod net;
pub mod partition;
pub mod plans;
mod publisher;
pub mod scene;
pub mod store;
pub mod swarm;
mod tcp;
pub mod trace;
mod turn;
pub mod weather;
mod wire_laws;
pub mod world;

pub use disk::Disk;
pub use laws::Watch;
pub use weather::Weather;
pub use world::{Act, NodeEnv, NodeId, World};
