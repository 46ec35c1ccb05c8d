"""The subcommands that only look: query, read and check."""

from __future__ import annotations

import errno
import sys
import time
from argparse import Namespace
from collections.abc import Callable

from xapi.cli.vhd_util.changing import opened
from xapi.cli.vhd_util.failure import CommandFailed, fail, failing
from xapi.storage.vhd import bitmap
from xapi.storage.vhd.chain import Chain, open_parent
from xapi.storage.vhd.check import check as check_file
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import EPOCH, NO_CODE, SECTOR, UNUSED, DiskType, Footer, Header, checksum
from xapi.storage.vhd.parents import canonical_path, decode_name, read_locator
from xapi.storage.vhd.resize import largest_size

TYPE_NAMES = {
    DiskType.FIXED: "Fixed hard disk",
    DiskType.DYNAMIC: "Dynamic hard disk",
    DiskType.DIFFERENCING: "Differencing hard disk",
}
HOSTS = {b"Wi2k": "Windows", b"Mac ": "Macintosh"}
Number = Callable[[int], str]


def query(options: Namespace) -> None:
    """Print what was asked for, one line each, in the order that scripts expect."""
    failed: CommandFailed | None = None
    with opened(options.name, allow_disabled=True) as vhd:
        if options.virtual_size:
            print(vhd.size >> 20)
        if options.physical_size:
            with failing("failed to get physical size"):
                print(vhd.physical_size)
        if options.parent:
            failed = _print_parent(options.name, vhd)
        if options.fields:
            print(f"hidden: {vhd.hidden}")
        if options.marker:
            with failing("error checking 'marker' field"):
                print(f"marker: {vhd.batmap.header.marker if vhd.batmap is not None else 0}")
        if options.depth:
            with failing("error checking chain depth"):
                links = Chain(vhd).open_all()
                print(f"chain depth: {len(links)}")
                for link in links[1:]:
                    link.close()
        if options.largest:
            print(largest_size(vhd) >> 20)
    if failed is not None:
        raise failed


def _print_parent(name: str, vhd: Vhd) -> CommandFailed | None:
    if not vhd.has_parent:
        print(f"{name} has no parent")
        return None
    try:
        parent = open_parent(vhd)
    except (VhdError, OSError) as error:
        print("query failed")
        print(error, file=sys.stderr)
        return CommandFailed(error.number if isinstance(error, VhdError) else error.errno or errno.EIO)
    print(canonical_path(parent.path))
    parent.close()
    return None


def check(options: Namespace) -> None:
    """Say whether a VHD, and with -p each of its parents, is valid; where not, what is wrong with it."""
    number = _check_one(options, options.name)
    if number:
        raise CommandFailed(number)
    if not options.parents:
        return
    with failing("error checking parents"), Chain.open(options.name) as chain:
        for link in chain.open_all()[1:]:
            if isinstance(link, Vhd):
                number = number or _check_one(options, link.path)
    if number:
        raise CommandFailed(number)


def _check_one(options: Namespace, name: str) -> int:
    with failing(f"error opening {name}"):
        file = RealFile.open(name)
    try:
        problems = check_file(file, options.ignore_footer)
        if options.ignore_timestamps:
            problems = [problem for problem in problems if "in future" not in problem]
        if not problems and not options.ignore_uuids:
            problems = _parent_problems(file)
        for problem in problems:
            print(problem)
        if not problems:
            print(f"{name} is valid")
            if options.statistics:
                _statistics(file)
    finally:
        file.close()
    return errno.EINVAL if problems else 0


def _parent_problems(file: RealFile) -> list[str]:
    vhd = Vhd.open(file, allow_disabled=True)
    if vhd.has_parent:
        try:
            open_parent(vhd).close()
        except VhdError as error:
            return [f"invalid parent: {error.reason}"]
    return []


def _statistics(file: RealFile) -> None:
    vhd = Vhd.open(file, allow_disabled=True)
    if vhd.disk_type is DiskType.FIXED:
        return
    sectors = sum(length for _, length, place in vhd.runs(0, vhd.size) if place is not None) // SECTOR
    print(f"blocks: {vhd.blocks}, allocated: {vhd.table.count()}, sectors with data: {sectors}")


def read(options: Namespace) -> None:
    """Print headers, or the table, bitmaps or data of some blocks."""
    number: Number = (lambda value: f"{value:#x}") if options.hexadecimal else str
    with opened(options.name, allow_disabled=True) as vhd:
        if options.headers:
            _print_headers(vhd, number)
        with failing(f"Failed to read {options.name}"):
            for wanted, show in (
                (options.translate, _print_places),
                (options.block, _print_entries),
                (options.bitmap, _write_bitmaps),
                (options.test_sector, _print_sectors),
                (options.test_block, _print_full_blocks),
                (options.data, _write_blocks),
                (options.read, _write_sectors),
            ):
                if wanted is not None:
                    show(vhd, wanted, options.count, number)
            if options.batmap and vhd.batmap is not None:
                sys.stdout.buffer.write(vhd.batmap.bits)
            if options.allocated and vhd.disk_type is not DiskType.FIXED:
                flags = bytes(vhd.table.allocated).translate(bytes.maketrans(b"\0\1", b"01"))
                flags = flags.ljust(-(-len(flags) // 8) * 8, b"0")
                sys.stdout.buffer.write(int(flags, 2).to_bytes(len(flags) // 8, "big"))
    sys.stdout.flush()


def _print_headers(vhd: Vhd, number: Number) -> None:
    _print_footer(vhd.footer, number)
    if vhd.disk_type is DiskType.FIXED:
        return
    _print_header(vhd.header, number)
    if vhd.has_parent:
        _print_locators(vhd, number)
    if vhd.batmap is not None:
        header = vhd.batmap.header
        total = checksum(vhd.batmap.bits) if vhd.batmap.valid else ~header.total & 0xFFFFFFFF
        print("VHD Batmap Summary:\n-------------------")
        print(f"Batmap offset       : {number(header.offset)}")
        print(f"Batmap size (secs)  : {number(header.sectors)}")
        print(f"Batmap version      : {header.version:#010x}")
        print(f"Checksum            : {_verdict(header.total, total)}\n")


def _verdict(found: int, expected: int) -> str:
    return f"{found:#x}|{expected:#x} ({'Good!' if found == expected else 'Bad!'})"


def _date(seconds: int) -> str:
    return time.ctime(EPOCH + seconds)


def _print_footer(footer: Footer, number: Number) -> None:
    cylinders, heads, sectors = footer.geometry >> 16, footer.geometry >> 8 & 0xFF, footer.geometry & 0xFF
    total = int.from_bytes(footer.pack()[64:68], "big")
    features = ("<TEMP>" if footer.features & 1 else "") + ("<RESV>" if footer.features & 2 else "")
    product = cylinders * heads * sectors
    print("VHD Footer Summary:\n-------------------")
    print(f"Cookie              : {footer.cookie.decode()}")
    print(f"Features            : ({footer.features:#010x}) {features}")
    print(f"File format version : Major: {footer.version >> 16}, Minor: {footer.version & 0xFFFF}")
    print(f"Data offset         : {number(footer.data_offset)}")
    print(f"Timestamp           : {_date(footer.timestamp)}")
    application = footer.creator_application.split(b"\0")[0].decode("ascii", "replace")
    print(f"Creator Application : '{application}'")
    print(f"Creator version     : Major: {footer.creator_version >> 16}, Minor: {footer.creator_version & 0xFFFF}")
    print(f"Creator OS          : {HOSTS.get(footer.creator_host, 'Unknown!')}")
    print(f"Original disk size  : {number(footer.original_size >> 20)} MB ({number(footer.original_size)} Bytes)")
    print(f"Current disk size   : {number(footer.current_size >> 20)} MB ({number(footer.current_size)} Bytes)")
    print(f"Geometry            : Cyl: {number(cylinders)}, Hds: {number(heads)}, Sctrs: {number(sectors)}")
    print(f"                    : = {number(product >> 11)} MB ({number(product << 9)} Bytes)")
    print(f"Disk type           : {TYPE_NAMES[footer.disk_type]}")
    print(f"Checksum            : {_verdict(total, total)}")
    print(f"UUID                : {footer.unique_id}")
    print(f"Saved state         : {'Yes' if footer.saved_state else 'No'}")
    print(f"Hidden              : {footer.hidden}\n")


def _print_header(header: Header, number: Number) -> None:
    total = int.from_bytes(header.pack()[36:40], "big")
    print("VHD Header Summary:\n-------------------")
    print("Cookie              : cxsparse")
    print(f"Data offset (unusd) : {number(header.data_offset)}")
    print(f"Table offset        : {number(header.table_offset)}")
    print(f"Header version      : {header.version:#010x}")
    print(f"Max BAT size        : {number(header.table_entries)}")
    print(f"Block size          : {number(header.block_size)} ({number(header.block_size >> 20)} MB)")
    print(f"Parent name         : {decode_name(header)}")
    print(f"Parent UUID         : {header.parent_id}")
    print(f"Parent timestamp    : {_date(header.parent_timestamp)}")
    print(f"Checksum            : {_verdict(total, total)}\n")


def _print_locators(vhd: Vhd, number: Number) -> None:
    print("VHD Parent Locators:\n--------------------")
    for index, locator in enumerate(vhd.header.locators):
        if locator.code == NO_CODE:
            continue
        print(f"locator:            : {index}")
        print(f"       code         : PLAT_CODE_{locator.code.decode('ascii', 'replace').strip().upper()}")
        print(f"       data_space   : {number(locator.space)}")
        print(f"       data_length  : {number(locator.length)}")
        print(f"       data_offset  : {number(locator.offset)}")
        path = read_locator(vhd, locator)
        print("failed to read parent name\n" if path is None else f"       decoded name : {path}\n")


def _check_blocks(vhd: Vhd, first: int, count: int, number: Number) -> None:
    if vhd.disk_type is DiskType.FIXED or not 0 <= first <= first + count <= vhd.blocks:
        raise fail(f"block {number(first + count)} past end of file", errno.ERANGE)


def _check_sectors(vhd: Vhd, first: int, count: int, number: Number) -> None:
    if vhd.disk_type is DiskType.FIXED or not 0 <= first <= first + count <= vhd.size // SECTOR:
        raise fail(f"sector {number(first + count)} past end of file", errno.ERANGE)


def _print_places(vhd: Vhd, first: int, count: int, number: Number) -> None:
    _check_sectors(vhd, first, count, number)
    per_block = vhd.block_size // SECTOR
    bitmap_sectors = vhd.block_sectors - per_block
    for sector in range(first, first + count):
        block, within = divmod(sector, per_block)
        entry = vhd.table[block]
        place = "not allocated" if entry == UNUSED else number((entry + bitmap_sectors + within) * SECTOR)
        print(f"logical sector {number(sector)}: block number: {number(block)}, ", end="")
        print(f"sector offset: {number(within)}, file offset: {place}")


def _print_entries(vhd: Vhd, first: int, count: int, number: Number) -> None:
    _check_blocks(vhd, first, count, number)
    for block in range(first, first + count):
        entry = vhd.table[block]
        print(f"block: {number(block)}: offset: {'not allocated' if entry == UNUSED else number(entry * SECTOR)}")


def _write_bitmaps(vhd: Vhd, first: int, count: int, number: Number) -> None:
    _check_blocks(vhd, first, count, number)
    bits = vhd.block_size // SECTOR
    for block in range(first, first + count):
        if vhd.table[block] == UNUSED:
            print(f"block {number(block)} not allocated")
            continue
        sys.stdout.flush()
        length = (vhd.block_sectors - bits) * SECTOR
        sys.stdout.buffer.write(bitmap.to_bytes(vhd.block_bitmap(block), bits, length))


def _print_sectors(vhd: Vhd, first: int, count: int, number: Number) -> None:
    _check_sectors(vhd, first, count, number)
    bits = vhd.block_size // SECTOR
    for sector in range(first, first + count):
        block, within = divmod(sector, bits)
        present = bool(vhd.block_bitmap(block) & bitmap.mask(bits, within, 1))
        print(f"block {number(block)}: sec: {number(within)}: {present:d}")


def _print_full_blocks(vhd: Vhd, first: int, count: int, number: Number) -> None:
    _check_blocks(vhd, first, count, number)
    for block in range(first, first + count):
        full = vhd.batmap is not None and vhd.batmap.test(block)
        print(f"batmap for block {number(block)}: {full:d}")


def _write_blocks(vhd: Vhd, first: int, count: int, number: Number) -> None:
    _check_blocks(vhd, first, count, number)
    for block in range(first, first + count):
        entry = vhd.table[block]
        if entry == UNUSED:
            print(f"block {number(block)} not allocated")
            continue
        sys.stdout.flush()
        place = (entry + vhd.block_sectors) * SECTOR - vhd.block_size
        sys.stdout.buffer.write(vhd.file.pread(vhd.block_size, place).ljust(vhd.block_size, b"\0"))


def _write_sectors(vhd: Vhd, first: int, count: int, number: Number) -> None:
    if not 0 <= first <= first + count <= vhd.size // SECTOR:
        raise fail(f"sector {number(first + count)} past end of file", errno.ERANGE)
    chain = Chain(vhd)
    for sector in range(first, first + count, 4096):
        length = min(4096, first + count - sector) * SECTOR
        sys.stdout.buffer.write(chain.read(sector * SECTOR, length))
    for link in chain.open_all()[1:]:
        link.close()
