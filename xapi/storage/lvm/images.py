"""The images of an SR on LVM: VHDs on logical volumes, or logical volumes as they are.

Volumes are active while somebody has the disk or a disk below it, and for the moments in which they are looked into.
A disk that is written to has a volume in which every block has room; snapshots, inner images, and disks of a thin SR
that nobody has, take no more than they need.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from xapi.storage.attachments import Attachments
from xapi.storage.errors import Unsupported, VdiUnavailable
from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.file.record import VdiRecord
from xapi.storage.images.change_logs import drop_log
from xapi.storage.images.interface import REPLACE, Merge
from xapi.storage.images.merging import recover_merges
from xapi.storage.images.tree import Node
from xapi.storage.lvm.change_logs import log_name, read_log, write_log
from xapi.storage.lvm.fork import BROKEN, VolumeFork, describe, make_child, recover_forks, set_hidden
from xapi.storage.lvm.group import VolumeFile, VolumeGroup
from xapi.storage.lvm.merges import journal_of, old_name, parse_merge, room_for_merge
from xapi.storage.lvm.records import Records
from xapi.storage.lvm.refcounts import Count, RefCounts, namespace
from xapi.storage.lvm.sizes import (
    JOURNAL_TAG,
    enlarge,
    is_being_enlarged,
    make_volume,
    recover_sizes,
    shrink,
    zero,
)
from xapi.storage.lvm.tree import VolumeTree
from xapi.storage.lvm.volumes import EXTENT, Volume, empty_size, full_size, volume_name, whole_extents
from xapi.storage.tracking import ChangeLog
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.file import Opener, RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent
from xapi.storage.vhd.resize import grow


class VolumeImages:
    """The images of a volume group. `state` is where its lock and its counts are; `release` ends what is below.

    Of several hosts that share the group, one alone is `in_charge`: the others look at it anew at each operation, and
    leave alone what seems to have been cut short.
    """

    grows_online = False

    def __init__(
        self,
        group: VolumeGroup,
        state: Path,
        attachments: Attachments,
        release: Callable[[], None] = lambda: None,
        in_charge: bool = True,
    ) -> None:
        self._group = group
        self._attachments = attachments
        self._release_below = release
        self._in_charge = in_charge
        self._lock_path = state / "lock" / namespace(group.sr_uuid) / "sr"
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._active: set[str] = set()
        self._open: list[list[str]] = []  # what this process has open: UUIDs, which follow when images are renamed
        self.tree = VolumeTree(group, remember=in_charge)
        with self.held():
            self.refresh()
            self._kept = Records(group)
            self._counts = RefCounts(state / "refcount", group.sr_uuid)
            if in_charge:
                self._recover()
            # What an earlier toolstack had active, and nobody uses now; it will be attached anew if it is needed.
            for volume in self.tree.volumes.values():
                if volume.active and not volume.open:
                    group.deactivate(volume.name)

    def _recover(self) -> None:
        """Finish or take back what an earlier toolstack has left, beyond what every operation looks for."""
        recover_merges(self)
        self.tree.refresh()
        volumes, logs = self.tree.volumes.keys(), self.logs()
        for uuid in self._kept.uuids() - volumes:
            if uuid not in logs or self._kept.get(uuid).type != "cbt_metadata":
                self._kept.drop(uuid)
        for uuid in logs & volumes:
            node = self.tree.look(uuid)
            if node is not None and self._kept.get(uuid).type == "cbt_metadata" and not self.tree.children(uuid):
                self.remove(node, keep_record=True)
        for uuid in logs - volumes - self._kept.uuids():
            drop_log(self, uuid)
            self.tree.refresh()

    @property
    def sr_uuid(self) -> str:
        """The SR's UUID."""
        return self._group.sr_uuid

    @property
    def opener(self) -> Opener:
        """Opens the active volumes of this group by their paths."""
        return self._group.opener(lambda name: name in self._active)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the SR's lock, among threads and among the processes of this host."""
        with self._lock:
            if self._depth:
                yield
                return
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._depth += 1
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                self._depth -= 1
                os.close(descriptor)

    def refresh(self, everything: bool = False) -> None:
        """Ask LVM what there is, and clear away what was cut short."""
        self.tree.refresh()
        if self._in_charge:
            found = recover_sizes(self._group, self.tree.volumes, self.tree.names)
            if recover_forks(self._group, self.tree.names, self._begin_log) or found:
                self.tree.refresh()

    def space(self) -> tuple[int, int]:
        """Return the size of the group and what is free of it."""
        group = self._group.stat()
        return group.size, group.free

    def is_taken(self, uuid: str) -> bool:
        """Whether there is a volume that is no disk but belongs to one."""
        return log_name(uuid) in self.tree.names

    def _volume(self, uuid: str) -> Volume:
        volume = self.tree.volumes.get(uuid)
        if volume is None:
            raise FileNotFoundError(errno.ENOENT, f"there is no volume of disk {uuid}")
        return volume

    # Records

    def names(self) -> tuple[str, str]:
        """Return the SR's name and description."""
        return self._kept.names

    def rename_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description on the metadata volume."""
        self._kept.rename(name_label, name_description)

    def record(self, uuid: str) -> VdiRecord:
        """Return what is kept of a disk, defaults if nothing is."""
        return self._kept.get(uuid)

    def save_record(self, uuid: str, format: str, record: VdiRecord) -> None:
        """Keep a disk's record; InvalidConfiguration if its sm_config has no room."""
        self._kept.put(uuid, format, record)

    def drop_record(self, uuid: str) -> None:
        """Forget what is kept of a disk."""
        self._kept.drop(uuid)

    def logs(self) -> frozenset[str]:
        """Return the disks that have a change log, as of the last refresh."""
        return self.tree.logs()

    def load_log(self, uuid: str) -> ChangeLog | None:
        """Return the change log of a disk, None if it is not tracked."""
        return read_log(self._group, uuid) if uuid in self.logs() else None

    def save_log(self, uuid: str, log: ChangeLog) -> None:
        """Keep the change log of a disk, durably."""
        write_log(self._group, uuid, log, there=uuid in self.logs())
        self.tree.refresh()

    def remove_log(self, uuid: str) -> None:
        """Remove the change log of a disk, if there is one."""
        if uuid in self.logs():
            self._group.remove(log_name(uuid))
            self.tree.refresh()

    # Images

    def create(self, uuid: str, format: str, size: int, record: VdiRecord) -> None:
        """Make an empty disk with its record."""
        vhd_size = empty_size() if self._kept.thin else full_size(size)

        def fill(file: RandomAccessFile) -> None:
            if format == "vhd":
                create_dynamic(file, size, largest_size=MAXIMUM_VHD_SIZE)
            else:
                zero(file)
            self._kept.put(uuid, format, record)

        self._kept.check(uuid, format, record)
        name = volume_name(uuid, format)
        self._make(uuid, partial(make_volume, self._group, name, vhd_size if format == "vhd" else size, fill))

    def _make(self, uuid: str, make: Callable[[], None]) -> None:
        """Make a disk with its record, or neither."""
        try:
            make()
        except BROKEN:
            self.tree.refresh()
            if uuid not in self.tree.volumes:
                self._kept.drop(uuid)
                self.remove_log(uuid)
            raise
        self.tree.refresh()

    def add_child(self, parent: str, uuid: str, record: VdiRecord) -> None:
        """Make an empty child of an image, with its record."""
        node = self.tree.look(parent)
        size = self._child_size(record, node.size if node is not None else 0)
        self._kept.check(uuid, "vhd", record)
        self._kept.put(uuid, "vhd", record)
        self._make(uuid, partial(make_child, self._group, parent, uuid, size))

    def _child_size(self, record: VdiRecord, size: int) -> int:
        return empty_size() if record.is_a_snapshot or self._kept.thin else full_size(size)

    def renew(self, node: Node) -> None:
        """Refuse: a volume cannot be exchanged under its name while it may be active."""
        raise Unsupported("VDI_RESET_ON_BOOT")

    def split(self, node: Node, child: str, record: VdiRecord, log: ChangeLog | None) -> None:
        """Make a disk a hidden parent of two, or of one."""
        if child:
            self._kept.check(child, "vhd", record)
        fork = VolumeFork.plan(node.uuid, child)
        small = self._kept.thin and not self._attachments.written(node.uuid)
        sizes = empty_size() if small else full_size(node.size), self._child_size(record, node.size)
        keep = partial(self._keep, child, record, log)
        self._make(child, partial(fork.run, self._group, *sizes, keep, self._begin_log))
        for opened in self._open:
            opened[:] = [fork.base if uuid == fork.leaf else uuid for uuid in opened]
        self._renamed(volume_name(fork.leaf, "vhd"), volume_name(fork.base, "vhd"))
        self.tree.reread(fork.leaf)
        self._settle()

    def _keep(self, child: str, record: VdiRecord, log: ChangeLog | None) -> None:
        self._kept.put(child, "vhd", record)
        if log is not None:
            write_log(self._group, child, log, there=False)

    def _begin_log(self, fork: VolumeFork) -> None:
        """Begin a disk's log anew, if the one that it had went to its snapshot."""
        self.tree.refresh()
        passed_on, log = self.load_log(fork.child), self.load_log(fork.leaf)
        if passed_on is not None and log is not None and log.parent != fork.child:
            self.save_log(fork.leaf, ChangeLog(passed_on.size, fork.child))

    def _renamed(self, old: str, new: str) -> None:
        if old in self._active:
            self._active.discard(old)
            self._active.add(new)

    def remove(self, node: Node, keep_record: bool = False) -> None:
        """Remove a disk and the hidden ancestors that nothing else depends on; one with children is only hidden."""
        if self.tree.children(node.uuid):
            self.set_hidden(node.uuid, True)
            self._kept.drop(node.uuid)
            return
        self._remove(node)
        if not keep_record:
            self._kept.drop(node.uuid)
        parent = node.parent
        while parent and self.tree.all_parents_known():
            above = self.tree.look(parent)
            if above is None or not above.hidden or self.tree.children(parent) or self.is_open_here(parent):
                break
            self.discard(above)
            parent = above.parent

    def _remove(self, node: Node) -> None:
        name = volume_name(node.uuid, node.format)
        self._group.remove(name)
        self._active.discard(name)
        self.tree.refresh()

    def discard(self, node: Node) -> None:
        """Remove one image with its record."""
        self._remove(node)
        self._kept.drop(node.uuid)

    def grow(self, node: Node, size: int) -> None:
        """Make a disk larger; its volume grows at once if it has to have room for every block."""
        if node.format == "raw":
            self._enlarge(node.uuid, size)
            return
        if not self._kept.thin and not node.hidden:
            self._enlarge(node.uuid, full_size(size))
        with self.opened(node.uuid, writable=True) as file:
            grow(Vhd.open(file, writable=True), size)
        self.tree.reread(node.uuid)

    def _enlarge(self, uuid: str, size: int) -> None:
        if is_being_enlarged(uuid, self.tree.names):
            raise VdiUnavailable(uuid, "its volume was given more room, and that cannot be settled now")
        enlarge(self._group, self._volume(uuid), whole_extents(size))
        self.tree.refresh()

    def set_hidden(self, uuid: str, hidden: bool) -> None:
        """Mark an image as an inner node, or as one to be seen."""
        volume = self._volume(uuid)
        if volume.format == "raw":
            self._group.hide(volume.name, hidden)
            self.tree.refresh()
        else:
            self._permit_writing(volume)
            set_hidden(self._group, uuid, hidden)
        self.tree.reread(uuid)

    def _permit_writing(self, volume: Volume) -> None:
        if volume.read_only:
            self._group.permit_writing(volume.name)
            self.tree.refresh()

    @contextmanager
    def opened(self, uuid: str, writable: bool = False) -> Iterator[RandomAccessFile]:
        """Open an image inside, active or not."""
        mine = [uuid]
        self._open.append(mine)
        try:
            with self.held():
                volume = self._volume(uuid)
                if writable:
                    self._permit_writing(volume)
                self._settle()
                path = self._group.path(volume.name)
            with closing(VolumeFile.open_volume(path, writable)) as file:
                yield file
        finally:
            with self.held():
                self._open = [opened for opened in self._open if opened is not mine]
                self._settle()

    def describe(self, uuid: str) -> Parent:
        """Return what a child of an image has to know of it."""
        return describe(self._group, uuid)

    def is_open_here(self, uuid: str) -> bool:
        """Whether this process has a volume open."""
        return any(uuid in opened for opened in self._open)

    # Reaching

    def _settle(self) -> None:
        """Have those volumes active that somebody needs, and no others of those that were made active here."""
        inner: dict[str, int] = {}
        held = self._attachments.held()
        needed = {uuid for opened in self._open for uuid in opened}
        for location in held:
            node = self.tree.look(location)
            for each in self.tree.ancestors(node) if node is not None else ():
                needed.add(each.uuid)
                if each.uuid != location:
                    inner[each.uuid] = inner.get(each.uuid, 0) + 1
        names = {volume.name for uuid in needed if (volume := self.tree.volumes.get(uuid)) is not None}
        for name in sorted(names - self._active):
            if not self._group.is_active(name):
                self._group.activate(name)
            self._active.add(name)
        for name in sorted(self._active - names):
            if self._group.is_active(name):
                self._group.deactivate(name)
            self._active.discard(name)
        counted = inner.keys() | (set(held) & self.tree.volumes.keys())
        self._counts.write({uuid: Count(inner.get(uuid, 0), int(uuid in held)) for uuid in counted})

    def prepare(self, node: Node, read_only: bool) -> None:
        """Have a disk's volumes active and large enough."""
        if not read_only and node.format == "vhd":
            self._enlarge(node.uuid, full_size(node.size))
        self._settle()

    def settle(self, location: str) -> None:
        """Deactivate what nobody needs; a disk of a thin SR that nobody has gives away its room."""
        with self.held():
            self.tree.refresh()
            self._settle()
            if self._kept.thin and location not in self._attachments.held():
                self.trim(location)

    @contextmanager
    def pin(self, node: Node) -> Iterator[None]:
        """Keep a disk and its ancestors of now inside."""
        mine = [each.uuid for each in self.tree.ancestors(node)]
        self._open.append(mine)
        try:
            yield
        finally:
            self._open = [opened for opened in self._open if opened is not mine]

    def flush(self, node: Node) -> None:
        """Make durable what was written through the disk's device."""
        with self._group.opened(volume_name(node.uuid, node.format)) as file:
            file.flush()

    # Merging

    def make_room(self, parent: str, image: str, final: bool) -> None:
        """Give a parent room for what an image holds, and for every block if it is to be a disk that is written to."""
        node = self.tree.look(image)
        with self.opened(image) as source, self.opened(parent) as target:
            wanted = room_for_merge(Vhd.open(source), Vhd.open(target))
        snapshot = self._kept.get(image).is_a_snapshot or self._kept.thin
        if final and node is not None and (self._attachments.written(image) or not snapshot):
            wanted = max(wanted, full_size(node.size))
        self._enlarge(parent, wanted)

    def trim(self, uuid: str) -> None:
        """Take away the room that a VHD does not need while nobody writes to it."""
        volume = self.tree.volumes.get(uuid)
        if volume is not None:
            shrink(self._group, volume)
            self.tree.refresh()

    def begin(self, merge: Merge) -> None:
        """Write down a merge."""
        self._group.create(journal_of(merge), EXTENT, JOURNAL_TAG)

    def merges(self) -> list[Merge]:
        """Return the merges that are under way or were cut short, as of the last refresh."""
        return [merge for name in self.tree.names if (merge := parse_merge(name)) is not None]

    def take_name(self, merge: Merge) -> None:
        """Let the parent of a merge have the image's name; the image gets one by which nobody finds it."""
        image, parent = volume_name(merge.image, "vhd"), volume_name(merge.parent, "vhd")
        self._rename(image, old_name(merge))
        self._rename(parent, image)
        self.tree.refresh()
        self.tree.reread(merge.image)

    def _rename(self, old: str, new: str) -> None:
        self._group.rename(old, new)
        self._renamed(old, new)

    def take_names_back(self, merge: Merge) -> None:
        """Let an image have its name again if its parent has not taken it."""
        self.tree.refresh()
        if old_name(merge) in self.tree.names and merge.image not in self.tree.volumes:
            self._rename(old_name(merge), volume_name(merge.image, "vhd"))
            self.tree.refresh()

    def end(self, merge: Merge) -> None:
        """Remove what a disk was before its parent took its name, and forget the merge."""
        self.tree.refresh()
        if merge.kind == REPLACE:
            if old_name(merge) in self.tree.names:
                self._group.remove(old_name(merge))
                self._active.discard(old_name(merge))
            if merge.parent not in self.tree.volumes:
                self._kept.drop(merge.parent)
                if self._kept.thin and merge.image not in self._attachments.held():
                    self.trim(merge.image)
        for name in self.tree.names:
            if parse_merge(name) == merge:
                self._group.remove(name)
        self.tree.refresh()
        self._settle()

    # The end

    def close(self) -> None:
        """Give up what is below; nothing on the volumes changes."""
        with self.held():
            self._settle()
        self._release_below()

    def destroy(self) -> None:
        """Remove the volume group."""
        self._group.destroy()
        self.tree.forget_all()
