"""Files that are either wholly there or not there at all, whatever happens while they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def file_beside(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A new file in the directory of another, and its name; unless it was renamed, it is gone on leaving.

    Only its owner can read it, from its first byte on.
    """
    # mkstemp opens with 0600 and O_EXCL, so that nobody else reads a secret before the mode is set.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, Path(temporary)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def make_durable(file: IO[bytes]) -> None:
    """Return when the disk has what was written; the file's name is another matter, see `sync_directory`."""
    file.flush()
    os.fsync(file.fileno())


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace the file by the content, durably: after a crash it holds either the old bytes or the new ones.

    The new file has the given permission bits, and the old one's are forgotten.
    """
    with file_beside(path) as (file, temporary):
        file.write(content)
        os.fchmod(file.fileno(), mode)
        make_durable(file)
        os.replace(temporary, path)
    sync_directory(path.parent)


def create_once(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Make the file with this content, durably, unless something of that name is there; true if it was made here.

    Of two programs that try at once, exactly one succeeds, and the other finds a complete file.
    """
    with file_beside(path) as (file, temporary):
        file.write(content)
        os.fchmod(file.fileno(), mode)
        make_durable(file)
        try:
            os.link(temporary, path)  # fails when the name is taken, as O_EXCL would, but never shows half a file
        except FileExistsError:
            return False
    sync_directory(path.parent)
    return True


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, as fsync of a file alone does not."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
