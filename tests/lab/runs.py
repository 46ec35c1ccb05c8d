"""One directory for each run of a machine, so that several can run at once; what was left by those that have gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEPT = 20
"""How many runs' results are kept."""
LATEST = "out"
"""The link to the results of the run that has ended last."""


@contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[None]:
    """Hold a lock that is given up by the end of this process at the latest."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextmanager
def begun(directory: Path) -> Iterator[Path]:
    """Have a directory for a run, with `out` for its results, which stay, and `disks`, which go."""
    runs = directory / "runs"
    runs.mkdir(exist_ok=True)
    with locked(runs / "lock"):
        clear(runs)
        run = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=runs))
        mine = (run / "lock").open("w")
        fcntl.flock(mine, fcntl.LOCK_EX)
    with mine:
        (run / "out").mkdir()
        (run / "disks").mkdir()
        try:
            yield run
        finally:
            shutil.rmtree(run / "disks")
            point(directory / LATEST, run / "out")


def clear(runs: Path) -> None:
    """Remove the disks of runs that were cut short, and the oldest results."""
    ended = [path for path in sorted(runs.iterdir()) if path.is_dir() and not _is_held(path / "lock")]
    for path in ended:
        shutil.rmtree(path / "disks", ignore_errors=True)
    for path in ended[:-KEPT]:
        shutil.rmtree(path)


def _is_held(lock: Path) -> bool:
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def point(link: Path, target: Path) -> None:
    """Have a link point to something, whatever it was before."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    with tempfile.TemporaryDirectory(dir=link.parent) as place:
        made = Path(place) / "link"
        made.symlink_to(os.path.relpath(target, link.parent))
        made.replace(link)
