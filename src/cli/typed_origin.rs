//! What was typed about an origin: a file that a seeder fetches from the web first.

use super::typed::{duration, path, raw, text};
use crate::content::metainfo::outside::is_web_seed;
use crate::core::limits::ORIGIN_PATIENCE;
use crate::core::name;
use crate::core::time::Span;
use crate::wire::http::query;
use crate::wire::tracker_url::{self, TrackerUrl};
use clap::ArgMatches;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FromUrl {
    pub url: TrackerUrl,
    /// As it was typed.
    pub text: String,
    pub out: Option<PathBuf>,
    pub overwrite: bool,
    pub timeout: Span,
}

/// The file of a seeder, and where it comes from first if it is not there: with `--url` it is
/// called as the last part of the path, or else as `--as` says.
pub(super) fn offered(
    given: &ArgMatches,
    publish_as: Option<&str>,
) -> Result<(PathBuf, Option<FromUrl>), String> {
    let Some(typed) = text(given, "url")? else {
        for flag in ["out", "timeout"] {
            if raw(given, flag).is_some() {
                return Err(format!("--{flag} goes with --url"));
            }
        }
        if given.get_flag("overwrite") {
            return Err("--overwrite goes with --url".into());
        }
        let file = path(given, "file")?;
        return Ok((file.ok_or("nothing to offer: say --file FILE or --url URL")?, None));
    };
    for flag in ["file", "torrent"] {
        if raw(given, flag).is_some() {
            return Err(format!("--url and --{flag} do not go together; leave one out"));
        }
    }
    if !is_web_seed(typed) {
        return Err("--url: write http://HOST/FILE or https://HOST/FILE".into());
    }
    let url = tracker_url::read(typed).map_err(|why| format!("--url: {why}"))?;
    let name = match (name_in(&url.path), publish_as) {
        (Ok(name), _) => name,
        (Err(_), Some(name)) => name.as_bytes().to_vec(),
        (Err(why), None) => return Err(format!("--url: {why}; give it a name with --as NAME")),
    };
    let from = FromUrl {
        url,
        text: typed.to_owned(),
        out: path(given, "out")?,
        overwrite: given.get_flag("overwrite"),
        timeout: duration(given, "timeout")?.unwrap_or(ORIGIN_PATIENCE),
    };
    Ok((PathBuf::from(OsString::from_vec(name)), Some(from)))
}

/// What the last part of a path calls the file.
fn name_in(path: &str) -> Result<Vec<u8>, String> {
    let path = path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let name = query::decode(last.as_bytes()).map_err(|_| "its last part is not well escaped")?;
    if name.is_empty() {
        return Err("it does not end with the name of a file".into());
    }
    name::element(&name).map_err(|why| format!("its last part is no name of a file: {why}"))?;
    Ok(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::typed::{self, Typed, Wish};

    fn typed(line: &str) -> Result<(PathBuf, Option<FromUrl>), String> {
        match typed::read(line.split_whitespace().map(OsString::from))? {
            Typed::Work { wish, .. } => match *wish {
                Wish::Seed { seed, .. } => Ok((seed.file, seed.origin)),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path_or_the_one_given() {
        for (url, name) in [
            ("https://h/a/big%20file.zip", "big file.zip"),
            ("https://h/big.zip?token=a/b", "big.zip"),
            ("http://h:8/caf%C3%A9#x", "café"),
            ("https://h/ --as x.zip", "x.zip"),
            ("https://h --as x.zip", "x.zip"),
            ("https://h/a%2Fb --as x.zip", "x.zip"),
            ("https://h/a.zip --as x.zip", "a.zip"),
        ] {
            let (file, from) = typed(&format!("lmk seeder --url {url}")).unwrap();
            assert_eq!(file, PathBuf::from(name), "{url}");
            assert_eq!(from.unwrap().timeout, ORIGIN_PATIENCE);
        }
        for (line, says) in [
            ("--url https://h/", "--as NAME"),
            ("--url https://h/..", "`.` or `..`"),
            ("--url https://h/%2e%2e", "`.` or `..`"),
            ("--url https://h/a%2Fb", "`/`"),
            ("--url https://h/a%00b", "NUL"),
            ("--url https://h/a%ff", "UTF-8"),
            ("--url https://h/a%0ab", "control"),
            ("--url https://h/a%2", "escaped"),
            ("--url ftp://h/a", "https://HOST/FILE"),
            ("--url h/a", "https://HOST/FILE"),
            ("--url https://me:secret@h/a", "user name"),
            ("--url https://h/a --file b", "--file"),
            ("--url https://h/a --torrent b", "--torrent"),
            ("--file b --out d", "--out goes with --url"),
            ("--file b --overwrite", "--overwrite goes with --url"),
            ("--file b --timeout 5s", "--timeout goes with --url"),
            ("--url https://h/a --timeout soon", "--timeout"),
            ("", "--file FILE or --url URL"),
        ] {
            let said = typed(&format!("lmk seeder {line}")).expect_err(line);
            assert!(said.contains(says) && !said.contains("secret"), "{line}: {said}");
        }
    }
}
