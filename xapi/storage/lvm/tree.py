"""Which disks a volume group holds, and which of them depend on which: LVM's list, and what the VHDs say themselves.

A volume that is not active is made so for the moment in which its VHD is looked into; what was read is kept until LVM
tells another name or size of the volume, or until the tree is told to forget it.
"""

from __future__ import annotations

from xapi.storage.errors import SrUnavailable, StorageFailure
from xapi.storage.images.tree import ImageTree, Node
from xapi.storage.lvm.change_logs import LOG_NAME
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.volumes import VOLUME_NAME, Volume
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import parent_paths


class VolumeTree(ImageTree):
    """The disks of a volume group. With `remember` off, all is looked into anew after each refresh."""

    def __init__(self, group: VolumeGroup, remember: bool = True) -> None:
        super().__init__()
        self._group = group
        self._remember = remember
        self._complete = False
        self.volumes: dict[str, Volume] = {}
        self.names: list[str] = []

    def refresh(self) -> None:
        """Ask LVM what there is."""
        self.volumes, self.names = self._group.look()
        self._logs = {match[1] for name in self.names if (match := LOG_NAME.fullmatch(name))}
        self._complete = False
        gone = self._nodes.keys() - self.volumes.keys() if self._remember else set(self._nodes)
        for uuid in gone:
            self._forget(uuid)

    def forget_all(self) -> None:
        """Know of nothing, for there is nothing any more."""
        self.volumes, self.names, self._logs = {}, [], set()
        self.forget_nodes()

    def forget_nodes(self) -> None:
        """Look into everything anew when it is next asked for."""
        for uuid in list(self._nodes):
            self._forget(uuid)

    def _forget(self, uuid: str) -> None:
        super()._forget(uuid)
        self._complete = False

    def look(self, uuid: str) -> Node | None:
        """Return what a disk is, None if it was not there when LVM was last asked."""
        volume = self.volumes.get(uuid)
        if volume is None:
            self._forget(uuid)
            return None
        stamp = (volume.name, volume.size, volume.hidden, volume.resetting)
        try:
            return self._known(uuid, stamp) or self._keep(self._read(volume), stamp)
        except SrUnavailable:
            raise
        except (OSError, StorageFailure) as error:
            # Perhaps not the volume is damaged but what it lies on, and only for now: it is looked into each time.
            path, why = self._group.path(volume.name), getattr(error, "strerror", None) or str(error)
            return self._keep(Node(uuid, path, "vhd", 0, volume.size, volume.hidden, trouble=why), ())

    def _read_all(self) -> None:
        if not self._complete:
            for uuid in self.volumes:
                self.look(uuid)
            self._complete = True

    def nodes(self) -> tuple[Node, ...]:
        """Return all disks, with their inner nodes."""
        self._read_all()
        return super().nodes()

    def children(self, uuid: str) -> frozenset[str]:
        """Return the disks that depend directly on one."""
        self._read_all()
        return super().children(uuid)

    def all_parents_known(self) -> bool:
        """Whether no damaged disk could depend on one that seems unused."""
        self._read_all()
        return super().all_parents_known()

    def is_whole(self, node: Node) -> bool:
        """Whether a disk and all that it depends on are in order."""
        return not self.trouble(node)

    def _read(self, volume: Volume) -> Node:
        uuid, path, size = volume.uuid, self._group.path(volume.name), volume.size
        if volume.format == "raw":
            return Node(uuid, path, "raw", size, size, volume.hidden)
        try:
            with self._group.opened(volume.name) as file:
                vhd = Vhd.open(file)
                parent = self._parent(vhd) if vhd.has_parent else ""
                trouble = "its parent is not in this SR" if vhd.has_parent and not parent else ""
                trouble = "it is being reset" if volume.resetting else trouble
                hidden = bool(vhd.hidden) or volume.hidden
                return Node(uuid, path, "vhd", vhd.size, size, hidden, parent, trouble)
        except VhdError as error:
            return Node(uuid, path, "vhd", 0, size, volume.hidden, trouble=error.reason)

    def _parent(self, vhd: Vhd) -> str:
        for path in parent_paths(vhd):
            name = self._group.name_in(path)
            match = VOLUME_NAME.fullmatch(name) if name else None
            if match:
                return match[2]
        return ""
