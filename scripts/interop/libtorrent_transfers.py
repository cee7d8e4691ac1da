"""Transfers between lmk and libtorrent, one to one and both ways. Called by scripts/interop/libtorrent:
LMK FOLDER."""

import os
import random
import re
import shutil
import subprocess
import sys
import time

import libtorrent

lmk, work = sys.argv[1:3]
seed = int(os.environ.get("SEED", "7"))
print(f"seed {seed}, libtorrent {libtorrent.__version__}")
# Bytes, and piece length: a short last block, whole last pieces, less than a block, pieces of several
# blocks whose last one has fewer.
SIZES = [(100_000, 16_384), (65_536, 16_384), (5, 16_384), (1_000_001, 131_072)]
FORMS = {
    "v1": libtorrent.create_torrent.v1_only,
    "v2": libtorrent.create_torrent.v2_only,
    "hybrid": 0,
}
LIMIT_S = 60


def make(folder, size, piece_length, form):
    """A file of random bytes and its .torrent."""
    rng = random.Random(seed * 1_000_003 + size)
    data = rng.randbytes(size)
    os.makedirs(f"{folder}/full")
    with open(f"{folder}/full/file", "wb") as file:
        file.write(data)
    files = libtorrent.file_storage()
    libtorrent.add_files(files, f"{folder}/full/file")
    torrent = libtorrent.create_torrent(files, piece_length, FORMS[form])
    libtorrent.set_piece_hashes(torrent, f"{folder}/full")
    with open(f"{folder}/file.torrent", "wb") as out:
        out.write(libtorrent.bencode(torrent.generate()))
    return data


def start(folder, *args):
    """lmk, and the port it listens on."""
    env = {**os.environ, "XDG_STATE_HOME": f"{folder}/state", "XDG_CACHE_HOME": f"{folder}/cache"}
    command = [lmk, *args, "--listen", "127.0.0.1:0"]
    with open(f"{folder}/said", "w") as said:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said)
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        with open(f"{folder}/said") as said:
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)|client port (\d+)", said.read())
        if found:
            return process, int(found[1] or found[2])
        time.sleep(0.05)
    process.kill()
    raise SystemExit(f"{command} does not listen:\n{open(f'{folder}/said').read()}")


def join(folder, save_path, port):
    """A libtorrent client that knows one peer."""
    off = ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_utp")
    session = libtorrent.session(
        {"listen_interfaces": "127.0.0.1:0", "alert_mask": 0, **{name: False for name in off}}
    )
    wanted = libtorrent.add_torrent_params()
    wanted.ti = libtorrent.torrent_info(f"{folder}/file.torrent")
    wanted.save_path = save_path
    wanted.flags &= ~(libtorrent.torrent_flags.paused | libtorrent.torrent_flags.auto_managed)
    handle = session.add_torrent(wanted)
    return session, handle, lambda: handle.connect_peer(("127.0.0.1", port))


def wait(done, again):
    """Whether it was done in time; what was tried is tried again each second."""
    until, next_try = time.monotonic() + LIMIT_S, 0.0
    while time.monotonic() < until:
        if done():
            return True
        if time.monotonic() >= next_try:
            again()
            next_try = time.monotonic() + 1
        time.sleep(0.05)
    return False


def stop(process):
    process.terminate()
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def lmk_seeds(folder):
    process, port = start(folder, "seeder", "--torrent", "file.torrent", "--file", "full/file", "--no-local")
    os.makedirs(f"{folder}/got")
    session, handle, dial = join(folder, f"{folder}/got", port)
    whole = wait(lambda: handle.status().is_seeding, dial)
    handle.flush_cache()
    session.pause()
    del session
    stop(process)
    return whole


def lmk_leeches(folder):
    args = ("--torrent", "file.torrent", "--out", "got/", "--no-local")
    os.makedirs(f"{folder}/got")
    process, port = start(folder, "leecher", *args)
    session, handle, dial = join(folder, f"{folder}/full", port)
    whole = wait(lambda: process.poll() is not None, lambda: handle.status().is_seeding and dial())
    del session
    stop(process)
    return whole and process.returncode == 0


compared, wrong = 0, []
for size, piece_length in SIZES:
    for form in FORMS:
        for transfer in (lmk_seeds, lmk_leeches):
            what = f"{transfer.__name__} {form} {size} in {piece_length}"
            folder = f"{work}/{what.replace(' ', '-')}"
            data = make(folder, size, piece_length, form)
            whole = transfer(folder)
            got = f"{folder}/got/file"
            same = os.path.exists(got) and open(got, "rb").read() == data
            compared += 1
            print(f"{what}: {'equal' if whole and same else 'FAILED'}", flush=True)
            if not (whole and same):
                wrong.append(what)
                print(open(f"{folder}/said").read())
            shutil.rmtree(folder)
print(f"{compared} transfers compared")
if wrong:
    raise SystemExit(f"{len(wrong)} failed: {'; '.join(wrong)}")
