"""libtorrent 2 (Rasterbar) for the measuring scripts: installed from PyPI into target/libtorrent, and run as
a seeder or a leecher. No uTP, send buffer watermark 4 MiB, request queue 1,500, no DHT, LSD, UPnP and
NAT-PMP; plain handshakes alone, or with `require` encrypted ones alone (RC4)."""

import json
import pathlib
import resource
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
import bed

VENV = bed.BUILT.parent / "libtorrent"
PYTHON = VENV / "bin/python"


def session(port, encryption="off"):
    import libtorrent

    policy = libtorrent.enc_policy.forced if encryption == "require" else libtorrent.enc_policy.disabled
    return libtorrent.session({
        "listen_interfaces": f"127.0.0.1:{port}",
        "allow_multiple_connections_per_ip": True,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "in_enc_policy": policy,
        "out_enc_policy": policy,
        "allowed_enc_level": libtorrent.enc_level.rc4,
        "send_buffer_watermark": 4 << 20,
        "max_out_request_queue": 1500,
        "max_allowed_in_request_queue": 3000,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "alert_mask": libtorrent.alert.category_t.status_notification
        | libtorrent.alert.category_t.error_notification,
    })


def make(file, torrent, form):
    """Writes the .torrent of a file."""
    import libtorrent

    files = libtorrent.list_files(file)
    flags = {
        "v1": libtorrent.create_torrent.v1_only, "v2": libtorrent.create_torrent.v2_only
    }[form]
    made = libtorrent.create_torrent(files, flags=flags)
    libtorrent.set_piece_hashes(made, str(pathlib.Path(file).parent))
    pathlib.Path(torrent).write_bytes(libtorrent.bencode(made.generate()))


def add(ses, torrent, folder, flags=0):
    import libtorrent

    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(str(torrent))
    params.save_path = str(folder)
    off = libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused
    params.flags = (params.flags & ~off) | flags
    return ses.add_torrent(params)


def seed(torrent, folder, encryption="off"):
    """Seeds until standard input ends; prints its port when it may be dialled."""
    import libtorrent

    ses = session(0, encryption)
    handle = add(ses, torrent, folder, libtorrent.torrent_flags.seed_mode)
    while not (handle.status().is_seeding and ses.listen_port()):
        time.sleep(0.01)
    print(ses.listen_port(), flush=True)
    sys.stdin.read()


def leech(torrent, folder, port, encryption="off"):
    """Fetches; prints wall and CPU seconds."""
    import libtorrent

    def cpu():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    cpu_before, began = cpu(), time.monotonic()
    ses = session(0, encryption)
    handle = add(ses, torrent, folder)
    handle.connect_peer(("127.0.0.1", int(port)))
    finished = False
    while not finished:
        ses.wait_for_alert(1000)
        for alert in ses.pop_alerts():
            if isinstance(alert, libtorrent.torrent_finished_alert):
                finished = True
            elif isinstance(alert, libtorrent.torrent_error_alert | libtorrent.file_error_alert):
                sys.exit(str(alert))
    row = {"wall": time.monotonic() - began, "leecher_cpu": cpu() - cpu_before}
    handle.flush_cache()
    print(json.dumps(row), flush=True)


def install():
    works = [PYTHON, "-c", "import libtorrent"]
    if not PYTHON.exists() or subprocess.run(works, capture_output=True).returncode:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "libtorrent>=2,<3"], check=True)
    version = [PYTHON, "-c", "import libtorrent; print(libtorrent.__version__)"]
    return subprocess.run(version, check=True, capture_output=True, text=True).stdout.strip()


def command(*args):
    """One of the parts, as a process of its own."""
    return [str(PYTHON), str(HERE), *map(str, args)]


PARTS = {"make": make, "seed": seed, "leech": leech}
if __name__ == "__main__":
    PARTS[sys.argv[1]](*sys.argv[2:])
