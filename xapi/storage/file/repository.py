"""An SR in a directory: its disks are VHD files, snapshots and clones are differencing disks."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from xapi.storage.attachments import Attachments
from xapi.storage.coalesce.directory import DirectoryChains
from xapi.storage.data_paths import NoDataPaths
from xapi.storage.errors import (
    ChainTooDeep,
    NoChangeTracking,
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
from xapi.storage.file import chains
from xapi.storage.file.change_logs import drop_log, load_log, pending_changes, save_log
from xapi.storage.file.directory import Directory, is_uuid
from xapi.storage.file.disk import ChainDisk
from xapi.storage.file.fork import Fork
from xapi.storage.file.lock import SrLock
from xapi.storage.file.record import VdiRecord, load_record, save_record
from xapi.storage.file.settings import load_settings, remove_settings, save_settings
from xapi.storage.file.tree import Node, Tree
from xapi.storage.interface import DataPaths
from xapi.storage.tracking import ChangeLog, changes_between, union
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.layout import BLOCK_SIZE
from xapi.system.clock import Clock, SystemClock

RECORDED = (
    "name_label",
    "name_description",
    "type",
    "read_only",
    "sharable",
    "is_a_snapshot",
    "snapshot_of",
    "snapshot_time",
    "metadata_of_pool",
)
"""The fields that facts take from the record."""
INNER_NAME = "base copy"
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def rounded_size(size: int) -> int:
    """Return the size of the disk that is made when `size` bytes are wanted: whole VHD blocks; VdiSizeInvalid."""
    if not 0 < size <= MAXIMUM_VHD_SIZE:
        raise VdiSizeInvalid(size, 1, MAXIMUM_VHD_SIZE)
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE


class FileSr:
    """An attached SR in a directory. With `shared`, other hosts may change the directory too."""

    def __init__(
        self,
        directory: Directory,
        type_name: str,
        device_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
        shared: bool = False,
        unmount: ExitStack | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._directory = directory
        self._type_name = type_name
        self._device_config = dict(device_config)
        self._data_paths = data_paths or NoDataPaths()
        self._shared = shared
        self._unmount = unmount or ExitStack()
        self._clock = clock or SystemClock()
        self._lock = SrLock(directory, shared)
        self._tree = Tree(directory)
        self._attachments = Attachments()
        self._handles = Attachments()  # those of the attachments that nobody can pause: disks opened in this process
        self._records: dict[str, tuple[tuple[int, int], VdiRecord]] = {}
        self._closed = False
        with translated(self.uuid), self._lock.held():
            try:
                chains.recover(directory, self._tree)
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
                self._tree.refresh()

    @property
    def uuid(self) -> str:
        """The SR's UUID."""
        return self._directory.sr_uuid

    @property
    def path(self) -> str:
        """The directory where the SR is reached on this host."""
        return self._directory.path

    @contextmanager
    def exclusive(self) -> Iterator[Tree]:
        """Hold the SR's lock for somebody who works on its chains, with all images looked at anew.

        Nothing else changes the directory meanwhile; the tree has to be told (`reread`) what was changed inside.
        """
        with self._held():
            self._tree.refresh()
            yield self._tree

    def is_held(self, location: str) -> bool:
        """Whether somebody has the disk attached or open."""
        return location in self._attachments.held()

    # Looking

    @contextmanager
    def _held(self, location: str = "") -> Iterator[None]:
        """Hold the SR's lock, with what other hosts did taken in, and errors in the words of storage."""
        with translated(self.uuid, location), self._lock.held():
            if self._closed:
                raise SrInUse(f"SR {self.uuid} is detached")
            self._directory.check()
            if self._shared:
                self._tree.refresh()
            yield

    def _record(self, uuid: str) -> VdiRecord:
        try:
            found = os.stat(self._directory.record(uuid), follow_symlinks=False)
        except FileNotFoundError:
            return VdiRecord()
        stamp = (found.st_ino, found.st_mtime_ns)
        known = self._records.get(uuid)
        if known is None or known[0] != stamp:
            known = self._records[uuid] = (stamp, load_record(self._directory, uuid))
        return known[1]

    def _facts(self, node: Node, tracked: bool) -> VdiFacts:
        record = VdiRecord() if node.hidden else self._record(node.uuid)
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
            missing=not self._tree.is_whole(node),
            cbt_enabled=tracked,
            sm_config={**record.sm_config, **derived},
            **(own | ({"read_only": True, "name_label": INNER_NAME} if node.hidden else {})),
        )

    def _metadata_facts(self, uuid: str, log: ChangeLog) -> VdiFacts:
        """Return the facts of a snapshot of which only the changed blocks are left."""
        record = self._record(uuid)
        own = {name: getattr(record, name) for name in RECORDED}
        return VdiFacts(uuid, uuid, log.size, len(log.bitmap), cbt_enabled=True, sm_config=record.sm_config, **own)

    def _node(self, location: str) -> Node:
        """Return a disk that can be worked with: not an inner node of a chain."""
        node = self._tree.look(location) if is_uuid(location) else None
        if node is None:
            raise VdiMissing(self.uuid, location)
        if node.hidden:
            raise VdiUnavailable(location, "it is an inner node of a chain")
        return node

    def _usable(self, location: str) -> Node:
        """Return a disk whose data can be read from the first byte to the last."""
        node = self._node(location)
        trouble = self._tree.trouble(node)
        if trouble:
            raise VdiUnavailable(location, trouble)
        return node

    def _log(self, location: str) -> ChangeLog | None:
        return load_log(self._directory, location) if is_uuid(location) else None

    def _find(self, location: str) -> VdiFacts:
        log = self._log(location)
        node = self._tree.look(location) if is_uuid(location) else None
        if node is not None:
            return self._facts(node, log is not None)
        if log is not None:
            return self._metadata_facts(location, log)
        raise VdiMissing(self.uuid, location)

    def find(self, location: str) -> VdiFacts:
        """Return what is known of one disk now."""
        with self._held(location):
            return self._find(location)

    def introduce(self, uuid: str, location: str) -> VdiFacts:
        """Return what is known of a disk that is here already; an empty location stands for the UUID."""
        return self.find(location or uuid)

    def scan(self) -> ScanResult:
        """Look at everything in the directory; damaged disks are there with `missing` set."""
        with self._held():
            self._tree.refresh()
            unused = {node.uuid for node in self._tree.unused()}
            logs = self._tree.logs()
            nodes = [node for node in self._tree.nodes() if node.uuid not in unused]
            vdis = [self._facts(node, node.uuid in logs) for node in nodes]
            for uuid in logs - {node.uuid for node in self._tree.nodes()}:
                log = self._log(uuid)
                if log is not None:
                    vdis.append(self._metadata_facts(uuid, log))
            total, free = self._directory.space()
        virtual = sum(node.size for node in nodes if not node.hidden)
        return ScanResult(tuple(sorted(vdis, key=lambda vdi: vdi.uuid)), total, total - free, virtual)

    def stat(self) -> SrStat:
        """Return space and health now; an SR that has become unreachable has no space."""
        try:
            with translated(self.uuid):
                self._directory.check()
                total, free = self._directory.space()
        except StorageFailure:
            return SrStat(0, 0, self.uuid, health=SrHealth.UNREACHABLE)
        name, description = load_settings(self._directory)
        return SrStat(total, free, self.uuid, name, description)

    def update_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description in the directory."""
        with self._held():
            save_settings(self._directory, name_label, name_description)

    # Making and removing

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make an empty disk of at least the wanted size, VHD unless sm_config has `type` raw."""
        size = rounded_size(wanted.virtual_size)
        if wanted.type == "cbt_metadata":
            raise Unsupported("creating a VDI of type cbt_metadata")
        format = "raw" if wanted.sm_config.get("type") == "raw" else "vhd"
        with self._held(wanted.uuid):
            self._check_new(wanted.uuid)
            chains.create_image(self._directory, wanted.uuid, format, size, VdiRecord.of(wanted))
            return self._find(wanted.uuid)

    def _check_new(self, uuid: str) -> None:
        if not is_uuid(uuid):
            raise StorageFailure(f"{uuid!r} is not a UUID", 1)
        if self._tree.look(uuid) is not None or os.path.lexists(self._directory.record(uuid)):
            raise VdiExists(uuid)

    def destroy(self, location: str) -> None:
        """Remove a disk; hidden parents that nothing else depends on go with it."""
        with self._held(location):
            self._attachments.check_free(location, "destroy")
            facts = self._find(location)
            if not facts.managed:
                raise VdiUnavailable(location, "it is an inner node of a chain")
            node = self._tree.look(location)
            if node is not None:
                chains.remove_image(self._directory, self._tree, node)
            else:
                self._directory.remove(self._directory.record(location))
            if facts.cbt_enabled:
                drop_log(self._directory, location)
            self._records.pop(location, None)

    def destroy_data(self, location: str) -> VdiFacts:
        """Drop a tracked snapshot's data; what is left has the type cbt_metadata."""
        with self._held(location):
            self._attachments.check_free(location, "data_destroy")
            node = self._node(location)
            record = self._record(location)
            if self._log(location) is None or not record.is_a_snapshot:
                raise NoChangeTracking(location)
            if self._tree.children(location):
                raise VdiUnavailable(location, "other disks depend on it")
            save_record(self._directory, location, replace(record, type="cbt_metadata"))
            self._directory.sync()
            chains.remove_image(self._directory, self._tree, node, keep_record=True)
            return self._find(location)

    def update(self, location: str, name_label: str, name_description: str) -> None:
        """Keep a disk's name and description beside its data."""
        with self._held(location):
            self._find(location)
            record = replace(self._record(location), name_label=name_label, name_description=name_description)
            save_record(self._directory, location, record)
            self._directory.sync()

    def resize(self, location: str, size: int) -> VdiFacts:
        """Grow a disk that nobody holds."""
        self._attachments.check_free(location, "resize")
        return self.resize_online(location, size)

    def resize_online(self, location: str, size: int) -> VdiFacts:
        """Grow a disk, pausing whoever serves it."""
        size = rounded_size(size)
        with self._held(location):
            node = self._usable(location)
            if size < node.size:
                raise VdiSizeInvalid(size, node.size, MAXIMUM_VHD_SIZE)
            self._handles.check_no_writer(location, "resize")
            with self._paused(location):
                log = self._log(location)
                if log is not None:
                    save_log(self._directory, location, log.grown(size))
                chains.grow_image(self._directory, node, size)
            self._tree.reread(location)
            return self._find(location)

    # Splitting

    @contextmanager
    def _paused(self, location: str) -> Iterator[None]:
        with ExitStack() as stack:
            if self.is_held(location):
                stack.enter_context(self._data_paths.paused(self.uuid, location))
            yield

    def snapshot(self, location: str, uuid: str, is_a_snapshot: bool = True) -> VdiFacts:
        """Freeze what a disk holds into a new one; both become children of a hidden parent."""
        with self._held(location):
            record = self._record(location) if is_uuid(location) else VdiRecord()
            made = record.snapshot(location, self._clock.now()) if is_a_snapshot else record.clone()
            return self._split(location, uuid, made, tracked=is_a_snapshot)

    def clone(self, location: str, uuid: str) -> VdiFacts:
        """Make a new, writable disk that holds what another holds now."""
        with self._held(location):
            record = self._record(location) if is_uuid(location) else VdiRecord()
            return self._split(location, uuid, record.clone(), tracked=False)

    def _split(self, location: str, uuid: str, record: VdiRecord, tracked: bool) -> VdiFacts:
        node = self._usable(location)
        if node.format != "vhd":
            raise Unsupported("snapshots and clones of raw disks")
        self._check_new(uuid)
        self._handles.check_no_writer(location, "snapshot" if record.is_a_snapshot else "clone")
        depth = sum(1 for _ in self._tree.ancestors(node))
        if depth >= MAXIMUM_CHAIN:
            raise ChainTooDeep(location, depth)
        with self._paused(location):
            log = self._log(location)
            if log is not None:
                pending = pending_changes(self._directory, node)
                log = replace(log.grown(node.size), bitmap=union(log.bitmap, pending))
                save_log(self._directory, location, log)
            passed_on = log if tracked else None
            if passed_on is None and chains.is_empty_child(self._directory, node, self._tree):
                chains.add_child(self._directory, node.parent, uuid, record)
            else:
                fork = Fork.plan(location, uuid, passed_on is not None, node.size)
                fork.run(self._directory, record, passed_on)
                self._tree.reread(fork.base)
        self._tree.reread(location)
        return self._find(uuid)

    # Reaching

    def attach(self, location: str, read_only: bool) -> Backend:
        """Make a disk reachable by the path of its file."""
        with self._held(location):
            node = self._usable(location)
            record = self._record(location)
            if record.read_only and not read_only:
                raise VdiReadOnly(location)
            self._attachments.take(location, read_only, record.sharable, "attach")
            return FileBackend(node.path, node.format, read_only)

    def activate(self, location: str) -> None:
        """Check that an attached disk can still be used."""
        with self._held(location):
            self._usable(location)

    def deactivate(self, location: str) -> None:
        """Make what was written through the disk's file durable."""
        with self._held(location):
            node = self._tree.look(location)
            if node is None or not self._attachments.written(location):
                return
            file = self._directory.open(node.path, False)
            try:
                file.flush()
            finally:
                file.close()

    def detach(self, location: str) -> None:
        """Take back one attachment."""
        self._attachments.release(location)

    def open_for_reading(self, location: str) -> ChainDisk:
        """Open a disk for export or copying; VdiInUse while somebody writes to it."""
        return self._open(location, writable=False)

    def open_for_writing(self, location: str) -> ChainDisk:
        """Open a disk for import; VdiInUse while anybody holds it."""
        return self._open(location, writable=True)

    def _open(self, location: str, writable: bool) -> ChainDisk:
        with self._held(location):
            node = self._usable(location)
            if writable and self._record(location).read_only:
                raise VdiReadOnly(location)
            self._attachments.take(location, not writable, False, "open")
            self._handles.take(location, not writable, True, "open")
            release = partial(self._release, location, not writable)
            with ExitStack() as stack:
                stack.callback(release)
                opener = self._directory.open
                chain = stack.enter_context(Chain.open(node.path, writable, opener, raw=node.format == "raw"))
                chain.open_all()
                stack.pop_all()
            return ChainDisk(chain, self.uuid, location, release, writable)

    def _release(self, location: str, read_only: bool) -> None:
        self._handles.release(location, read_only)
        self._attachments.release(location, read_only)

    def chains(self) -> DirectoryChains:
        """Return what the collector of chains works with."""
        return DirectoryChains(
            self._directory, self._tree, self._held, self._data_paths, lambda disk: disk in self._handles.held()
        )

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

    # Changed blocks

    def enable_cbt(self, location: str) -> None:
        """Begin a change log; one that is there goes on."""
        with self._held(location):
            node = self._usable(location)
            if node.format != "vhd":
                raise Unsupported("changed block tracking of raw disks")
            if self._log(location) is None:
                save_log(self._directory, location, ChangeLog(node.size))

    def disable_cbt(self, location: str) -> None:
        """Remove the change log, if there is one."""
        with self._held(location):
            self._node(location)
            self._directory.remove(self._directory.log(location))

    def changed_blocks(self, base: str, location: str) -> bytes:
        """Return the bitmap of what may differ between an older snapshot and a disk that nobody writes to."""
        with self._held(location):
            self._attachments.check_no_writer(location, "list_changed_blocks")
            self._find(base)
            self._find(location)
            node = self._tree.look(location)
            pending = pending_changes(self._directory, node) if node is not None else b""
            return changes_between(self._log, base, location, pending)

    # The end

    def detach_sr(self) -> None:
        """Detach the SR from this host; nothing in the directory changes."""
        if self._closed:
            return
        held = self._attachments.held()
        if held:
            raise SrInUse(f"SR {self.uuid} has attached disks: {', '.join(held)}")
        self._closed = True
        with translated(self.uuid):
            self._unmount.close()

    def destroy_sr(self) -> None:
        """Remove what the SR keeps beside its disks, and detach it; SrNotEmpty while it has disks."""
        with self._held():
            self._tree.refresh()
            if self._tree.nodes() or self._tree.logs():
                raise SrNotEmpty(f"SR {self.uuid} still holds disks")
            remove_settings(self._directory)
        self.detach_sr()
