"""What is written down before names and parents change, so that whoever comes after a kill knows what belongs together.

* `adopt`: all that `image` holds is in `parent` too; its children are on their way to `parent`. Finished, always.
* `replace`: `parent` is about to take the name of `image`, and is visible for that reason. Done if its own name is
  gone; taken back if it is there, for `image` still holds everything.

Copying data needs no journal: only what a child hides is written, and that can be done again.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from xapi.storage.file.directory import UUID, Directory, is_uuid
from xapi.storage.file.fork import set_hidden
from xapi.storage.file.tree import Tree
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import set_parent
from xapi.storage.vhd.parents import CODES, describe_parent, encode_locator, relative_path
from xapi.system.atomic_file import write_atomically

LOG = logging.getLogger("xapi.storage.coalesce")
JOURNAL_NAME = re.compile(rf"\.coalesce-({UUID.pattern})\.json")
ADOPT = "adopt"
REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Merge:
    """One change of names or parents that is under way."""

    kind: str
    image: str
    parent: str

    @staticmethod
    def path(directory: Directory, image: str) -> str:
        """Return the path of the journal of a merge of an image."""
        return str(Path(directory.path) / f".coalesce-{image}.json")

    def begin(self, directory: Directory) -> None:
        """Write it down, durably."""
        write_atomically(Path(self.path(directory, self.image)), json.dumps(asdict(self)).encode())

    def end(self, directory: Directory) -> None:
        """Make what was done durable, and forget it."""
        directory.sync()
        directory.remove(self.path(directory, self.image))

    @classmethod
    def load(cls, directory: Directory, image: str) -> Merge | None:
        """Return the merge in an image's journal, None if that is damaged or gone."""
        try:
            untrusted = json.loads(directory.read_small(cls.path(directory, image)))
            merge = cls(**untrusted)
        except (ValueError, TypeError, RecursionError, FileNotFoundError):
            return None
        names = (merge.image, merge.parent)
        sound = all(isinstance(name, str) and is_uuid(name) for name in names) and merge.image != merge.parent
        return merge if sound and merge.image == image and merge.kind in (ADOPT, REPLACE) else None


def pending_merges(directory: Directory) -> list[str]:
    """Return the images whose merges are under way or were cut short."""
    return [match[1] for name in directory.names() if (match := JOURNAL_NAME.fullmatch(name))]


def can_adopt(directory: Directory, child: str, parent: str) -> bool:
    """Whether a child has room for naming another parent; moving its data out of the way would disturb its users."""
    with closing(directory.open(directory.image(child), False)) as file:
        vhd = Vhd.open(file)
        relative = relative_path(vhd.path, directory.image(parent))
        named = [locator for locator in vhd.header.locators if locator.code in CODES]
        return bool(named) and all(len(encode_locator(one.code, relative)) <= one.space_bytes for one in named)


def adopt(directory: Directory, tree: Tree, child: str, parent: str) -> None:
    """Make one image the child of another, which reads the same as the parent that it had."""
    with closing(directory.open(directory.image(child), True)) as file:
        set_parent(Vhd.open(file, writable=True), describe_parent(directory.image(parent), opener=directory.open))
    tree.reread(child)


def show(directory: Directory, uuid: str) -> None:
    """Make a hidden image visible."""
    with closing(directory.open(directory.image(uuid), True)) as file:
        Vhd.open(file, writable=True).set_hidden(False)


def recover_merges(directory: Directory, tree: Tree) -> None:
    """Finish or take back every merge that was cut short. One that a damaged image hinders keeps its journal."""
    for image in pending_merges(directory):
        merge = Merge.load(directory, image)
        try:
            if merge is None:
                directory.remove(Merge.path(directory, image))
            elif merge.kind == ADOPT:
                finish_adopting(directory, tree, merge)
            else:
                take_back(directory, tree, merge)
        except (VhdError, FileNotFoundError) as error:
            LOG.error("SR %s: %s cannot be finished yet: %s", directory.sr_uuid, merge, error)


def finish_adopting(directory: Directory, tree: Tree, merge: Merge) -> None:
    """Let the parent have those children that the image still has."""
    image = tree.look(merge.image)
    if image is not None and image.parent in ("", merge.parent):
        for child in sorted(tree.children(merge.image)):
            adopt(directory, tree, child, merge.parent)
    merge.end(directory)


def take_back(directory: Directory, tree: Tree, merge: Merge) -> None:
    """Hide the parent again that was to take an image's name, if it has not taken it."""
    if tree.look(merge.parent) is not None and tree.look(merge.image) is not None:
        set_hidden(directory, merge.parent)
    tree.reread(merge.parent)
    tree.reread(merge.image)
    merge.end(directory)
