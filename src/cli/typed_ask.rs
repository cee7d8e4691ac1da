//! What was typed to ask a tracker something: `lmk ls`, `lmk info`, `lmk status`, `lmk probe`.

use super::tracker_url;
use super::typed::{Typed, Wish, common, text, tracker};
use super::typed_access as access;
use super::values;
use crate::core::glob::Glob;
use crate::core::report::foreign;
use crate::jobs::plan::Ask;
use clap::ArgMatches;

pub(super) fn ls(given: &ArgMatches) -> Result<Typed, String> {
    let glob = text(given, "glob")?;
    if let Some(Err(why)) = glob.map(Glob::new) {
        return Err(format!("'{}': {why}", foreign(glob.unwrap_or_default())));
    }
    ask(given, Ask::List { glob: glob.map(str::to_owned) })
}

pub(super) fn info(given: &ArgMatches) -> Result<Typed, String> {
    let typed = text(given, "name")?.ok_or("NAME is missing")?;
    let name = values::name(typed.strip_prefix("./").unwrap_or(typed));
    ask(given, Ask::Info { name: name.map_err(|why| format!("'{}': {why}", foreign(typed)))? })
}

pub(super) fn ask(given: &ArgMatches, ask: Ask) -> Result<Typed, String> {
    let (tracker, token) = tracker(given)?;
    let wish = Wish::Ask { ask, tracker, token };
    Ok(Typed::Work { wish: Box::new(wish), common: common(given)? })
}

pub(super) fn probe(given: &ArgMatches) -> Result<Typed, String> {
    let url = text(given, "url")?.ok_or("TRACKER-URL is missing")?;
    let url = tracker_url::read(url)?;
    let hash = match text(given, "hash")? {
        None => None,
        Some(hash) => Some(values::info_hash(hash)?),
    };
    let wish = Wish::Probe { url, hash, token: access::token_from(given)? };
    Ok(Typed::Work { wish: Box::new(wish), common: common(given)? })
}
