"""The stock clients, as Debian packages them, and ours: how each is started, and what each cannot."""

import json
import pathlib
import re
import shutil
import signal
import subprocess

HERE = pathlib.Path(__file__).resolve()
PEER_PORT, RPC_PORT = 6881, 9091
# Debian's libtorrent is for Debian's interpreter, whichever one runs this.
PYTHON = "/usr/bin/python3"
OURS = "lmk"


class Client:
    """How one stock client is started. `source` is a .torrent or a magnet link; `folder` holds the
    content if it has it, and gets it if not; `rate` bounds what it sends and takes, in bytes a second.

    It finds peers through the trackers of the source, and those that peers tell of (BEP 11) if `exchanges`."""

    package = program = None
    exchanges = False
    # Programs that it needs beside its own.
    beside = ()
    # What makes it say goodbye to its tracker.
    gently = signal.SIGTERM
    # Roads it cannot take, with the reason.
    cannot = {}
    # Roads on which it is found and dialled, but does not find, with the reason.
    found_only = {}
    # Roads on which it ends without a word to the tracker, with the reason.
    no_goodbye = {}
    # Roads on which it needs a global address and the tracker's name, with the reason.
    by_name = {}
    # What it keeps from its tracker for a while after a download, if it does.
    silent_after = None
    # Why it is given a magnet link with one topic where there could be two.
    one_topic = None
    # Whether what it remembers misleads it after a kill; without, it looks at its files.
    forgets = False
    # Whether it knows pad files (BEP 47); one that does not keeps them as files like others.
    knows_pads = True
    # How it keeps other names than those of the .torrent, and which files it does not make.
    renames = None

    def written(self, path, size):
        """The path at which it keeps a file of the .torrent; None if it makes no such file."""
        return path

    def command(self, source, folder, home, address, rate=None):
        raise NotImplementedError

    def then(self, source, folder, address):
        """A command that must succeed once it runs, if it needs one."""
        return None

    def version(self):
        asked = ["dpkg-query", "-W", "-f", "${Version}", self.package]
        told = subprocess.run(asked, capture_output=True, text=True)
        return told.stdout.strip() or "unknown"


def is_magnet(source):
    return str(source).startswith("magnet:")


class Aria2(Client):
    package, program = "aria2", "aria2c"
    knows_pads = False
    # At SIGTERM it goes without a word.
    gently = signal.SIGINT
    cannot = {("udp", "v6"): "its client for UDP trackers speaks IPv4 only"}

    def command(self, source, folder, home, address, rate=None):
        # Its UDP tracker client works with the DHT's socket only; it has nobody to ask there.
        limits = [f"--max-{way}-limit={rate}" for way in ("download", "upload") if rate]
        return [
            "aria2c", "--no-conf=true", f"--interface={address}", f"--listen-port={PEER_PORT}",
            "--enable-dht=true", f"--dht-listen-port={PEER_PORT}", f"--dht-file-path={home}/dht",
            "--bt-enable-lpd=false", f"--enable-peer-exchange={str(self.exchanges).lower()}", "--check-integrity=true",
            "--seed-ratio=0.0", "--file-allocation=none", "--summary-interval=5", *limits,
            "--console-log-level=info", f"--dir={folder}", str(source),
        ]


class Transmission(Client):
    package = program = "transmission-daemon"
    beside = ("transmission-remote",)
    # What it has is noted only now and then, and a seed that was killed before believes it has nothing.
    forgets = True
    knows_pads = False
    renames = "transmission 3.00 writes `_` for what Windows has no names for, and makes no empty files"
    by_name = {
        ("udp", "v6"): "it cuts an IPv6 address in a UDP tracker's URL at the first colon and sends from"
        " global addresses (2000::/3) only; its pairs have such addresses and a host name"
    }
    found_only = {
        ("udp", "v6"): "it announces but takes the IPv6 peers of the answer for IPv4 ones; the other side"
        " finds and dials it"
    }
    no_goodbye = {
        ("http", family): "it ends before its goodbye over HTTP has left" for family in ("v4", "v6")
    }

    def command(self, source, folder, home, address, rate=None):
        bind = "bind-address-ipv6" if ":" in address else "bind-address-ipv4"
        settings = {
            bind: address, "peer-port": PEER_PORT, "download-dir": str(folder),
            "dht-enabled": False, "lpd-enabled": False, "utp-enabled": False,
            "pex-enabled": self.exchanges, "port-forwarding-enabled": False, "rpc-enabled": is_magnet(source),
            "rpc-bind-address": address, "rpc-port": RPC_PORT, "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False, "watch-dir-enabled": not is_magnet(source),
            "watch-dir": str(home / "watched"), "cache-size-mb": 0,
        }
        for way in ("up", "down"):
            settings |= {f"speed-limit-{way}-enabled": bool(rate), f"speed-limit-{way}": (rate or 0) // 1000}
        (home / "watched").mkdir(exist_ok=True)
        if not is_magnet(source):
            shutil.copy(source, home / "watched")
        (home / "settings.json").write_text(json.dumps(settings))
        return ["transmission-daemon", "--foreground", "--log-debug", "--config-dir", str(home)]

    def written(self, path, size):
        parts = [re.sub(r'[<>:"|?*\x00-\x1f]', "_", part) for part in path.split("/")]
        reserved = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(?=$|\.)")
        return "/".join(reserved.sub(r"\1_", part, 1) if reserved.match(part) else part for part in parts) if size else None

    def then(self, source, folder, address):
        if is_magnet(source):
            # Its watched folder takes no magnet links.
            return ["transmission-remote", f"{address}:{RPC_PORT}", "--add", source]


class Libtorrent(Client):
    package, program = "python3-libtorrent", PYTHON

    def command(self, source, folder, home, address, rate=None):
        peer = HERE.with_name("libtorrent_peer.py")
        # With one of the two alone it stays at the first tracker.
        everywhere = {"announce_to_all_tiers": True, "announce_to_all_trackers": True}
        settings = json.dumps({"exchanges": self.exchanges, **everywhere})
        return [PYTHON, str(peer), str(source), str(folder), address, str(PEER_PORT), str(rate or 0), settings]


class Rtorrent(Client):
    package = program = "rtorrent"
    knows_pads = False
    # At SIGTERM it goes without a word.
    gently = signal.SIGINT
    found_only = {
        ("udp", "v6"): "it announces over IPv6 but does not dial the IPv6 peers of the answer; the"
        " other side finds and dials it"
    }
    silent_after = (
        "for a minute and a half after a download, or longer, it tells its tracker nothing: neither that"
        " it is complete nor, when it ends, goodbye"
    )
    one_topic = "rtorrent takes no magnet link with a v2 topic; of a hybrid it is given the v1 topic alone"

    def command(self, source, folder, home, address, rate=None):
        settings = {
            "system.daemon.set": "true",
            "network.port_range.set": f"{PEER_PORT}-{PEER_PORT}", "network.port_random.set": "no",
            "dht.mode.set": "disable", "protocol.pex.set": "yes" if self.exchanges else "no", "trackers.use_udp.set": "yes",
            "directory.default.set": folder, "session.path.set": home,
        }
        if address.startswith("127."):
            settings["network.bind_address.set"] = address
        for way in ("up", "down") if rate else ():
            settings[f"throttle.global_{way}.max_rate.set_kb"] = rate // 1024
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        lines.append(f'log.open_file = "log", {home}/log\nlog.add_output = "tracker_debug", "log"\n')
        (home / "rc").write_text("".join(lines))
        return ["rtorrent", "-n", "-o", f"import={home}/rc", str(source)]


class Qbittorrent(Client):
    package = program = "qbittorrent-nox"

    def command(self, source, folder, home, address, rate=None):
        session = {
            "InterfaceAddress": address, "Port": PEER_PORT, "DHTEnabled": "false", "LSDEnabled": "false",
            "PeXEnabled": str(self.exchanges).lower(), "BTProtocol": "TCP", "MultiConnectionsPerIp": "true",
            "QueueingSystemEnabled": "false", "IgnoreLimitsOnLAN": "false", "Preallocation": "false",
        }
        if address.startswith("127."):
            session["Interface"] = "lo"
        for way in ("DL", "UP") if rate else ():
            session[f"Global{way}SpeedLimit"] = rate // 1024
        web = {"Address": address, "Port": RPC_PORT, "UseUPnP": "false"}
        lines = ["[BitTorrent]", *(f"Session\\{name}={value}" for name, value in session.items()),
                 "[LegalNotice]", "Accepted=true", "[Network]", "PortForwardingEnabled=false",
                 "[Core]", "AutoDeleteAddedTorrentFile=Never",
                 "[Preferences]", *(f"WebUI\\{name}={value}" for name, value in web.items())]
        settings = home / "qBittorrent" / "config" / "qBittorrent.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("\n".join(lines) + "\n")
        return ["qbittorrent-nox", f"--profile={home}", f"--save-path={folder}", "--skip-dialog=true", str(source)]


class Lmk(Client):
    """Ours. It knows a content by a .torrent, a magnet link, or by its name at a tracker of ours, to
    which it announces over UDP whatever the others do."""

    package = program = OURS

    def __init__(self, binary):
        self.binary = binary

    def names(self, path, address, tracker):
        return [self.binary, "seeder", "--file", path, *self.at(address, tracker)]

    def wants(self, name, address, tracker):
        return [self.binary, "leecher", "--want", name, "--keep-seeding", *self.at(address, tracker)]

    def seeds(self, torrent, path, address):
        return [self.binary, "seeder", "--torrent", torrent, "--file", path, *self.at(address)]

    def fetches(self, source, folder, address):
        how = "--magnet" if is_magnet(source) else "--torrent"
        return [self.binary, "leecher", how, source, "--out", folder, "--keep-seeding", *self.at(address)]

    @staticmethod
    def at(address, tracker=None):
        bare = f"[{address}]" if ":" in address else address
        return ["--listen", f"{bare}:{PEER_PORT}", *(["--tracker", tracker] if tracker else []), "-v"]

    def version(self):
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout.strip()


STOCK = {
    "aria2": Aria2(), "transmission": Transmission(), "libtorrent": Libtorrent(),
    "rtorrent": Rtorrent(), "qbittorrent": Qbittorrent(),
}
# Pairs that connect and never say a word to each other, whoever made them meet.
SPEECHLESS = {
    ("rtorrent", "aria2"): "aria2 with no piece yet waits for a bitfield, rtorrent for the first"
    " message after the handshake: connected, both wait for the other"
}


def lacking(clients):
    """Debian packages that are not installed."""
    named = [c.package for c in clients if not all(map(shutil.which, (c.program, *c.beside)))]
    probe = [PYTHON, "-c", "import libtorrent"]
    if any(isinstance(c, Libtorrent) for c in clients) and subprocess.run(probe, capture_output=True).returncode:
        named.append(Libtorrent.package)
    return sorted(set(named))
