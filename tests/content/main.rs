//! Contents against the published vectors of `tests/vectors`, and against plain definitions.

mod folders;
mod hostile;
mod magnet;
mod making;
mod merkle;
mod metainfo;
mod names;
mod proofs;
mod rows;
mod torrents;
mod vectors;
