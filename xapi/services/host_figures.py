"""Figures of the machine and the process that the toolstack runs in, as the kernel tells them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
LOGS = Path("/var/log")
ROOT = Path("/etc/passwd")  # a file that is on the root file system everywhere
_MEMINFO = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


def load_average() -> float:
    """Runnable tasks of the last minute, on average."""
    return os.getloadavg()[0]


def resident_kib() -> float:
    """Memory that this process holds, in KiB."""
    pages = int((PROC / "self" / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def open_files() -> float:
    """File descriptors that this process has open."""
    return float(len(os.listdir(PROC / "self" / "fd")))


class Traffic(NamedTuple):
    """What a network interface has counted since it came up."""

    received: int
    sent: int
    receive_errors: int = 0
    transmit_errors: int = 0


def interface_traffic() -> Mapping[str, Traffic]:
    """What each network interface of the machine has counted."""
    found = {}
    for line in (PROC / "net" / "dev").read_text().splitlines()[2:]:
        name, _, figures = line.partition(":")
        columns = figures.split()
        found[name.strip()] = Traffic(*(int(columns[place]) for place in (0, 8, 2, 10)))
    return found


def root_usage() -> float:
    """Used share of the root file system."""
    return _usage(ROOT)


def log_usage() -> float:
    """Used share of the file system for logs; NaN when it is not one of its own."""
    if not LOGS.exists() or os.stat(LOGS).st_dev == os.stat(ROOT).st_dev:
        return nan
    return _usage(LOGS)


def memory_usage() -> float:
    """Memory and swap in use as a share of the memory; it may be above 1."""
    found = {name: int(kib) for name, kib in _MEMINFO.findall((PROC / "meminfo").read_text())}
    used = found["MemTotal"] - found["MemFree"] - found["Buffers"] - found["Cached"]
    return (used + found["SwapTotal"] - found["SwapFree"]) / found["MemTotal"]


def _usage(path: Path) -> float:
    usage = shutil.disk_usage(path)
    return usage.used / usage.total
