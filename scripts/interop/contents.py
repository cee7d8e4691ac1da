"""What moves in a cell: a file or a folder of random bytes, its .torrent by one of several programs,
and its magnet link."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import urllib.parse

from clients import PYTHON
from places import Failed

PIECE_BYTES = 32_768
# A folder as people have them: an empty file, a deep folder, names that need care. No two of them
# are equal without case and none has control characters: libtorrent gives such files other names.
FOLDER = {
    "a.bin": 300_000, "b/c.bin": 65_536, "b/d/e.bin": 470_001, "b/d/one byte": 1, "empty": 0,
    "1/2/3/4/5/6/7/8/deep": 40_000, "foo... bar": 3, "größe 文件.txt": 4_444, "aux.c": 5,
    "-flag --x": 66_000, "it's \"so\" & #1 100%41.bin": 77_777, ".hidden": 8,
}
# Who makes the .torrent of a cell, by turns.
MAKERS = {
    "v1": ("lmk", "libtorrent", "mktorrent", "transmission-create"),
    "hybrid": ("lmk", "libtorrent"),
    "v2": ("lmk", "libtorrent"),
}
# What a maker leaves out of a folder.
LEAVES_OUT = {"transmission-create": "hidden files"}
LIBTORRENT_MAKES = """
import os, sys, libtorrent
source, out, form, piece, url = sys.argv[1:]
found = [source]
if os.path.isdir(source):
    found = [os.path.join(at, name) for at, _, names in os.walk(source) for name in names]
    found.sort(key=lambda path: [os.fsencode(part) for part in path.split("/")])
storage = libtorrent.file_storage()
for path in found:
    storage.add_file(path, os.path.getsize(path))
flags = {"v1": libtorrent.create_torrent.v1_only, "v2": libtorrent.create_torrent.v2_only, "hybrid": 0}
torrent = libtorrent.create_torrent(storage, int(piece), flags[form])
torrent.add_tracker(url)
libtorrent.set_piece_hashes(torrent, ".")
with open(out, "wb") as file:
    file.write(libtorrent.bencode(torrent.generate()))
"""


def run(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, **more)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def tree(path):
    """The files at or below a path, by their names below it, without pads."""
    if path.is_file():
        return {"": path}
    found = ((one.relative_to(path), one) for one in path.rglob("*") if one.is_file())
    return {str(name): one for name, one in found if name.parts[0] != ".pad"}


def pads(torrent):
    """Pad files of a .torrent (BEP 47), as path and size."""
    listed = decode(torrent)[0][b"info"].get(b"files", [])
    found = (one for one in listed if b"p" in one.get(b"attr", b""))
    return [("/".join(part.decode() for part in one[b"path"]), one[b"length"]) for one in found]


class Content:
    """The bytes of one cell, in a folder of their own, and what is known of them."""

    def __init__(self, work, name, kind, size, seed):
        self.name, self.at = name, work / "origin"
        self.path, self.torrent = self.at / name, work / "a.torrent"
        rng = random.Random(seed)
        sizes = {"": size} if kind == "file" else FOLDER | {"a.bin": size - sum(FOLDER.values())}
        for below, length in sizes.items():
            path = self.path / below if below else self.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(length))

    def make(self, lmk, maker, form, url):
        """Makes the .torrent; the maker runs beside the content."""
        out, piece = self.torrent, PIECE_BYTES
        if maker == "lmk":
            run(lmk, "create", self.path, "-o", out, f"--{form}", "--piece-length", piece, "--announce", url)
        elif maker == "libtorrent":
            run(PYTHON, "-c", LIBTORRENT_MAKES, self.name, out, form, piece, url, cwd=self.at)
        elif maker == "mktorrent":
            run("mktorrent", "-l", piece.bit_length() - 1, "-a", url, "-o", out, self.name, cwd=self.at)
        elif maker == "transmission-create":
            run("transmission-create", "-s", piece // 1024, "-t", url, "-o", out, self.name, cwd=self.at)
        self.learn(lmk)

    def learn(self, lmk):
        """Its hashes, and the magnet link of them."""
        events = map(json.loads, run(lmk, "show", self.torrent, "--json").splitlines())
        head = next(event for event in events if event["event"] == "torrent")
        self.v1, self.v2 = head.get("v1"), head.get("v2")

    def hashes(self):
        """As trackers know it: 20 bytes in hex."""
        return [known[:40] for known in (self.v1, self.v2) if known]

    def magnet(self, url, one_topic=False):
        topics = [f"urn:btih:{self.v1}"] * bool(self.v1) + [f"urn:btmh:1220{self.v2}"] * bool(self.v2)
        topics = topics[:1] if one_topic else topics
        given = [("dn", self.name), ("tr", url)]
        return "magnet:?" + "&".join([
            *(f"xt={topic}" for topic in topics),
            *(f"{key}={urllib.parse.quote(value, safe='')}" for key, value in given),
        ])

    def files(self, client):
        """The files as a client keeps them: path below the content -> where the bytes are."""
        sizes = ((name, path, path.stat().st_size) for name, path in tree(self.path).items())
        kept = ((client.written(name, size) if name else name, path) for name, path, size in sizes)
        return {name: path for name, path in kept if name is not None}

    def copy_to(self, folder, client):
        """Puts the content into a folder so that the client has all of it."""
        top = folder / self.name
        for name, path in self.files(client).items():
            copy = top / name if name else top
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        for name, size in [] if client.knows_pads else pads(self.torrent.read_bytes()):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(bytes(size))

    def difference(self, folder, client):
        """What is wrong with the copy in a folder; None if every byte is there and nothing else."""
        copy = folder / self.name
        if not copy.exists():
            return "nothing is there"
        here, there = self.files(client), tree(copy)
        if lacking := sorted(set(here) - set(there)):
            return f"not there: {lacking[:3]}"
        for name, path in here.items():
            if path.read_bytes() != there[name].read_bytes():
                return f"other bytes: {name or self.name}"
        if added := sorted(set(there) - set(here)):
            return f"more than there was: {added[:3]}"
        return None


def arrived_bytes(folder):
    """How much of random content is below a folder, whatever the files are called meanwhile: parts of
    16 KiB that are not all zero."""
    part, arrived = 16_384, 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                with open(pathlib.Path(at) / name, "rb") as file:
                    while read := file.read(part):
                        arrived += len(read) * any(read)
            except OSError:
                continue
    return arrived


def with_tracker(torrent, url):
    """The text of a .torrent with another tracker; everything else keeps its bytes."""
    old = decode(torrent)[0].get(b"announce")
    if old is None:
        raise Failed("the .torrent names no tracker")
    # `announce` sorts before all that may hold the same bytes.
    entry = b"8:announce%d:%s"
    return torrent.replace(entry % (len(old), old), entry % (len(url), url.encode()), 1)


def decode(text, at=0):
    """The bencoded value that begins at `at`, and where it ends."""
    kind = text[at:at + 1]
    if kind == b"i":
        end = text.index(b"e", at)
        return int(text[at + 1:end]), end + 1
    if kind not in b"ld":
        colon = text.index(b":", at)
        end = colon + 1 + int(text[at:colon])
        return text[colon + 1:end], end
    found, at = [], at + 1
    while text[at:at + 1] != b"e":
        value, at = decode(text, at)
        found.append(value)
    return (found if kind == b"l" else dict(zip(found[::2], found[1::2]))), at + 1
