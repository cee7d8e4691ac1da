"""Makes .torrent files of the same input with lmk and with every other program that is installed, and
compares what each reads in each. Called by scripts/interop/torrents: LMK FOLDER [--at-least N]."""

import json
import os
import random
import shutil
import subprocess
import sys

lmk, work = sys.argv[1:3]
at_least = int(sys.argv[4]) if sys.argv[3:4] == ["--at-least"] else 0
seed = int(os.environ.get("SEED", "7"))
print(f"seed {seed}")
os.chdir(work)
try:
    import libtorrent
except ImportError:
    libtorrent = None

compared = []
wrong = []
lacking = [name for name in ("transmission-create", "transmission-show", "mktorrent") if not shutil.which(name)]
if libtorrent is None:
    lacking.append("python3-libtorrent")


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{args}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def equal(what, mine, theirs):
    compared.append(what)
    if mine != theirs:
        wrong.append(f"{what}: {mine} is not {theirs}")


def make_inputs():
    rng = random.Random(seed)

    def put(path, size):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(rng.randbytes(size))
        os.chmod(path, 0o644)

    put("one.bin", 1_000_003)
    put("exact.bin", 4 * 65536)
    put("small.bin", 5)
    sizes = {"a.bin": 100_000, "b/c.bin": 65_536, "b/d/e.bin": 70_001, "b/d/f.bin": 1, "g.bin": 262_145}
    for name, size in sizes.items():
        put(f"plain/{name}", size)
        put(f"odd/{name}", size)
    # What not every program takes: an empty file, deep folders, names that need care.
    put("odd/empty", 0)
    put("odd/1/2/3/4/5/6/7/8/deep", 40_000)
    put("odd/foo... bar", 3)
    put("odd/größe 文件", 4)
    put("odd/Icon\r", 5)
    put("odd/A", 6)
    put("odd/a", 7)
    put("odd/b.txt", 8)
    return ["one.bin", "exact.bin", "small.bin", "plain", "odd"]


def shown(torrent):
    """Both hashes and the files, as lmk reads them."""
    events = [json.loads(line) for line in run(lmk, "show", torrent, "--json").splitlines()]
    head = next(event for event in events if event["event"] == "torrent")
    files = [(event["path"], event["size"]) for event in events if event["event"] == "file"]
    return head.get("v1"), head.get("v2"), files


def created(source, out, *options):
    run(lmk, "create", source, "-o", out, "--overwrite", *options)
    return shown(out)


def files_of(source):
    """Files under `source`, sorted path element by path element as bytes, with sizes."""
    if os.path.isfile(source):
        return [(source, os.path.getsize(source))]
    found = []
    for folder, _, names in os.walk(source):
        found += [os.path.join(folder, name) for name in names]
    found.sort(key=lambda path: [os.fsencode(part) for part in path.split("/")])
    return [(path, os.path.getsize(path)) for path in found]


def libtorrent_makes(source, out, form, piece_length, private):
    storage = libtorrent.file_storage()
    for path, size in files_of(source):
        storage.add_file(path, size)
    flags = {"--v1": libtorrent.create_torrent.v1_only, "--v2": libtorrent.create_torrent.v2_only, "--hybrid": 0}
    torrent = libtorrent.create_torrent(storage, piece_length, flags[form])
    torrent.set_priv(private)
    libtorrent.set_piece_hashes(torrent, ".")
    with open(out, "wb") as file:
        file.write(libtorrent.bencode(torrent.generate()))


def libtorrent_reads(torrent):
    info = libtorrent.torrent_info(torrent)
    hashes, files = info.info_hashes(), info.files()
    v1 = str(hashes.v1) if hashes.has_v1() else None
    v2 = str(hashes.v2) if hashes.has_v2() else None
    listed = []
    for at in range(files.num_files()):
        if not files.file_flags(at) & libtorrent.file_flags_t.flag_pad_file:
            # Below the folder, if there is one.
            listed.append((files.file_path(at).split("/", 1)[-1], files.file_size(at)))
    return v1, v2, listed


def without_names(torrent):
    return *torrent[:2], [size for _, size in torrent[2]]


def with_libtorrent(sources):
    for source in sources:
        for form in ("--v1", "--v2", "--hybrid"):
            for piece_length in (16384, 65536):
                for private in (False, True):
                    what = f"{source} {form} {piece_length}{' private' if private else ''}"
                    options = [form, "--piece-length", str(piece_length)] + ["--private"] * private
                    mine = created(source, "mine.torrent", *options)
                    libtorrent_makes(source, "theirs.torrent", form, piece_length, private)
                    equal(f"lmk and libtorrent make {what}", mine, shown("theirs.torrent"))
                    read = libtorrent_reads("mine.torrent")
                    if source == "odd":
                        # It writes control characters as `_` and gives `a` beside `A` another name.
                        mine, read = without_names(mine), without_names(read)
                    equal(f"libtorrent reads lmk's {what}", mine, read)
                    run(lmk, "verify", "theirs.torrent", source)


def transmission_hash(torrent):
    lines = run("transmission-show", torrent).splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.strip().startswith("Hash:"))


def with_transmission(sources):
    for source in sources:
        if "transmission-create" not in lacking:
            # It says `private: 0` where nothing was asked for, which is another info-hash.
            run("transmission-create", "-p", "-t", "udp://127.0.0.1:6969/announce", "-s", "64", "-o", "theirs.torrent", source)
            mine = created(source, "mine.torrent", "--v1", "--private", "--piece-length", "64K")
            equal(f"lmk and transmission-create make {source}", mine, shown("theirs.torrent"))
            run(lmk, "verify", "theirs.torrent", source)
            os.remove("theirs.torrent")
        if "transmission-show" not in lacking:
            mine = created(source, "mine.torrent", "--v1")
            equal(f"transmission-show reads lmk's {source}", mine[0], transmission_hash("mine.torrent"))


def with_mktorrent(sources):
    for source in sources:
        for private in (False, True):
            run("mktorrent", "-l", "16", "-o", "theirs.torrent", *["-p"] * private, source)
            options = ["--v1", "--piece-length", "64K"] + ["--private"] * private
            mine = created(source, "mine.torrent", *options)
            theirs = shown("theirs.torrent")
            if sorted(mine[2]) == sorted(theirs[2]) and mine[2] != theirs[2]:
                print(f"mktorrent lists {source} in the order of the disk: not compared")
            else:
                equal(f"lmk and mktorrent make {source} {private}", mine, theirs)
            run(lmk, "verify", "theirs.torrent", source)
            os.remove("theirs.torrent")


inputs = make_inputs()
plain = [source for source in inputs if source != "odd"]
if libtorrent is not None:
    with_libtorrent(inputs)
with_transmission(plain)
if "mktorrent" not in lacking:
    with_mktorrent(plain)
for name in lacking:
    print(f"not compared with {name}: it is not installed")
for line in wrong:
    print(f"WRONG {line}")
print(f"compared {len(compared)} torrents, {len(wrong)} differ")
if wrong or len(compared) < at_least:
    sys.exit(f"torrents: {len(wrong)} differ, {len(compared)} compared, {at_least} at least")
