"""Files that are either wholly there or not there at all, whatever happens while they are written."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace the file by the content, durably: after a crash it holds either the old bytes or the new ones.

    The new file has the given permission bits from its first byte on, and the old one's are forgotten.
    """
    # mkstemp opens with 0600 and O_EXCL, so that nobody else reads a secret before the mode is set.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def create_once(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Make the file with this content, durably, unless something of that name is there; true if it was made here.

    Of two programs that try at once, exactly one succeeds, and the other finds a complete file.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails when the name is taken, as O_EXCL would, but never shows half a file
        except FileExistsError:
            return False
    finally:
        os.unlink(temporary)
    sync_directory(path.parent)
    return True


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, as fsync of a file alone does not."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
