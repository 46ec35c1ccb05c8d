"""Splitting a disk into a hidden parent and two children, so that a kill at any moment leaves either old or new.

The parent is the old file under a second name, a hard link; nothing in it is touched before the moment of truth, when a
new, empty child takes over the old name by a rename. A journal written before all else says what belongs together:
whoever finds it either removes what was prepared (the old name still is the old file) or finishes (it is not).

A raw file becomes the parent of VHDs under another name, too; there is no file with the disk's name until the new child
has it, so that nobody writes to the parent by the name that it had.
"""

from __future__ import annotations

import json
import os
import uuid as uuids
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from xapi.storage.file.directory import Directory, is_uuid
from xapi.storage.file.record import VdiRecord, save_record
from xapi.storage.tracking import ChangeLog
from xapi.storage.vhd.create import create_child
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import FOOTER_SIZE
from xapi.storage.vhd.parents import describe_parent
from xapi.system.atomic_file import write_atomically


def make_child(directory: Directory, parent: str, uuid: str, final: bool = False, format: str = "vhd") -> None:
    """Write an empty child of the image `parent`, vhd or raw, under its temporary name; under its own if `final`."""
    path = directory.image(uuid) if final else directory.temporary(uuid)
    directory.remove(path)
    facts = describe_parent(directory.image(parent, format), raw=format == "raw", opener=directory.open)
    with closing(RealFile.create(path)) as file:
        create_child(file, facts)


def hide_raw(directory: Directory, uuid: str) -> None:
    """Mark a raw image as an inner node, which has no other record."""
    save_record(directory, uuid, VdiRecord(hidden=True))


def set_hidden(directory: Directory, uuid: str) -> None:
    """Mark an image as an inner node, in both copies of its footer, whatever one of them says already.

    Where the footer is in its place, its block table is not read for that: it has megabytes on a large disk.
    """
    with closing(directory.open(directory.image(uuid), True)) as file:
        vhd = Vhd.open(file, writable=True)
        place = file.size() - FOOTER_SIZE
        if vhd.footers.front is None or file.pread(FOOTER_SIZE, place) != vhd.footer.pack():
            vhd.set_hidden(True)
            return
        packed = replace(vhd.footer, hidden=1).pack()
        for offset in (place, 0):
            file.pwrite(packed, offset)
            file.flush()


@dataclass(frozen=True, slots=True)
class Fork:
    """One split: `leaf` keeps its name and becomes a child of `base`, as does the new disk `child`.

    With `tracked`, the change log of `leaf` goes to `child`, and `leaf` begins a new one of a disk of `size` bytes.
    `format` is that of the disk until then, and of `base`.
    """

    leaf: str
    child: str
    base: str
    tracked: bool = False
    size: int = 0
    format: str = "vhd"

    @classmethod
    def plan(cls, leaf: str, child: str, tracked: bool, size: int, format: str = "vhd") -> Fork:
        """Return a split with a new name for the hidden parent."""
        return cls(leaf, child, str(uuids.uuid4()), tracked, size, format)

    def run(self, directory: Directory, record: VdiRecord | None, log: ChangeLog | None) -> None:
        """Do it, from journal to journal; errors of system and format leave everything as it was.

        Without a record there is no new disk: `leaf` is the only child of `base`.
        """
        if os.path.lexists(directory.fork_journal(self.leaf)):  # of a split that could not be settled for want of room
            recover_forks(directory, [self.leaf])
        write_atomically(Path(directory.fork_journal(self.leaf)), json.dumps(asdict(self)).encode())
        try:
            self._prepare(directory, record, log)
            os.rename(directory.temporary(self.leaf), directory.image(self.leaf))
        except (OSError, VhdError):
            self.roll_back(directory)
            raise
        self.finish(directory)

    def _prepare(self, directory: Directory, record: VdiRecord | None, log: ChangeLog | None) -> None:
        if self.format == "raw":
            hide_raw(directory, self.base)
            os.rename(directory.image(self.leaf, "raw"), directory.image(self.base, "raw"))
        else:
            os.link(directory.image(self.leaf), directory.image(self.base))
        if record is not None:
            make_child(directory, self.base, self.child, final=True, format=self.format)
            save_record(directory, self.child, record)
        make_child(directory, self.base, self.leaf, format=self.format)
        if log is not None:
            write_atomically(Path(directory.log(self.child)), log.encode())
        directory.sync()

    def happened(self, directory: Directory) -> bool:
        """Whether the old name already is the new child."""
        if self.format == "raw":
            return os.path.lexists(directory.image(self.leaf))
        try:
            leaf = os.lstat(directory.image(self.leaf))
            base = os.lstat(directory.image(self.base))
        except FileNotFoundError:
            return False
        return leaf.st_ino != base.st_ino

    def roll_back(self, directory: Directory) -> None:
        """Remove what was prepared. The data is safe: it is removed under its second name only."""
        directory.remove(directory.temporary(self.leaf))
        directory.remove(directory.image(self.child))
        directory.remove(directory.record(self.child))
        directory.remove(directory.log(self.child))
        if self.format == "raw":
            if os.path.lexists(directory.image(self.base, "raw")):
                os.rename(directory.image(self.base, "raw"), directory.image(self.leaf, "raw"))
            directory.remove(directory.record(self.base))
        elif os.path.lexists(directory.image(self.leaf)):
            directory.remove(directory.image(self.base))
        directory.sync()
        directory.remove(directory.fork_journal(self.leaf))

    def finish(self, directory: Directory) -> None:
        """Do what follows the moment of truth, as often as it takes."""
        directory.sync()
        if self.format != "raw":
            set_hidden(directory, self.base)
        if self.tracked:
            log = ChangeLog(self.size, self.child)
            write_atomically(Path(directory.log(self.leaf)), log.encode())
        directory.remove(directory.fork_journal(self.leaf))

    @classmethod
    def load(cls, directory: Directory, leaf: str) -> Fork | None:
        """Return the split in a leaf's journal, None if that is damaged."""
        try:
            untrusted = json.loads(directory.read_small(directory.fork_journal(leaf)))
            fork = cls(**untrusted)
        except (ValueError, TypeError, RecursionError):
            return None
        names = (fork.leaf, fork.child, fork.base)
        sound = all(isinstance(name, str) and is_uuid(name) for name in names) and len(set(names)) == 3
        sound = sound and type(fork.size) is int and fork.format in ("vhd", "raw")
        return fork if sound and fork.leaf == leaf else None


def recover_forks(directory: Directory, leaves: list[str]) -> None:
    """Finish or take back every split of these leaves that was cut short."""
    for leaf in leaves:
        fork = Fork.load(directory, leaf)
        if fork is None:
            directory.remove(directory.fork_journal(leaf))
        elif fork.happened(directory):
            fork.finish(directory)
        else:
            fork.roll_back(directory)
