//! Floor 7: from the words typed to a plan, from an ending to an exit code. Routing only.

mod authorities;
pub mod exit;
pub mod flags;
pub mod limits;
pub mod logging;
pub mod machine;
pub mod planned;
pub mod planned_access;
pub mod planned_several;
pub mod planned_torrent;
pub mod planned_trackers;
pub mod refused;
pub mod states;
pub mod tracker_url;
pub mod typed;
pub mod typed_access;
pub mod typed_ask;
pub mod typed_fetch;
pub mod typed_origin;
pub mod typed_terms;
pub mod typed_torrent;
pub mod values;

use crate::core::fault::Fatal;
use crate::core::mark::mark;
use crate::core::report::Ending;
use crate::engine::Engine;
use crate::view::{self, View, json::Json, output::Output, plain::Plain, stats_log::StatsLog};
use std::ffi::OsString;
use typed::{Common, Typed};

/// Does what the command line asks and returns the exit code of the process. `args` includes the
/// name of the program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    match typed::read(args) {
        Err(line) => complain(&Fatal { ending: Ending::Usage, line }),
        Ok(Typed::Text(text)) => say(&text),
        Ok(Typed::Limits { markdown: false }) => say(&limits::plain()),
        Ok(Typed::Limits { markdown: true }) => say(&limits::markdown()),
        Ok(Typed::States { markdown: false }) => say(&states::plain()),
        Ok(Typed::States { markdown: true }) => say(&states::markdown()),
        Ok(Typed::Work { wish, common }) => match work(*wish, &common) {
            Ok(ending) => exit::code(ending),
            Err(fatal) => complain(&fatal),
        },
    }
}

fn work(wish: typed::Wish, common: &Common) -> Result<Ending, Fatal> {
    let machine = machine::Machine::look()?;
    assert!(!machine.panics, "asked for by LMK_PANIC");
    logging::start(common, &machine)?;
    let plan = planned::plan(wish, common.json, &machine, machine::resolve)?;
    let authorities = authorities::read(common.ca_file.as_deref(), &machine)?;
    let rows = plan.says_rows();
    let mut engine = Engine::trusting(plan, authorities, common.insecure.clone())?;
    let showing = view::Showing {
        quiet: common.quiet,
        verbose: common.verbose > 0,
        bar: !common.quiet && common.verbose < 2 && machine.terminal_err && !rows,
        colour: machine.terminal_err && !common.no_color && !machine.no_color,
    };
    let (out, err) = (Output::stdout(), Output::stderr());
    let mut shown: Box<dyn View> = match common.json {
        true => Box::new(Json::new(out, showing)),
        false => Box::new(Plain::new(out, err, showing)),
    };
    if let Some(path) = &common.stats_log {
        shown = Box::new(StatsLog::new(shown, logging::stats(path, &machine)?));
    }
    Ok(engine.run(shown.as_mut()))
}

fn say(text: &str) -> u8 {
    Output::stdout().write(text);
    exit::code(Ending::Done)
}

fn complain(fatal: &Fatal) -> u8 {
    Output::stderr().write(&format!("lmk: {}\n", fatal.line));
    exit::code(fatal.ending)
}

/// A panic is a mistake of ours: one line that can be reported, and the exit code that says so.
pub fn panic_is_one_line() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or(String::new(), |at| format!(" at {at}"));
        let fatal = internal(info.payload_as_str().unwrap_or("a panic"), &place);
        std::process::exit(i32::from(complain(&fatal)));
    }));
}

fn internal(what: &str, place: &str) -> Fatal {
    mark!("F20");
    let line = format!("internal error: {what}{place}; please report this line");
    Fatal { ending: Ending::Internal, line: line.replace(['\n', '\r'], " ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mark::expect_mark;

    #[test]
    fn a_panic_is_one_line_whatever_it_says() {
        let fatal = expect_mark!("F20", internal("a\nb\rc", " at src/x.rs:1:2"));
        assert_eq!(exit::code(fatal.ending), 1);
        assert_eq!(fatal.line.lines().count(), 1);
        assert!(fatal.line.contains("a b c at src/x.rs:1:2"), "{}", fatal.line);
    }
}
