"""`python -m tests.bench.transfer`: export and import of a VM beside `tar` copying the same bytes on the same disk.

The server runs in a process of its own, curl is the client, and every file lies below one directory (`--directory`,
/tmp by default). Every row is the median of `--rounds`, in which each kind of work comes once, after a sync. An import
ends when its data is on stable storage; an export and `tar` end before that, hence the rows with `sync`. For an import
the like of it is `untar`: tar taking the files out of the same archive. `cpu` are the processor seconds of server and
client together, `server MiB` the most memory that the server ever had.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.report import OUTPUT, Row, table
from tests.fakes.served import ServerProcess, new_state

MIB = 1 << 20


def noise(path: Path, size: int) -> None:
    """A file that does not shrink: it repeats itself only in distances that no compressor looks back."""
    piece = random.Random(1).randbytes(16 * MIB)
    with path.open("wb") as file:
        for number in range(size // (4 * MIB)):
            place = number * 4 * MIB % len(piece)
            file.write(number.to_bytes(8, "big") + piece[place + 8 : place + 4 * MIB])


def run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)


def run_all(*commands: list[str | Path]) -> None:
    for command in commands:
        run(*command)


class Bench:
    """A server with a VM whose disk of `size` bytes holds the data of a file, from the middle on if it is larger."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = new_state()
        self.server = ServerProcess("--log-level", "error", state=self.state)
        self.session = self.server.logged_in()
        self.api = self.session.xenapi
        (self.sr,) = (ref for ref, row in self.api.SR.get_all_records().items() if row["name_label"] == "Local storage")

    @property
    def url(self) -> str:
        return f"http://root:{self.server.password}@{self.server.http[0]}:{self.server.http[1]}"

    @property
    def tls_url(self) -> str:
        return f"https://root:{self.server.password}@{self.server.https[0]}:{self.server.https[1]}"

    def curl(self, *arguments: str | Path) -> None:
        run("curl", "--silent", "--show-error", "--fail", "--insecure", *arguments)

    def vm(self, name: str, size: int, data: Path, *, place: int = 0) -> str:
        fields = {"name_label": name, "memory_static_max": str(256 * MIB), "memory_dynamic_max": str(256 * MIB)}
        fields |= {"memory_dynamic_min": str(256 * MIB), "memory_static_min": str(64 * MIB), "VCPUs_max": "1"}
        vm = self.api.VM.create(fields | {"VCPUs_at_startup": "1", "HVM_boot_policy": "BIOS order"})
        disk = {"SR": self.sr, "virtual_size": str(size), "type": "user", "sharable": False, "read_only": False}
        vdi = self.api.VDI.create({**disk, "name_label": name, "other_config": {}})
        self.api.VBD.create(
            {"VM": vm, "VDI": vdi, "userdevice": "0", "type": "Disk", "mode": "RW", "bootable": True, "empty": False}
        )
        if place:
            self._put_at(vdi, data, place)
        else:
            self.curl("-T", data, f"{self.url}/import_raw_vdi?vdi={vdi}")
        return str(self.api.VM.get_uuid(vm))

    def _put_at(self, vdi: str, data: Path, place: int) -> None:
        """Write the data at a place, as one piece after the other (`chunked`)."""
        pieces = self.directory / "pieces"
        with data.open("rb") as source, pieces.open("wb") as target:
            while piece := source.read(4 * MIB):
                target.write(place.to_bytes(8, "little") + len(piece).to_bytes(4, "little") + piece)
                place += len(piece)
            target.write(bytes(12))
        self.curl("-T", pieces, f"{self.url}/import_raw_vdi?vdi={vdi}&chunked")
        pieces.unlink()

    def memory(self) -> float:
        """The most memory that the server had, in MiB."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def processor_time(self) -> float:
        """The processor seconds of the server and of all clients so far."""
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()
        clients = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK") + clients.ru_utime + clients.ru_stime

    def remove_all_but(self, kept: set[str]) -> None:
        """Remove the VMs that imports have made, with their disks."""
        for vm in set(self.api.VM.get_all()) - kept:
            for drive in self.api.VM.get_VBDs(vm):
                self.api.VDI.destroy(self.api.VBD.get_VDI(drive))
            self.api.VM.destroy(vm)

    def close(self) -> None:
        self.server.close_clients()
        self.server.close()


class Case:
    """One VM and the file whose bytes it has: what is done with them, and how long it took each time."""

    def __init__(self, bench: Bench, name: str, identity: str, data: Path) -> None:
        self.bench = bench
        self.name = name
        self.identity = identity
        self.data = data
        self.figures: dict[str, list[tuple[float, float]]] = {}
        self.sizes: dict[str, float] = {}
        self.memory: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[], object]) -> None:
        os.sync()
        used, begun = self.bench.processor_time(), time.perf_counter()
        work()
        seconds = time.perf_counter() - begun
        self.figures.setdefault(name, []).append((seconds, self.bench.processor_time() - used))
        self.memory[name] = self.bench.memory()

    def round(self, *, tls: bool, compressed: bool) -> None:
        """Do everything once."""
        directory = self.bench.directory
        copy, archive, files = directory / "copy.tar", directory / "vm.xva", directory / "files"
        tar: list[str | Path] = ["tar", "-C", directory, "-cf", copy, self.data.name]
        sync: list[str | Path] = ["sync", copy]
        for name, commands in (("tar", [tar]), ("tar, sync", [tar, sync])):
            self.timed(name, partial(run_all, *commands))
            self.sizes[name] = copy.stat().st_size / MIB
            copy.unlink()
        self.transfer("", self.bench.url, "", archive)
        files.mkdir()
        untar: list[str | Path] = ["tar", "-C", files, "-xf", archive]
        self.timed("untar, sync", partial(run_all, untar, ["sync", "-f", files]))
        shutil.rmtree(files)
        if tls:
            self.transfer(" TLS", self.bench.tls_url, "", archive)
        if compressed:
            self.transfer(" zstd", self.bench.url, "&use_compression=zstd", archive)
        archive.unlink()

    def transfer(self, kind: str, url: str, query: str, archive: Path) -> None:
        """Export and import in one way."""
        kept = set(self.bench.api.VM.get_all())
        source = f"{url}/export?uuid={self.identity}{query}"
        self.timed(f"export{kind}", lambda: self.bench.curl("-o", archive, source))
        self.timed(f"import{kind}", lambda: self.bench.curl("-T", archive, f"{url}/import"))
        for name in ("export", "import"):
            self.sizes[name + kind] = archive.stat().st_size / MIB
        self.bench.remove_all_but(kept)

    def rows(self) -> list[Row]:
        """The medians, beside those of tar."""
        medians = {name: statistics.median(seconds for seconds, _ in each) for name, each in self.figures.items()}
        return [
            {
                "what": f"{self.name}: {name}",
                "archive MiB": self.sizes.get(name, self.sizes["export"]),
                "seconds": seconds,
                "best": min(seconds for seconds, _ in self.figures[name]),
                "cpu": statistics.median(used for _, used in self.figures[name]),
                "x tar": seconds / medians["tar"],
                "x tar, sync": seconds / medians["tar, sync"],
                "server MiB": self.memory[name],
            }
            for name, seconds in medians.items()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.transfer", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=2048, help="data on the disk")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is done")
    parser.add_argument("--directory", type=Path, default=Path("/tmp"), help="where the files lie")
    parser.add_argument("--only-plain", action="store_true", help="no TLS, no compression")
    parser.add_argument("--no-sparse", action="store_true", help="without the disk of 1 TiB")
    options = parser.parse_args()
    directory = options.directory / f"transfer-{os.getpid()}"
    directory.mkdir()
    bench = Bench(directory)
    try:
        rows = measured(bench, directory, options)
        print(table("transfers", rows), flush=True)
        OUTPUT.mkdir(exist_ok=True)
        file = OUTPUT / f"transfers-{time.strftime('%Y%m%dT%H%M%S')}.json"
        file.write_text(json.dumps({"load": os.getloadavg(), "transfers": rows}, indent=1) + "\n")
        print(f"\nkept in {file}")
    finally:
        bench.close()
        shutil.rmtree(directory)


def measured(bench: Bench, directory: Path, options: argparse.Namespace) -> list[Row]:
    """The rows of all cases."""
    print(f"server at start: {bench.memory():.0f} MiB", flush=True)
    whole, part = directory / "data", directory / "part"
    noise(whole, options.mebibytes * MIB)
    first = bench.vm("full", options.mebibytes * MIB, whole)
    cases = [Case(bench, f"{options.mebibytes} MiB", first, whole)]
    if not options.no_sparse:
        noise(part, options.mebibytes // 2 * MIB)
        second = bench.vm("sparse", 1 << 40, part, place=1 << 39)
        cases.append(Case(bench, f"{options.mebibytes // 2} MiB in 1 TiB", second, part))
    for _ in range(options.rounds):
        for case in cases:
            case.round(tls=not options.only_plain, compressed=not options.only_plain)
    return [row for case in cases for row in case.rows()]


if __name__ == "__main__":
    main()
