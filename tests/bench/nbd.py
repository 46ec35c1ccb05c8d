"""NBD servers and clients for the storage benchmark: ours and qemu-nbd, asked by the same fio and nbdcopy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 30.0
NEEDED = {"qemu-img": "qemu-utils", "qemu-nbd": "qemu-utils", "nbdcopy": "libnbd-bin", "fio": "fio"}
"""The programs that the benchmark runs, and the Debian packages that have them."""


def missing_packages() -> list[str]:
    """What has to be installed first."""
    return sorted({package for program, package in NEEDED.items() if shutil.which(program) is None})


class NbdServer:
    """A process that serves one disk at a Unix socket; knows the most memory that it ever had."""

    def __init__(self, command: list[str], path: Path) -> None:
        self.path = path
        # Both complain of clients that hang up without a word, as fio does.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"does not serve: {' '.join(command)}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.connect(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.path}"

    def memory(self) -> float:
        """MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def processor(self) -> float:
        """Seconds of processor time since it was started."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.path.unlink(missing_ok=True)


def ours(disk: Path, place: Path) -> NbdServer:
    path = place / f"ours-{os.getpid()}"
    command = [sys.executable, "-m", "xapi.storage.datapath", "--chain", str(disk), "--socket", str(path)]
    return NbdServer([*command, *(["--raw"] if disk.suffix == ".raw" else [])], path)


def qemu(disk: Path, place: Path) -> NbdServer:
    path = place / f"qemu-{os.getpid()}"
    form = {".vhd": "vpc", ".qcow2": "qcow2", ".raw": "raw"}[disk.suffix]
    command = ["qemu-nbd", "-k", str(path), "-f", form, "-t", "-e", "8", "--cache=writeback", str(disk)]
    return NbdServer(command, path)


def fio(server: NbdServer, mode: str, size: int, depth: int, seconds: float) -> float:
    """4 KiB requests a second, at random places, through one connection."""
    command = ["fio", "--name=x", "--ioengine=nbd", f"--uri={server.uri}", f"--rw={mode}", "--bs=4k"]
    command += [f"--iodepth={depth}", f"--size={size}", "--time_based", f"--runtime={seconds}", "--norandommap"]
    command += ["--output-format=json", "--randrepeat=1", "--refill_buffers=0", "--eta=never"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=server.path.parent)
    job: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return float(job["read" if "read" in mode else "write"]["iops"])


def nbdcopy(source: str, target: str, *options: str) -> float:
    """Seconds; what was written is on stable storage then."""
    begun = time.perf_counter()
    subprocess.run(["nbdcopy", "--flush", *options, source, target], check=True)
    return time.perf_counter() - begun
