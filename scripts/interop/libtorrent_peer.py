"""One libtorrent client, for as long as it is let live: SOURCE FOLDER ADDRESS PORT [RATE [SETTINGS]]. The
source is a .torrent or a magnet link; the rate bounds what it sends and takes, in bytes a second, 0 does not;
the settings are its own, as JSON, and `exchanges`: whether peers tell it of others, and it them (BEP 11). Else
it hears of peers from the trackers of the source alone. Needs Debian's python3-libtorrent."""

import json
import signal
import sys
import time

import libtorrent

source, folder, address, port, *more = sys.argv[1:]
rate = int(more[0]) if more else 0
settings = json.loads(more[1]) if len(more) > 1 else {}
exchanges = settings.pop("exchanges", False)
at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
off = ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_utp")
alerts = libtorrent.alert.category_t
session = libtorrent.session(
    {
        "listen_interfaces": at,
        "alert_mask": alerts.tracker_notification | alerts.error_notification | alerts.peer_notification,
        **{name: False for name in off},
        **settings,
    }
)
if source.startswith("magnet:"):
    wanted = libtorrent.parse_magnet_uri(source)
else:
    wanted = libtorrent.add_torrent_params()
    wanted.ti = libtorrent.torrent_info(source)
wanted.save_path = folder
flags = libtorrent.torrent_flags
wanted.flags |= flags.disable_dht | flags.disable_lsd
if not exchanges:
    wanted.flags |= flags.disable_pex
wanted.flags &= ~(flags.paused | flags.auto_managed)
handle = session.add_torrent(wanted)
# Limits of a session do not hold for private networks, those of a torrent do.
handle.set_upload_limit(rate)
handle.set_download_limit(rate)


def go_on(at_most_s):
    """Lets it work and prints what it says."""
    session.wait_for_alert(int(at_most_s * 1000))
    for alert in session.pop_alerts():
        print(alert, flush=True)


running = True


def end(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, end)
while running:
    go_on(0.2)
# The tracker hears that we go.
handle.pause()
until = time.monotonic() + 3
while time.monotonic() < until:
    go_on(0.1)
