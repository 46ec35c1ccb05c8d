"""Moving what a child has into its parent or a further ancestor.

Only sectors that the child hides are written, so the disk that is seen through the child stays the same at every
moment, and a coalesce that was cut short is simply done again. Other children of the same parent see its data
change: that there are none is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from xapi.storage.vhd.chain import Extent, RawDisk
from xapi.storage.vhd.errors import ParentTooSmall, UnsupportedVhd
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.read_ahead import read_for
from xapi.storage.zeros import is_zero

Progress: TypeAlias = Callable[[int, int], None]
"""Told (bytes done, bytes in all) now and then."""


def coalesce(child: Vhd, target: Vhd | RawDisk, progress: Progress | None = None, sync: bool = True) -> int:
    """Copy every sector that `child` has into `target`, which is open for writing; return the bytes copied.

    Blocks of zeros take no room there. ParentTooSmall, before anything is written, where the target ends before the
    child's last block.
    """
    if not child.has_parent:
        raise UnsupportedVhd(child.path, "only a differencing disk can be coalesced")
    if child.size > target.size:
        last = max(
            (start + length for start, length, place in child.runs(0, child.size) if place is not None), default=0
        )
        if last > target.size:
            raise ParentTooSmall(target.path, f"{target.size} bytes do not hold the {last} of {child.path}")
    copied = 0
    for offset, data in read_for(target.file, _own_extents(child)):
        if is_zero(data):
            target.write_zeros(offset, len(data))
        else:
            target.write(offset, data)
        copied += len(data)
        if progress is not None:
            progress(offset + len(data), child.size)
    target.flush(sync)
    return copied


def _own_extents(vhd: Vhd) -> Iterator[Extent]:
    for start, length, place in vhd.runs(0, vhd.size):
        if place is not None:
            yield Extent(start, length, vhd.file, place, 0)


def coalesce_to_ancestor(links: Sequence[Vhd | RawDisk], progress: Progress | None = None, sync: bool = True) -> int:
    """Copy what the first of `links` has into the last, and make the links between show it.

    `links` are a child, its parent, and so on to the ancestor, all but the child open for writing. The sectors are
    taken out of the bitmaps in between, so that the ancestor's are seen there too: blktap's rule. Returns the bytes
    copied.
    """
    child, ancestor = links[0], links[-1]
    if not isinstance(child, Vhd) or len(links) < 2:
        raise UnsupportedVhd(child.path, "only a differencing disk can be coalesced")
    between = [link for link in links[1:-1] if isinstance(link, Vhd)]
    if any(link.block_size != child.block_size for link in between):
        raise UnsupportedVhd(child.path, "the links of the chain have blocks of different sizes")
    copied = coalesce(child, ancestor, progress, sync)
    block = child.table.next_allocated(0)
    while block < child.blocks:
        for link in between:
            if block < link.blocks:
                link.clear_sectors(block, child.block_bitmap(block))
        block = child.table.next_allocated(block + 1)
    for link in between:
        link.flush(sync)
    return copied
