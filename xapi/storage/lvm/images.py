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
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

from xapi.storage.attachments import Attachments
from xapi.storage.errors import VdiUnavailable
from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.file.record import VdiRecord
from xapi.storage.images.interface import KINDS, REPLACE, Merge
from xapi.storage.images.merging import recover_merges
from xapi.storage.images.tree import Node
from xapi.storage.lvm.activation import Activation
from xapi.storage.lvm.change_logs import log_name, read_log, write_log
from xapi.storage.lvm.fork import VolumeFork, describe, make_child, recover_forks, set_hidden
from xapi.storage.lvm.group import VolumeFile, VolumeGroup
from xapi.storage.lvm.merges import journal_of, old_name, parse_merge, room_for_merge
from xapi.storage.lvm.records import Records
from xapi.storage.lvm.recovery import is_unsettled, reconcile
from xapi.storage.lvm.refcounts import RefCounts, namespace
from xapi.storage.lvm.resets import recover_resets, reset
from xapi.storage.lvm.sizes import (
    BROKEN,
    JOURNAL_TAG,
    enlarge,
    is_being_enlarged,
    make_volume,
    recover_sizes,
    shrink,
    tidy_up,
    zero,
)
from xapi.storage.lvm.tree import VolumeTree
from xapi.storage.lvm.volumes import (
    EXTENT,
    METADATA_VOLUME,
    Volume,
    empty_size,
    full_size,
    volume_name,
    whole_extents,
)
from xapi.storage.tracking import ChangeLog
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.errors import VhdError
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
        self.tree = VolumeTree(group, remember=in_charge)
        with self.held():
            # What an earlier toolstack had active, and nobody uses now; it will be attached anew if it is needed. A
            # device that was made before what it lies on had gone and come back would lead nowhere.
            group.resume()
            group.deactivate_idle()
            self._kept = Records(group)
            counts = RefCounts(state / "refcount", group.sr_uuid)
            self._activation = Activation(group, self.tree, attachments, counts)
            group.disturbed = True
            self.refresh(kinds=KINDS)

    def _make_up(self, kinds: Collection[str]) -> None:
        """Finish or take back what failed or was cut short, beyond what every operation looks for."""
        self._group.disturbed = False
        self.tree.forget_nodes()
        if METADATA_VOLUME in self.tree.names:  # else the SR is being destroyed
            self._kept = Records(self._group)
        if self._in_charge:
            recover_merges(self, kinds, tolerated=BROKEN)
            self.tree.refresh()
            if is_unsettled(self.tree.names):
                self._group.disturbed = True
            else:
                reconcile(self, self._kept, self.tree.volumes)
        self._activation.settle()

    @property
    def sr_uuid(self) -> str:
        """The SR's UUID."""
        return self._group.sr_uuid

    @property
    def opener(self) -> Opener:
        """Opens the active volumes of this group by their paths."""
        return self._group.opener(self._activation.is_active)

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
            except (OSError, VhdError):
                self._group.disturbed = True
                raise
            finally:
                self._depth -= 1
                os.close(descriptor)

    def refresh(self, everything: bool = False, kinds: Collection[str] = (REPLACE,)) -> None:
        """Ask LVM what there is, and clear away what was cut short, of merges those of some `kinds`.

        One that the collector has under way, which lets others have their turn meanwhile, is never a replacement.
        """
        if self._group.disturbed:
            self._group.resume()
        self._group.leave_none()
        self.tree.refresh()
        if self._in_charge:
            found = recover_sizes(self._group, self.tree.volumes, self.tree.names)
            found |= recover_resets(self._group, self.tree.volumes)
            if recover_forks(self._group, self.tree.names, self._follow) or found:
                self.tree.refresh()
        if self._group.disturbed:
            self._make_up(kinds)

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

    def whole_size(self, format: str, size: int) -> int:
        """Return the size of a disk in which `size` bytes are wanted: raw ones are whole volumes."""
        return whole_extents(size) if format == "raw" else size

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
            tidy_up(self._group, partial(self._forget_unless_made, uuid))
            raise
        self.tree.refresh()

    def _forget_unless_made(self, uuid: str) -> None:
        self.tree.refresh()
        if uuid not in self.tree.volumes:
            self._kept.drop(uuid)
            self.remove_log(uuid)

    def add_child(self, parent: str, uuid: str, record: VdiRecord) -> None:
        """Make an empty child of an image, with its record."""
        node = self.tree.look(parent)
        size = self._child_size(record, node.size if node is not None else 0)
        self._kept.check(uuid, "vhd", record)
        self._kept.put(uuid, "vhd", record)
        self._make(uuid, partial(make_child, self._group, self._volume(parent).name, uuid, size))

    def _child_size(self, record: VdiRecord, size: int) -> int:
        return empty_size() if record.is_a_snapshot or self._kept.thin else full_size(size)

    def renew(self, node: Node) -> None:
        """Let a disk be as its parent is; its volume stays as large as it is while somebody may write to it."""
        try:
            reset(self._group, self._volume(node.uuid))
        finally:
            self.tree.refresh()
            self.tree.reread(node.uuid)
        if self._kept.thin and not self._attachments.written(node.uuid):
            self.trim(node.uuid)

    def split(self, node: Node, child: str, record: VdiRecord, log: ChangeLog | None) -> None:
        """Make a disk a hidden parent of two, or of one."""
        if child:
            self._kept.check(child, "vhd", record)
        fork = VolumeFork.plan(node.uuid, child)
        small = self._kept.thin and not self._attachments.written(node.uuid)
        sizes = empty_size() if small else full_size(node.size), self._child_size(record, node.size)
        keep = partial(self._keep, child, record, log)
        self._make(child, partial(fork.run, self._group, node.format, *sizes, keep, self._follow))
        self._activation.forked(fork.leaf, fork.base)
        self._activation.renamed(volume_name(fork.leaf, node.format), volume_name(fork.base, node.format))
        self.tree.reread(fork.leaf)
        self._activation.settle()

    def _keep(self, child: str, record: VdiRecord, log: ChangeLog | None) -> None:
        self._kept.put(child, "vhd", record)
        if log is not None:
            write_log(self._group, child, log, there=False)

    def _follow(self, fork: VolumeFork) -> None:
        """Keep that a disk is a VHD now, and begin its log anew, if the one that it had went to its snapshot."""
        self._kept.keep_format(fork.leaf, "vhd")
        self.tree.refresh()
        passed_on, log = self.load_log(fork.child), self.load_log(fork.leaf)
        if passed_on is not None and log is not None and log.parent != fork.child:
            self.save_log(fork.leaf, ChangeLog(passed_on.size, fork.child))

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
        self._activation.gone(name)
        self.tree.refresh()

    def discard(self, node: Node) -> None:
        """Remove one image with its record."""
        self._remove(node)
        self._kept.drop(node.uuid)

    def grow(self, node: Node, size: int) -> None:
        """Make a disk larger; its volume grows at once if it has to have room for every block."""
        if node.format == "raw":
            self._permit_writing(self._volume(node.uuid))
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
        if volume.format == "vhd":
            self._permit_writing(volume)
        set_hidden(self._group, volume, hidden)
        self.tree.refresh()
        self.tree.reread(uuid)

    def _permit_writing(self, volume: Volume) -> None:
        if volume.read_only:
            self._group.permit_writing(volume.name)
            self.tree.refresh()

    @contextmanager
    def opened(self, uuid: str, writable: bool = False) -> Iterator[RandomAccessFile]:
        """Open an image inside, active or not."""
        try:
            with self._activation.wanted(uuid):
                with self.held():
                    volume = self._volume(uuid)
                    if writable:
                        self._permit_writing(volume)
                    self._activation.settle()
                    path = self._group.path(volume.name)
                with closing(VolumeFile.open_volume(path, writable)) as file:
                    yield file
        finally:
            with self.held():
                tidy_up(self._group, self._activation.settle)

    def describe(self, uuid: str) -> Parent:
        """Return what a child of an image has to know of it."""
        return describe(self._group, self._volume(uuid).name)

    def is_open_here(self, uuid: str) -> bool:
        """Whether this process has a volume open."""
        return self._activation.is_open(uuid)

    # Reaching

    def prepare(self, node: Node, read_only: bool) -> None:
        """Have a disk's volumes active and large enough."""
        if not read_only and node.format == "vhd":
            self._enlarge(node.uuid, full_size(node.size))
        self._activation.settle()

    def settle(self, location: str) -> None:
        """Deactivate what nobody needs; a disk of a thin SR that nobody has gives away its room."""
        with self.held():
            self.tree.refresh()
            self._activation.settle()
            if self._kept.thin and location not in self._attachments.held():
                tidy_up(self._group, partial(self.trim, location))

    def pin(self, node: Node) -> AbstractContextManager[None]:
        """Keep a disk and its ancestors of now inside."""
        return self._activation.wanted(*(each.uuid for each in self.tree.ancestors(node)))

    def flush(self, node: Node) -> None:
        """Make durable what was written through the disk's device."""
        with self._group.opened(volume_name(node.uuid, node.format)) as file:
            file.flush()

    # Merging

    def make_room(self, parent: str, image: str, final: bool) -> None:
        """Give a parent room for what an image holds, and for every block if it is to be a disk that is written to.

        A raw one has it, once it is as large as the image.
        """
        if self._volume(parent).format == "raw":
            return
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
        parent = self._volume(merge.parent)
        self._rename(volume_name(merge.image, "vhd"), old_name(merge))
        try:
            self._rename(parent.name, volume_name(merge.image, parent.format))
        except BROKEN:  # whoever is paused looks for the name of the image as soon as this ends
            tidy_up(self._group, partial(self.take_names_back, merge))
            raise
        self.tree.refresh()
        self.tree.reread(merge.image)

    def _rename(self, old: str, new: str) -> None:
        self._group.rename(old, new)
        self._activation.renamed(old, new)

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
                self._activation.gone(old_name(merge))
            if merge.parent not in self.tree.volumes:
                self._kept.drop(merge.parent)
                self._kept.keep_format(merge.image, self._volume(merge.image).format)
                if self._kept.thin and merge.image not in self._attachments.held():
                    self.trim(merge.image)
        for name in self.tree.names:
            if parse_merge(name) == merge:
                self._group.remove(name)
        self.tree.refresh()
        self._activation.settle()

    # The end

    def close(self) -> None:
        """Give up what is below; nothing on the volumes changes."""
        with self.held():
            tidy_up(self._group, self._activation.settle)
        self._release_below()

    def destroy(self) -> None:
        """Remove the volume group."""
        self._group.destroy()
        self.tree.forget_all()
