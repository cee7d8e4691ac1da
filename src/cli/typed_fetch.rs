//! What was typed for a leecher: what it wants, once or several times, and what holds for all.

use super::typed::{
    self, Common, Fetch, Typed, Wish, common, count, duration, path, path_of, text,
};
use super::typed_access as access;
use super::typed_terms as terms;
use super::typed_torrent as torrent;
use super::values;
use crate::content::magnet::Magnet;
use crate::core::limits;
use crate::core::report::foreign;
use crate::core::time::Span;
use crate::node::plan::Want;
use clap::ArgMatches;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A name, a .torrent or a magnet link.
#[derive(PartialEq, Eq)]
struct Wanted {
    want: Want,
    torrent: Option<PathBuf>,
    magnet: Option<Box<Magnet>>,
}

pub(super) fn fetch(given: &ArgMatches) -> Result<Typed, String> {
    let wanted = wanted(given)?;
    if wanted.len() > 1 && text(given, "files")?.is_some() {
        let line = "--files: with several wants it does not say of which; fetch that one by itself";
        return Err(line.into());
    }
    let fetches: Result<Vec<Fetch>, String> =
        wanted.into_iter().map(|wanted| one(given, wanted)).collect();
    let mut fetches = fetches?;
    let mut peer = typed::peer(given)?;
    peer.terms.order = terms::order(given)?;
    let wish = match (fetches.pop(), fetches.is_empty()) {
        (Some(fetch), true) => Wish::Fetch { fetch, peer },
        (last, _) => {
            fetches.extend(last);
            Wish::FetchSeveral { fetches, peer }
        }
    };
    Ok(Typed::Work {
        wish: Box::new(wish),
        common: Common { stats_log: path(given, "stats-log")?, ..common(given)? },
    })
}

fn one(given: &ArgMatches, Wanted { want, torrent, magnet }: Wanted) -> Result<Fetch, String> {
    Ok(Fetch {
        want,
        torrent,
        order: torrent::order(given),
        files: torrent::chosen(given)?,
        magnet,
        out: path(given, "out")?,
        overwrite: given.get_flag("overwrite"),
        keep_seeding: given.get_flag("keep-seeding"),
        timeout: duration(given, "timeout")?,
        wait: match text(given, "wait")? {
            Some("") => Some(Span(u64::MAX)),
            _ => duration(given, "wait")?,
        },
        sources: count(given, "sources", limits::SOURCES_DEFAULT, limits::SOURCES_MAX)?,
        publisher: access::publisher(given)?,
    })
}

/// What is wanted, each once, in the order of the command line.
fn wanted(given: &ArgMatches) -> Result<Vec<Wanted>, String> {
    let mut typed: Vec<(usize, &'static str, &OsString)> = Vec::new();
    for flag in ["want", "torrent", "magnet"] {
        let places = given.indices_of(flag).into_iter().flatten();
        let values = given.get_many::<OsString>(flag).unwrap_or_default();
        typed.extend(places.zip(values).map(|(place, value)| (place, flag, value)));
    }
    typed.sort_unstable();
    if typed.len() > limits::FETCHES_MAX {
        let most = limits::FETCHES_MAX;
        return Err(format!("{} wants; at most {most} in one run", typed.len()));
    }
    let mut wanted = Vec::new();
    for (_, flag, value) in typed {
        let one = read(flag, value)?;
        if wanted.contains(&one) {
            let shown = foreign(&value.to_string_lossy());
            return Err(format!("--{flag} '{shown}' is there twice; name it once"));
        }
        wanted.push(one);
    }
    match wanted.is_empty() {
        true => Err("--want, --torrent or --magnet is missing".into()),
        false => Ok(wanted),
    }
}

fn read(flag: &'static str, value: &OsStr) -> Result<Wanted, String> {
    let want = Want { name: String::new(), pin: None, publisher: None };
    let nameless = Wanted { want, torrent: None, magnet: None };
    if flag == "torrent" {
        return Ok(Wanted { torrent: Some(path_of(value, flag)?), ..nameless });
    }
    let text = value.to_str().ok_or_else(|| format!("--{flag}: the value is not UTF-8"))?;
    if flag == "magnet" {
        let magnet = Magnet::parse(text).map_err(|why| format!("--magnet: {why}"))?;
        return Ok(Wanted { magnet: Some(Box::new(magnet)), ..nameless });
    }
    let want = values::want(text);
    let want = want.map_err(|why| format!("--want '{}': {why}", foreign(text)))?;
    Ok(Wanted { want, ..nameless })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "magnet:?xt=urn:btih:ABCDEFGHIJKLMNOPQRSTUVWXYZ234567&dn=x";

    fn wish(line: &str) -> Result<Wish, String> {
        match typed::read(line.split_whitespace().map(OsString::from))? {
            Typed::Work { wish, .. } => Ok(*wish),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_wants_stand_in_the_order_of_the_line_and_share_its_flags() {
        let line = format!("lmk leecher --magnet {LINK} --want b --torrent t --want a --overwrite");
        let Ok(Wish::FetchSeveral { fetches, .. }) = wish(&line) else { panic!() };
        let said: Vec<_> = fetches
            .iter()
            .map(|one| (one.want.name.as_str(), one.torrent.is_some(), one.magnet.is_some()))
            .collect();
        assert_eq!(
            said,
            [("", false, true), ("b", false, false), ("", true, false), ("a", false, false)]
        );
        assert!(fetches.iter().all(|one| one.overwrite));
        assert!(matches!(wish("lmk leecher --want a"), Ok(Wish::Fetch { .. })));
    }

    #[test]
    fn what_several_wants_cannot_be_is_refused() {
        let many: String = (0..65).map(|n| format!(" --want n{n}")).collect();
        for (more, says) in [
            (" --want a --want a", "--want 'a' is there twice"),
            (" --torrent t --want a --torrent t", "--torrent 't' is there twice"),
            (" --want a --want b --files 1", "--files"),
            (many.as_str(), "65 wants; at most 64"),
        ] {
            let said = wish(&format!("lmk leecher{more}")).unwrap_err();
            assert!(said.contains(says) && said.lines().count() == 1, "{said}");
        }
    }
}
