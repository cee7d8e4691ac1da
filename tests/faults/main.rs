//! Bad input and faults, row by row of the table of promises in `rows.rs`.

mod conversations;
mod hostile;
mod jobs;
mod peers;
mod processes;
mod rows;
mod sources;
mod strangers;
mod table;
mod terms;
mod vectors;
