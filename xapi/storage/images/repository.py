"""The rules of an SR whose disks are images: what may be done to which disk, wherever its image lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from xapi.storage.attachments import Attachments
from xapi.storage.coalesce.images import ImageChains
from xapi.storage.data_paths import NoDataPaths
from xapi.storage.errors import (
    ChainTooDeep,
    NoChangeTracking,
    SrInUse,
    SrNotEmpty,
    StorageFailure,
    Unsupported,
    VdiExists,
    VdiInUse,
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
from xapi.storage.images.change_logs import drop_log, pending_changes
from xapi.storage.images.disk_facts import facts_of, metadata_facts
from xapi.storage.images.emptiness import has_no_blocks
from xapi.storage.images.interface import Images
from xapi.storage.images.tree import Node
from xapi.storage.interface import DataPaths
from xapi.storage.tracking import ChangeLog, changes_between, union
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import BLOCK_SIZE
from xapi.system.clock import Clock, SystemClock


def rounded_size(size: int) -> int:
    """Return the size of the disk that is made when `size` bytes are wanted: whole VHD blocks; VdiSizeInvalid."""
    if not 0 < size <= MAXIMUM_VHD_SIZE:
        raise VdiSizeInvalid(size, 1, MAXIMUM_VHD_SIZE)
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE


class ImagesSr:
    """An attached SR over the place where its images lie. `attachments` are those that the place knows of too."""

    def __init__(
        self,
        images: Images,
        attachments: Attachments,
        type_name: str,
        device_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._images = images
        self._tree = images.tree
        self._attachments = attachments
        self._handles = Attachments()  # those of the attachments that nobody can pause: disks opened in this process
        self._type_name = type_name
        self._device_config = dict(device_config)
        self._data_paths = data_paths or NoDataPaths()
        self._clock = clock or SystemClock()
        self._closed = False

    @property
    def uuid(self) -> str:
        """The SR's UUID."""
        return self._images.sr_uuid

    def is_held(self, location: str) -> bool:
        """Whether somebody has the disk attached or open."""
        return location in self._attachments.held()

    @contextmanager
    def _held(self, location: str = "", everything: bool = False) -> Iterator[None]:
        """Hold the SR's lock, with what other hosts did taken in, and errors in the words of storage."""
        if self._closed:
            raise SrInUse(f"SR {self.uuid} is detached")
        with translated(self.uuid, location), self._images.held():
            self._images.refresh(everything)
            yield

    # Looking

    def _facts(self, node: Node, tracked: bool) -> VdiFacts:
        record = VdiRecord() if node.hidden else self._images.record(node.uuid)
        return facts_of(node, record, self._tree.is_whole(node), tracked)

    def _metadata_facts(self, uuid: str, log: ChangeLog) -> VdiFacts:
        return metadata_facts(uuid, self._images.record(uuid), log)

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
        return self._images.load_log(location) if is_uuid(location) else None

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
        """Look at everything that is there; damaged disks are there with `missing` set."""
        with self._held(everything=True):
            unused = {node.uuid for node in self._tree.unused()}
            logs = self._tree.logs()
            nodes = [node for node in self._tree.nodes() if node.uuid not in unused]
            vdis = [self._facts(node, node.uuid in logs) for node in nodes]
            for uuid in logs - {node.uuid for node in self._tree.nodes()}:
                log = self._log(uuid)
                if log is not None:
                    vdis.append(self._metadata_facts(uuid, log))
            total, free = self._images.space()
        virtual = sum(node.size for node in nodes if not node.hidden)
        return ScanResult(tuple(sorted(vdis, key=lambda vdi: vdi.uuid)), total, total - free, virtual)

    def stat(self) -> SrStat:
        """Return space and health now; an SR that has become unreachable has no space."""
        try:
            with translated(self.uuid):
                total, free = self._images.space()
        except StorageFailure:
            return SrStat(0, 0, self.uuid, health=SrHealth.UNREACHABLE)
        name, description = self._images.names()
        return SrStat(total, free, self.uuid, name, description)

    def update_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description on the SR."""
        with self._held():
            self._images.rename_sr(name_label, name_description)

    # Making and removing

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make an empty disk of at least the wanted size, VHD unless sm_config has `type` raw."""
        size = rounded_size(wanted.virtual_size)
        if wanted.type == "cbt_metadata":
            raise Unsupported("creating a VDI of type cbt_metadata")
        format = "raw" if wanted.sm_config.get("type") == "raw" else "vhd"
        with self._held(wanted.uuid):
            self._check_new(wanted.uuid)
            size = self._images.whole_size(format, size)
            self._images.create(wanted.uuid, format, size, VdiRecord.of(wanted))
            return self._find(wanted.uuid)

    def _check_new(self, uuid: str) -> None:
        if not is_uuid(uuid):
            raise StorageFailure(f"{uuid!r} is not a UUID", 1)
        if self._tree.look(uuid) is not None or self._images.is_taken(uuid):
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
                self._images.remove(node)
            else:
                self._images.drop_record(location)
            if facts.cbt_enabled:
                drop_log(self._images, location)

    def destroy_data(self, location: str) -> VdiFacts:
        """Drop a tracked snapshot's data; what is left has the type cbt_metadata."""
        with self._held(location):
            self._attachments.check_free(location, "data_destroy")
            node = self._node(location)
            record = self._images.record(location)
            if self._log(location) is None or not record.is_a_snapshot:
                raise NoChangeTracking(location)
            if self._tree.children(location):
                raise VdiUnavailable(location, "other disks depend on it")
            self._images.save_record(location, node.format, replace(record, type="cbt_metadata"))
            self._images.remove(node, keep_record=True)
            return self._find(location)

    def update(self, location: str, name_label: str, name_description: str) -> None:
        """Keep a disk's name and description beside its data."""
        with self._held(location):
            format = self._find(location).sm_config.get("vdi_type", "vhd")
            record = self._images.record(location)
            record = replace(record, name_label=name_label, name_description=name_description)
            self._images.save_record(location, format, record)

    def resize(self, location: str, size: int) -> VdiFacts:
        """Grow a disk that nobody holds."""
        self._attachments.check_free(location, "resize")
        return self._resize(location, size)

    def resize_online(self, location: str, size: int) -> VdiFacts:
        """Grow a disk, pausing whoever serves it."""
        if not self._images.grows_online:
            raise Unsupported("VDI_RESIZE_ONLINE")
        return self._resize(location, size)

    def _resize(self, location: str, size: int) -> VdiFacts:
        size = rounded_size(size)
        with self._held(location):
            node = self._usable(location)
            if size < node.size:
                raise VdiSizeInvalid(size, node.size, MAXIMUM_VHD_SIZE)
            self._handles.check_no_writer(location, "resize")
            # One that has a raw ancestor may become raw again, and must not change its size by that.
            *_, root = self._tree.ancestors(node)
            size = self._images.whole_size(root.format, size)
            with self._paused(location):
                log = self._log(location)
                if log is not None:
                    self._images.save_log(location, log.grown(size))
                self._images.grow(node, size)
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
            node = self._usable(location)
            record = self._images.record(location)
            made = record.snapshot(location, self._clock.now()) if is_a_snapshot else record.clone()
            return self._split(node, uuid, made, tracked=is_a_snapshot)

    def clone(self, location: str, uuid: str) -> VdiFacts:
        """Make a new, writable disk that holds what another holds now."""
        with self._held(location):
            node = self._usable(location)
            return self._split(node, uuid, self._images.record(location).clone(), tracked=False)

    def reset(self, location: str) -> None:
        """Let a disk be as its parent is, pausing whoever serves it; Unsupported for one without a parent."""
        with self._held(location):
            node = self._usable(location)
            if not node.parent:
                raise Unsupported("resetting a disk without a parent")
            self._handles.check_no_writer(location, "reset")
            with self._paused(location):
                self._images.renew(node)

    def _split(self, node: Node, uuid: str, record: VdiRecord, tracked: bool) -> VdiFacts:
        location = node.uuid
        self._check_new(uuid)
        self._handles.check_no_writer(location, "snapshot" if record.is_a_snapshot else "clone")
        if node.format == "raw":
            self._check_not_attached(location, record)
        depth = sum(1 for _ in self._tree.ancestors(node))
        if depth >= MAXIMUM_CHAIN:
            raise ChainTooDeep(location, depth)
        with self._paused(location):
            log = self._log(location)
            if log is not None:
                log = log.grown(node.size)
                log = replace(log, bitmap=union(log.bitmap, pending_changes(self._images, node)))
                self._images.save_log(location, log)
            passed_on = log if tracked else None
            if passed_on is None and self._is_empty_child(node):
                self._images.add_child(node.parent, uuid, record)
            else:
                self._images.split(node, uuid, record, passed_on)
        return self._find(uuid)

    def _check_not_attached(self, location: str, record: VdiRecord) -> None:
        """Refuse to make a VHD of a raw disk while somebody has its path: that would lead to the parent, or nowhere."""
        if self._attachments.count(location) == self._handles.count(location):
            return
        if record.is_a_snapshot:
            raise VdiInUse(location, "snapshot")
        raise Unsupported("cloning a raw disk that is attached")

    def _is_empty_child(self, node: Node) -> bool:
        """Whether a disk adds nothing to what its hidden parent holds, so that another child of that is its equal."""
        parent = self._tree.look(node.parent) if node.parent else None
        if parent is None or not parent.hidden or parent.size != node.size:
            return False
        with self._images.opened(node.uuid) as file:
            return has_no_blocks(Vhd.open(file))

    # Reaching

    def _take(self, location: str, read_only: bool, sharable: bool, operation: str) -> Node:
        """Note one holder more of a disk that is made ready for that."""
        node = self._usable(location)
        if not read_only and self._images.record(location).read_only:
            raise VdiReadOnly(location)
        self._attachments.take(location, read_only, sharable, operation)
        with ExitStack() as undo:
            undo.callback(self._give_back, location, read_only)
            self._images.prepare(node, read_only)
            undo.pop_all()
        return node

    def _give_back(self, location: str, read_only: bool | None) -> None:
        self._attachments.release(location, read_only)
        self._images.settle(location)

    def attach(self, location: str, read_only: bool) -> Backend:
        """Make a disk reachable by the path of its image."""
        with ExitStack() as undo:  # outside, since the SR may turn out to have gone when its lock is given back
            with self._held(location):
                node = self._usable(location)
                self._take(location, read_only, self._images.record(location).sharable, "attach")
                undo.callback(self._give_back, location, read_only)
            undo.pop_all()
            return FileBackend(node.path, node.format, read_only)

    def activate(self, location: str) -> None:
        """Check that an attached disk can still be used."""
        with self._held(location):
            self._usable(location)

    def deactivate(self, location: str) -> None:
        """Make what was written through the disk's path durable."""
        with self._held(location):
            node = self._tree.look(location)
            if node is not None and self._attachments.written(location):
                self._images.flush(node)

    def detach(self, location: str) -> None:
        """Take back one attachment."""
        if self.is_held(location):
            with translated(self.uuid, location):
                self._give_back(location, None)

    def open_for_reading(self, location: str) -> ChainDisk:
        """Open a disk for export or copying; VdiInUse while somebody writes to it."""
        return self._open(location, writable=False)

    def open_for_writing(self, location: str) -> ChainDisk:
        """Open a disk for import; VdiInUse while anybody holds it."""
        return self._open(location, writable=True)

    def _open(self, location: str, writable: bool) -> ChainDisk:
        with ExitStack() as stack, ExitStack() as opening:
            with self._held(location):
                node = self._take(location, not writable, False, "open")
                stack.callback(self._give_back, location, not writable)
                self._handles.take(location, not writable, True, "open")
                stack.callback(self._handles.release, location, not writable)
                stack.enter_context(self._images.pin(node))
                path, opener = node.path, self._images.opener
                chain = opening.enter_context(Chain.open(path, writable, opener, raw=node.format == "raw"))
                chain.open_all()
            opening.pop_all()
            return ChainDisk(chain, self.uuid, location, partial(self._release, stack.pop_all()), writable)

    def _release(self, opened: ExitStack) -> None:
        with translated(self.uuid):
            opened.close()

    def chains(self) -> ImageChains:
        """Return what the collector of chains works with."""
        return ImageChains(self._images, self._held, self._data_paths, self._is_open_here, self.is_held)

    def _is_open_here(self, location: str) -> bool:
        return location in self._handles.held()

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
                self._images.save_log(location, ChangeLog(node.size))

    def disable_cbt(self, location: str) -> None:
        """Remove the change log, if there is one."""
        with self._held(location):
            self._node(location)
            self._images.remove_log(location)

    def changed_blocks(self, base: str, location: str) -> bytes:
        """Return the bitmap of what may differ between an older snapshot and a disk that nobody writes to."""
        with self._held(location):
            self._attachments.check_no_writer(location, "list_changed_blocks")
            self._find(base)
            self._find(location)
            node = self._tree.look(location)
            pending = pending_changes(self._images, node) if node is not None else b""
            return changes_between(self._log, base, location, pending)

    # The end

    def detach_sr(self) -> None:
        """Detach the SR from this host; nothing of the SR changes."""
        if self._closed:
            return
        held = self._attachments.held()
        if held:
            raise SrInUse(f"SR {self.uuid} has attached disks: {', '.join(held)}")
        self._closed = True
        with translated(self.uuid):
            self._images.close()

    def destroy_sr(self) -> None:
        """Remove what the SR keeps beside its disks, and detach it; SrNotEmpty while it has disks."""
        with self._held(everything=True):
            if self._tree.nodes() or self._tree.logs():
                raise SrNotEmpty(f"SR {self.uuid} still holds disks")
            self._images.destroy()
        self.detach_sr()
