//! Parse, run, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    lmk::cli::panic_is_one_line();
    lmk::cli::run(std::env::args_os()).into()
}
