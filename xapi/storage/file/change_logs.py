"""The change logs of a directory's disks, each in a file beside the data."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from xapi.storage.file.directory import LOG_NAME, Directory
from xapi.storage.file.tree import Node
from xapi.storage.tracking import ChangeLog
from xapi.storage.vhd.chain import Chain
from xapi.system.atomic_file import write_atomically


def load_log(directory: Directory, uuid: str) -> ChangeLog | None:
    """Return the change log of a disk, None if it is not tracked."""
    try:
        return ChangeLog.decode(directory.read_small(directory.log(uuid)))
    except FileNotFoundError:
        return None


def save_log(directory: Directory, uuid: str, log: ChangeLog) -> None:
    """Keep the change log of a disk, durably."""
    write_atomically(Path(directory.log(uuid)), log.encode())


def drop_log(directory: Directory, uuid: str) -> None:
    """Remove the change log of a disk that is gone; logs that build on it take over what it says."""
    log = load_log(directory, uuid)
    if log is not None:
        for name in directory.names():
            match = LOG_NAME.fullmatch(name)
            if match is None or match[1] == uuid:
                continue
            other = load_log(directory, match[1])
            if other is not None and other.parent == uuid:
                save_log(directory, match[1], other.absorb(log))
    directory.remove(directory.log(uuid))


def pending_changes(directory: Directory, node: Node) -> bytes:
    """Return the bitmap of the blocks that an image itself holds: what changed since it became its parent's child."""
    if node.format != "vhd":
        return b""
    with closing(Chain.open(node.path, opener=directory.open)) as chain:
        return chain.changed_blocks(1)
