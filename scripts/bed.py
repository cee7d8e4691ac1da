"""What the scripts share: real lmk programs on loopback, each in a folder and with state of its own.

A program's events (`--json`) go to WHO.LIFE.json and its errors to WHO.LIFE.err, LIFE counting its
starts; they are read from there, so that nobody waits for a pipe."""

import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release"
GIB = 1 << 30
PATIENCE_S = 120


class Failed(Exception):
    """Something is not as it must be; the text says what."""


def build(*examples):
    command = ["cargo", "build", "--release", "--quiet", "--bin", "lmk"]
    for example in examples:
        command += ["--example", example]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Failed("it does not build")


def free_port(seeded=random):
    """A port free for TCP and UDP, outside the range that connections take theirs from."""
    while True:
        port = seeded.randrange(20000, 32000)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def room(base, need):
    """A new folder in memory, or wherever temporary files go if memory has no room for `need`
    bytes; under `base` if one is named."""
    if base is None:
        shared = "/dev/shm"
        in_memory = os.path.isdir(shared) and shutil.disk_usage(shared).free > need
        base = shared if in_memory else tempfile.gettempdir()
    return pathlib.Path(tempfile.mkdtemp(prefix="lmk-bed.", dir=base))


def random_file(path, size):
    with open("/dev/urandom", "rb") as source, open(path, "wb") as target:
        while size:
            part = source.read(min(size, 1 << 24))
            target.write(part)
            size -= len(part)


def same(one, other):
    """Whether two files have the same bytes."""
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    with open(one, "rb") as left, open(other, "rb") as right:
        while part := left.read(1 << 22):
            if part != right.read(1 << 22):
                return False
    return True


def cpu_of(pid):
    """CPU seconds of a live process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib(pid):
    """Largest resident size of a live process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


def peak_kib_until_end(program, patience_s):
    """Largest resident size of a program, looked at until it ends. What the system tells afterwards
    (ru_maxrss) is never less than the size of the process that started it, which is ours."""
    until, peak = time.monotonic() + patience_s, 0
    while not program.ended(0.002) and time.monotonic() < until:
        try:
            peak = max(peak, peak_kib(program.pid))
        except OSError:
            continue
    return peak


def load():
    return "load " + " ".join(f"{value:.1f}" for value in os.getloadavg())


class Program:
    """One lmk, started again as often as one likes."""

    def __init__(self, work, who, args, binary=None):
        self.work, self.who, self.lives = pathlib.Path(work), who, 0
        self.command = [str(binary or BUILT / "lmk"), *map(str, args), "--json"]
        self.folder = self.work / who
        self.folder.mkdir(exist_ok=True)
        self.process = self.usage = self.code = None

    def start(self):
        self.lives += 1
        self.heard, self.rest, self.at = [], b"", 0
        self.process = self.usage = self.code = None
        home = {f"XDG_{what}_HOME": str(self.folder / f".{what.lower()}") for what in ("STATE", "CACHE")}
        self.began = time.monotonic()
        with open(self.path("json"), "wb") as out, open(self.path("err"), "wb") as err:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, **home}, stdout=out, stderr=err,
                stdin=subprocess.DEVNULL,
            )
        return self

    def path(self, kind):
        return self.work / f"{self.who}.{self.lives}.{kind}"

    @property
    def pid(self):
        return self.process.pid

    def send(self, number):
        if self.alive():
            self.process.send_signal(number)

    def alive(self):
        return self.process is not None and not self.ended(0)

    def ended(self, patience_s=PATIENCE_S):
        """Waits for the end; whether it came. `code` is then as the shell would say it, negative
        for a signal, and `usage` what the process took."""
        if self.code is not None:
            return True
        descriptor = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(max(0, patience_s) * 1000):
                return False
        finally:
            os.close(descriptor)
        self.wall = time.monotonic() - self.began
        _, status, self.usage = os.wait4(self.pid, 0)
        self.code = self.process.returncode = os.waitstatus_to_exitcode(status)
        return True

    def cpu(self):
        return self.usage.ru_utime + self.usage.ru_stime

    def done(self, patience_s=PATIENCE_S):
        """Waits for the end and wants it to be a good one."""
        if not self.ended(patience_s):
            raise Failed(f"{self.who} does not end within {patience_s} s")
        if self.code != 0:
            raise Failed(f"{self.who} ended with {self.code}: {self.last_words()}")
        return self

    def last_words(self):
        self.events()
        said = [event["text"] for event in self.heard if event.get("level") in ("error", "warning")]
        said += self.path("err").read_text(errors="replace").splitlines()
        return " / ".join(said[-3:]) or "it said nothing"

    def events(self, kind=None):
        """All events of this life so far, or those of one kind."""
        with open(self.path("json"), "rb") as out:
            out.seek(self.at)
            fresh = out.read()
        self.at += len(fresh)
        *lines, self.rest = (self.rest + fresh).split(b"\n")
        self.heard += map(json.loads, lines)
        return [event for event in self.heard if kind in (None, event["event"])]

    def says(self, kind, patience_s=PATIENCE_S):
        """Waits for an event of a kind."""
        until = time.monotonic() + patience_s
        while True:
            alive = self.alive()
            if found := self.events(kind):
                return found[-1]
            if not alive:
                raise Failed(f"{self.who} ended with {self.code}: {self.last_words()}")
            if time.monotonic() > until:
                raise Failed(f"{self.who} does not say '{kind}' within {patience_s} s")
            time.sleep(0.002)

    def stop(self, number=signal.SIGTERM, patience_s=10):
        """Ends it, gently first."""
        if self.process is None or self.ended(0):
            return
        self.send(number)
        self.send(signal.SIGCONT)
        if not self.ended(patience_s):
            self.send(signal.SIGKILL)
            self.ended()


class Bed:
    """A tracker and its programs, until the end of the with."""

    def __init__(self, work, seeded=random, binary=None):
        self.work, self.seeded, self.binary = pathlib.Path(work), seeded, binary
        self.programs = []

    def __enter__(self):
        self.tracker_at = f"127.0.0.1:{free_port(self.seeded)}"
        self.tracker = self.program("tracker", "tracker", "--bind", self.tracker_at).start()
        self.tracker.says("listening")
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.stop()

    def program(self, who, *args, binary=None):
        self.programs.append(Program(self.work, who, args, binary or self.binary))
        return self.programs[-1]

    def peer(self, who, *args, binary=None):
        port = free_port(self.seeded)
        at = ["--tracker", self.tracker_at, "--listen", f"127.0.0.1:{port}"]
        program = self.program(who, *args, *at, binary=binary)
        program.port = port
        return program

    def seeder(self, who, file, *more):
        """A seeder that serves."""
        program = self.peer(who, "seeder", "--file", file, *more).start()
        program.says("seeding")
        return program

    def leecher(self, who, name, *more):
        """A leecher, not started."""
        return self.peer(who, "leecher", "--want", name, *more)


def run(main):
    """Runs a script: one line and code 1 when it failed."""
    try:
        sys.exit(main())
    except Failed as failed:
        print(f"{pathlib.Path(sys.argv[0]).name} failed: {failed}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
