"""Which images an SR holds, and which of them depend on which: what all places for images have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

Stamp = tuple[object, ...]
"""Whatever tells that an image has not changed since it was last looked into."""


@dataclass(frozen=True, slots=True)
class Node:
    """One image. `trouble` says why it cannot be used, and is empty for a good one; sizes in bytes.

    `parent` is the UUID of the image that it depends on, empty for none. A damaged image's parent is not known.
    """

    uuid: str
    path: str
    format: str
    size: int = 0
    utilisation: int = 0
    hidden: bool = False
    parent: str = ""
    trouble: str = ""


class ImageTree(ABC):
    """The images of an SR and their dependence. Not safe for several threads: the SR's lock is held."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._stamps: dict[str, Stamp] = {}
        self._children: dict[str, set[str]] = {}
        self._troubled: set[str] = set()
        self._logs: set[str] = set()

    @abstractmethod
    def refresh(self) -> None:
        """Look at everything that is there."""

    @abstractmethod
    def look(self, uuid: str) -> Node | None:
        """Return what one image is now, None if it is not there."""

    def reread(self, uuid: str) -> Node | None:
        """Return what one image is now, even if a change to it was too quick to be noticed."""
        self._forget(uuid)
        return self.look(uuid)

    def _known(self, uuid: str, stamp: Stamp) -> Node | None:
        """Return an image that still has the stamp that it had."""
        return self._nodes[uuid] if self._stamps.get(uuid) == stamp else None

    def _keep(self, node: Node, stamp: Stamp) -> Node:
        """Take in what an image was found to be."""
        self._forget(node.uuid)
        self._nodes[node.uuid] = node
        self._stamps[node.uuid] = stamp
        if node.parent:
            self._children.setdefault(node.parent, set()).add(node.uuid)
        if node.trouble:
            self._troubled.add(node.uuid)
        return node

    def _forget(self, uuid: str) -> None:
        node = self._nodes.pop(uuid, None)
        self._stamps.pop(uuid, None)
        self._troubled.discard(uuid)
        if node is not None and node.parent:
            siblings = self._children[node.parent]
            siblings.discard(uuid)
            if not siblings:
                del self._children[node.parent]

    def nodes(self) -> tuple[Node, ...]:
        """Return all images, as they were when they were last looked at."""
        return tuple(self._nodes.values())

    def logs(self) -> frozenset[str]:
        """Return the UUIDs that have a record of changed blocks, as of the last refresh."""
        return frozenset(self._logs)

    def children(self, uuid: str) -> frozenset[str]:
        """Return the images that depend directly on one."""
        return frozenset(self._children.get(uuid, ()))

    def all_parents_known(self) -> bool:
        """Whether no damaged image could depend on one that seems unused."""
        return not self._troubled

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Yield the node, its parent and so on, looked at now; stops at a parent that is missing or seen before."""
        seen: set[str] = set()
        current: Node | None = node
        while current is not None and current.uuid not in seen:
            seen.add(current.uuid)
            yield current
            current = self.look(current.parent) if current.parent else None

    def trouble(self, node: Node) -> str:
        """Return why a disk cannot be used, looking at all that it depends on; empty if it can."""
        last = node
        for last in self.ancestors(node):
            if last.trouble:
                return last.trouble if last is node else f"its ancestor {last.uuid} is damaged: {last.trouble}"
        return f"its ancestor {last.parent} is missing, or its parents form a loop" if last.parent else ""

    def is_whole(self, node: Node) -> bool:
        """Whether a disk and all that it depends on were in order when they were last looked at."""
        seen: set[str] = set()
        current: Node | None = node
        while current is not None and not current.trouble and current.uuid not in seen:
            if not current.parent:
                return True
            seen.add(current.uuid)
            current = self._nodes.get(current.parent)
        return False

    def leaves_below(self, uuid: str) -> list[str]:
        """Return the images without children that depend on one, or the image itself."""
        found: list[str] = []
        pending, seen = [uuid], set()
        while pending:
            current = pending.pop()
            if current not in seen:
                seen.add(current)
                below = self.children(current)
                pending += below
                found += [] if below else [current]
        return found

    def unused(self) -> list[Node]:
        """Return the hidden images that nothing depends on: garbage. None at all if a damaged one might need them."""
        nodes = self.nodes()
        if not self.all_parents_known():
            return []
        return [node for node in nodes if node.hidden and node.uuid not in self._children]
