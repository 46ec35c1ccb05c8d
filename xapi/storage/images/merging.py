"""Changing names and parents of images, and finishing or taking back what was cut short.

* An `adopt` is finished, always: all that the image holds is in the parent too.
* A `replace` is done if the parent's own name is gone; else it is taken back, for the image still holds everything.

Copying data needs no journal: only what a child hides is written, and that can be done again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from xapi.storage.images.interface import ADOPT, KINDS, Images, Merge
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import set_parent
from xapi.storage.vhd.parents import CODES, encode_locator, relative_path

LOG = logging.getLogger("xapi.storage.coalesce")


def can_adopt(images: Images, child: str, parent: str) -> bool:
    """Whether a child has room for naming another parent; moving its data out of the way would disturb its users."""
    described = images.describe(parent)
    with images.opened(child) as file:
        vhd = Vhd.open(file)
        relative = relative_path(vhd.path, described.path)
        named = [locator for locator in vhd.header.locators if locator.code in CODES]
        return bool(named) and all(len(encode_locator(one.code, relative)) <= one.space_bytes for one in named)


def adopt(images: Images, child: str, parent: str) -> None:
    """Make one image the child of another, which reads the same as the parent that it had."""
    described = images.describe(parent)
    with images.opened(child, writable=True) as file:
        set_parent(Vhd.open(file, writable=True), described)
    images.tree.reread(child)


def recover_merges(
    images: Images,
    kinds: Collection[str] = KINDS,
    tolerated: tuple[type[Exception], ...] = (VhdError, FileNotFoundError),
) -> None:
    """Finish or take back every merge of some kinds that was cut short. One that a damaged image hinders, or another of
    the `tolerated` errors, keeps its journal.
    """
    for merge in images.merges():
        if merge.kind not in kinds:
            continue
        try:
            if merge.kind == ADOPT:
                finish_adopting(images, merge)
            else:
                take_back(images, merge)
        except tolerated as error:
            LOG.error("SR %s: %s cannot be finished yet: %s", images.sr_uuid, merge, error)


def finish_adopting(images: Images, merge: Merge) -> None:
    """Let the parent have those children that the image still has."""
    image = images.tree.look(merge.image)
    if image is not None and image.parent in ("", merge.parent):
        for child in sorted(images.tree.children(merge.image)):
            adopt(images, child, merge.parent)
    images.end(merge)


def take_back(images: Images, merge: Merge) -> None:
    """Hide the parent again that was to take an image's name, if it has not taken it."""
    images.take_names_back(merge)
    if images.tree.look(merge.parent) is not None and images.tree.look(merge.image) is not None:
        images.set_hidden(merge.parent, True)
        images.trim(merge.parent)
    images.tree.reread(merge.parent)
    images.tree.reread(merge.image)
    images.end(merge)
