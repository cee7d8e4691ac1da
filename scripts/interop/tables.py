"""The matrix as a document: what ran, and the reason for each cell that cannot be."""

import collections
import itertools

import cells
from clients import OURS, STOCK
from contents import LEAVES_OUT

ROWS = [*itertools.product(cells.CLIENTS, cells.DIRECTIONS), ("all", "mixed")]
MAKERS = [
    "Who makes the .torrent changes from cell to cell: lmk, libtorrent, mktorrent and transmission-create.",
]
COVERING = [
    "were run; the covering set has, for each client and direction, every two values of different axes",
    "that can be together. `scripts/interop.sh --all` runs the rest and writes `docs/interop_all.md`.", *MAKERS,
]
WHOLE = ["were run. `scripts/interop.sh` runs a covering set and writes `docs/interop.md`.", *MAKERS]


def title(client, direction):
    if direction == "mixed":
        return "all of them and lmk in one swarm"
    return f"{client}, {cells.DIRECTIONS[direction]}"


def possible():
    """Every cell by its row, with the reason why it cannot be."""
    rows = collections.defaultdict(list)
    for cell in cells.all_cells():
        rows[cell.client, cell.direction].append((cell, cell.cannot()))
    for cell in cells.all_mixed():
        rows["all", "mixed"].append((cell, cell.cannot()))
    return rows


def entry(row, holds, done, notes):
    """One entry of a table: how many ran of those that can be, or the number of the reason."""
    among = [(cell, why) for cell, why in row if holds(cell)]
    if not among:
        return "-"
    can = [cell for cell, why in among if why is None]
    if can:
        ran = sum(cell in done for cell in can)
        return f"{ran} of {len(can)}"
    # Of several reasons the one that most of them have.
    why, _ = collections.Counter(why for _, why in among).most_common(1)[0]
    return f"no ({notes.setdefault(why, len(notes) + 1)})"


def table(done, columns, notes):
    """`columns`: heading -> whether a cell belongs there."""
    rows = possible()
    lines = ["| client | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in ROWS:
        entries = (entry(rows[row], holds, done, notes) for holds in columns.values())
        lines.append(f"| {title(*row)} | " + " | ".join(entries) + " |")
    return lines


def by(*axes):
    """Columns for every combination of values of some axes."""
    def column(values):
        return lambda cell: all(getattr(cell, axis) == value for axis, value in zip(axes, values))

    words = cells.WORDS
    combined = itertools.product(*(cells.AXES[axis] for axis in axes))
    return {", ".join(words.get(v, v) for v in values): column(values) for values in combined}


def document(ran, everything):
    done, notes = set(ran), {}
    tables = [
        ("Through which tracker", table(done, by("road"), notes)),
        ("Which form, and how the fetching side learns of it", table(done, by("form", "handle"), notes)),
        ("What moves", table(done, by("form", "content"), notes)),
        ("What happens in the middle", table(done, by("event"), notes)),
    ]
    lines = [
        "# Stock clients and lmk" + ", every cell" * everything, "",
        f"Written by `scripts/interop.sh{' --all' * everything}`, which ran {len(done)} cells, each to its end with every",
        "byte compared. Each client has an address of its own; DHT, peer exchange and local discovery are",
        "off, so that peers meet through the tracker alone. An entry says how many of the cells that can be",
        *(WHOLE if everything else COVERING), "",
    ]
    for heading, text in tables:
        lines += [f"## {heading}", "", *text, ""]
    reasons = [f"{number}. {why}." for why, number in notes.items()]
    rest = sorted({why for row in possible().values() for _, why in row if why and why not in notes})
    reasons += [f"{len(notes) + at}. {why}." for at, why in enumerate(rest, 1)]
    reasons += [f"- {said}." for client in STOCK.values() for said in (client.one_topic, client.renames) if said]
    reasons += [f"- {maker} leaves {what} out, and makes none of the folders." for maker, what in LEAVES_OUT.items()]
    padless = ", ".join(name for name, client in STOCK.items() if not client.knows_pads)
    reasons += [f"- {padless} keep pad files like others and must have them to seed; they are not compared."]
    lines += ["## What cannot be, and why", "", *reasons, ""]
    versions = [f"- {name}: {client.version()}" for name, client in STOCK.items() if name != OURS]
    lines += ["## Versions", "", "As packaged by Debian:", "", *versions, ""]
    if not everything:
        names = sorted(f"`{cell.name}`" for cell in done)
        lines += ["## The cells of this run", "", *(f"- {name}" for name in names), ""]
    return "\n".join(lines)
