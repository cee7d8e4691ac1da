//! What the parser of the command line refuses, as one line.

use super::typed::Typed;
use crate::core::report::foreign;
use clap::error::{ContextKind, ErrorKind};

/// What clap refuses, as one line; help and version are no refusals.
pub fn refused(error: &clap::Error) -> Result<Typed, String> {
    let rendered = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Ok(Typed::Text(rendered)),
        ErrorKind::MissingSubcommand => {
            return Err(
                "a command is missing, as in 'lmk seeder --file big.zip'; try 'lmk --help'".into(),
            );
        }
        _ => {}
    }
    let said: Vec<&str> = rendered.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
    let said = said.join(" ");
    let mut line = foreign(said.strip_prefix("error: ").unwrap_or(&said));
    for near in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        if let Some(suggestion) = error.get(near) {
            line.push_str(&format!("; did you mean '{suggestion}'?"));
        }
    }
    Err(format!("{line} (see 'lmk --help')"))
}
