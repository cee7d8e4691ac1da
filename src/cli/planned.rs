//! From *typed* to *planned*: names resolved, paths absolute, every choice made. The plan is all
//! that a role is ever told of the machine it runs on.

use super::machine::Machine;
use super::planned_access as access;
use super::planned_several;
use super::planned_trackers::{magnet_plan, torrent_plan};
use super::tracker_url::{Scheme, TrackerUrl};
use super::typed::{Db, Fetch, Peer, Seed, Wish};
use super::values::HostPort;
use crate::announce::name_files::NameFiles;
use crate::content::chosen::Chosen;
use crate::core::fault::Fatal;
use crate::core::id::{InfoHash, PeerId};
use crate::core::limits;
use crate::core::report::{Ending, foreign};
use crate::core::rng::Rng;
use crate::engine::Plan;
use crate::jobs::plan::{JobPlan, ProbePlan, Speech};
use crate::node::plan::{FetchPlan, Job, Listen, NodePlan, SeedPlan};
use crate::tracker::admission::Bounds;
use crate::tracker::lists::connections_max;
use crate::tracker::plan::{Database, TrackerPlan};
use crate::wire::tracker_url::TRACKER_PORT;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Letters and digits, the customary alphabet of peer ids (BEP 20).
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Completes what was typed. `resolve` asks the name service for the addresses of a host.
pub fn plan(
    wish: Wish,
    json: bool,
    machine: &Machine,
    resolve: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<Plan, Fatal> {
    let look_up = |at: &HostPort, port_default| address(at, port_default, &resolve);
    Ok(match wish {
        Wish::Track { bind, keep_names, db, bounds, sites, access, trace } => {
            Plan::Tracker(TrackerPlan {
                bind: look_up(&bind, TRACKER_PORT)?,
                addresses: machine.addresses.clone(),
                wall_start_s: machine.wall_start_s,
                seed: machine.random.seed,
                secret: machine.random.secret,
                key_file: machine.state.as_ref().map(|state| state.join("tracker.key")),
                database: database(db, machine),
                keep_names_s: keep_names.as_secs(),
                access: super::planned_access::access(access, machine)?,
                bounds: Bounds { connections: connections_max(machine.descriptors), ..bounds },
                sites,
                trace,
            })
        }
        Wish::Seed { seed, peer } => {
            let slots = seed.slots;
            let from = seed.torrent.clone().map(|path| (path, seed.order));
            let mut plan = seed_plan(seed, machine)?;
            plan.torrent = from.map(|from| torrent_plan(&from, &peer, true, machine));
            let job = Job::Seed(plan);
            Plan::Node(node(job, slots, peer, machine, look_up)?)
        }
        Wish::Fetch { fetch, peer } => Plan::Node(fetch_node(fetch, peer, machine, &resolve)?),
        Wish::FetchSeveral { fetches, peer } => {
            Plan::Several(planned_several::plans(fetches, peer, machine, &resolve)?)
        }
        Wish::Token(ask) => Plan::Token(access::token_plan(ask, machine)?),
        Wish::Keygen { out } => Plan::Keygen(access::keygen_plan(out, machine)?),
        Wish::Ask { ask, tracker, token } => Plan::Job(JobPlan {
            ask,
            token: access::token(&token, machine)?,
            tracker: look_up(&tracker, TRACKER_PORT)?,
            tracker_text: tracker.with_port(TRACKER_PORT),
            seed: machine.random.seed,
            table: !json,
        }),
        Wish::Torrent(wish) => super::planned_torrent::plan(wish, !json, machine)?,
        Wish::Probe { mut url, hash, token } => {
            access::show(&mut url, &token, machine)?;
            let tracker = look_up(&url.at, url.scheme.port())?;
            Plan::Probe(probe(url, hash, tracker, machine.random.seed, !json))
        }
    })
}

fn probe(
    url: TrackerUrl,
    hash: Option<InfoHash>,
    tracker: SocketAddr,
    seed: u64,
    table: bool,
) -> ProbePlan {
    let nobodys = || {
        let mut hash = InfoHash([0; 20]);
        Rng::new(seed).fork(1).fill(&mut hash.0);
        hash
    };
    let host = url.at.with_port(url.scheme.port());
    let tracker_text = format!("{}://{host}", url.scheme.name());
    ProbePlan {
        tracker,
        tracker_text,
        speech: match url.scheme {
            Scheme::Udp => Speech::Udp { url_data: url.path.into_bytes() },
            Scheme::Http | Scheme::Https => {
                let (path, query) = url.path.split_once('?').unwrap_or((&url.path, ""));
                let path = if path.is_empty() || path == "/" { "/announce" } else { path };
                let (path, query) = (path.to_owned(), query.to_owned());
                let tls = (url.scheme == Scheme::Https).then(|| url.at.host.clone());
                Speech::Http { host: url.host_line(), path, query, tls }
            }
        },
        hash: hash.unwrap_or_else(nobodys),
        seed,
        table,
    }
}

/// Without a state directory the customary place is nowhere.
fn database(db: Db, machine: &Machine) -> Option<Database> {
    match db {
        Db::Memory => None,
        Db::File(file) => Some(Database { path: absolute(&file, machine), required: true }),
        Db::Usual => {
            let path = machine.state.as_ref()?.join("tracker.db");
            Some(Database { path, required: false })
        }
    }
}

fn node(
    job: Job,
    slots: u32,
    peer: Peer,
    machine: &Machine,
    look_up: impl Fn(&HostPort, u16) -> Result<SocketAddr, Fatal>,
) -> Result<NodePlan, Fatal> {
    let listen = match &peer.listen {
        None => None,
        Some(at) => {
            let ip = look_up(at, 0)?.ip();
            let ports = at.port.map_or(Listen::PORTS, |port| (port, port));
            Some(Listen { ip, ports })
        }
    };
    Ok(NodePlan {
        job,
        tracker: look_up(&peer.tracker, TRACKER_PORT)?,
        tracker_text: peer.tracker.with_port(TRACKER_PORT),
        listen,
        addresses: machine.addresses.clone(),
        peer_id: peer_id(machine.random.peer_id),
        seed: machine.random.seed,
        secret: machine.random.secret,
        key_file: machine.state.as_ref().map(|state| state.join("node.key")),
        encryption: peer.encryption,
        slots,
        terms: peer.terms,
        token: access::token(&peer.token, machine)?,
        names: NameFiles::default(),
    })
}

/// A leecher of one thing.
pub(super) fn fetch_node(
    fetch: Fetch,
    peer: Peer,
    machine: &Machine,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<NodePlan, Fatal> {
    let slots = match fetch.torrent.is_some() || fetch.magnet.is_some() {
        true => limits::STRANGERS_SLOTS_DEFAULT,
        false => limits::SLOTS_DEFAULT,
    };
    let job = Job::Fetch(fetch_job(fetch, &peer, machine, resolve)?);
    node(job, slots, peer, machine, |at, port_default| address(at, port_default, resolve))
}

fn seed_plan(seed: Seed, machine: &Machine) -> Result<SeedPlan, Fatal> {
    let path = absolute(&seed.file, machine);
    let Some(last) = path.file_name() else {
        let shown = foreign(&seed.file.to_string_lossy());
        let line = format!("--file '{shown}' is a directory; name a file in it");
        return Err(Fatal { ending: Ending::Usage, line });
    };
    Ok(SeedPlan {
        torrent: None,
        file_name: last.as_bytes().to_vec(),
        publish_as: seed.publish_as,
        torrent_out: seed.write_torrent.map(|out| absolute(&out, machine)),
        sign: seed.sign.map(|path| access::sign(&path, machine)).transpose()?,
        hash_cache: machine.cache.as_ref().map(|cache| cache.join("hashes")),
        path,
    })
}

fn fetch_job(
    fetch: Fetch,
    peer: &Peer,
    machine: &Machine,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<FetchPlan, Fatal> {
    let from = fetch.torrent.clone().map(|path| (path, fetch.order));
    let link = fetch.magnet.clone();
    let mut plan = fetch_plan(fetch, machine)?;
    plan.torrent = from.map(|from| torrent_plan(&from, peer, false, machine));
    if let Some(link) = link {
        // Until its metadata says more.
        plan.want.name = link.shown_name();
        let select = Some(&link.select).filter(|select| !select.is_empty());
        plan.files = plan.files.or(select.map(|select| Chosen::entries(select)));
        plan.torrent = Some(magnet_plan(&link, peer, resolve));
    }
    Ok(plan)
}

fn fetch_plan(fetch: Fetch, machine: &Machine) -> Result<FetchPlan, Fatal> {
    let directory_meant = |out: &PathBuf| {
        let bytes = out.as_os_str().as_bytes();
        [b"/".as_slice(), b"/.", b"/.."].iter().any(|end| bytes.ends_with(end))
            || bytes == b"."
            || bytes == b".."
    };
    Ok(FetchPlan {
        torrent: None,
        files: fetch.files,
        want: access::want(fetch.want, fetch.publisher, machine)?,
        directory: machine.directory.clone(),
        out_must_be_directory: fetch.out.as_ref().is_some_and(directory_meant),
        out: fetch.out.map(|out| absolute(&out, machine)),
        overwrite: fetch.overwrite,
        keep_seeding: fetch.keep_seeding,
        timeout: fetch.timeout,
        wait: fetch.wait,
        sources: fetch.sources,
    })
}

/// Joined, not resolved: links stay as the user named them.
pub fn absolute(path: &Path, machine: &Machine) -> PathBuf {
    machine.directory.join(path)
}

/// One address of a host. IPv4 is preferred: the default tracker listens there, and one client uses
/// one family for everything it does with a tracker.
fn address(
    at: &HostPort,
    port_default: u16,
    resolve: &impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<SocketAddr, Fatal> {
    let port = at.port.unwrap_or(port_default);
    let failed = |why: String| Fatal {
        ending: Ending::Network,
        line: format!("cannot find the host '{}' ({why}); check its name", foreign(&at.host)),
    };
    let found = resolve(&at.host, port).map_err(|error| failed(error.to_string()))?;
    let first_v4 = found.iter().find(|addr| addr.is_ipv4());
    first_v4.or(found.first()).copied().ok_or_else(|| failed("it has no address".into()))
}

/// `-LM0100-` and twelve letters or digits (BEP 20): version 0.1.0.
fn peer_id(random: [u8; 12]) -> PeerId {
    let mut id = *b"-LM0100-............";
    for (place, byte) in id[8..].iter_mut().zip(random) {
        *place = ALPHABET[usize::from(byte) % ALPHABET.len()];
    }
    PeerId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::machine::Random;
    use crate::cli::typed::{self, Typed};
    use crate::core::time::Span;
    use crate::node::plan::TorrentFrom;
    use std::ffi::OsString;

    fn machine() -> Machine {
        Machine {
            directory: "/home/ann".into(),
            state: Some("/home/ann/.local/state/lmk".into()),
            cache: None,
            addresses: vec![],
            descriptors: 1024,
            wall_start_s: 1_800_000_000,
            random: Random { secret: [7; 32], seed: 9, peer_id: *b"\0\x3d\x3e\xff12345678" },
            token: None,
            load: |_, _| Ok(Vec::new()),
            is_folder: |path| path.ends_with("folder"),
            terminal_err: false,
            no_color: false,
            panics: false,
        }
    }

    /// `two` has both families, IPv6 first; every number has itself.
    fn names(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            "two" => Ok(vec![
                SocketAddr::new("::1".parse().unwrap(), port),
                SocketAddr::new("127.0.0.1".parse().unwrap(), port),
            ]),
            _ => match host.parse() {
                Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
                Err(_) => Err(io::Error::other("not known")),
            },
        }
    }

    fn planned(line: &str) -> Result<Plan, Fatal> {
        match typed::read(line.split_whitespace().map(OsString::from)) {
            Ok(Typed::Work { wish, .. }) => plan(*wish, false, &machine(), names),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn node_of(line: &str) -> NodePlan {
        match planned(line) {
            Ok(Plan::Node(node)) => node,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_tracker_knows_where_to_listen_and_where_its_key_is() {
        let Ok(Plan::Tracker(plan)) = planned("lmk tracker --bind [::]") else { panic!() };
        assert_eq!(plan.bind.to_string(), "[::]:6969");
        assert_eq!(plan.key_file, Some("/home/ann/.local/state/lmk/tracker.key".into()));
        assert_eq!((plan.keep_names_s, plan.bounds.connections), (86400, 512));
        let usual = plan.database.expect("names are kept");
        assert_eq!(usual.path, PathBuf::from("/home/ann/.local/state/lmk/tracker.db"));
        assert!(!usual.required);
        let Ok(Plan::Tracker(plan)) = planned("lmk tracker --db x.db") else { panic!() };
        let named = Database { path: "/home/ann/x.db".into(), required: true };
        assert_eq!(plan.database, Some(named));
        let Ok(Plan::Tracker(plan)) = planned("lmk tracker --db none") else { panic!() };
        assert_eq!(plan.database, None);
    }

    #[test]
    fn paths_become_absolute_and_nothing_is_kept_without_a_place() {
        let node = node_of("lmk seeder --file sub/big.zip --write-torrent /tmp/x");
        let Job::Seed(seed) = node.job else { panic!() };
        assert_eq!(seed.path, PathBuf::from("/home/ann/sub/big.zip"));
        assert_eq!(seed.file_name, b"big.zip");
        assert_eq!(seed.torrent_out, Some("/tmp/x".into()));
        assert_eq!(seed.hash_cache, None);
        assert_eq!(node.key_file, Some("/home/ann/.local/state/lmk/node.key".into()));
    }

    #[test]
    fn a_host_with_both_families_is_reached_by_ipv4() {
        let node = node_of("lmk leecher --want x --tracker two:7");
        assert_eq!(node.tracker.to_string(), "127.0.0.1:7");
        assert_eq!(node.tracker_text, "two:7");
        for (typed, text) in [("two", "two:6969"), ("::1", "[::1]:6969"), ("[::1]:7", "[::1]:7")] {
            let node = node_of(&format!("lmk leecher --want x --tracker {typed}"));
            assert_eq!(node.tracker_text, text, "others must be able to type it");
        }
        let refused = planned("lmk leecher --want x --tracker nowhere").unwrap_err();
        assert_eq!(refused.ending, Ending::Network);
        assert!(refused.line.contains("nowhere"), "{}", refused.line);
    }

    #[test]
    fn a_port_to_listen_on_is_one_port_and_none_is_the_customary_range() {
        let ports = |line: &str| node_of(line).listen.map(|listen| listen.ports);
        assert_eq!(ports("lmk leecher --want x"), None);
        assert_eq!(ports("lmk leecher --want x --listen 0.0.0.0"), Some(Listen::PORTS));
        assert_eq!(ports("lmk leecher --want x --listen 0.0.0.0:7"), Some((7, 7)));
    }

    #[test]
    fn the_peers_of_a_link_are_looked_up() {
        let link = "magnet:?xt=urn:btih:91fa2f640fbf65ccc7a2a0ed1da15ad639f8ccd4\
                    &tr=udp://two:7/announce&x.pe=two:5&x.pe=[fd00::1]:6&x.pe=nowhere:7\
                    &ws=http://x/";
        let node = node_of(&format!("lmk leecher --magnet {link} --tracker two:9"));
        let torrent = node.torrent().unwrap();
        let TorrentFrom::Magnet(magnet) = &torrent.from else { panic!() };
        let peers: Vec<String> = magnet.peers.iter().map(|peer| peer.to_string()).collect();
        assert_eq!(peers, ["127.0.0.1:5", "[fd00::1]:6"]);
        assert!(!torrent.listed);
        assert_eq!(torrent.further, ["udp://two:9/announce"]);
        assert_eq!(magnet.link.web_seeds, ["http://x/"]);
        let Job::Fetch(fetch) = &node.job else { panic!() };
        assert!(fetch.want.name.starts_with("91fa"));
    }

    #[test]
    fn an_out_that_ends_like_a_directory_must_be_one() {
        for (out, must) in [("d/", true), (".", true), ("a/..", true), ("f", false)] {
            let Job::Fetch(fetch) = node_of(&format!("lmk leecher --want x --out {out}")).job
            else {
                panic!()
            };
            assert_eq!(fetch.out_must_be_directory, must, "{out}");
            assert_eq!(fetch.timeout, None::<Span>);
        }
    }

    #[test]
    fn a_path_without_a_last_element_is_no_file() {
        for file in ["/", "..", "a/.."] {
            let refused = planned(&format!("lmk seeder --file {file}")).unwrap_err();
            assert_eq!(refused.ending, Ending::Usage, "{file}");
        }
    }

    #[test]
    fn a_peer_id_says_who_we_are_in_printable_bytes() {
        let id = node_of("lmk leecher --want x").peer_id;
        assert!(id.is_lmk());
        assert_eq!(&id.0[..12], b"-LM0100-0z07");
        assert!(id.0.iter().all(u8::is_ascii_graphic));
    }
}
