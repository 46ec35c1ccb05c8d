"""Changes to what a VHD says of itself: another parent, its place on a device, no data, the marker."""

from __future__ import annotations

from array import array
from dataclasses import replace

from xapi.storage.vhd.block_table import BlockTable
from xapi.storage.vhd.errors import InvalidName, InvalidSize, UnsupportedVhd
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import FOOTER_SIZE, UNUSED, DiskType, Header, ParentLocator, padded
from xapi.storage.vhd.parents import CODES, LOCATOR_ROOM, MACX, Parent, encode_locator, encode_name, relative_path
from xapi.storage.vhd.resize import relayout


def set_parent(vhd: Vhd, parent: Parent, journal: RandomAccessFile | None = None, sync: bool = True) -> None:
    """Make `parent` the parent of a differencing disk; what both of them read as is the caller's business.

    At every moment one of the locators leads to the parent that the header names, old or new: the first locator
    stays until the header is changed. A path that is too long for the room that the locators have needs a journal,
    else InvalidName. One that is shorter than before is lengthened by slashes: all that changes in the header then lies
    in one sector of it, which is written whole or not at all.
    """
    vhd.check_writable()
    if not vhd.has_parent:
        raise UnsupportedVhd(vhd.path, "only a differencing disk has a parent")
    relative = relative_path(vhd.path, parent.path)
    header = replace(
        vhd.header,
        parent_id=parent.unique_id,
        parent_timestamp=parent.timestamp,
        parent_name=encode_name(parent.path, vhd.path),
    )
    texts = {
        index: _encode_as_long(locator, relative)
        for index, locator in enumerate(header.locators)
        if locator.code in CODES
    }
    fits = all(len(text) <= header.locators[index].space_bytes for index, text in texts.items())
    if texts and fits:
        first, *others = texts
        header = _write_locators(vhd, header, {index: texts[index] for index in others}, sync)
        header = _write_locators(vhd, header, {first: texts[first]}, sync)
        vhd.replace_metadata(vhd.footer, header)
        return
    if journal is None:
        raise InvalidName(vhd.path, f"the path of parent {parent.path} is too long for its locators without a journal")
    named = [(code, encode_locator(code, relative)) for code in CODES]
    roomy = [(code, text, max(padded(len(text)), LOCATOR_ROOM)) for code, text in named]
    relayout(vhd, journal, header=header, locators=roomy, sync=sync)


def _encode_as_long(locator: ParentLocator, relative: str) -> bytes:
    text = encode_locator(locator.code, relative)
    missing = (locator.length - len(text)) // (1 if locator.code == MACX else 2)
    return encode_locator(locator.code, relative.replace("/", "/" * (1 + max(missing, 0)), 1))


def _write_locators(vhd: Vhd, header: Header, texts: dict[int, bytes], sync: bool) -> Header:
    locators = list(header.locators)
    for index, text in texts.items():
        vhd.file.pwrite(text.ljust(locators[index].space_bytes, b"\0"), locators[index].offset)
        locators[index] = replace(locators[index], length=len(text))
    if sync:
        vhd.file.flush()
    header = replace(header, locators=tuple(locators))
    vhd.file.pwrite(header.pack(), vhd.footer.data_offset)
    if sync:
        vhd.file.flush()
    return header


def set_physical_size(vhd: Vhd, size: int, sync: bool = True) -> None:
    """Write the footer so that it ends at `size` bytes: where a device will end after it is resized.

    InvalidSize where the data does not fit. The device itself is the caller's to resize: first, to grow it; after,
    to shrink it.
    """
    vhd.check_writable()
    if size < vhd.physical_size:
        raise InvalidSize(vhd.path, f"{size} bytes do not hold the {vhd.physical_size} that the VHD uses")
    vhd.file.pwrite(vhd.footer.pack(), size - FOOTER_SIZE)
    if sync:
        vhd.file.flush()


def kill_data(vhd: Vhd, sync: bool = True) -> None:
    """Forget every block of a dynamic disk, so that it reads as its parent or as zeros; a file is cut short."""
    vhd.check_writable()
    if vhd.disk_type is DiskType.FIXED:
        raise UnsupportedVhd(vhd.path, "the data of a fixed disk cannot be dropped")
    if vhd.batmap is not None:
        vhd.batmap.bits[:] = bytes(len(vhd.batmap.bits))
        vhd.batmap.write(vhd.file)
        if sync:
            vhd.file.flush()
    empty = BlockTable(array("I", [UNUSED]) * vhd.blocks)
    vhd.file.pwrite(empty.pack(padded(vhd.blocks * 4)), vhd.header.table_offset)
    if sync:
        vhd.file.flush()
    vhd.forget()
    vhd.write_footer(vhd.footer, sync)


def set_marker(vhd: Vhd, marker: int, sync: bool = True) -> None:
    """Set the marker byte, which lives in the batmap's header; UnsupportedVhd for a file without a batmap."""
    vhd.check_writable()
    if vhd.batmap is None:
        raise UnsupportedVhd(vhd.path, "only a file with a batmap has a marker")
    vhd.batmap.header = replace(vhd.batmap.header, marker=marker)
    vhd.batmap.dirty = True
    vhd.flush(sync)
