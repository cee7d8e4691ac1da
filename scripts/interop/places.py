"""Where clients run: each in a network namespace of its own with one address, on a bridge with the
trackers. Everything is inside a network, mounts and processes of its own (`enter`), which end with the
script whatever ends it. Where that is not allowed `enter` says why, and a `Loopback` address has to do."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import bed

INSIDE = "LMK_INTEROP_INSIDE"
# The bridge's own addresses: trackers listen here.
TRACKER = {"v4": "10.77.0.1", "v6": "fd77::1"}
SECOND_V4 = "10.77.0.2"
# A network that looks like the internet (RFC 3849), and the tracker's name there.
GLOBAL_V6, HOST_NAME = "2001:db8:77::", "tracker.lmk.test"
NETWORK_BITS = {"v4": 16, "v6": 64}
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How long a script that was told to end may clean up.
ENDS_S = 30
SPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


class Failed(bed.Failed):
    pass


def ip(*lines):
    """Runs lines of ip(8)."""
    ran = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True)
    if ran.returncode != 0:
        raise Failed(f"ip: {ran.stderr.strip()} in {lines}")


def lay_bridge():
    # Names of namespaces are files; these are nobody else's and are gone with the mounts.
    names = pathlib.Path("/run/netns")
    names.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "lmk-i", names], check=True)
    # With an address given to it a bridge does not take one of its ports', which come and go.
    ip("link set lo up", "link add hub address 02:00:00:00:00:01 type bridge forward_delay 0", "link set hub up",
       *(f"addr add {TRACKER[v]}/{NETWORK_BITS[v]} dev hub{' nodad' * (v == 'v6')}" for v in TRACKER),
       f"addr add {SECOND_V4}/{NETWORK_BITS['v4']} dev hub",
       f"addr add {GLOBAL_V6}1/{NETWORK_BITS['v6']} dev hub nodad")


def name_tracker(work):
    """Gives the tracker's global IPv6 address a name, for this run alone: its mounts are its own."""
    hosts = work / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{GLOBAL_V6}1 {HOST_NAME}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


class Numbers:
    """Counts places, from any thread."""

    def __init__(self):
        self.lock, self.count = threading.Lock(), 0

    def next(self):
        with self.lock:
            self.count += 1
            return self.count


class Place:
    """A network namespace with one address, on the bridge."""

    numbers = Numbers()
    naming = threading.Lock()

    def __init__(self, family="v4", is_global=False):
        number = Place.numbers.next()
        high, low = divmod(number, 250)
        self.address = f"10.77.{high + 1}.{low + 1}" if family == "v4" else f"fd77::{number + 1:x}"
        if is_global:
            self.address = f"{GLOBAL_V6}{number + 1:x}"
        self.name, far = f"lmk-i-{number}", f"lmk-f-{number}"
        with Place.naming:
            # ip sets the folder of names up anew each time, and two at a time get in each other's way.
            subprocess.run(["ip", "netns", "add", self.name], check=True)
        ip(f"link add {far} type veth peer name {self.name}",
           f"link set {self.name} master hub", f"link set {self.name} up",
           f"link set {far} netns {self.name}")
        if family != "v6":
            # One family and nothing of the other: no link-local addresses beside IPv4.
            self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", far, "up")
        where = f"{self.address}/{NETWORK_BITS[family]}"
        self.run("ip", "addr", "add", where, "dev", far, *(["nodad"] if family == "v6" else []))
        if is_global:
            self.run("ip", "route", "add", "default", "via", f"{GLOBAL_V6}1")

    def inside(self, command):
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command):
        done = subprocess.run(self.inside(command), capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{command}: {done.stderr.strip()}")

    def clear(self):
        subprocess.run(["ip", "link", "del", self.name], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


class Loopback:
    """A loopback address of its own, where there are no namespaces."""

    numbers = Numbers()

    def __init__(self):
        high, low = divmod(Loopback.numbers.next(), 250)
        self.address = f"127.77.{high + 1}.{low + 1}"

    def inside(self, command):
        return [*map(str, command)]

    def clear(self):
        pass


def spaces_refused():
    """Why there can be no namespaces here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not all(map(shutil.which, ("unshare", "setpriv", "ip"))):
        return "there is no unshare(1), setpriv(1) or ip(8)"
    probe = "ip link add hub type bridge && ip link add lmk-f-0 type veth peer name lmk-i-0"
    tried = subprocess.run([*SPACES, "sh", "-c", probe], capture_output=True, text=True)
    return tried.stderr.strip().replace("\n", "; ") or "unshare(1) fails" if tried.returncode else None


def enter(script, environment):
    """Runs `script` again with a network, mounts and processes of its own, and returns its exit code.
    What ends this process ends it too: signals are passed on, and nothing survives it."""
    os.environ.update({INSIDE: "1", **environment})
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *SPACES, sys.executable, str(script), *sys.argv[1:]])

    def pass_on(number, _):
        # unshare itself takes no signals.
        told = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for child in map(int, told.split()):
            os.kill(child, number)
        signal.alarm(ENDS_S)

    for number in ENDINGS:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGALRM, lambda *_: process.kill())
    return process.wait()


def end_on_signals(stop):
    """Ends this process at the first signal that asks for it, cleaning up; `stop` is set before."""
    def end(number, _):
        for other in ENDINGS:
            signal.signal(other, signal.SIG_IGN)
        stop.set()
        raise SystemExit(128 + number)

    for number in ENDINGS:
        signal.signal(number, end)
