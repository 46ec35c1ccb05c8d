"""An SR on LVM: its disks are VHDs on logical volumes, or logical volumes as they are.

Volumes are active while somebody has the disk or a disk below it, and for the moments in which they are looked into.
A disk that is written to has a volume in which every block has room; snapshots, and disks of a thin SR that nobody has,
take no more than they need.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from xapi.storage.attachments import Attachments
from xapi.storage.data_paths import NoDataPaths
from xapi.storage.errors import (
    ChainTooDeep,
    SrInUse,
    SrNotEmpty,
    StorageFailure,
    Unsupported,
    VdiExists,
    VdiMissing,
    VdiReadOnly,
    VdiSizeInvalid,
    VdiUnavailable,
)
from xapi.storage.facts import (
    MAXIMUM_CHAIN,
    MAXIMUM_VHD_SIZE,
    Backend,
    CreateVdi,
    FileBackend,
    ScanResult,
    SrHealth,
    SrStat,
    VdiFacts,
)
from xapi.storage.failures import translated
from xapi.storage.file.directory import is_uuid
from xapi.storage.file.disk import ChainDisk
from xapi.storage.file.record import VdiRecord
from xapi.storage.file.repository import INNER_NAME, RECORDED, rounded_size
from xapi.storage.file.tree import Node
from xapi.storage.interface import DataPaths
from xapi.storage.lvm.fork import VolumeFork, recover_forks
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.records import Records
from xapi.storage.lvm.refcounts import Count, RefCounts, namespace
from xapi.storage.lvm.tree import VolumeTree
from xapi.storage.lvm.volumes import empty_size, full_size, volume_name, whole_extents
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import set_physical_size
from xapi.storage.vhd.resize import grow
from xapi.system.clock import Clock, SystemClock

PIECE = 4 << 20


class LvmSr:
    """An attached SR on a volume group. `state` is where its lock and its counts are; `release` ends what is below."""

    def __init__(
        self,
        group: VolumeGroup,
        type_name: str,
        device_config: Mapping[str, str],
        state: Path,
        data_paths: DataPaths | None = None,
        release: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._group = group
        self._type_name = type_name
        self._device_config = dict(device_config)
        self._data_paths = data_paths or NoDataPaths()
        self._release_below = release
        self._clock = clock or SystemClock()
        self._lock_path = state / "lock" / namespace(group.sr_uuid) / "sr"
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._attachments = Attachments()
        self._handles = Attachments()  # those of the attachments that nobody can pause: disks opened in this process
        self._tree = VolumeTree(group)
        self._active: set[str] = set()
        self._closed = False
        with translated(self.uuid), self._exclusive():
            recover_forks(group)
            self._records = Records(group)
            self._counts = RefCounts(state / "refcount", group.sr_uuid)

    @property
    def uuid(self) -> str:
        """The SR's UUID."""
        return self._group.sr_uuid

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
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

    @contextmanager
    def _held(self, location: str = "") -> Iterator[None]:
        with translated(self.uuid, location), self._exclusive():
            if self._closed:
                raise SrInUse(f"SR {self.uuid} is detached")
            self._tree.refresh()
            yield

    # Looking

    def _facts(self, node: Node) -> VdiFacts:
        record = VdiRecord() if node.hidden else self._records.get(node.uuid)
        derived = {"vdi_type": node.format, "image-format": node.format}
        if node.parent:
            derived["vhd-parent"] = node.parent
        own = {name: getattr(record, name) for name in RECORDED}
        return VdiFacts(
            uuid=node.uuid,
            location=node.uuid,
            virtual_size=node.size,
            physical_utilisation=node.utilisation,
            managed=not node.hidden,
            missing=bool(self._tree.trouble(node)),
            sm_config={**record.sm_config, **derived},
            **(own | ({"read_only": True, "name_label": INNER_NAME} if node.hidden else {})),
        )

    def _node(self, location: str) -> Node:
        """Return a disk that can be worked with: not an inner node of a chain."""
        node = self._tree.node(location)
        if node is None:
            raise VdiMissing(self.uuid, location)
        if node.hidden:
            raise VdiUnavailable(location, "it is an inner node of a chain")
        return node

    def _usable(self, location: str) -> Node:
        node = self._node(location)
        trouble = self._tree.trouble(node)
        if trouble:
            raise VdiUnavailable(location, trouble)
        return node

    def _find(self, location: str) -> VdiFacts:
        node = self._tree.node(location)
        if node is None:
            raise VdiMissing(self.uuid, location)
        return self._facts(node)

    def find(self, location: str) -> VdiFacts:
        """Return what is known of one disk now."""
        with self._held(location):
            return self._find(location)

    def introduce(self, uuid: str, location: str) -> VdiFacts:
        """Return what is known of a disk that is here already; an empty location stands for the UUID."""
        return self.find(location or uuid)

    def scan(self) -> ScanResult:
        """Look at every volume; damaged disks are there with `missing` set."""
        with self._held():
            nodes = sorted(self._tree.nodes(), key=lambda node: node.uuid)
            group = self._group.stat()
            virtual = sum(node.size for node in nodes if not node.hidden)
            return ScanResult(tuple(map(self._facts, nodes)), group.size, group.size - group.free, virtual)

    def stat(self) -> SrStat:
        """Return space and health now; a group that has become unreachable has no space."""
        try:
            with self._exclusive():
                group = self._group.stat()
        except StorageFailure:
            return SrStat(0, 0, self.uuid, health=SrHealth.UNREACHABLE)
        return SrStat(group.size, group.free, self.uuid, *self._records.names)

    def update_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description on the metadata volume."""
        with self._held():
            self._records.rename(name_label, name_description)

    # Making and removing

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make an empty disk of at least the wanted size, VHD unless sm_config has `type` raw."""
        size = rounded_size(wanted.virtual_size)
        if wanted.type == "cbt_metadata":
            raise Unsupported("creating a VDI of type cbt_metadata")
        format = "raw" if wanted.sm_config.get("type") == "raw" else "vhd"
        with self._held(wanted.uuid):
            self._check_new(wanted.uuid)
            name = volume_name(wanted.uuid, format)
            vhd_size = empty_size() if self._records.thin else full_size(size)
            self._group.create(name, whole_extents(size) if format == "raw" else vhd_size)
            with ExitStack() as undo:
                undo.callback(self._group.remove, name)
                self._fill(name, format, size)
                self._records.put(wanted.uuid, format, VdiRecord.of(wanted))
                undo.pop_all()
            self._tree.refresh()
            return self._find(wanted.uuid)

    def _fill(self, name: str, format: str, size: int) -> None:
        with self._group.opened(name, writable=True) as file:
            if format == "vhd":
                create_dynamic(file, size, largest_size=MAXIMUM_VHD_SIZE)
                return
            # What another disk has left behind there must not be read.
            zeros, end = bytes(PIECE), file.size()
            for offset in range(0, end, PIECE):
                file.pwrite(zeros[: end - offset], offset)
            file.flush()

    def _check_new(self, uuid: str) -> None:
        if not is_uuid(uuid):
            raise StorageFailure(f"{uuid!r} is not a UUID", 1)
        if uuid in self._tree.volumes:
            raise VdiExists(uuid)

    def destroy(self, location: str) -> None:
        """Remove a disk; hidden parents that nothing else depends on go with it."""
        with self._held(location):
            self._attachments.check_free(location, "destroy")
            node = self._node(location)
            self._remove(node)
            self._tree.refresh()
            if node.parent:
                for above in self._tree.unused_above(node.parent):
                    self._remove(above)

    def _remove(self, node: Node) -> None:
        name = volume_name(node.uuid, node.format)
        self._group.remove(name)
        self._active.discard(name)
        self._records.drop(node.uuid)

    def update(self, location: str, name_label: str, name_description: str) -> None:
        """Keep a disk's name and description on the metadata volume."""
        with self._held(location):
            node = self._node(location)
            record = replace(self._records.get(location), name_label=name_label, name_description=name_description)
            self._records.put(location, node.format, record)

    def resize(self, location: str, size: int) -> VdiFacts:
        """Grow a disk that nobody holds."""
        size = rounded_size(size)
        with self._held(location):
            self._attachments.check_free(location, "resize")
            node = self._usable(location)
            if size < node.size:
                raise VdiSizeInvalid(size, node.size, MAXIMUM_VHD_SIZE)
            if node.format == "raw":
                self._grow_raw(node, size)
            else:
                if not self._records.thin:
                    self._inflate(node, size)
                with self._group.opened(volume_name(location, "vhd"), writable=True) as file:
                    grow(Vhd.open(file, writable=True), size)
            self._tree.forget(location)
            self._tree.refresh()
            return self._find(location)

    def resize_online(self, location: str, size: int) -> VdiFacts:
        """Refuse: whoever serves a volume keeps the size that it had."""
        raise Unsupported("VDI_RESIZE_ONLINE")

    def _grow_raw(self, node: Node, size: int) -> None:
        name = volume_name(node.uuid, "raw")
        self._group.check_room(whole_extents(size) - node.utilisation)
        self._group.resize(name, size)
        with self._group.opened(name, writable=True) as file:
            for offset in range(node.size, file.size(), PIECE):
                file.pwrite(bytes(min(PIECE, file.size() - offset)), offset)
            file.flush()

    def _inflate(self, node: Node, virtual_size: int) -> None:
        """Give a VHD's volume room for every block."""
        volume, wanted = self._tree.volumes[node.uuid], full_size(virtual_size)
        if wanted <= volume.size:
            return
        self._group.check_room(wanted - volume.size)
        self._group.resize(volume.name, wanted)
        # Cut short here, the VHD is still good: its footer has a copy at the front.
        with self._group.opened(volume.name, writable=True) as file:
            set_physical_size(Vhd.open(file, writable=True), file.size())

    def _deflate(self, uuid: str) -> None:
        """Take away the room that a VHD's volume does not need while nobody writes to it."""
        volume = self._tree.volumes.get(uuid)
        if volume is None or volume.format != "vhd":
            return
        with self._group.opened(volume.name, writable=True) as file:
            vhd = Vhd.open(file, writable=True)
            wanted = whole_extents(vhd.physical_size)
            if wanted >= volume.size:
                return
            set_physical_size(vhd, wanted)
        self._group.resize(volume.name, wanted)

    # Splitting

    def snapshot(self, location: str, uuid: str, is_a_snapshot: bool = True) -> VdiFacts:
        """Freeze what a disk holds into a new one; both become children of a hidden parent."""
        with self._held(location):
            record = self._records.get(location)
            made = record.snapshot(location, self._clock.now()) if is_a_snapshot else record.clone()
            return self._split(location, uuid, made)

    def clone(self, location: str, uuid: str) -> VdiFacts:
        """Make a new, writable disk that holds what another holds now."""
        with self._held(location):
            return self._split(location, uuid, self._records.get(location).clone())

    def _split(self, location: str, uuid: str, record: VdiRecord) -> VdiFacts:
        node = self._usable(location)
        if node.format != "vhd":
            raise Unsupported("snapshots and clones of raw disks")
        self._check_new(uuid)
        self._handles.check_no_writer(location, "snapshot" if record.is_a_snapshot else "clone")
        depth = sum(1 for _ in self._tree.ancestors(node))
        if depth >= MAXIMUM_CHAIN:
            raise ChainTooDeep(location, depth)
        fork = VolumeFork.plan(location, uuid)
        with self._paused(location):
            small = self._records.thin and not self._attachments.written(location)
            leaf_size = empty_size() if small else full_size(node.size)
            child_size = empty_size() if record.is_a_snapshot or self._records.thin else full_size(node.size)
            fork.run(self._group, leaf_size, child_size)
            self._after_split(fork)
        self._records.put(uuid, "vhd", record)
        return self._find(uuid)

    def _after_split(self, fork: VolumeFork) -> None:
        """Take in what has become of the volumes: the old one serves under another name, and needs less room."""
        old, base = volume_name(fork.leaf, "vhd"), volume_name(fork.base, "vhd")
        if old in self._active:
            self._active.discard(old)
            self._active.add(base)
        self._tree.forget(fork.leaf)
        self._tree.refresh()
        self._deflate(fork.base)
        self._tree.refresh()
        self._settle()

    @contextmanager
    def _paused(self, location: str) -> Iterator[None]:
        with ExitStack() as stack:
            if location in self._attachments.held():
                stack.enter_context(self._data_paths.paused(self.uuid, location))
            yield

    # Reaching

    def _settle(self) -> None:
        """Have those volumes active that attached disks need, and no others of those that were made active here."""
        inner: dict[str, int] = {}
        held = self._attachments.held()
        needed: dict[str, str] = {}
        for location in held:
            node = self._tree.node(location)
            for each in self._tree.ancestors(node) if node is not None else ():
                needed[volume_name(each.uuid, each.format)] = each.uuid
                if each.uuid != location:
                    inner[each.uuid] = inner.get(each.uuid, 0) + 1
        for name in needed:
            if name not in self._active:
                if not self._group.is_active(name):
                    self._group.activate(name)
                self._active.add(name)
        for name in sorted(self._active - needed.keys()):
            if self._group.is_active(name):
                self._group.deactivate(name)
            self._active.discard(name)
        self._counts.write({uuid: Count(inner.get(uuid, 0), int(uuid in held)) for uuid in needed.values()})

    def _take(self, location: str, read_only: bool, sharable: bool, operation: str) -> Node:
        """Note one holder more, with the volumes that it needs active and large enough."""
        node = self._usable(location)
        if not read_only and self._records.get(location).read_only:
            raise VdiReadOnly(location)
        self._attachments.take(location, read_only, sharable, operation)
        with ExitStack() as undo:
            undo.callback(self._let_go, location, read_only)
            if not read_only and node.format == "vhd":
                self._inflate(node, node.size)
                self._tree.refresh()
            self._settle()
            undo.pop_all()
        return node

    def _let_go(self, location: str, read_only: bool | None) -> None:
        self._attachments.release(location, read_only)
        self._settle()
        if self._records.thin and location not in self._attachments.held():
            self._deflate(location)

    def attach(self, location: str, read_only: bool) -> Backend:
        """Make a disk reachable by the device of its volume."""
        with self._held(location):
            sharable = self._records.get(location).sharable
            node = self._take(location, read_only, sharable, "attach")
            return FileBackend(node.path, node.format, read_only)

    def activate(self, location: str) -> None:
        """Check that an attached disk can still be used."""
        with self._held(location):
            self._usable(location)

    def deactivate(self, location: str) -> None:
        """Make what was written through the disk's device durable."""
        with self._held(location):
            node = self._tree.node(location)
            if node is not None and self._attachments.written(location):
                with self._group.opened(volume_name(location, node.format)) as file:
                    file.flush()

    def detach(self, location: str) -> None:
        """Take back one attachment."""
        if location in self._attachments.held():
            with self._held(location):
                self._let_go(location, None)

    def open_for_reading(self, location: str) -> ChainDisk:
        """Open a disk for export or copying; VdiInUse while somebody writes to it."""
        return self._open(location, writable=False)

    def open_for_writing(self, location: str) -> ChainDisk:
        """Open a disk for import; VdiInUse while anybody holds it."""
        return self._open(location, writable=True)

    def _open(self, location: str, writable: bool) -> ChainDisk:
        with self._held(location):
            node = self._take(location, not writable, False, "open")
            self._handles.take(location, not writable, True, "open")
            release = partial(self._release, location, not writable)
            with ExitStack() as stack:
                stack.callback(release)
                opener = self._group.opener(lambda name: name in self._active)
                chain = stack.enter_context(Chain.open(node.path, writable, opener, raw=node.format == "raw"))
                chain.open_all()
                stack.pop_all()
            return ChainDisk(chain, self.uuid, location, release, writable)

    def _release(self, location: str, read_only: bool) -> None:
        with translated(self.uuid, location), self._exclusive():
            self._handles.release(location, read_only)
            self._tree.refresh()
            self._let_go(location, read_only)

    def generate_config(self, location: str) -> str:
        """Return as JSON what a host needs to attach the disk by itself."""
        with self._held(location):
            self._usable(location)
        facts = {
            "type": self._type_name,
            "sr_uuid": self.uuid,
            "device_config": {key: text for key, text in self._device_config.items() if "password" not in key},
            "vdi_uuid": location,
        }
        return json.dumps(facts, sort_keys=True)

    # What is not offered

    def destroy_data(self, location: str) -> VdiFacts:
        """Refuse."""
        raise Unsupported("VDI_CONFIG_CBT")

    def enable_cbt(self, location: str) -> None:
        """Refuse."""
        raise Unsupported("VDI_CONFIG_CBT")

    def disable_cbt(self, location: str) -> None:
        """Refuse."""
        raise Unsupported("VDI_CONFIG_CBT")

    def changed_blocks(self, base: str, location: str) -> bytes:
        """Refuse."""
        raise Unsupported("VDI_CONFIG_CBT")

    # The end

    def detach_sr(self) -> None:
        """Detach the SR from this host; nothing on its volumes changes."""
        if self._closed:
            return
        held = self._attachments.held()
        if held:
            raise SrInUse(f"SR {self.uuid} has attached disks: {', '.join(held)}")
        with self._held():
            self._settle()
            self._closed = True
        self._release_below()

    def destroy_sr(self) -> None:
        """Remove the volume group, and detach what it lies on; SrNotEmpty while it has disks."""
        with self._held():
            if self._tree.volumes:
                raise SrNotEmpty(f"SR {self.uuid} still holds disks")
            self._group.destroy()
            self._closed = True
        self._release_below()
