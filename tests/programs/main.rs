//! The real program, driven as people drive it: a tracker, seeders and leechers as processes of
//! their own, each in a folder of its own, on addresses that no other test uses.

mod bed;
mod main_job;
