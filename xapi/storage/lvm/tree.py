"""Which disks a volume group holds, and which of them depend on which: LVM's list, and what the VHDs say themselves.

A volume that is not active is made so for the moment in which its VHD is looked into; what was read is kept until LVM
tells another size of the volume, or until the tree is told to forget it.
"""

from __future__ import annotations

from collections.abc import Iterator

from xapi.storage.errors import StorageFailure
from xapi.storage.file.tree import Node
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.volumes import VOLUME_NAME, Volume
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import parent_paths

Stamp = tuple[str, int, bool]


class VolumeTree:
    """The disks of a volume group. Not safe for several threads: the SR's lock is held."""

    def __init__(self, group: VolumeGroup) -> None:
        self._group = group
        self.volumes: dict[str, Volume] = {}
        self.names: list[str] = []
        self._nodes: dict[str, tuple[Stamp, Node]] = {}
        self._everything = False

    def refresh(self) -> None:
        """Ask LVM what there is."""
        self.volumes, self.names = self._group.look()
        self._everything = False
        for uuid in self._nodes.keys() - self.volumes.keys():
            del self._nodes[uuid]

    def forget(self, *uuids: str) -> None:
        """Look into these disks anew when they are next asked for."""
        for uuid in uuids:
            self._nodes.pop(uuid, None)

    def node(self, uuid: str) -> Node | None:
        """Return what a disk is, None if it is not there."""
        volume = self.volumes.get(uuid)
        if volume is None:
            return None
        stamp = (volume.name, volume.size, volume.hidden)
        known = self._nodes.get(uuid)
        if known is None or known[0] != stamp:
            known = self._nodes[uuid] = (stamp, self._read(volume))
        return known[1]

    def _read(self, volume: Volume) -> Node:
        uuid, path, size = volume.uuid, self._group.path(volume.name), volume.size
        if volume.format == "raw":
            return Node(uuid, path, "raw", size, size, volume.hidden)
        try:
            with self._group.opened(volume.name) as file:
                vhd = Vhd.open(file)
                parent = self._parent(vhd) if vhd.has_parent else ""
                trouble = "its parent is not in this SR" if vhd.has_parent and not parent else ""
                hidden = bool(vhd.hidden) or volume.hidden
                return Node(uuid, path, "vhd", vhd.size, size, hidden, parent, trouble)
        except VhdError as error:
            return Node(uuid, path, "vhd", 0, size, volume.hidden, trouble=error.reason)
        except (OSError, StorageFailure) as error:
            return Node(uuid, path, "vhd", 0, size, volume.hidden, trouble=str(error))

    def _parent(self, vhd: Vhd) -> str:
        for path in parent_paths(vhd):
            name = self._group.name_in(path)
            match = VOLUME_NAME.fullmatch(name) if name else None
            if match:
                return match[2]
        return ""

    def nodes(self) -> list[Node]:
        """Return all disks, with their inner nodes."""
        return [node for uuid in self.volumes if (node := self.node(uuid)) is not None]

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Yield the disk, its parent and so on; stops at one that is missing or was seen before."""
        seen: set[str] = set()
        current: Node | None = node
        while current is not None and current.uuid not in seen:
            seen.add(current.uuid)
            yield current
            current = self.node(current.parent) if current.parent else None

    def trouble(self, node: Node) -> str:
        """Return why a disk cannot be used, empty if it can."""
        last = node
        for last in self.ancestors(node):
            if last.trouble:
                return last.trouble if last is node else f"its ancestor {last.uuid} is damaged: {last.trouble}"
        return f"its ancestor {last.parent} is missing, or its parents form a loop" if last.parent else ""

    def unused_above(self, parent: str) -> list[Node]:
        """Return the hidden disks from `parent` on up that nothing depends on; none while a disk is damaged."""
        nodes = self.nodes()
        if any(node.trouble for node in nodes):
            return []
        found: list[Node] = []
        gone: set[str] = set()
        while parent:
            above = self.node(parent)
            if above is None or not above.hidden:
                break
            if any(node.parent == parent and node.uuid not in gone for node in nodes):
                break
            found.append(above)
            gone.add(parent)
            parent = above.parent
        return found
