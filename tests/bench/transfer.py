"""`python -m tests.bench.transfer`: export and import of a VM beside `tar` copying the same bytes on the same disk.

The server runs in a process of its own, curl is the client, and every file lies below one directory (`--directory`,
/tmp by default). For each case it tells seconds, the ratio to `tar`, and the most memory that the server ever had.
An import ends when its data is on stable storage, an export and `tar` before that: hence the row with `sync`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.__main__ import table
from tests.fakes.served import ServerProcess, new_state

MIB = 1 << 20
Row = dict[str, Any]


def noise(path: Path, size: int) -> None:
    """A file that does not shrink: a piece that is different each time."""
    source = random.Random(1)
    with path.open("wb") as file:
        for _ in range(size // (4 * MIB)):
            file.write(source.randbytes(4 * MIB))


def timed(work: Callable[[], object]) -> float:
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)


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

    def curl(self, *arguments: str | Path) -> None:
        run("curl", "--silent", "--show-error", "--fail", *arguments)

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

    def transfers(self, name: str, identity: str, baseline: float, compression: str = "") -> list[Row]:
        """Export and import of a VM, as rows of a table."""
        archive = self.directory / "vm.xva"
        query = f"&use_compression={compression}" if compression else ""
        out = timed(lambda: self.curl("-o", archive, f"{self.url}/export?uuid={identity}{query}"))
        size = archive.stat().st_size / MIB
        back = timed(lambda: self.curl("-T", archive, f"{self.url}/import"))
        archive.unlink()
        made = [("export", out), ("import", back)]
        return [
            {
                "what": f"{name} {kind}",
                "archive MiB": size,
                "seconds": seconds,
                "x tar": seconds / baseline,
                "server MiB": self.memory(),
            }
            for kind, seconds in made
        ]

    def close(self) -> None:
        self.server.close_clients()
        self.server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.transfer", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=2048, help="data on the disk")
    parser.add_argument("--directory", type=Path, default=Path("/tmp"), help="where the files lie")
    options = parser.parse_args()
    directory = options.directory / f"transfer-{os.getpid()}"
    directory.mkdir()
    bench = Bench(directory)
    try:
        print(table("transfers", measured(bench, directory, options.mebibytes)), flush=True)
    finally:
        bench.close()
        shutil.rmtree(directory)


def measured(bench: Bench, directory: Path, mebibytes: int) -> list[Row]:
    """The rows of all cases."""
    whole, part = directory / "data", directory / "part"
    noise(whole, mebibytes * MIB)
    noise(part, mebibytes // 2 * MIB)
    rows: list[Row] = [{"what": "server at start", "archive MiB": 0.0, "seconds": 0.0, "x tar": 0.0}]
    rows[0]["server MiB"] = bench.memory()
    first = bench.vm("full", mebibytes * MIB, whole)
    second = bench.vm("sparse", 1 << 40, part, place=1 << 39)
    for name, identity, data in ((f"{mebibytes} MiB", first, whole), ("1 TiB sparse", second, part)):
        copy = directory / "copy.tar"
        tar: list[str | Path] = ["tar", "-C", directory, "-cf", copy, data.name]
        baseline = timed(lambda tar=tar: run(*tar))
        synced = timed(lambda tar=tar, copy=copy: (run(*tar), run("sync", copy)))
        size = copy.stat().st_size / MIB
        for what, seconds in (("tar", baseline), ("tar, then sync", synced)):
            row = {"what": f"{what}, {data.stat().st_size // MIB} MiB", "archive MiB": size, "seconds": seconds}
            rows.append({**row, "x tar": seconds / baseline, "server MiB": 0.0})
        copy.unlink()
        rows += bench.transfers(name, identity, baseline)
        rows += bench.transfers(f"{name} zstd", identity, baseline, "zstd")
    return rows


if __name__ == "__main__":
    main()
