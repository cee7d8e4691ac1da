//! Contents against the published vectors of `tests/vectors`.

mod magnet;
mod merkle;
mod metainfo;
mod vectors;
