//! The real program, driven as people drive it: a tracker, seeders and leechers as processes of
//! their own, each in a folder of its own, on addresses that no other test uses.

mod access;
mod attacks;
mod bad_input;
mod bed;
mod changed_file;
mod crowd;
mod exit_codes;
mod folders;
mod garbage;
mod gate;
mod idle;
mod jobs;
mod kills;
mod magnets;
mod main_job;
mod outages;
mod part_file;
mod probe;
mod script;
mod several;
mod signed;
mod strangers;
mod talk;
mod terms;
mod tls;
mod torrents;
mod web;
mod web_seeds;
