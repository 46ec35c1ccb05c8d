"""What is written down, in names of volumes as XenServer's drivers choose them, while images on LVM are merged.

`relink_IMAGE_PARENT` stands for children that are on their way from an image to its parent, and `leaf_IMAGE_PARENT` for
a parent that takes the name of an image, which is called `OLD_…` for that moment.
"""

from __future__ import annotations

import re

from xapi.storage.file.directory import UUID
from xapi.storage.images.interface import ADOPT, REPLACE, Merge
from xapi.storage.lvm.volumes import PAGE, volume_name
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import UNUSED

WORDS = {ADOPT: "relink", REPLACE: "leaf"}
KINDS = {word: kind for kind, word in WORDS.items()}
JOURNAL_NAME = re.compile(rf"({'|'.join(KINDS)})_({UUID.pattern})_({UUID.pattern})")
OLD_PREFIX = "OLD_"


def journal_of(merge: Merge) -> str:
    """Return the name of a merge's journal."""
    return f"{WORDS[merge.kind]}_{merge.image}_{merge.parent}"


def parse_merge(name: str) -> Merge | None:
    """Return the merge that a journal's name tells of, None for another volume's name."""
    match = JOURNAL_NAME.fullmatch(name)
    return Merge(KINDS[match[1]], match[2], match[3]) if match and match[2] != match[3] else None


def old_name(merge: Merge) -> str:
    """Return what the volume of a merge's image is called when its parent has its name."""
    return OLD_PREFIX + volume_name(merge.image, "vhd")


def room_for_merge(child: Vhd, parent: Vhd) -> int:
    """Return the bytes that a volume must have for a VHD that takes in the blocks of its child."""
    entries = parent.table.entries
    more = sum(
        1
        for block, entry in enumerate(child.table.entries)
        if entry != UNUSED and (block >= len(entries) or entries[block] == UNUSED)
    )
    return parent.physical_size + PAGE + more * (child.block_size + PAGE)
