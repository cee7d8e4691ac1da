"""The cells of the matrix: which there are, which cannot be and why, and which of them cover it all.

A cell is one case of a stock client and lmk: who seeds, through which tracker, which form the torrent
has, how the fetching side learns of it, what it holds and what happens in the middle."""

import dataclasses
import itertools

AXES = {
    "road": ("udp", "http", "opentracker"),
    "form": ("v1", "hybrid", "v2"),
    "handle": ("torrent", "magnet", "name"),
    "content": ("file", "folder"),
    "event": ("straight", "leecher killed", "seeder killed"),
}
DIRECTIONS = {"seeds": "lmk seeds", "leeches": "lmk leeches"}
CLIENTS = ("aria2", "transmission", "libtorrent", "rtorrent", "qbittorrent")
WORDS = {
    "udp": "lmk tracker, UDP", "http": "lmk tracker, HTTP", "opentracker": "opentracker",
    "torrent": ".torrent", "magnet": "magnet link", "name": "by name at the lmk tracker",
    "file": "one file", "folder": "a folder", "straight": "nothing happens",
}

# What ours cannot yet: taking a line away turns its cells on.
NOT_YET = {}
# What stock clients cannot, by client and value of an axis.
CANNOT = {
    ("aria2", "hybrid"): "aria2 before 1.37 takes another info-hash from a hybrid",
    ("aria2", "v2"): "aria2 knows no v2",
    ("transmission", "hybrid"): "transmission 3.00 does not read hybrids",
    ("transmission", "v2"): "transmission 3.00 does not read v2",
    ("rtorrent", "v2"): "rtorrent 0.9.8 does not read v2",
}
# What no client could, by two values of axes.
NOWHERE = {
    ("opentracker", "name"): "opentracker knows no names",
    ("hybrid", "name"): "under a name lmk publishes a v1 companion and v2, no hybrid",
    ("v2", "name"): "stock clients meet a named content by its v1 companion",
}


def nowhere(values):
    """Why values of different axes cannot be together, whoever plays."""
    told = (NOWHERE.get(pair) for pair in itertools.permutations(values, 2))
    return next(filter(None, told), None)


@dataclasses.dataclass(frozen=True)
class Cell:
    client: str
    direction: str
    road: str
    form: str
    handle: str
    content: str
    event: str

    @property
    def values(self):
        return tuple(getattr(self, axis) for axis in AXES)

    @property
    def name(self):
        return "-".join((self.client, self.direction, *self.values)).replace(" ", "_")

    def cannot(self):
        """Why it cannot be; None if it can."""
        for value in self.values:
            for told in (NOT_YET.get((self.direction, value)), CANNOT.get((self.client, value))):
                if told:
                    return told
        return nowhere(self.values)


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A swarm of lmk and every client that can: one of ours and one of theirs have it, the others, one
    of ours among them, fetch it."""

    road: str
    form: str
    handle: str
    content: str
    direction = "mixed"
    event = "straight"

    @property
    def values(self):
        return self.road, self.form, self.handle, self.content, self.event

    @property
    def name(self):
        return "-".join(("mixed", self.road, self.form, self.handle, self.content))

    def clients(self):
        return [client for client in CLIENTS if (client, self.form) not in CANNOT]

    def cannot(self):
        told = (NOT_YET.get((way, value)) for value in self.values for way in DIRECTIONS)
        return next(filter(None, told), None) or nowhere(self.values)


def all_cells():
    """Every combination, those that cannot be among them."""
    for client, direction in itertools.product(CLIENTS, DIRECTIONS):
        for values in itertools.product(*AXES.values()):
            yield Cell(client, direction, *values)


def all_mixed():
    for road, form, handle, content in itertools.product(*(AXES[axis] for axis in list(AXES)[:4])):
        yield Mixed(road, form, handle, content)


def pairs_of(cell):
    """Every two values of different axes that a cell puts together."""
    return set(itertools.combinations(enumerate(cell.values), 2))


def covering(cells):
    """Few of the cells that together have every two values which any of them has together: always the
    one that adds most, the first of equals, so that the choice is the same each time."""
    left = set().union(*map(pairs_of, cells)) if cells else set()
    chosen = []
    while left:
        best = max(cells, key=lambda cell: len(pairs_of(cell) & left))
        chosen.append(best)
        left -= pairs_of(best)
    return chosen


def chosen(everything=False):
    """The cells to run: all that can be, or a covering set for each client in each direction."""
    groups = {}
    for cell in all_cells():
        if cell.cannot() is None:
            groups.setdefault((cell.client, cell.direction), []).append(cell)
    mixed = [cell for cell in all_mixed() if cell.cannot() is None]
    if everything:
        return [cell for group in groups.values() for cell in group] + mixed
    return [cell for group in groups.values() for cell in covering(group)] + covering(mixed)


def needs_addresses(cell):
    """Whether a tracker must see each lmk under an address of its own, which loopback does not give: the
    datagrams of whoever listens there come from 127.0.0.1. Elsewhere lmk finds and dials the others."""
    silent = cell.handle == "magnet" and getattr(cell, "client", "") == "aria2"
    return cell.road == "opentracker" or silent
