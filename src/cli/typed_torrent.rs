//! What was typed about .torrent files and magnet links: `lmk create`, `lmk show`, `lmk verify`,
//! and what a leecher wants.

use super::typed::{Typed, Wish, common, path, path_of, raw, text};
use crate::content::chosen::Chosen;
use crate::content::geometry::PIECE_BYTES_MAX;
use crate::content::grid::Form;
use crate::content::magnet::Magnet;
use crate::content::metainfo::KeyOrder;
use crate::content::metainfo::outside::{URLS_MAX, is_tracker, is_web_seed};
use crate::core::limits::BLOCK_BYTES;
use crate::core::report::foreign;
use crate::wire::tracker_url::{self, Scheme};
use clap::ArgMatches;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TorrentWish {
    Create(Box<Create>),
    Show { subject: Shown, order: KeyOrder },
    Verify { torrent: PathBuf, path: PathBuf, order: KeyOrder },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    Torrent(PathBuf),
    Magnet(Box<Magnet>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create {
    pub path: PathBuf,
    pub out: Option<PathBuf>,
    pub overwrite: bool,
    pub form: Form,
    pub piece_length: Option<u32>,
    /// Tier by tier.
    pub announce: Vec<Vec<String>>,
    pub web_seeds: Vec<String>,
    pub private: bool,
    pub comment: Option<String>,
    pub source: Option<String>,
    pub date: Option<Date>,
}

/// When a .torrent says that it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Date {
    Now,
    /// Unix seconds.
    At(u64),
}

/// Some of the files of a folder.
pub(super) fn chosen(given: &ArgMatches) -> Result<Option<Chosen>, String> {
    let Some(list) = text(given, "files")? else { return Ok(None) };
    let chosen = Chosen::read(list);
    chosen.map(Some).map_err(|why| format!("--files '{}': {why}", foreign(list)))
}

fn work(wish: TorrentWish, given: &ArgMatches) -> Result<Typed, String> {
    Ok(Typed::Work { wish: Box::new(Wish::Torrent(wish)), common: common(given)? })
}

pub(super) fn order(given: &ArgMatches) -> KeyOrder {
    if given.get_flag("lenient") { KeyOrder::Any } else { KeyOrder::Sorted }
}

pub(super) fn show(given: &ArgMatches) -> Result<Typed, String> {
    let typed = raw(given, "subject").ok_or("FILE|MAGNET is missing")?;
    let link = typed
        .to_str()
        .filter(|text| text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("magnet:")));
    let subject = match link {
        Some(link) => Shown::Magnet(Box::new(Magnet::parse(link).map_err(|why| why.to_string())?)),
        None => Shown::Torrent(path_of(typed, "subject")?),
    };
    work(TorrentWish::Show { subject, order: order(given) }, given)
}

pub(super) fn verify(given: &ArgMatches) -> Result<Typed, String> {
    let torrent = path(given, "torrent")?.ok_or("FILE is missing")?;
    let path = path(given, "path")?.ok_or("PATH is missing")?;
    work(TorrentWish::Verify { torrent, path, order: order(given) }, given)
}

pub(super) fn create(given: &ArgMatches) -> Result<Typed, String> {
    let owned = |flag| Ok::<_, String>(text(given, flag)?.map(str::to_owned));
    let create = Create {
        path: path(given, "path")?.ok_or("PATH is missing")?,
        out: path(given, "out")?,
        overwrite: given.get_flag("overwrite"),
        form: form(given)?,
        piece_length: text(given, "piece-length")?.map(piece_length).transpose()?,
        announce: tiers(given)?,
        web_seeds: urls(given, "webseed")?.into_iter().map(web_seed).collect::<Result<_, _>>()?,
        private: given.get_flag("private"),
        comment: owned("comment")?,
        source: owned("source")?,
        date: date(given)?,
    };
    work(TorrentWish::Create(Box::new(create)), given)
}

fn form(given: &ArgMatches) -> Result<Form, String> {
    let all = [("v1", Form::V1), ("v2", Form::V2), ("hybrid", Form::Hybrid)];
    let mut typed = all.into_iter().filter(|(flag, _)| given.get_flag(flag));
    match (typed.next(), typed.next()) {
        (None, _) => Ok(Form::Hybrid),
        (Some((_, form)), None) => Ok(form),
        (Some((one, _)), Some((other, _))) => Err(format!("--{one} and --{other}: choose one")),
    }
}

/// `262144`, `256K` or `1M`: a power of two.
fn piece_length(text: &str) -> Result<u32, String> {
    let wrong = || {
        let shown = foreign(text);
        format!("--piece-length '{shown}': write a power of two from 16K to 128M, as 256K or 1M")
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u32 = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "K" | "k" | "KiB" => 1024,
        "M" | "m" | "MiB" => 1024 * 1024,
        _ => return Err(wrong()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let bytes = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(unit));
    let fits = |n: &u32| n.is_power_of_two() && (BLOCK_BYTES..=PIECE_BYTES_MAX).contains(n);
    bytes.filter(fits).ok_or_else(wrong)
}

fn urls<'a>(given: &'a ArgMatches, flag: &'static str) -> Result<Vec<&'a str>, String> {
    let typed = given.get_many::<OsString>(flag).unwrap_or_default();
    let read =
        |url: &'a OsString| url.to_str().ok_or_else(|| format!("--{flag}: the value is not UTF-8"));
    let read: Vec<&str> = typed.map(read).collect::<Result<_, _>>()?;
    if read.len() > URLS_MAX { Err(format!("--{flag}: at most {URLS_MAX} URLs")) } else { Ok(read) }
}

/// Each `--announce` is a tier; its URLs stand between commas.
fn tiers(given: &ArgMatches) -> Result<Vec<Vec<String>>, String> {
    let tier = |urls: &str| urls.split(',').map(tracker).collect::<Result<Vec<_>, _>>();
    let tiers: Vec<Vec<String>> =
        urls(given, "announce")?.into_iter().map(tier).collect::<Result<_, _>>()?;
    match tiers.iter().map(Vec::len).sum::<usize>() <= URLS_MAX {
        true => Ok(tiers),
        false => Err(format!("--announce: at most {URLS_MAX} URLs")),
    }
}

fn tracker(url: &str) -> Result<String, String> {
    let wrong = || {
        let shown = foreign(url);
        format!("--announce '{shown}': write udp://HOST:PORT/announce or http://HOST:PORT/announce")
    };
    if !is_tracker(url) {
        return Err(wrong());
    }
    let read = tracker_url::read(url).map_err(|why| format!("{}: {why}", wrong()))?;
    match (read.scheme, read.at.port) {
        (Scheme::Udp, None) => Err(format!("{}: UDP has no usual port", wrong())),
        _ => Ok(url.to_owned()),
    }
}

fn web_seed(url: &str) -> Result<String, String> {
    let wrong =
        || format!("--webseed '{}': write http://HOST/... or https://HOST/...", foreign(url));
    is_web_seed(url).then(|| url.to_owned()).ok_or_else(wrong)
}

fn date(given: &ArgMatches) -> Result<Option<Date>, String> {
    let wrong = |text| format!("--date '{}': write seconds since 1970, or nothing", foreign(text));
    Ok(match text(given, "date")? {
        None => None,
        Some("") => Some(Date::Now),
        Some(text) => {
            let number = text.parse().ok().filter(|unix_s| *unix_s <= i64::MAX as u64);
            Some(Date::At(number.ok_or_else(|| wrong(text))?))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::typed::read;

    fn typed(line: &str) -> Result<TorrentWish, String> {
        match read(line.split_whitespace().map(OsString::from))? {
            Typed::Work { wish, .. } => match *wish {
                Wish::Torrent(wish) => Ok(wish),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn created(line: &str) -> Create {
        match typed(line) {
            Ok(TorrentWish::Create(create)) => *create,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_a_hybrid_without_a_date() {
        let create = created("lmk create photos");
        assert_eq!((create.form, create.piece_length, create.date), (Form::Hybrid, None, None));
        assert_eq!((create.path, create.out), ("photos".into(), None));
        let create = created("lmk create x -o y.torrent --v1 --piece-length 256K --date 7");
        assert_eq!((create.form, create.piece_length), (Form::V1, Some(262_144)));
        assert_eq!((create.out, create.date), (Some("y.torrent".into()), Some(Date::At(7))));
        assert_eq!(created("lmk create x --date").date, Some(Date::Now));
    }

    #[test]
    fn each_announce_is_a_tier_of_its_urls() {
        let create =
            created("lmk create x --announce udp://a:1/,http://b/ --announce udp://c:1/announce");
        assert_eq!(create.announce, [vec!["udp://a:1/", "http://b/"], vec!["udp://c:1/announce"]]);
    }

    #[test]
    fn what_no_torrent_can_be_is_refused_by_its_flag() {
        for (line, names) in [
            ("lmk create x --v1 --v2", "choose one"),
            ("lmk create x --piece-length 17K", "--piece-length"),
            ("lmk create x --piece-length 8K", "--piece-length"),
            ("lmk create x --piece-length 256M", "--piece-length"),
            ("lmk create x --piece-length 4194304M", "--piece-length"),
            ("lmk create x --announce a.example", "--announce"),
            ("lmk create x --announce udp://a:1/,,", "--announce"),
            ("lmk create x --announce udp://h:0/x", "port 0"),
            ("lmk create x --announce http://h:0/x", "port 0"),
            ("lmk create x --announce udp://h/announce", "no usual port"),
            ("lmk create x --webseed udp://a/", "--webseed"),
            ("lmk create x --date yesterday", "--date"),
            ("lmk show magnet:?dn=x", "magnet"),
            ("lmk verify x.torrent", "PATH"),
        ] {
            let said = typed(line).unwrap_err();
            assert!(said.contains(names) && said.lines().count() == 1, "{line}: {said}");
        }
    }

    #[test]
    fn a_leecher_wants_one_thing_and_a_link_may_say_which() {
        let fetched = |line: &str| -> Result<crate::cli::typed::Fetch, String> {
            match read(line.split_whitespace().map(OsString::from))? {
                Typed::Work { wish, .. } => match *wish {
                    Wish::Fetch { fetch, .. } => Ok(fetch),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        };
        let link = "magnet:?xt=urn:btih:ABCDEFGHIJKLMNOPQRSTUVWXYZ234567&dn=x&so=0,2-3";
        let fetch = fetched(&format!("lmk leecher --magnet {link}")).unwrap();
        let magnet = fetch.magnet.unwrap();
        assert!(magnet.v1.is_some() && fetch.torrent.is_none() && fetch.want.name.is_empty());
        assert_eq!(magnet.select, [(0, 0), (2, 3)]);
        let said = fetched("lmk leecher --magnet magnet:?dn=x").unwrap_err();
        assert!(said.contains("--magnet: magnet: no BitTorrent info-hash"), "{said}");
        assert!(fetched("lmk leecher").unwrap_err().contains("--magnet is missing"));
    }

    #[test]
    fn a_link_is_told_from_a_file() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let line = format!("lmk show MAGNET:?xt=urn:btih:{hash}");
        assert!(matches!(
            typed(&line),
            Ok(TorrentWish::Show { subject: Shown::Magnet(_), order: KeyOrder::Sorted })
        ));
        assert!(matches!(
            typed("lmk show --lenient magnet.torrent"),
            Ok(TorrentWish::Show { subject: Shown::Torrent(_), order: KeyOrder::Any })
        ));
    }
}
