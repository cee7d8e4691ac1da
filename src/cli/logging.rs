//! The log: a file with `--log-file`, and with `-vv` what the event loop says, on standard error.
//! Lines for people are the view's, not the log's.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "opens the log file")]

use super::machine::Machine;
use super::planned;
use super::typed::Common;
use crate::core::fault::Fatal;
use crate::core::report::{Ending, foreign};
use crate::view::output::Output;
use log::LevelFilter;
use simplelog::{CombinedLogger, ConfigBuilder, SharedLogger, WriteLogger};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where the figures of each second go (`--stats-log`).
pub fn stats(path: &Path, machine: &Machine) -> Result<Output, Fatal> {
    appended(path, ("file of figures", "--stats-log"), machine).map(Output::to)
}

fn appended(path: &Path, (what, flag): (&str, &str), machine: &Machine) -> Result<fs::File, Fatal> {
    let path = planned::absolute(path, machine);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    file.map_err(|error| Fatal {
        ending: Ending::Disk,
        line: format!(
            "cannot write the {what} '{}' ({error}); name another with {flag}",
            foreign(&path.to_string_lossy())
        ),
    })
}

/// Starts what the flags ask for; without any of them nothing is logged.
pub fn start(common: &Common, machine: &Machine) -> Result<(), Fatal> {
    let mut loggers: Vec<Box<dyn SharedLogger>> = Vec::new();
    if let Some(path) = &common.log_file {
        let file = appended(path, ("log file", "--log-file"), machine)?;
        let level = if common.verbose > 1 { LevelFilter::Trace } else { LevelFilter::Debug };
        let config = ConfigBuilder::new()
            .set_time_format_rfc3339()
            .set_thread_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Error)
            .set_location_level(LevelFilter::Off)
            .build();
        loggers.push(WriteLogger::new(level, config, file));
    }
    if common.verbose > 1 {
        let config = ConfigBuilder::new()
            .add_filter_allow_str("lmk::reactor")
            .add_filter_allow_str("mio")
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .build();
        loggers.push(WriteLogger::new(LevelFilter::Trace, config, std::io::stderr()));
    }
    if loggers.is_empty() {
        return Ok(());
    }
    CombinedLogger::init(loggers).map_err(|error| Fatal {
        ending: Ending::Internal,
        line: format!("the log cannot be started ({error})"),
    })
}
