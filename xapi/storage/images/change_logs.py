"""What disks changed: the log of one that goes, and what is not in the log yet."""

from __future__ import annotations

from xapi.storage.images.interface import Images
from xapi.storage.images.tree import Node
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.image import Vhd


def drop_log(images: Images, uuid: str) -> None:
    """Remove the change log of a disk that is gone; logs that build on it take over what it says."""
    log = images.load_log(uuid)
    if log is not None:
        for name in images.logs() - {uuid}:
            other = images.load_log(name)
            if other is not None and other.parent == uuid:
                images.save_log(name, other.absorb(log))
    images.remove_log(uuid)


def pending_changes(images: Images, node: Node) -> bytes:
    """Return the bitmap of the blocks that an image itself holds: what changed since it became its parent's child."""
    if node.format != "vhd":
        return b""
    with images.opened(node.uuid) as file:
        return Chain(Vhd.open(file), images.opener).changed_blocks(1)
