"""`python -m tests.bench.storage`: disks read, written, copied and collected beside qemu-img and qemu-nbd.

Each row tells ours and theirs from the same run, in turns, and the ratio as speed: above 1 is faster than qemu. The
page cache is warm for both unless `--cold`; whatever writes has its data on stable storage when the clock stops.
One client asks both NBD servers: nbdcopy for what is sequential, fio for what is random. qemu reads no chains of VHDs,
so its chains are qcow2. `MiB` is the most memory that our process ever had. `cpu` is theirs / ours in processor time
for the same work: what still tells something on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tests.bench import disks, nbd
from tests.bench.disks import MIB
from tests.bench.report import OUTPUT, Row, table
from xapi.storage.facts import CreateVdi
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.repository import FileSr

DEPTH = 5
COALESCED = 2048 * MIB
LARGEST = 2040 << 30
VHD_UTIL = [sys.executable, "-c", "import sys; from xapi.cli.vhd_util import main; sys.exit(main())"]

MEASURED = """
import os, sys, time
begun = time.perf_counter()
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(status != 0)
"""


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Cost(NamedTuple):
    """How fast something was, its processor time (for comparing only), and the most memory in MiB."""

    speed: float
    processor: float
    memory: float


def child_cost(command: list[str]) -> tuple[float, float, float]:
    """Seconds of a program, seconds of processor time, and MiB at its largest.

    A small process in between starts it: Linux counts what the parent had at the fork as the child's.
    """
    done = subprocess.run([sys.executable, "-S", "-c", MEASURED, *command], check=True, stdout=subprocess.PIPE)
    seconds, processor, memory = map(float, done.stdout.split())
    return seconds, processor, memory / 1024


class Bench:
    """The disks in a directory, and what is measured on them."""

    def __init__(self, directory: Path, size: int, rounds: int, seconds: float, cold: bool) -> None:
        self.directory = directory
        self.size, self.rounds, self.seconds, self.cold = size, rounds, seconds, cold
        self.rows: list[Row] = []
        self.data = disks.noise(directory / "data.raw", size)
        self.part = directory / "part.raw"

    @cached_property
    def dynamic(self) -> Path:
        """A dynamic VHD without zeros."""
        return disks.converted(self.data, self.directory / "dynamic.vhd", "vpc", "-o", "force_size=on")

    # Comparing

    def compare(self, what: str, unit: str, ours: Callable[[], Cost], theirs: Callable[[], Cost]) -> None:
        """Both in turns; each answers a speed in `unit` and what it cost."""
        mine, other = [], []
        for _ in range(self.rounds):
            mine.append(ours())
            other.append(theirs())
        one, two = (statistics.median(cost.speed for cost in costs) for costs in (mine, other))
        cpu = statistics.median(cost.processor for cost in other) / statistics.median(cost.processor for cost in mine)
        row = {"what": what, "unit": unit, "ours": one, "qemu": two, "ratio": one / two, "cpu": cpu}
        self.tell({**row, "MiB": max(cost.memory for cost in mine)})

    def tell(self, row: Row) -> None:
        self.rows.append(row)
        print(table("", [row]).splitlines()[-1], flush=True)

    def served(self, what: str, unit: str, disk: Path, theirs: Path, work: Callable[[nbd.NbdServer], float]) -> None:
        """The same work by a client at both servers."""

        def at(path: Path, serve: Callable[[Path, Path], nbd.NbdServer]) -> Cost:
            self.settle()
            if not self.cold:
                disks.warm(path)
            with serve(path, self.directory) as server:
                return self.cost(server, work)

        self.compare(what, unit, lambda: at(disk, nbd.ours), lambda: at(theirs, nbd.qemu))

    def cost(self, server: nbd.NbdServer, work: Callable[[nbd.NbdServer], float]) -> Cost:
        """What work that answers its speed costs the server, for each unit of speed."""
        before, begun = server.processor(), time.perf_counter()
        speed = work(server)
        used = server.processor() - before
        return Cost(speed, max(used, 0.01) / (speed * (time.perf_counter() - begun)), server.memory())

    def settle(self) -> None:
        """What was written before must not be written out while the next is measured."""
        files = [path for path in self.directory.iterdir() if path.is_file()]
        disks.settle(*files)
        if self.cold:
            disks.forget(*files)

    def read(self, server: nbd.NbdServer) -> float:
        """MiB/s of the whole disk, read to nowhere."""
        return self.size / MIB / nbd.nbdcopy(server.uri, "null:")

    def write(self, server: nbd.NbdServer, source: Path | None = None) -> float:
        """MiB/s of a raw file, written to the disk from its beginning; the whole disk by default."""
        source = source or self.data
        return source.stat().st_size / MIB / nbd.nbdcopy(str(source), server.uri, "--destination-is-zero")

    # What is measured

    def sequential(self) -> None:
        dynamic = self.dynamic
        fixed = disks.converted(self.data, self.directory / "fixed.vhd", "vpc", "-o", "subformat=fixed,force_size=on")
        self.served("nbd: read a dynamic VHD", "MiB/s", dynamic, dynamic, self.read)
        self.served("nbd: read a fixed VHD", "MiB/s", fixed, fixed, self.read)
        self._random("a fixed VHD", fixed, fixed)
        fixed.unlink()
        new, other = self.directory / "new.vhd", self.directory / "new-qemu.vhd"

        def written(make: Callable[[], Path], serve: Callable[[Path, Path], nbd.NbdServer]) -> Cost:
            disk = make()
            self.settle()
            with serve(disk, self.directory) as server:
                cost = self.cost(server, self.write)
            disk.unlink()
            return cost

        self.compare(
            "nbd: write a new dynamic VHD",
            "MiB/s",
            lambda: written(lambda: disks.empty_vhd(new, self.size), nbd.ours),
            lambda: written(lambda: disks.empty_by_qemu(other, self.size), nbd.qemu),
        )
        self.served("nbd: write over a dynamic VHD", "MiB/s", dynamic, dynamic, self.write)

    def random(self) -> None:
        dynamic = self.dynamic
        self._random("a dynamic VHD", dynamic, dynamic)

    def _random(self, name: str, disk: Path, theirs: Path) -> None:
        for mode in ("randread", "randwrite"):
            for depth in (1, 16):

                def work(server: nbd.NbdServer, mode: str = mode, depth: int = depth) -> float:
                    return nbd.fio(server, mode, self.size, depth, self.seconds)

                self.served(f"nbd: {mode} 4 KiB of {name}, depth {depth}", "a second", disk, theirs, work)

    def chains(self) -> None:
        """A chain of five, then an empty child of it that is written to."""
        ours = disks.our_chain(self.directory, self.data, DEPTH)
        theirs = disks.qemu_chain(self.directory, self.data, DEPTH)
        name = f"the tip of {DEPTH} links"
        self.served(f"nbd: read {name}", "MiB/s", ours, theirs, self.read)
        self._random(name, ours, theirs)
        for path in self.directory.glob("link*"):
            path.unlink()

    def fresh_tip(self) -> None:
        """Writes into the empty child of a full disk, which is then collected."""
        base, other = self.dynamic, self.directory / "base.qcow2"
        disks.converted(self.data, other, "qcow2")
        disks.run("cp", self.data, self.part)
        os.truncate(self.part, min(self.size, COALESCED))
        vhd, qcow2 = self.directory / "tip.vhd", self.directory / "tip.qcow2"

        def written(tip: Path, serve: Callable[[Path, Path], nbd.NbdServer]) -> Cost:
            self.settle()
            with serve(tip, self.directory) as server:
                return self.cost(server, lambda server: self.write(server, self.part))

        def mine() -> Cost:
            return written(disks.child_vhd(vhd, base), nbd.ours)

        def qemus() -> Cost:
            return written(disks.child_qcow2(qcow2, other), nbd.qemu)

        self.compare("nbd: write the empty tip of a full disk", "MiB/s", mine, qemus)
        self._coalesced(vhd, qcow2, other)
        for path in (vhd, qcow2, other, self.part):
            path.unlink()

    def _coalesced(self, vhd: Path, qcow2: Path, base: Path) -> None:
        """All that the child holds goes into its parent; it stays as it is, so this can be repeated."""
        held = min(self.size, COALESCED)

        def mine() -> Cost:
            return self._ran([*VHD_UTIL, "coalesce", "-n", str(vhd)], self.dynamic, held)

        def qemus() -> Cost:
            return self._ran(["qemu-img", "commit", "-q", "-d", "-t", "writeback", str(qcow2)], base, held)

        self.compare(f"coalesce {held // MIB} MiB into the parent", "MiB/s", mine, qemus)

    def copies(self) -> None:
        dynamic, new = self.dynamic, self.directory / "copy"
        for name, ours, form in (
            ("a dynamic VHD to raw", ["copy", "-n", str(dynamic), "-o", str(new)], "raw"),
            ("a dynamic VHD to a dynamic VHD", ["coalesce", "-n", str(dynamic), "-o", str(new)], "vpc"),
        ):

            def mine(ours: list[str] = ours) -> Cost:
                return self._copied([*VHD_UTIL, *ours], new)

            def qemus(form: str = form) -> Cost:
                options = ["-o", "force_size=on"] if form == "vpc" else []
                command = ["qemu-img", "convert", "-t", "writeback", "-f", "vpc", "-O", form, *options]
                return self._copied([*command, str(dynamic), str(new)], new)

            self.compare(f"copy {name}", "MiB/s", mine, qemus)

    def _copied(self, command: list[str], new: Path) -> Cost:
        cost = self._ran(command, new, self.size)
        new.unlink()
        return cost

    def _ran(self, command: list[str], written: Path, size: int) -> Cost:
        """What a program costs that handles so many bytes. It pays for what is not on stable storage at its end."""
        self.settle()
        seconds, processor, memory = child_cost(command)
        seconds += timed(lambda: disks.run("sync", written))
        return Cost(size / MIB / seconds, processor / size, memory)

    # The repository

    def repository(self, count: int) -> None:
        place = self.directory / "sr"
        sr = self._attached(place, create=True)
        self._snapshots(sr)
        for _ in range(count - len(sr.scan().vdis)):
            sr.create(CreateVdi(str(uuid.uuid4()), 1 << 30))
        sr.detach_sr()
        sr = self._attached(place)
        first, again = timed(sr.scan), timed(sr.scan)
        for what, seconds in (("first, after attaching", first), ("again", again)):
            self.alone(f"SR.scan of {count} VDIs, {what}", seconds, 1000)
        sr.detach_sr()

    def _attached(self, place: Path, create: bool = False) -> FileSr:
        config, driver, identity = {"location": str(place)}, FileDriver(), str(uuid.UUID(int=5))
        if create:
            driver.create(identity, config, 0, "user", {})
        return driver.attach(identity, config, {})

    def _snapshots(self, sr: FileSr) -> None:
        for size, name in ((1 << 30, "1 GiB"), (LARGEST, "2 TiB")):
            location = str(uuid.uuid4())
            sr.create(CreateVdi(location, size))
            with sr.open_for_writing(location) as writer:
                for offset in range(0, size, size // 64):
                    writer.pwrite(offset, b"x" * 4096)
            times = [timed(lambda place=location: sr.snapshot(place, str(uuid.uuid4()))) for _ in range(9)]  # type: ignore[misc]
            self.alone(f"snapshot of a {name} VDI, median of 9", statistics.median(times), 50)

    def alone(self, what: str, seconds: float, aim: float) -> None:
        """A row of milliseconds beside their aim; the ratio is again above 1 where that is reached."""
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = {"what": what, "unit": "ms (aim)", "ours": seconds * 1000, "qemu": aim, "ratio": aim / seconds / 1000}
        self.tell({**row, "cpu": "", "MiB": used})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.storage", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 GiB, one round, and seconds instead of minutes")
    parser.add_argument("--mebibytes", type=int, help="the size of the disks (default: 8192)")
    parser.add_argument("--cold", action="store_true", help="take the disks out of the page cache before each reading")
    parser.add_argument("--directory", type=Path, default=Path("/tmp"), help="where the files lie")
    parser.add_argument("--only", nargs="*", help="of sequential random copies fresh_tip chains repository")
    options = parser.parse_args()
    lacking = nbd.missing_packages()
    if lacking:
        raise SystemExit(f"not installed (Debian): {', '.join(lacking)}")
    size = (options.mebibytes or (1024 if options.quick else 8192)) * MIB
    directory = options.directory / f"storage-{os.getpid()}"
    directory.mkdir()
    try:
        rows = measured(directory, size, options)
    finally:
        shutil.rmtree(directory)
    print(table("storage", rows))
    keep(rows, size)


def measured(directory: Path, size: int, options: argparse.Namespace) -> list[Row]:
    """The rows of all measurements, or of those that are named."""
    wanted = options.only or ["sequential", "random", "copies", "fresh_tip", "chains", "repository"]
    quick = options.quick
    bench = Bench(directory, size, 1 if quick else 3, 1.5 if quick else 5.0, options.cold)
    for name in wanted:
        if name == "repository":
            bench.repository(5000)
        else:
            getattr(bench, name)()
    return bench.rows


def keep(rows: list[Row], size: int) -> None:
    """Write the figures where the other benchmarks have theirs."""
    OUTPUT.mkdir(exist_ok=True)
    file = OUTPUT / f"storage-{time.strftime('%Y%m%dT%H%M%S')}.json"
    machine = {"processors": os.cpu_count(), "python": sys.version.split()[0], "mebibytes": size // MIB}
    file.write_text(json.dumps({"machine": machine, "storage": rows}, indent=1) + "\n")
    print(f"\nkept in {file}")


if __name__ == "__main__":
    main()
