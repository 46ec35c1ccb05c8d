"""Finding the footer and the header of a VHD, and refusing what cannot be one.

Sizes and places that a header claims are held against the size of the file before anything is read by them.
"""

from __future__ import annotations

from typing import NamedTuple

from xapi.storage.vhd.errors import CorruptFooter, CorruptHeader, NotVhd, UnsupportedVhd, VhdError
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.layout import (
    FOOTER_SIZE,
    HEADER_SIZE,
    MAXIMUM_BLOCKS,
    SECTOR,
    DiskType,
    Footer,
    Header,
)


class FooterFound(NamedTuple):
    """The footers of a file as they were found: the one to believe, and both copies (None where one is not valid)."""

    footer: Footer
    end: Footer | None
    front: Footer | None


def read_footers(file: RandomAccessFile) -> FooterFound:
    """Find the footer: at the end (512 or, by an old creator, 511 bytes), else the copy at the front.

    Raises NotVhd where there is neither.
    """
    size = file.size()
    tail = file.pread(FOOTER_SIZE, max(size - FOOTER_SIZE, 0))
    end = _footer_or_reason(tail, file.path)
    if not isinstance(end, Footer) and len(tail) == FOOTER_SIZE:
        short = _footer_or_reason(tail[1:], file.path)
        end = short if isinstance(short, Footer) else end
    front = _footer_or_reason(file.pread(FOOTER_SIZE, 0), file.path)
    if not isinstance(front, Footer) or front.disk_type is DiskType.FIXED:
        if not isinstance(end, Footer):
            # Data that ends in something like a footer is a damaged VHD; anything else is another format.
            for reason in (end, front):
                if isinstance(reason, UnsupportedVhd):
                    raise reason
            if tail[:8] in (b"conectix", b"v_poison"):
                raise end
            raise NotVhd(file.path, "neither its end nor its front is a VHD footer")
        return FooterFound(end, end, None)
    if not isinstance(end, Footer):
        return FooterFound(front, None, front)
    if end.unique_id != front.unique_id and not (end.disk_type is DiskType.FIXED and _fills(end, size)):
        # A device that was grown or used again can end in a stranger's footer.
        return FooterFound(front, None, front)
    return FooterFound(end, end, front)


def _footer_or_reason(data: bytes, path: str) -> Footer | VhdError:
    try:
        return Footer.parse(data, path)
    except (CorruptFooter, UnsupportedVhd) as reason:
        return reason


def _fills(footer: Footer, size: int) -> bool:
    return footer.current_size + FOOTER_SIZE <= size < footer.current_size + 2 * FOOTER_SIZE


def read_header(file: RandomAccessFile, footer: Footer) -> Header | None:
    """Return the dynamic header that a footer points at, None for a fixed disk; CorruptHeader if it is wrong."""
    if footer.disk_type is DiskType.FIXED:
        return None
    path = file.path
    if footer.data_offset % SECTOR or footer.data_offset + HEADER_SIZE > file.size():
        raise CorruptHeader(path, f"the footer puts the header at {footer.data_offset}, outside the file")
    header = Header.parse(file.pread(HEADER_SIZE, footer.data_offset), path)
    blocks = -(-footer.current_size // header.block_size)
    if header.table_entries > MAXIMUM_BLOCKS:
        raise CorruptHeader(path, f"a block table of {header.table_entries} entries is absurd")
    if blocks > header.table_entries:
        raise CorruptHeader(path, f"the disk has {blocks} blocks and the table {header.table_entries} entries")
    if header.table_offset % SECTOR or header.table_offset < SECTOR:
        raise CorruptHeader(path, f"the block table is at {header.table_offset}, which is no sector behind the footer")
    table_end = header.table_offset + header.table_bytes
    if header.table_offset < footer.data_offset + HEADER_SIZE and footer.data_offset < table_end:
        raise CorruptHeader(path, "the block table overlaps the header")
    if header.table_offset + header.table_entries * 4 > file.size():
        raise CorruptHeader(path, "the block table reaches beyond the end of the file")
    if footer.by_tap and footer.creator_version == 0x00000001:
        raise UnsupportedVhd(path, "bitmaps of creator version 0.1 are in another order")
    return header
