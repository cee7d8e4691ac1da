//! The log: a file with `--log-file`, and with `-vv` what the event loop says, on standard error.
//! Lines for people are the view's, not the log's.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "opens the log file")]

use super::machine::Machine;
use super::planned;
use super::typed::Common;
use crate::core::fault::Fatal;
use crate::core::report::{Ending, foreign};
use log::LevelFilter;
use simplelog::{CombinedLogger, ConfigBuilder, SharedLogger, WriteLogger};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

/// Starts what the flags ask for; without any of them nothing is logged.
pub fn start(common: &Common, machine: &Machine) -> Result<(), Fatal> {
    let mut loggers: Vec<Box<dyn SharedLogger>> = Vec::new();
    if let Some(path) = &common.log_file {
        let path = planned::absolute(path, machine);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| Fatal {
            ending: Ending::Disk,
            line: format!(
                "cannot write the log file '{}' ({error}); name another with --log-file",
                foreign(&path.to_string_lossy())
            ),
        })?;
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
