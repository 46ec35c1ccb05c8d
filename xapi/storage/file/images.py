"""The images of an SR in a directory: VHD files and raw files, with a record and perhaps a change log beside each."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from xapi.storage.failures import FULL, REFUSED
from xapi.storage.file import chains
from xapi.storage.file.directory import LOG_NAME, UUID, Directory, is_uuid
from xapi.storage.file.fork import Fork, hide_raw, set_hidden
from xapi.storage.file.lock import SrLock
from xapi.storage.file.record import VdiRecord, load_record, save_record
from xapi.storage.file.settings import load_settings, remove_settings, save_settings
from xapi.storage.file.tree import Tree
from xapi.storage.images.change_logs import drop_log
from xapi.storage.images.interface import KINDS, REPLACE, Merge
from xapi.storage.images.merging import recover_merges
from xapi.storage.images.tree import Node
from xapi.storage.tracking import ChangeLog
from xapi.storage.vhd.create import create_child
from xapi.storage.vhd.file import Opener, RandomAccessFile, RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent, describe_parent
from xapi.system.atomic_file import write_atomically

LOG = logging.getLogger("xapi.storage")
UNWRITABLE = REFUSED | FULL
MERGE_NAME = re.compile(rf"\.coalesce-({UUID.pattern})\.json")


class DirectoryImages:
    """The images of a directory. With `shared`, other hosts may change the directory too."""

    grows_online = True

    def __init__(self, directory: Directory, shared: bool = False, unmount: ExitStack | None = None) -> None:
        self._directory = directory
        self._shared = shared
        self._unmount = unmount or ExitStack()
        self._lock = SrLock(directory, shared, self._settle_all)
        self._records: dict[str, tuple[tuple[int, int], VdiRecord]] = {}
        self.tree = Tree(directory)

    def _settle_all(self) -> bool:
        """Finish or take back what was cut short, and say whether that could be done: not where nothing is written."""
        try:
            self._recover()
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            LOG.warning("SR %s cannot be tidied: %s", self.sr_uuid, error.strerror)
            self.tree.refresh()
            return False
        return True

    def _recover(self) -> None:
        """Finish or take back what was cut short, and clear away what belongs to nothing."""
        directory = self._directory
        chains.recover_files(directory)
        self.tree.refresh()
        recover_merges(self)
        for garbage in self.tree.unused():
            self.remove(garbage)
        logs = self.logs()
        for uuid in logs:
            node = self.tree.look(uuid)
            dataless = load_record(directory, uuid).type == "cbt_metadata"
            if node is not None and dataless and not self.tree.children(uuid):
                self.remove(node, keep_record=True)
        for uuid in chains.clear_orphans(directory, logs):
            drop_log(self, uuid)
        directory.sync()

    @property
    def sr_uuid(self) -> str:
        """The SR's UUID."""
        return self._directory.sr_uuid

    @property
    def opener(self) -> Opener:
        """Opens the images of this directory by their paths."""
        return self._directory.open

    def held(self) -> AbstractContextManager[None]:
        """Hold the SR's lock."""
        return self._lock.held()

    def refresh(self, everything: bool = False) -> None:
        """Look at the directory, if it may have changed."""
        if self._shared or everything:
            self.tree.refresh()

    def space(self) -> tuple[int, int]:
        """Return the size of the file system and what is free of it."""
        self._directory.check()
        return self._directory.space()

    def is_taken(self, uuid: str) -> bool:
        """Whether a record is there already."""
        return os.path.lexists(self._directory.record(uuid))

    # Records

    def names(self) -> tuple[str, str]:
        """Return the SR's name and description."""
        return load_settings(self._directory)

    def rename_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description in the directory."""
        save_settings(self._directory, name_label, name_description)

    def record(self, uuid: str) -> VdiRecord:
        """Return what is kept of a disk, defaults if nothing is."""
        path = self._directory.record(uuid)
        try:
            found = os.stat(path, follow_symlinks=False)
            stamp = (found.st_ino, found.st_mtime_ns)
            known = self._records.get(uuid)
            if known is None or known[0] != stamp:
                known = self._records[uuid] = (stamp, VdiRecord.decode(self._directory.read_small(path)))
        except FileNotFoundError:
            return VdiRecord()
        return known[1]

    def save_record(self, uuid: str, format: str, record: VdiRecord) -> None:
        """Keep a disk's record, durably."""
        save_record(self._directory, uuid, record)
        self._directory.sync()

    def drop_record(self, uuid: str) -> None:
        """Forget what is kept of a disk."""
        self._directory.remove(self._directory.record(uuid))
        self._records.pop(uuid, None)

    def logs(self) -> frozenset[str]:
        """Return the disks that have a change log."""
        return frozenset(match[1] for name in self._directory.names() if (match := LOG_NAME.fullmatch(name)))

    def load_log(self, uuid: str) -> ChangeLog | None:
        """Return the change log of a disk, None if it is not tracked."""
        try:
            return ChangeLog.decode(self._directory.read_small(self._directory.log(uuid)))
        except FileNotFoundError:
            return None

    def save_log(self, uuid: str, log: ChangeLog) -> None:
        """Keep the change log of a disk, durably."""
        write_atomically(Path(self._directory.log(uuid)), log.encode())

    def remove_log(self, uuid: str) -> None:
        """Remove the change log of a disk, if there is one."""
        self._directory.remove(self._directory.log(uuid))

    # Images

    def whole_size(self, format: str, size: int) -> int:
        """Return the size itself: files have any."""
        return size

    def create(self, uuid: str, format: str, size: int, record: VdiRecord) -> None:
        """Make an empty image with its record."""
        chains.create_image(self._directory, uuid, format, size, record)

    def remove(self, node: Node, keep_record: bool = False) -> None:
        """Remove a disk and the hidden ancestors that nothing else depends on; one with children is only hidden."""
        chains.remove_image(self._directory, self.tree, node, keep_record)
        if not keep_record:
            self._records.pop(node.uuid, None)

    def discard(self, node: Node) -> None:
        """Remove one image with its record."""
        self._directory.remove(node.path)
        self.drop_record(node.uuid)
        self.tree.look(node.uuid)

    def grow(self, node: Node, size: int) -> None:
        """Make a disk larger."""
        chains.grow_image(self._directory, node, size)

    def _node(self, uuid: str) -> Node:
        node = self.tree.look(uuid)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, f"there is no image of disk {uuid}")
        return node

    def add_child(self, parent: str, uuid: str, record: VdiRecord) -> None:
        """Make an empty child of an image, with its record."""
        chains.add_child(self._directory, self._node(parent), uuid, record)

    def renew(self, node: Node) -> None:
        """Put an empty child of a disk's parent, as large as the disk was, in its place, in one step."""
        path = self._directory.temporary(node.uuid)
        self._directory.remove(path)
        with closing(RealFile.create(path)) as file:
            create_child(file, self.describe(node.parent), size=node.size)
        os.rename(path, node.path)
        self._directory.sync()
        self.tree.reread(node.uuid)

    def split(self, node: Node, child: str, record: VdiRecord, log: ChangeLog | None) -> None:
        """Make a disk a hidden parent of two, or of one."""
        fork = Fork.plan(node.uuid, child or str(uuid4()), log is not None, node.size, node.format)
        fork.run(self._directory, record if child else None, log)
        self.tree.reread(fork.base)
        self.tree.reread(node.uuid)

    def set_hidden(self, uuid: str, hidden: bool) -> None:
        """Mark an image as an inner node, or as one to be seen."""
        if self._node(uuid).format == "raw":
            if hidden:
                hide_raw(self._directory, uuid)
            else:
                self.drop_record(uuid)
            self._directory.sync()
            self.tree.reread(uuid)
            return
        if hidden:
            set_hidden(self._directory, uuid)
            return
        with self.opened(uuid, True) as file:
            Vhd.open(file, writable=True).set_hidden(False)

    @contextmanager
    def opened(self, uuid: str, writable: bool = False) -> Iterator[RandomAccessFile]:
        """Open an image inside."""
        with closing(self._directory.open(self._node(uuid).path, writable)) as file:
            yield file

    def describe(self, uuid: str) -> Parent:
        """Return what a child of an image has to know of it."""
        node = self._node(uuid)
        return describe_parent(node.path, raw=node.format == "raw", opener=self._directory.open)

    def is_open_here(self, uuid: str) -> bool:
        """Say no: a file that is removed lives on until it is closed."""
        return False

    # Reaching

    def prepare(self, node: Node, read_only: bool) -> None:
        """Do nothing: files can always be opened, and grow by themselves."""

    def settle(self, location: str) -> None:
        """Do nothing: nothing was prepared."""

    def pin(self, node: Node) -> AbstractContextManager[object]:
        """Do nothing: open files stay."""
        return nullcontext()

    def flush(self, node: Node) -> None:
        """Make durable what was written through the disk's file."""
        with closing(self._directory.open(node.path, False)) as file:
            file.flush()

    # Merging

    def make_room(self, parent: str, image: str, final: bool) -> None:
        """Do nothing: files grow by themselves."""

    def trim(self, uuid: str) -> None:
        """Do nothing: files are no larger than they have to be."""

    def _merge_path(self, image: str) -> Path:
        return Path(self._directory.path) / f".coalesce-{image}.json"

    def begin(self, merge: Merge) -> None:
        """Write down a merge, durably."""
        write_atomically(self._merge_path(merge.image), json.dumps(asdict(merge)).encode())

    def end(self, merge: Merge) -> None:
        """Make what was done durable, and forget the merge."""
        if merge.kind == REPLACE and self.tree.look(merge.parent) is None:
            self.drop_record(merge.parent)
        self._directory.sync()
        self._directory.remove(str(self._merge_path(merge.image)))

    def take_name(self, merge: Merge) -> None:
        """Put the parent's file in the place of the image's; a raw one has the name beside that, and goes on alone."""
        format = self._node(merge.parent).format
        os.rename(self._directory.image(merge.parent, format), self._directory.image(merge.image, format))
        self.take_names_back(merge)

    def take_names_back(self, merge: Merge) -> None:
        """Do nothing if the rename is not done; remove the image's own file if it is, and the parent was raw."""
        image = self.tree.reread(merge.image)
        taken = os.path.lexists(self._directory.image(merge.image, "raw")) and self.tree.look(merge.parent) is None
        if taken and image is not None and image.format == "vhd" and image.parent == merge.parent:
            self._directory.sync()
            self._directory.remove(image.path)

    def merges(self) -> list[Merge]:
        """Return the merges that are under way or were cut short; a damaged journal is removed."""
        found = []
        for name in self._directory.names():
            match = MERGE_NAME.fullmatch(name)
            if match is None:
                continue
            merge = self._load_merge(match[1])
            if merge is None:
                self._directory.remove(str(self._merge_path(match[1])))
            else:
                found.append(merge)
        return found

    def _load_merge(self, image: str) -> Merge | None:
        try:
            merge = Merge(**json.loads(self._directory.read_small(str(self._merge_path(image)))))
        except (ValueError, TypeError, RecursionError, FileNotFoundError):
            return None
        names = (merge.image, merge.parent)
        sound = all(isinstance(name, str) and is_uuid(name) for name in names) and merge.image != merge.parent
        return merge if sound and merge.image == image and merge.kind in KINDS else None

    # The end

    def close(self) -> None:
        """Unmount what was mounted for this SR."""
        self._unmount.close()

    def destroy(self) -> None:
        """Remove what is kept of the SR itself."""
        remove_settings(self._directory)
