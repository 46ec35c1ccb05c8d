"""What there is to be collected in a tree of disks, step by step: pure.

The rules, which are those of XenServer's collector: a hidden image without children is removed. A hidden image with
children is merged into its parent if that is hidden too and has no other child; its children then become the parent's.
At last a visible disk without children is merged with a hidden parent that has no other child, and takes its place.

Images nearer to the root come first, so that each byte of a long chain is moved once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an SR. `usable` is False for one that must be left alone: damaged, or of a format without chains.

    A `tracked` disk keeps what it holds itself: that is the record of what has changed.
    """

    uuid: str
    parent: str = ""
    hidden: bool = False
    usable: bool = True
    tracked: bool = False


@dataclass(frozen=True, slots=True)
class Wishes:
    """What may be collected. `pinned` disks are not merged with their parents themselves.

    `elsewhere` are disks that are in use on other hosts: whatever they depend on is left alone.
    """

    collect: bool = True
    coalesce: bool = True
    leaf_coalesce: bool = True
    pinned: frozenset[str] = field(default_factory=frozenset)
    elsewhere: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a hidden image that nothing depends on."""

    image: str


@dataclass(frozen=True, slots=True)
class MergeInner:
    """Merge a hidden image into its parent, which gets its children."""

    image: str
    parent: str


@dataclass(frozen=True, slots=True)
class MergeLeaf:
    """Merge a visible disk with its hidden parent, which takes the disk's name."""

    image: str
    parent: str


Step = Remove | MergeInner | MergeLeaf


class Family:
    """Images with their children at hand."""

    def __init__(self, images: Iterable[Image]) -> None:
        self.images = {image.uuid: image for image in images}
        self.children: dict[str, list[str]] = {}
        for image in self.images.values():
            if image.parent:
                self.children.setdefault(image.parent, []).append(image.uuid)

    def ancestors(self, uuid: str) -> list[str]:
        """Return the UUIDs of the parent, its parent and so on, each once."""
        found: list[str] = []
        image = self.images.get(uuid)
        while image is not None and image.parent and image.parent not in found and image.parent != uuid:
            found.append(image.parent)
            image = self.images.get(image.parent)
        return found

    def sole_hidden_parent(self, image: Image) -> Image | None:
        """Return an image's parent if that is hidden, in order, and has no other child."""
        parent = self.images.get(image.parent)
        if parent is None or not parent.hidden or not parent.usable or not image.usable:
            return None
        return parent if self.children[parent.uuid] == [image.uuid] else None


def next_step(images: Iterable[Image], wishes: Wishes, skipped: frozenset[Step] = frozenset()) -> Step | None:
    """Return what is to be done first, None if there is nothing; `skipped` steps are passed over."""
    if not wishes.collect:
        return None
    family = Family(images)
    frozen = {ancestor for uuid in wishes.elsewhere for ancestor in family.ancestors(uuid)}
    for image in sorted(family.images.values(), key=lambda one: one.uuid):
        step = Remove(image.uuid)
        if image.hidden and image.usable and not family.children.get(image.uuid) and step not in skipped:
            return step
    if not wishes.coalesce:
        return None
    inner: list[tuple[int, str, Step]] = []
    leaves: list[tuple[int, str, Step]] = []
    for image in family.images.values():
        parent = family.sole_hidden_parent(image)
        if parent is None or parent.uuid in frozen:
            continue
        if image.hidden:
            inner.append((len(family.ancestors(image.uuid)), image.uuid, MergeInner(image.uuid, parent.uuid)))
        elif wishes.leaf_coalesce and not (
            image.tracked or image.uuid in wishes.pinned or family.children.get(image.uuid)
        ):
            leaves.append((0, image.uuid, MergeLeaf(image.uuid, parent.uuid)))
    for _, _, merge in sorted(inner, key=lambda one: one[:2]) + sorted(leaves, key=lambda one: one[:2]):
        if merge not in skipped:
            return merge
    return None


def after(images: Iterable[Image], step: Step) -> tuple[Image, ...]:
    """Return the images as they are when a step is done."""
    known = {image.uuid: image for image in images}
    gone = known.pop(step.image)
    if isinstance(step, MergeLeaf):
        parent = known.pop(step.parent)
        known[gone.uuid] = replace(gone, parent=parent.parent)
    elif isinstance(step, MergeInner):
        for image in list(known.values()):
            if image.parent == gone.uuid:
                known[image.uuid] = replace(image, parent=step.parent)
    return tuple(known.values())


def plan(images: Iterable[Image], wishes: Wishes) -> list[Step]:
    """Return all that is to be done, in order, if nothing else changes meanwhile."""
    now = tuple(images)
    steps: list[Step] = []
    while (step := next_step(now, wishes)) is not None:
        steps.append(step)
        now = after(now, step)
    return steps
