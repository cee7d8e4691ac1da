"""One seeder to one leecher, and the compiled floor: the figures that others are compared with."""

import subprocess

import bed


def floor(file, out):
    """Wall seconds of the compiled floor; `out` is gone afterwards."""
    command = [str(bed.BUILT / "examples/floor"), str(file), str(out)]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    out.unlink()
    return float(dict(word.split("=") for word in words[1:])["wall_s"])


class OneToOne(bed.Bed):
    """A bed with a seeder of one file."""

    def __init__(self, work, file):
        super().__init__(work)
        self.file, self.fetches = file, 0

    def __enter__(self):
        super().__enter__()
        self.giver = self.seeder("seeder", self.file)
        return self

    def fetch(self, out, memory=False):
        """One leecher from its start to its end: seconds to the end and to the first byte of
        payload, CPU seconds of both sides, KiB resident of the seeder. With `memory` those of the
        leecher too, which is looked at all the time and so is a little slower."""
        self.fetches += 1
        before = bed.cpu_of(self.giver.pid)
        who = f"leecher{self.fetches}"
        leecher = self.leecher(who, self.file.name, "--out", out, "-v").start()
        peak_kib = bed.peak_kib_until_end(leecher, 3600) if memory else None
        leecher.done(3600)
        self.programs.remove(leecher)
        first = leecher.events("first_byte")
        return {
            "wall": leecher.wall,
            "first": first[0]["ms"] / 1e3 if first else None,
            "leecher_cpu": leecher.cpu(),
            "seeder_cpu": bed.cpu_of(self.giver.pid) - before,
            "leecher_kib": peak_kib,
            "seeder_kib": bed.peak_kib(self.giver.pid),
        }
