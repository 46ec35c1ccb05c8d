"""Merging the images of an SR, as the collector wants it done, wherever they lie.

Data is copied while no lock is held: source and target are hidden images, which nobody but the collector writes, and
only what the source hides is written. Names and parents change under the SR's lock, with a journal, and with a short
pause for whoever serves a disk whose images change. Other readers keep the images that they have open: those hold the
same data, for nothing is ever taken out of an image, and none is removed that this process has open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Protocol

from xapi.storage.coalesce.interface import Busy, GoOn, Outcome, Stopped
from xapi.storage.coalesce.plan import Image, MergeInner, MergeLeaf, Remove
from xapi.storage.errors import StorageFailure
from xapi.storage.failures import translated
from xapi.storage.file.record import VdiRecord
from xapi.storage.images.interface import ADOPT, REPLACE, Images, Merge
from xapi.storage.images.merging import adopt, can_adopt, recover_merges, take_back
from xapi.storage.images.tree import Node
from xapi.storage.interface import DataPaths
from xapi.storage.vhd.chain import RawDisk
from xapi.storage.vhd.coalesce import coalesce
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd

SMALL = 16 << 20
"""A disk with at most so many bytes of its own is merged in one go, while its guest waits: for moments."""


class Held(Protocol):
    """The SR's lock, with errors of what is done inside in the words of storage."""

    def __call__(self, location: str = "", everything: bool = False) -> AbstractContextManager[None]:
        """Hold it inside; with `everything`, all images are looked at anew."""


class ImageChains:
    """The chains of an SR. `open_here` says whether this process itself has a disk open, where no pause reaches it, and
    `in_use` whether anybody has.
    """

    def __init__(
        self,
        images: Images,
        held: Held,
        data_paths: DataPaths,
        open_here: Callable[[str], bool],
        in_use: Callable[[str], bool],
        small: int = SMALL,
    ) -> None:
        self._images = images
        self._tree = images.tree
        self._held = held
        self._data_paths = data_paths
        self._open_here = open_here
        self._in_use = in_use
        self.small = small

    # Looking

    def images(self) -> tuple[Image, ...]:
        """Return the images; none if one is damaged, for it might be anybody's child, or if a merge is unfinished."""
        with self._held(everything=True):
            if self._images.merges():
                recover_merges(self._images)
                self._images.refresh(everything=True)
            if self._images.merges() or not self._tree.all_parents_known():
                return ()
            tracked = self._tree.logs()
            return tuple(
                Image(
                    node.uuid,
                    node.parent,
                    node.hidden,
                    usable=self._tree.is_whole(node),
                    tracked=node.uuid in tracked,
                )
                for node in self._tree.nodes()
            )

    def _pair(self, image: str, parent: str) -> tuple[Node, Node] | None:
        """Return an image and its parent as they are now, None if the image is no longer the one child of that."""
        node, above = self._tree.look(image), self._tree.look(parent)
        if node is None or above is None or node.parent != parent or not above.hidden:
            return None
        if self._tree.children(parent) != {image} or not self._tree.all_parents_known():
            return None
        return node, above

    @contextmanager
    def _paused(self, locations: list[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for location in sorted(locations):
                stack.enter_context(self._data_paths.paused(self._images.sr_uuid, location))
            yield

    # Removing

    def remove(self, step: Remove) -> Outcome:
        """Remove a hidden image that nothing depends on, with the ancestors that become useless by that."""
        with self._held():
            node = self._tree.look(step.image)
            unused = node is not None and node.hidden and not self._tree.children(step.image)
            if node is None or not unused or not self._tree.all_parents_known():
                return Outcome.LOOK_AGAIN
            if self._images.is_open_here(step.image):
                raise Busy(f"{step.image} is open")
            self._images.remove(node)
        return Outcome.DONE

    # Merging inner images

    def merge_inner(self, step: MergeInner, go_on: GoOn) -> Outcome:
        """Copy the image into its parent, give that the children, remove the image; the lock is let go in between."""
        with ExitStack() as stack:
            with self._held():
                found = self._pair(step.image, step.parent)
                if found is None or not found[0].hidden:
                    return Outcome.LOOK_AGAIN
                self._check_adoptable(step)
                self._make_as_large(*found)
                self._images.make_room(step.parent, step.image, final=False)
                source, target = self._open_pair(stack, step)
            with translated(self._images.sr_uuid, step.image):
                coalesce(source, target, _stopping(go_on))
            with self._held():
                found = self._pair(step.image, step.parent)
                if found is None or not _same(source, found[0]) or not _same(target, found[1]):
                    return Outcome.LOOK_AGAIN
                self._check_adoptable(step)
                merge = Merge(ADOPT, step.image, step.parent)
                self._images.begin(merge)
        self._hand_over(merge, go_on)
        return Outcome.DONE

    def _check_adoptable(self, step: MergeInner) -> None:
        for child in self._tree.children(step.image):
            if not can_adopt(self._images, child, step.parent):
                raise Busy(f"{child} has no room for the name of another parent")

    def _open_pair(self, stack: ExitStack, step: MergeInner | MergeLeaf) -> tuple[Vhd, Vhd | RawDisk]:
        source = Vhd.open(stack.enter_context(self._images.opened(step.image)))
        file = stack.enter_context(self._images.opened(step.parent, writable=True))
        target = RawDisk(file, writable=True) if source.parent_is_raw else Vhd.open(file, writable=True)
        stack.push(closing(target))
        return source, target

    def _make_as_large(self, node: Node, above: Node) -> None:
        """Grow a parent to its child's size. That may move a VHD's blocks, so nobody may read them meanwhile."""
        if above.size >= node.size:
            return
        if above.format == "raw":
            self._images.grow(above, node.size)
            self._tree.reread(above.uuid)
            return
        leaves = self._tree.leaves_below(above.uuid)
        for leaf in leaves:
            if self._open_here(leaf):
                raise Busy(f"{leaf} is open, and its ancestor {above.uuid} has to grow")
        with self._paused(leaves):
            self._images.grow(above, node.size)
        self._tree.reread(above.uuid)

    def _hand_over(self, merge: Merge, go_on: GoOn) -> None:
        """Give an image's children to its parent, one in a turn; a child that is made meanwhile is given too."""
        served: set[str] = set()
        done = False
        while not done:
            with self._held():
                children = sorted(self._tree.children(merge.image))
                if children:
                    child = children[0]
                    leaves = self._tree.leaves_below(child)
                    with self._paused([child] if leaves == [child] else []):
                        adopt(self._images, child, merge.parent)
                    served.update(leaves if leaves != [child] else ())
                elif served:
                    # Whoever serves it still has the image open, and with that its space taken.
                    with self._paused([served.pop()]):
                        pass
                else:
                    self._drop(merge)
                    done = True
            go_on()  # others get their turn at the lock; stopping here would only leave the rest to somebody else

    def _drop(self, merge: Merge) -> None:
        node = self._tree.look(merge.image)
        if node is not None and node.hidden and not self._images.is_open_here(merge.image):
            self._images.discard(node)
        self._images.trim(merge.parent)
        self._images.end(merge)

    # Merging disks

    def merge_leaf(self, step: MergeLeaf) -> Outcome:
        """Merge a disk with little data of its own at once; one with more is split, and the larger part comes first."""
        with self._held():
            found = self._pair(step.image, step.parent)
            if found is None or found[0].hidden or self._tree.children(step.image):
                return Outcome.LOOK_AGAIN
            node, above = found
            if self._images.load_log(step.image) is not None:
                raise Busy(f"{step.image} is tracked: what it holds itself is what has changed")
            if self._open_here(step.image):
                raise Busy(f"{step.image} is open")
            if above.format == "raw":
                self._check_may_be_raw(node, above)
            with self._images.opened(step.image) as file:
                own = Vhd.open(file)
                data = own.table.count() * own.block_size
            if data > self.small:
                with self._paused([step.image]):
                    self._images.split(node, "", VdiRecord(), None)
                return Outcome.LOOK_AGAIN
            self._make_as_large(node, above)
            self._replace(Merge(REPLACE, step.image, step.parent))
        return Outcome.DONE

    def _check_may_be_raw(self, node: Node, above: Node) -> None:
        """Whoever has a disk has the path of its VHD; and a disk keeps its size."""
        if self._in_use(node.uuid):
            raise Busy(f"{node.uuid} is in use, and would become a raw disk")
        if max(above.size, self._images.whole_size("raw", node.size)) != node.size:
            raise Busy(f"{node.uuid} has {node.size} bytes, which a raw disk here cannot have")

    def _replace(self, merge: Merge) -> None:
        """Let the parent take the disk's data, and then its name."""
        step = MergeLeaf(merge.image, merge.parent)
        self._images.begin(merge)
        try:
            self._images.set_hidden(merge.parent, False)
            self._images.make_room(merge.parent, merge.image, final=True)
            with self._paused([merge.image]):
                with ExitStack() as stack:
                    coalesce(*self._open_pair(stack, step))
                self._images.take_name(merge)
        except (OSError, VhdError, StorageFailure):
            take_back(self._images, merge)
            raise
        self._images.end(merge)
        self._tree.reread(merge.parent)
        self._tree.reread(merge.image)


def _stopping(go_on: GoOn) -> Callable[[int, int], None]:
    def check(done: int, total: int) -> None:
        if not go_on():
            raise Stopped

    return check


def _same(vhd: Vhd | RawDisk, node: Node) -> bool:
    """Whether an open image still is the one of that name."""
    assert isinstance(vhd.file, RealFile)
    return os.path.samestat(os.fstat(vhd.file.fileno()), os.stat(node.path))
