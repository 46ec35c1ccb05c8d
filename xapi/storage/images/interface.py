"""What a place for images, such as a directory or a volume group, offers to those who know the rules."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from xapi.storage.file.record import VdiRecord
from xapi.storage.images.tree import ImageTree, Node
from xapi.storage.tracking import ChangeLog
from xapi.storage.vhd.file import Opener, RandomAccessFile
from xapi.storage.vhd.parents import Parent

ADOPT = "adopt"
REPLACE = "replace"
KINDS = (ADOPT, REPLACE)


@dataclass(frozen=True, slots=True)
class Merge:
    """One change of names or parents that is under way.

    * `adopt`: all that `image` holds is in `parent` too; its children are on their way to `parent`.
    * `replace`: `parent` is about to take the name of `image`, and is visible for that reason.
    """

    kind: str
    image: str
    parent: str


class Records(Protocol):
    """What is kept of an SR and its disks beside their data. The SR's lock is held."""

    def names(self) -> tuple[str, str]:
        """Return the SR's name and description."""

    def rename_sr(self, name_label: str, name_description: str) -> None:
        """Keep another name and description of the SR."""

    def record(self, uuid: str) -> VdiRecord:
        """Return what is kept of a disk, defaults if nothing is."""

    def save_record(self, uuid: str, format: str, record: VdiRecord) -> None:
        """Keep a disk's record, durably."""

    def drop_record(self, uuid: str) -> None:
        """Forget what is kept of a disk."""

    def logs(self) -> frozenset[str]:
        """Return the UUIDs of the disks that have a change log now."""

    def load_log(self, uuid: str) -> ChangeLog | None:
        """Return the change log of a disk, None if it is not tracked."""

    def save_log(self, uuid: str, log: ChangeLog) -> None:
        """Keep the change log of a disk, durably."""

    def remove_log(self, uuid: str) -> None:
        """Forget the change log of a disk, if there is one."""


class Images(Records, Protocol):
    """The images of an SR. The SR's lock is held, where nothing else is said.

    Every change leaves either what was or what is to be, whenever it is cut short; what it may leave besides is cleared
    away before the next operation. `grows_online` says whether a disk may grow while it is held.
    """

    grows_online: bool

    @property
    def sr_uuid(self) -> str:
        """The SR's UUID."""

    @property
    def tree(self) -> ImageTree:
        """Which images there are."""

    @property
    def opener(self) -> Opener:
        """Opens the images of this SR by their paths, and nothing else."""

    def held(self) -> AbstractContextManager[None]:
        """Hold the SR's lock inside; a thread that holds it may take it again."""

    def refresh(self, everything: bool = False) -> None:
        """Take in what others did, `everything` of it if that is asked for, and clear away what was cut short."""

    def space(self) -> tuple[int, int]:
        """Return the SR's size and what is free of it, in bytes; without the lock."""

    def is_taken(self, uuid: str) -> bool:
        """Whether something else than an image stands in the way of a new disk with this UUID."""

    # Images

    def whole_size(self, format: str, size: int) -> int:
        """Return the size of an image, vhd or raw, in which `size` bytes of a disk are wanted."""

    def create(self, uuid: str, format: str, size: int, record: VdiRecord) -> None:
        """Make an empty image, vhd or raw, of `size` bytes with its record."""

    def remove(self, node: Node, keep_record: bool = False) -> None:
        """Remove a disk and the hidden ancestors that nothing else depends on; one with children is only hidden."""

    def discard(self, node: Node) -> None:
        """Remove one image with its record, and nothing else."""

    def grow(self, node: Node, size: int) -> None:
        """Make a disk `size` bytes large; the rest of it reads as zeros."""

    def add_child(self, parent: str, uuid: str, record: VdiRecord) -> None:
        """Make an empty child of an image that does not change any more, with its record."""

    def renew(self, node: Node) -> None:
        """Put an empty child of a disk's parent, as large as the disk was, in its place."""

    def split(self, node: Node, child: str, record: VdiRecord, log: ChangeLog | None) -> None:
        """Make a disk, vhd or raw, a hidden parent of two: an empty VHD under its name, and one named `child`.

        The change log goes to the child, and the disk begins a new one. An empty `child` stands for none.
        """

    def set_hidden(self, uuid: str, hidden: bool) -> None:
        """Mark an image as an inner node, or as one to be seen."""

    def opened(self, uuid: str, writable: bool = False) -> AbstractContextManager[RandomAccessFile]:
        """Open an image inside; the lock may be let go meanwhile."""

    def describe(self, uuid: str) -> Parent:
        """Return what a child of an image has to know of it."""

    def is_open_here(self, uuid: str) -> bool:
        """Whether an image cannot be removed because this process has it open."""

    # Reaching

    def prepare(self, node: Node, read_only: bool) -> None:
        """Make a disk that somebody has taken ready to be opened, and to be written to unless `read_only`."""

    def settle(self, location: str) -> None:
        """Take back what was prepared and nobody needs, after one holder of a disk has gone."""

    def pin(self, node: Node) -> AbstractContextManager[object]:
        """Keep a disk and its ancestors of now from being removed inside."""

    def flush(self, node: Node) -> None:
        """Make durable what was written through the disk's path."""

    # Merging

    def make_room(self, parent: str, image: str, final: bool) -> None:
        """Give a parent room for what an image holds; `final` if it is to be the disk in its place."""

    def trim(self, uuid: str) -> None:
        """Take away room that an image does not need now."""

    def take_name(self, merge: Merge) -> None:
        """Let the parent of a merge have the image's name, raw or not; the image itself goes when the merge ends."""

    def begin(self, merge: Merge) -> None:
        """Write down a merge, durably."""

    def end(self, merge: Merge) -> None:
        """Make what was done durable, and forget the merge."""

    def merges(self) -> list[Merge]:
        """Return the merges that are under way or were cut short, those without sense being forgotten."""

    def take_names_back(self, merge: Merge) -> None:
        """Let an image have its name again if its parent has not taken it."""

    # The end

    def close(self) -> None:
        """Give everything up; nothing of the SR changes. Without the lock."""

    def destroy(self) -> None:
        """Remove what the SR keeps beside its disks."""
