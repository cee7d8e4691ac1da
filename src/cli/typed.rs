//! What was typed, read but not yet looked up: no name is resolved, no path made absolute.

use super::flags;
use super::refused::refused;
use super::tracker_url::{self, TrackerUrl};
use super::typed_access as access;
use super::typed_ask as ask;
use super::typed_fetch as fetch;
use super::typed_terms as terms;
use super::typed_torrent::{self as torrent, TorrentWish};
use super::values::{self, HostPort};
use crate::content::chosen::Chosen;
use crate::content::magnet::Magnet;
use crate::content::metainfo::KeyOrder;
use crate::core::id::InfoHash;
use crate::core::limits;
use crate::core::time::Span;
use crate::jobs::plan::Ask;
use crate::jobs::plan::TokenAsk;
use crate::node::plan::Want;
use crate::peer::Encryption;
use crate::swarm::Terms;
use crate::tracker::admission::Bounds;
use crate::tracker::interval;
use crate::tracker::sites::Network;
use crate::wire::catalogue::signature::PublicKey;
use crate::wire::token::Bearer;
use clap::ArgMatches;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Typed {
    /// Help or version: print it and be done.
    Text(String),
    Limits {
        markdown: bool,
    },
    States {
        markdown: bool,
    },
    Work {
        wish: Box<Wish>,
        common: Common,
    },
}

/// Flags that every role takes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Common {
    pub quiet: bool,
    pub verbose: u8,
    pub json: bool,
    pub log_file: Option<PathBuf>,
    /// Only seeders and leechers take it.
    pub stats_log: Option<PathBuf>,
    pub no_color: bool,
    /// Further authorities for TLS.
    pub ca_file: Option<PathBuf>,
    /// Hosts whose certificate is not checked.
    pub insecure: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    Track {
        bind: HostPort,
        keep_names: Span,
        db: Db,
        bounds: Bounds,
        sites: Vec<(Network, String)>,
        access: Access,
        trace: bool,
    },
    Seed {
        seed: Seed,
        peer: Peer,
    },
    Fetch {
        fetch: Fetch,
        peer: Peer,
    },
    /// Two or more, in the order of the command line.
    FetchSeveral {
        fetches: Vec<Fetch>,
        peer: Peer,
    },
    Ask {
        ask: Ask,
        tracker: HostPort,
        token: TokenFrom,
    },
    /// No hash = one that nobody has.
    Probe {
        url: TrackerUrl,
        hash: Option<InfoHash>,
        /// Only what was typed: a probe may go anywhere.
        token: TokenFrom,
    },
    Token(TokenAsk),
    Keygen {
        out: Option<PathBuf>,
    },
    Torrent(TorrentWish),
}

/// Whom a tracker answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    pub private: bool,
    pub public: bool,
    pub allow: Vec<PathBuf>,
    pub deny: Vec<PathBuf>,
}

/// Where a token for the tracker stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TokenFrom {
    /// In the environment, or nowhere.
    #[default]
    Elsewhere,
    Given(Bearer),
    File(PathBuf),
}

/// A publisher's key, or where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Publisher {
    Key(PublicKey),
    File(PathBuf),
}

/// Where a tracker keeps its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Db {
    /// The customary place.
    Usual,
    /// Nowhere.
    Memory,
    File(PathBuf),
}

/// Flags of both kinds of peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    pub tracker: HostPort,
    /// It was named, and is not the customary one.
    pub tracker_named: bool,
    pub token: TokenFrom,
    pub listen: Option<HostPort>,
    pub terms: Terms,
    pub encryption: Encryption,
    /// All tiers of trackers are asked at once.
    pub announce_all: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seed {
    pub file: PathBuf,
    pub torrent: Option<PathBuf>,
    pub order: KeyOrder,
    pub publish_as: Option<String>,
    pub slots: u32,
    pub write_torrent: Option<PathBuf>,
    pub sign: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Without a name if there is a torrent or a magnet link.
    pub want: Want,
    pub torrent: Option<PathBuf>,
    pub order: KeyOrder,
    pub magnet: Option<Box<Magnet>>,
    pub out: Option<PathBuf>,
    pub overwrite: bool,
    pub keep_seeding: bool,
    pub files: Option<Chosen>,
    pub timeout: Option<Span>,
    pub wait: Option<Span>,
    pub sources: u32,
    pub publisher: Option<Publisher>,
}

/// Where a tracker is when nothing is said: this machine, the customary port.
pub const TRACKER_DEFAULT: &str = "127.0.0.1:6969";

/// Reads a command line (`args` includes the program's name) or says in one line what is wrong.
pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Typed, String> {
    let matches = match flags::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return refused(&error),
    };
    let Some((command, given)) = matches.subcommand() else {
        return Err("no command; try 'lmk --help'".into());
    };
    let read = match command {
        "limits" => Ok(Typed::Limits { markdown: given.get_flag("markdown") }),
        "states" => Ok(Typed::States { markdown: given.get_flag("markdown") }),
        "tracker" => track(given),
        "seeder" => seed(given),
        "ls" => ask::ls(given),
        "info" => ask::info(given),
        "status" => ask::ask(given, Ask::Status),
        "token" => access::token(given),
        "keygen" => access::keygen(given),
        "probe" => ask::probe(given),
        "create" => torrent::create(given),
        "show" => torrent::show(given),
        "verify" => torrent::verify(given),
        _ => fetch::fetch(given),
    };
    read.map_err(|line| format!("{line} (see 'lmk {command} --help')"))
}

fn track(given: &ArgMatches) -> Result<Typed, String> {
    let bind = text(given, "bind")?.unwrap_or(TRACKER_DEFAULT);
    let bind = values::host_port(bind).map_err(|why| format!("--bind: {why}"))?;
    let keep_names = duration(given, "keep-names")?.unwrap_or(limits::KEEP_NAMES);
    let db = match path(given, "db")? {
        None => Db::Usual,
        Some(none) if none.as_os_str() == "none" => Db::Memory,
        Some(file) => Db::File(file),
    };
    let wish = Wish::Track {
        bind,
        keep_names,
        db,
        bounds: bounds(given)?,
        sites: sites(given)?,
        access: access::access(given)?,
        trace: given.get_flag("trace"),
    };
    Ok(Typed::Work { wish: Box::new(wish), common: common(given)? })
}

/// The limits of a tracker.
fn bounds(given: &ArgMatches) -> Result<Bounds, String> {
    let peers = count(given, "max-peers", limits::TRACKED_PEERS_MAX as u32, u32::MAX >> 1)?;
    let swarm_peers =
        count(given, "max-swarm-peers", limits::SWARM_PEERS_MAX as u32, u32::MAX >> 1)?;
    let most = limits::ADDRESS_TORRENTS_MAX;
    let interval = duration(given, "max-interval")?.unwrap_or(limits::INTERVAL_MAX);
    if !(interval::SHORTEST_S..=limits::INTERVAL_TOP.as_secs()).contains(&interval.as_secs()) {
        return Err("--max-interval: write a duration from 5s to 1600s".into());
    }
    Ok(Bounds {
        peers: peers as usize,
        swarm_peers: swarm_peers as usize,
        source_entries: count(given, "max-torrents-per-ip", most, u32::MAX >> 1)?,
        public: given.get_flag("public"),
        interval_s: interval.as_secs(),
        ..Bounds::default()
    })
}

fn sites(given: &ArgMatches) -> Result<Vec<(Network, String)>, String> {
    let typed = given.get_many::<OsString>("site").unwrap_or_default();
    if typed.len() > limits::SITES_MAX {
        return Err(format!("--site: at most {} networks", limits::SITES_MAX));
    }
    typed.map(|text| values::site(text).map_err(|why| format!("--site {why}"))).collect()
}

fn seed(given: &ArgMatches) -> Result<Typed, String> {
    let publish_as = match text(given, "as")? {
        None => None,
        Some(name) => Some(values::name(name).map_err(|why| format!("--as: {why}"))?),
    };
    let among_strangers = path(given, "torrent")?.is_some() && raw(given, "tracker").is_none();
    let slots = match among_strangers {
        true => limits::STRANGERS_SLOTS_DEFAULT,
        false => limits::SLOTS_DEFAULT,
    };
    let seed = Seed {
        file: path(given, "file")?.ok_or("--file is missing")?,
        torrent: path(given, "torrent")?,
        order: torrent::order(given),
        publish_as,
        slots: count(given, "slots", slots, limits::SLOTS_MAX)?,
        write_torrent: path(given, "write-torrent")?,
        sign: path(given, "sign")?,
    };
    Ok(Typed::Work {
        wish: Box::new(Wish::Seed { seed, peer: peer(given)? }),
        common: Common { stats_log: path(given, "stats-log")?, ..common(given)? },
    })
}

/// Where the tracker is, and where the token for it stands: what a flag says comes before what
/// stands in the URL.
pub(super) fn tracker(given: &ArgMatches) -> Result<(HostPort, TokenFrom), String> {
    let tracker = text(given, "tracker")?.unwrap_or(TRACKER_DEFAULT);
    let (at, bearer) = tracker_url::ours(tracker).map_err(|why| format!("--tracker: {why}"))?;
    let token = match (access::token_from(given)?, bearer) {
        (TokenFrom::Elsewhere, Some(bearer)) => TokenFrom::Given(bearer),
        (from, _) => from,
    };
    Ok((at, token))
}

pub(super) fn count(
    given: &ArgMatches,
    flag: &'static str,
    default: u32,
    max: u32,
) -> Result<u32, String> {
    match text(given, flag)? {
        None => Ok(default),
        Some(n) => values::count(n, max).map_err(|why| format!("--{flag}: {why}")),
    }
}

pub(super) fn peer(given: &ArgMatches) -> Result<Peer, String> {
    let (tracker, token) = tracker(given)?;
    let listen = match text(given, "listen")? {
        None => None,
        Some(at) => Some(values::host_port(at).map_err(|why| format!("--listen: {why}"))?),
    };
    let tracker_named = raw(given, "tracker").is_some();
    let encryption = values::encryption(text(given, "encryption")?.unwrap_or("allow"))?;
    let terms = terms::terms(given)?;
    let announce_all = given.get_flag("announce-all");
    Ok(Peer { tracker, tracker_named, token, listen, encryption, terms, announce_all })
}

pub(super) fn common(given: &ArgMatches) -> Result<Common, String> {
    Ok(Common {
        quiet: given.get_flag("quiet"),
        verbose: given.get_count("verbose"),
        json: given.get_flag("json"),
        log_file: path(given, "log-file")?,
        stats_log: None,
        no_color: given.get_flag("no-color"),
        // Only those who may meet TLS have that one.
        ca_file: match given.try_contains_id("ca-file") {
            Ok(true) => path(given, "ca-file")?,
            _ => None,
        },
        insecure: match given.try_contains_id("insecure-tracker") {
            Ok(true) => access::insecure(given)?,
            _ => Vec::new(),
        },
    })
}

pub(super) fn duration(given: &ArgMatches, flag: &'static str) -> Result<Option<Span>, String> {
    let Some(text) = text(given, flag)? else { return Ok(None) };
    values::duration(text).map(Some).map_err(|why| format!("--{flag}: {why}"))
}

pub(super) fn raw<'a>(given: &'a ArgMatches, flag: &str) -> Option<&'a OsStr> {
    given.get_one::<OsString>(flag).map(OsString::as_os_str)
}

pub(super) fn text<'a>(
    given: &'a ArgMatches,
    flag: &'static str,
) -> Result<Option<&'a str>, String> {
    let Some(value) = raw(given, flag) else { return Ok(None) };
    value.to_str().map(Some).ok_or_else(|| format!("--{flag}: the value is not UTF-8"))
}

pub(super) fn path(given: &ArgMatches, flag: &'static str) -> Result<Option<PathBuf>, String> {
    raw(given, flag).map(|value| path_of(value, flag)).transpose()
}

/// A path may be any bytes but none and NUL, which no system call takes.
pub(super) fn path_of(value: &OsStr, flag: &'static str) -> Result<PathBuf, String> {
    match value.as_bytes() {
        [] => Err(format!("--{flag}: the path is empty")),
        bytes if bytes.contains(&0) => Err(format!("--{flag}: the path contains a NUL byte")),
        _ => Ok(PathBuf::from(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::plan::Pin;

    fn typed(line: &str) -> Result<Typed, String> {
        read(line.split_whitespace().map(OsString::from))
    }

    fn wish(line: &str) -> Wish {
        match typed(line) {
            Ok(Typed::Work { wish, .. }) => *wish,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn three_commands_work_with_nothing_else_said() {
        let here = HostPort { host: "127.0.0.1".into(), port: Some(6969) };
        let Wish::Track { bind, keep_names, db, bounds, sites, .. } = wish("lmk tracker") else {
            panic!()
        };
        assert_eq!((bind, keep_names, db), (here.clone(), Span::secs(86400), Db::Usual));
        assert_eq!((bounds, sites), (Bounds::default(), vec![]));
        let Wish::Track { db, .. } = wish("lmk tracker --db none") else { panic!() };
        assert_eq!(db, Db::Memory);
        let Wish::Track { db, .. } = wish("lmk tracker --db ./none") else { panic!() };
        assert_eq!(db, Db::File("./none".into()));
        let Wish::Seed { seed, peer } = wish("lmk seeder --file big.zip") else { panic!() };
        assert_eq!((seed.slots, seed.file), (8, PathBuf::from("big.zip")));
        assert_eq!((peer.tracker, peer.listen), (here.clone(), None));
        let Wish::Fetch { fetch, peer } = wish("lmk leecher --want big.zip") else { panic!() };
        assert_eq!((fetch.want.name.as_str(), fetch.timeout), ("big.zip", None));
        assert_eq!(peer.tracker, here);
    }

    #[test]
    fn the_limits_and_sites_of_a_tracker_are_read() {
        let Wish::Track { bounds, sites, .. } = wish(
            "lmk tracker --max-peers 9 --max-swarm-peers 8 --max-torrents-per-ip 7 \
             --max-interval 15m --public --site 10.1.0.0/16=left --site fd00::/8=right",
        ) else {
            panic!()
        };
        let expected = Bounds { peers: 9, swarm_peers: 8, source_entries: 7, ..bounds };
        assert_eq!(bounds, Bounds { public: true, interval_s: 900, ..expected });
        let named = [("10.1.0.0/16", "left"), ("fd00::/8", "right")];
        assert_eq!(sites, named.map(|(cidr, name)| (Network::parse(cidr).unwrap(), name.into())));
        for wrong in [
            "--site 10.0.0.0/33=x",
            "--site 10.0.0.0/8",
            "--site 10.0.0.0/8=",
            "--max-interval 4",
            "--max-interval 2h",
            "--max-peers 0",
        ] {
            let said = typed(&format!("lmk tracker {wrong}")).expect_err(wrong);
            assert!(said.contains(&wrong[..wrong.find(' ').unwrap()]), "{said}");
        }
    }

    #[test]
    fn every_flag_is_read() {
        let Wish::Fetch { fetch, peer } = wish(
            "lmk leecher --want a@12345678 --out d/ --overwrite --keep-seeding --timeout 5m \
             --tracker [::1]:7 --listen 0.0.0.0:8",
        ) else {
            panic!()
        };
        assert_eq!(fetch.want.pin, Some(Pin::Hash("12345678".into())));
        assert!(fetch.overwrite && fetch.keep_seeding);
        assert_eq!(fetch.timeout, Some(Span::secs(300)));
        assert_eq!(peer.tracker, HostPort { host: "::1".into(), port: Some(7) });
        let Ok(Typed::Work { common, .. }) = typed("lmk tracker -q -vv --json --log-file l") else {
            panic!()
        };
        assert_eq!((common.quiet, common.verbose, common.json), (true, 2, true));
    }

    #[test]
    fn a_path_may_be_any_bytes() {
        let odd = OsStr::from_bytes(b"caf\xe9.zip").to_owned();
        let args = ["lmk".into(), "seeder".into(), "--file".into(), odd.clone()];
        let Ok(Typed::Work { wish, .. }) = read(args) else { panic!() };
        let Wish::Seed { seed, .. } = *wish else { panic!() };
        assert_eq!(seed.file, PathBuf::from(odd));
    }

    #[test]
    fn every_mistake_is_one_line_that_names_the_flag() {
        for (line, names) in [
            ("lmk", "command is missing"),
            ("lmk seedr", "did you mean"),
            ("lmk seeder", "--file"),
            ("lmk seeder --file", "--file"),
            ("lmk seeder --file=", "--file"),
            ("lmk seeder --file x --slots 0", "--slots"),
            ("lmk seeder --file x --as a/b", "--as"),
            ("lmk leecher", "--want"),
            ("lmk leecher --want ../../x", "--want"),
            ("lmk leecher --want x --timeout soon", "--timeout"),
            ("lmk leecher --want x --tracker h:0", "--tracker"),
            ("lmk leecher --want x --want y", "--want"),
            ("lmk leecher --want x --over-write", "--overwrite"),
            ("lmk tracker --bind ::1:x", "--bind"),
            ("lmk tracker --file x", "--file"),
            ("lmk tracker extra", "extra"),
        ] {
            let said = typed(line).expect_err(line);
            assert!(said.contains(names), "{line}: {said}");
            assert!(!said.contains('\n'), "{line}: {said}");
        }
    }
}
