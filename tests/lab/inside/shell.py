"""Running programs of the lab machine, and waiting for what they bring about."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 120.0


def sh(*argv: str, check: bool = True) -> str:
    """Run a program and return what it printed; a failure shows its last words."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def eventually(what: Callable[[], bool]) -> None:
    """Wait until something has come about."""
    limit = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.05)


def disk(name: str) -> str:
    """Return the device of one of the machine's own disks."""
    places = dict(place.split("=", 1) for place in os.environ["XAPI_LAB_DISKS"].split())
    return os.path.realpath(places[name])


def wipe(device: str) -> None:
    """Take from a device whatever volume group or file system is on it."""
    sh("udevadm", "settle")
    for line in sh("pvs", "--noheadings", "-o", "pv_name,vg_name", check=False).splitlines():
        path, *group = line.split()
        if os.path.realpath(path) == os.path.realpath(device) and group:
            sh("vgremove", "--force", "--force", "--yes", group[0])
    sh("wipefs", "--all", "--force", device)


def active_volumes() -> list[str]:
    """Return the names of the device mapper's devices."""
    rows = sh("dmsetup", "info", "-c", "--noheadings", "-o", "name").split()
    return [] if rows[:1] == ["No"] else rows


def write_text(path: Path, text: str) -> None:
    """Write to a file of the kernel's, in one go."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
