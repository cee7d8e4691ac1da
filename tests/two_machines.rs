//! Two machines, made of two network namespaces and a cable between them: a tracker and a seeder on
//! one, a leecher on the other, each started as a person would; and the same with neither tracker
//! nor name. Needs root and iproute2.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const HERE: &str = "10.213.77.1";
const THERE: &str = "10.213.77.2";

static CABLES: AtomicU32 = AtomicU32::new(0);

/// Two namespaces joined by a veth pair; gone when dropped.
struct Cable {
    here: String,
    there: String,
}

fn ip(line: &str) -> Result<(), String> {
    let ran = Command::new("ip").args(line.split_whitespace()).output();
    let ran = ran.map_err(|error| format!("ip is not installed ({error})"))?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    if ran.status.success() { Ok(()) } else { Err(format!("ip {line}: {said}")) }
}

impl Cable {
    fn lay() -> Result<Cable, String> {
        // Names of links have 15 letters at the most.
        let id =
            format!("{}{}", std::process::id() % 1_000_000, CABLES.fetch_add(1, Ordering::Relaxed));
        let cable = Cable { here: format!("lmk-a-{id}"), there: format!("lmk-b-{id}") };
        let (a, b) = (format!("lmka{id}"), format!("lmkb{id}"));
        ip(&format!("netns add {}", cable.here))?;
        ip(&format!("netns add {}", cable.there))?;
        ip(&format!("-n {} link add {a} type veth peer name {b}", cable.here))?;
        ip(&format!("-n {} link set {b} netns {}", cable.here, cable.there))?;
        for (space, link, address) in [(&cable.here, &a, HERE), (&cable.there, &b, THERE)] {
            ip(&format!("-n {space} addr add {address}/24 dev {link}"))?;
            ip(&format!("-n {space} link set {link} up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The links go with their namespaces.
        let _ = (ip(&format!("netns del {}", self.here)), ip(&format!("netns del {}", self.there)));
    }
}

/// A running lmk; ended when dropped.
struct Lmk {
    child: Child,
    out: PathBuf,
}

impl Lmk {
    /// Starts `lmk ARGS` in namespace `space`, in the folder `work/who`.
    fn start(work: &Path, who: &str, space: &str, args: &str) -> Lmk {
        let folder = work.join(who);
        fs::create_dir_all(&folder).unwrap();
        let out = work.join(format!("{who}.out"));
        let file = File::create(&out).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", space, env!("CARGO_BIN_EXE_lmk")])
            .args(args.split_whitespace())
            .current_dir(&folder)
            .env("XDG_STATE_HOME", folder.join(".state"))
            .env("XDG_CACHE_HOME", folder.join(".cache"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Lmk { child, out }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap()).into_owned()
    }

    fn wait_to_say(&mut self, word: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.said().lines().any(|line| line.starts_with(word)) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}) and said:\n{}", self.said());
            assert!(Instant::now() < until, "no '{word}' in 30 s:\n{}", self.said());
            sleep(Duration::from_millis(10));
        }
    }

    fn wait_to_end(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it did not end in 60 s:\n{}", self.said());
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Lmk {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

#[test]
fn a_leecher_on_another_machine_gets_the_file() {
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(why) => return println!("skipped: no network namespaces here ({why})"),
    };
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("two-{}", std::process::id()));
    fs::create_dir_all(work.join("seeder")).unwrap();
    let bytes: Vec<u8> =
        (0..5_000_011u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(work.join("seeder/big.zip"), &bytes).unwrap();

    let tracker = Lmk::start(&work, "tracker", &cable.here, "tracker --bind 0.0.0.0");
    let mut seeder = Lmk::start(&work, "seeder", &cable.here, "seeder --file big.zip");
    seeder.wait_to_say("seeding");
    let fetch = format!("leecher --want big.zip --tracker {HERE}");
    let mut leecher = Lmk::start(&work, "leecher", &cable.there, &fetch);
    let code = leecher.wait_to_end();
    let story = [tracker.said(), seeder.said(), leecher.said()].join("\n---\n");
    assert_eq!(code, Some(0), "{story}");
    assert!(fs::read(work.join("leecher/big.zip")).unwrap() == bytes, "{story}");
    assert!(tracker.said().contains(HERE), "it does not say where others reach it:\n{story}");

    drop((tracker, seeder, leecher));
    fs::remove_dir_all(&work).unwrap();
}

/// Without a tracker: who has the same torrent is found on the network between the machines.
#[test]
fn a_torrent_without_a_tracker_is_found_on_the_local_network() {
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(why) => return println!("skipped: no network namespaces here ({why})"),
    };
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("local-{}", std::process::id()));
    for who in ["seeder", "far", "near"] {
        fs::create_dir_all(work.join(who)).unwrap();
    }
    let bytes: Vec<u8> =
        (0..2_000_011u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    fs::write(work.join("seeder/big.zip"), &bytes).unwrap();
    let mut maker = Lmk::start(&work, "seeder", &cable.here, "create big.zip -o ../big.torrent");
    assert_eq!(maker.wait_to_end(), Some(0), "{}", maker.said());
    let link =
        maker.said().split_whitespace().find(|word| word.starts_with("magnet:")).map(str::to_owned);
    let link = link.unwrap_or_else(|| panic!("no link: {}", maker.said()));

    let seed = "seeder --torrent ../big.torrent --file big.zip -v";
    let mut seeder = Lmk::start(&work, "seeder", &cable.here, seed);
    seeder.wait_to_say("seeding");
    if seeder.said().contains("the local network is not searched") {
        return println!("skipped: no group can be joined here: {}", seeder.said());
    }
    let fetch = "leecher --torrent ../big.torrent -v --timeout 40s";
    let mut far = Lmk::start(&work, "far", &cable.there, fetch);
    // On the seeder's own machine, and by a link alone.
    let fetch = format!("leecher --magnet {link} -v --timeout 40s");
    let mut near = Lmk::start(&work, "near", &cable.here, &fetch);
    let codes = [far.wait_to_end(), near.wait_to_end()];
    let story = [seeder.said(), far.said(), near.said()].join("\n---\n");
    assert_eq!(codes, [Some(0), Some(0)], "{story}");
    for who in ["far", "near"] {
        assert!(fs::read(work.join(who).join("big.zip")).unwrap() == bytes, "{who}: {story}");
    }
    drop((seeder, far, near));

    // Who does not want it finds nobody.
    let mut seeder = Lmk::start(&work, "seeder", &cable.here, seed);
    seeder.wait_to_say("seeding");
    let fetch = format!("leecher --magnet {link} --out ../none --no-local");
    let mut none = Lmk::start(&work, "none", &cable.there, &fetch);
    assert_eq!(none.wait_to_end(), Some(9), "{}", none.said());
    drop((seeder, none));
    fs::remove_dir_all(&work).unwrap();
}
