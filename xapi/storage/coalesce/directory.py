"""Merging the VHD files of a directory, as the collector wants it done.

Data is copied while no lock is held: source and target are hidden images, which nobody but the collector writes, and
only what the source hides is written. Names and parents change under the SR's lock, with a journal, and with a short
pause for whoever serves a disk whose files change. Other readers keep the files that they have open: those hold the
same data, for nothing is ever taken out of a file, and what is removed lives on until it is closed.
"""

from __future__ import annotations

import json
import os
import uuid as uuids
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from xapi.storage.coalesce.interface import Busy, GoOn, Outcome, Stopped
from xapi.storage.coalesce.journal import (
    ADOPT,
    REPLACE,
    Merge,
    adopt,
    can_adopt,
    pending_merges,
    recover_merges,
    show,
    take_back,
)
from xapi.storage.coalesce.plan import Image, MergeInner, MergeLeaf, Remove
from xapi.storage.failures import translated
from xapi.storage.file import chains
from xapi.storage.file.directory import Directory
from xapi.storage.file.fork import Fork, make_child
from xapi.storage.file.tree import Node, Tree
from xapi.storage.interface import DataPaths
from xapi.storage.vhd.coalesce import coalesce
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.system.atomic_file import write_atomically

SMALL = 16 << 20
"""A disk with at most so many bytes of its own is merged in one go, while its guest waits: for moments."""


class DirectoryChains:
    """The chains of a directory; `held` is the SR's lock, with errors translated.

    `open_here` says whether this process itself has a disk open, where no pause reaches it.
    """

    def __init__(
        self,
        directory: Directory,
        tree: Tree,
        held: Callable[[str], AbstractContextManager[None]],
        data_paths: DataPaths,
        open_here: Callable[[str], bool],
        small: int = SMALL,
    ) -> None:
        self._directory = directory
        self._tree = tree
        self._held = held
        self._data_paths = data_paths
        self._open_here = open_here
        self.small = small

    # Looking

    def images(self) -> tuple[Image, ...]:
        """Return the images; none if one is damaged, for it might be anybody's child, or if a merge is unfinished."""
        with self._held(""):
            self._tree.refresh()
            if pending_merges(self._directory):
                recover_merges(self._directory, self._tree)
                self._tree.refresh()
            if pending_merges(self._directory) or not self._tree.all_parents_known():
                return ()
            tracked = self._tree.logs()
            return tuple(
                Image(
                    node.uuid,
                    node.parent,
                    node.hidden,
                    usable=node.format == "vhd" and self._tree.is_whole(node),
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

    def _leaves_below(self, uuid: str) -> list[str]:
        """Return the images without children that depend on one, or the image itself."""
        found: list[str] = []
        pending, seen = [uuid], set()
        while pending:
            current = pending.pop()
            if current not in seen:
                seen.add(current)
                below = self._tree.children(current)
                pending += below
                found += [] if below else [current]
        return found

    @contextmanager
    def _paused(self, locations: list[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for location in sorted(locations):
                stack.enter_context(self._data_paths.paused(self._directory.sr_uuid, location))
            yield

    # Removing

    def remove(self, step: Remove) -> Outcome:
        """Remove a hidden image that nothing depends on, with the ancestors that become useless by that."""
        with self._held(""):
            node = self._tree.look(step.image)
            unused = node is not None and node.hidden and not self._tree.children(step.image)
            if node is None or not unused or not self._tree.all_parents_known():
                return Outcome.LOOK_AGAIN
            chains.remove_image(self._directory, self._tree, node)
        return Outcome.DONE

    # Merging inner images

    def merge_inner(self, step: MergeInner, go_on: GoOn) -> Outcome:
        """Copy the image into its parent, give that the children, remove the image; the lock is let go in between."""
        with ExitStack() as stack:
            with self._held(""):
                found = self._pair(step.image, step.parent)
                if found is None or not found[0].hidden:
                    return Outcome.LOOK_AGAIN
                self._check_adoptable(step)
                self._make_as_large(*found)
                source, target = self._open_pair(stack, step)
            with self._failing(step.image):
                coalesce(source, target, _stopping(go_on))
            with self._held(""):
                found = self._pair(step.image, step.parent)
                if found is None or not _same(source, found[0]) or not _same(target, found[1]):
                    return Outcome.LOOK_AGAIN
                self._check_adoptable(step)
                merge = Merge(ADOPT, step.image, step.parent)
                merge.begin(self._directory)
        self._hand_over(merge, go_on)
        return Outcome.DONE

    def _failing(self, location: str) -> AbstractContextManager[None]:
        return translated(self._directory.sr_uuid, location)

    def _check_adoptable(self, step: MergeInner) -> None:
        for child in self._tree.children(step.image):
            if not can_adopt(self._directory, child, step.parent):
                raise Busy(f"{child} has no room for the name of another parent")

    def _open_pair(self, stack: ExitStack, step: MergeInner | MergeLeaf) -> tuple[Vhd, Vhd]:
        source = Vhd.open(stack.enter_context(closing(self._directory.open(self._directory.image(step.image), False))))
        file = self._directory.open(self._directory.image(step.parent), True)
        stack.callback(file.close)
        target = Vhd.open(file, writable=True)
        stack.push(closing(target))
        return source, target

    def _make_as_large(self, node: Node, above: Node) -> None:
        """Grow a parent to its child's size. That may move its blocks, so nobody may read them meanwhile."""
        if above.size >= node.size:
            return
        leaves = self._leaves_below(above.uuid)
        for leaf in leaves:
            if self._open_here(leaf):
                raise Busy(f"{leaf} is open, and its ancestor {above.uuid} has to grow")
        with self._paused(leaves):
            chains.grow_image(self._directory, above, node.size)
        self._tree.reread(above.uuid)

    def _hand_over(self, merge: Merge, go_on: GoOn) -> None:
        """Give an image's children to its parent, one in a turn; a child that is made meanwhile is given too."""
        served: set[str] = set()
        while True:
            with self._held(""):
                children = sorted(self._tree.children(merge.image))
                if not children:
                    self._drop(merge)
                    break
                child = children[0]
                leaves = self._leaves_below(child)
                with self._paused([child] if leaves == [child] else []):
                    adopt(self._directory, self._tree, child, merge.parent)
                served.update(leaves if leaves != [child] else ())
            go_on()  # others get their turn at the lock; stopping here would only leave the rest to somebody else
        for leaf in sorted(served):
            # Whoever serves it still has the removed file open, and with that its space taken.
            with self._held(""), self._paused([leaf]):
                pass

    def _drop(self, merge: Merge) -> None:
        node = self._tree.look(merge.image)
        if node is not None and node.hidden:
            self._directory.remove(node.path)
            self._directory.remove(self._directory.record(node.uuid))
            self._tree.look(merge.image)
        merge.end(self._directory)

    # Merging disks

    def merge_leaf(self, step: MergeLeaf) -> Outcome:
        """Merge a disk with little data of its own at once; one with more is split, and the larger part comes first."""
        with self._held(""):
            found = self._pair(step.image, step.parent)
            if found is None or found[0].hidden or self._tree.children(step.image):
                return Outcome.LOOK_AGAIN
            node, above = found
            if os.path.lexists(self._directory.log(step.image)):
                raise Busy(f"{step.image} is tracked: what it holds itself is what has changed")
            if self._open_here(step.image):
                raise Busy(f"{step.image} is open")
            with closing(self._directory.open(node.path, False)) as file:
                own = Vhd.open(file)
                data = own.table.count() * own.block_size
            if data > self.small:
                self._split(node)
                return Outcome.LOOK_AGAIN
            self._make_as_large(node, above)
            self._replace(step)
        return Outcome.DONE

    def _split(self, node: Node) -> None:
        """Put an empty child under a disk's name; what it held is a hidden image from now on."""
        fork = Fork(node.uuid, str(uuids.uuid4()), str(uuids.uuid4()))
        directory = self._directory
        with self._paused([node.uuid]):
            write_atomically(Path(directory.fork_journal(node.uuid)), json.dumps(asdict(fork)).encode())
            try:
                os.link(directory.image(node.uuid), directory.image(fork.base))
                make_child(directory, fork.base, node.uuid)
                directory.sync()
                os.rename(directory.temporary(node.uuid), directory.image(node.uuid))
            except (OSError, VhdError):
                fork.roll_back(directory)
                raise
            fork.finish(directory)
        self._tree.reread(fork.base)
        self._tree.reread(node.uuid)

    def _replace(self, step: MergeLeaf) -> None:
        """Let the parent take the disk's data, and then its name."""
        directory = self._directory
        merge = Merge(REPLACE, step.image, step.parent)
        merge.begin(directory)
        try:
            show(directory, step.parent)
            with self._paused([step.image]):
                with ExitStack() as stack:
                    coalesce(*self._open_pair(stack, step))
                os.rename(directory.image(step.parent), directory.image(step.image))
        except (OSError, VhdError):
            take_back(directory, self._tree, merge)
            raise
        directory.remove(directory.record(step.parent))
        merge.end(directory)
        self._tree.reread(step.parent)
        self._tree.reread(step.image)


def _stopping(go_on: GoOn) -> Callable[[int, int], None]:
    def check(done: int, total: int) -> None:
        if not go_on():
            raise Stopped

    return check


def _same(vhd: Vhd, node: Node) -> bool:
    """Whether an open file still is the one of that name."""
    assert isinstance(vhd.file, RealFile)
    return os.path.samestat(os.fstat(vhd.file.fileno()), os.lstat(node.path))
