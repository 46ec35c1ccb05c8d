"""Running programs of the lab machine, and waiting for what they bring about."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def settled() -> None:
    """Wait until udev has done all that it was told of; what it was asked at a bad moment it never answers."""
    eventually(lambda: subprocess.run(["udevadm", "settle", "--timeout=10"], check=False).returncode == 0)


def disk(name: str) -> str:
    """Return the device of one of the machine's own disks."""
    places = dict(place.split("=", 1) for place in os.environ["XAPI_LAB_DISKS"].split())
    return os.path.realpath(places[name])


def wipe(device: str) -> None:
    """Take from a device whatever volume group or file system is on it."""
    settled()
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


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Gather the command lines of all processes that anybody could see inside; the set is complete afterwards."""
    seen: set[bytes] = set()
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(place.read_bytes())
                except OSError:  # it has gone meanwhile
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()
