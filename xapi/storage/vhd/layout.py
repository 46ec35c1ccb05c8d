"""The structures of a VHD as they lie on disk: footer, dynamic header, parent locator and batmap header.

Everything is big-endian. The layout is that of Microsoft's Virtual Hard Disk Image Format Specification (October
2006), and of what the `tap` creator adds to it: the hidden byte behind the saved state, and the batmap.
"""

from __future__ import annotations

import enum
import struct
import time
import uuid
from dataclasses import dataclass, field, replace

from xapi.storage.vhd.errors import CorruptFooter, CorruptHeader, InvalidSize, UnsupportedVhd

SECTOR = 512
BLOCK_SIZE = 2 << 20
MAXIMUM_SIZE = 2040 << 30
"""The largest virtual disk, in bytes: 2040 GiB."""
MAXIMUM_BLOCKS = 4 << 20
"""More entries than any sensible block allocation table has; a header that claims more is refused."""
UNUSED = 0xFFFFFFFF
NOWHERE = 0xFFFFFFFFFFFFFFFF
FOOTER_COOKIE = b"conectix"
DISABLED_COOKIE = b"v_poison"
HEADER_COOKIE = b"cxsparse"
BATMAP_COOKIE = b"tdbatmap"
FORMAT_VERSION = 0x00010000
CREATOR_APPLICATION = b"tap\0"
CREATOR_VERSION = 0x00010003
BATMAP_VERSION = 0x00010002
FEATURE_RESERVED = 2
EPOCH = 946684800
"""2000-01-01T00:00:00Z as a Unix time: where a VHD's timestamps begin."""
NO_UUID = uuid.UUID(int=0)
NO_CODE = bytes(4)
LOCATOR_COUNT = 8

_FOOTER = struct.Struct(">8sIIQI4sI4sQQIII16sBB426s")
_FOOTER_CHECKSUM = 64
_HEADER = struct.Struct(">8sQQIIII16sII512s")
_HEADER_CHECKSUM = 36
_LOCATOR = struct.Struct(">4sIIIQ")
_BATMAP = struct.Struct(">8sQIIIB")
FOOTER_SIZE = _FOOTER.size
HEADER_SIZE = 1024


class DiskType(enum.IntEnum):
    """How a VHD keeps its data."""

    FIXED = 2
    DYNAMIC = 3
    DIFFERENCING = 4


def checksum(data: bytes | bytearray | memoryview) -> int:
    """Return the one's complement of the sum of the bytes, in 32 bits."""
    return ~sum(data) & 0xFFFFFFFF


def padded(length: int) -> int:
    """Return `length` rounded up to whole sectors, in bytes."""
    return -(-length // SECTOR) * SECTOR


def padded_at_least_one(length: int) -> int:
    """Return `length` rounded up to whole sectors, and one sector for nothing, in bytes."""
    return padded(length) or SECTOR


def rounded_size(size: int) -> int:
    """Return `size` rounded up to whole 2 MiB blocks: the sizes that XenServer's tools can make."""
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE


def check_size(path: str, size: int) -> None:
    """Raise InvalidSize unless `size` bytes can be the size of a virtual disk."""
    if size <= 0 or size % SECTOR:
        raise InvalidSize(path, f"a virtual size of {size} bytes is not a positive multiple of {SECTOR}")
    if size > MAXIMUM_SIZE:
        raise InvalidSize(path, f"a virtual size of {size} bytes is above the limit of {MAXIMUM_SIZE} (2040 GiB)")


def timestamp(unix_time: float | None = None) -> int:
    """Return a VHD timestamp (seconds since 2000) for a Unix time, now by default."""
    return max(0, int((time.time() if unix_time is None else unix_time) - EPOCH)) & 0xFFFFFFFF


def geometry(size: int) -> int:
    """Return cylinders, heads and sectors for a disk of `size` bytes, packed as in a footer.

    The rule is the appendix "CHS Calculation" of the specification; the product may be less than the size.
    """
    sectors = min(max(-(-size // SECTOR), 1), 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        per_track, heads = 255, 16
    else:
        per_track = 17
        heads = max(-(-(sectors // per_track) // 1024), 4)
        if sectors // per_track >= heads * 1024 or heads > 16:
            per_track, heads = 31, 16
        if sectors // per_track >= heads * 1024:
            per_track, heads = 63, 16
    return (sectors // per_track // heads) << 16 | heads << 8 | per_track


@dataclass(frozen=True, slots=True)
class Footer:
    """The 512 bytes that end every VHD, and begin every dynamic one."""

    current_size: int
    disk_type: DiskType
    unique_id: uuid.UUID
    original_size: int
    timestamp: int
    geometry: int
    data_offset: int = NOWHERE
    hidden: int = 0
    saved_state: int = 0
    features: int = FEATURE_RESERVED
    version: int = FORMAT_VERSION
    creator_application: bytes = CREATOR_APPLICATION
    creator_version: int = CREATOR_VERSION
    creator_host: bytes = NO_CODE
    cookie: bytes = FOOTER_COOKIE
    reserved: bytes = bytes(426)

    @classmethod
    def new(cls, size: int, disk_type: DiskType, unique_id: uuid.UUID | None = None, hidden: bool = False) -> Footer:
        """Return the footer of a disk made now."""
        return cls(
            current_size=size,
            disk_type=disk_type,
            unique_id=unique_id or uuid.uuid4(),
            original_size=size,
            timestamp=timestamp(),
            geometry=geometry(size),
            data_offset=NOWHERE if disk_type is DiskType.FIXED else FOOTER_SIZE,
            hidden=int(hidden),
        )

    @classmethod
    def parse(cls, data: bytes, path: str) -> Footer:
        """Return the footer in 512 bytes (or in 511: an old creator's); CorruptFooter says why it is none."""
        data = data.ljust(FOOTER_SIZE, b"\0")
        values = _FOOTER.unpack(data[:FOOTER_SIZE])
        cookie, features, version, data_offset, made, application, creator, host = values[:8]
        original_size, current_size, shape, kind, total, unique_id, saved_state, hidden, reserved = values[8:]
        if cookie not in (FOOTER_COOKIE, DISABLED_COOKIE):
            raise CorruptFooter(path, f"no VHD footer: its cookie is {cookie!r}")
        expected = checksum(data) + sum(data[_FOOTER_CHECKSUM : _FOOTER_CHECKSUM + 4]) & 0xFFFFFFFF
        # The first tools set the hidden byte without doing the sum again.
        old = application[:3] == b"tap" and creator in (0x00000001, 0x00010001)
        if total != expected and not (old and hidden and total == (expected + hidden) & 0xFFFFFFFF):
            raise CorruptFooter(path, f"footer checksum is {total:#010x}, its bytes make {expected:#010x}")
        if version >> 16 != 1:
            raise UnsupportedVhd(path, f"format version {version:#010x}")
        if kind not in (DiskType.FIXED, DiskType.DYNAMIC, DiskType.DIFFERENCING):
            raise UnsupportedVhd(path, f"disk type {kind}")
        if current_size > MAXIMUM_SIZE:
            raise UnsupportedVhd(path, f"a virtual size of {current_size} bytes is above 2040 GiB")
        return cls(
            current_size=current_size,
            disk_type=DiskType(kind),
            unique_id=uuid.UUID(bytes=unique_id),
            original_size=original_size,
            timestamp=made,
            geometry=shape,
            data_offset=data_offset,
            hidden=hidden,
            saved_state=saved_state,
            features=features,
            version=version,
            creator_application=application,
            creator_version=creator,
            creator_host=host,
            cookie=cookie,
            reserved=reserved,
        )

    def pack(self) -> bytes:
        """Return the 512 bytes, with their checksum."""
        data = bytearray(
            _FOOTER.pack(
                self.cookie,
                self.features,
                self.version,
                self.data_offset,
                self.timestamp,
                self.creator_application,
                self.creator_version,
                self.creator_host,
                self.original_size,
                self.current_size,
                self.geometry,
                self.disk_type,
                0,
                self.unique_id.bytes,
                self.saved_state,
                self.hidden,
                self.reserved,
            )
        )
        struct.pack_into(">I", data, _FOOTER_CHECKSUM, checksum(data))
        return bytes(data)

    @property
    def disabled(self) -> bool:
        """True while a journalled change is under way."""
        return self.cookie == DISABLED_COOKIE

    @property
    def by_tap(self) -> bool:
        """True when blktap, XenServer's tools or this package made the file."""
        return self.creator_application[:3] == b"tap"

    def resized(self, size: int) -> Footer:
        """Return the footer of the same disk at another size, in bytes."""
        return replace(self, current_size=size, geometry=geometry(size))


@dataclass(frozen=True, slots=True)
class ParentLocator:
    """Where in the file one spelling of the parent's path is kept; lengths and offset in bytes."""

    code: bytes = NO_CODE
    space: int = 0
    length: int = 0
    offset: int = 0
    reserved: int = 0

    @property
    def space_bytes(self) -> int:
        """The room for the path: the field is sectors by the specification, and bytes by most writers."""
        if self.space < SECTOR:
            return self.space * SECTOR
        return self.space if self.space % SECTOR == 0 else 0


@dataclass(frozen=True, slots=True)
class Header:
    """The 1024 bytes that describe a dynamic or differencing disk; offsets in bytes."""

    table_offset: int
    table_entries: int
    block_size: int = BLOCK_SIZE
    parent_id: uuid.UUID = NO_UUID
    parent_timestamp: int = 0
    parent_name: bytes = bytes(512)
    locators: tuple[ParentLocator, ...] = (ParentLocator(),) * LOCATOR_COUNT
    version: int = FORMAT_VERSION
    data_offset: int = NOWHERE
    reserved: int = 0
    tail: bytes = field(default=bytes(256), repr=False)

    @classmethod
    def parse(cls, data: bytes, path: str) -> Header:
        """Return the header in 1024 bytes; CorruptHeader says why it is none."""
        if len(data) < HEADER_SIZE:
            raise CorruptHeader(path, "the file ends inside the dynamic disk header")
        values = _HEADER.unpack_from(data)
        cookie, data_offset, table_offset, version, entries, block_size, total = values[:7]
        parent_id, parent_timestamp, reserved, parent_name = values[7:]
        if cookie != HEADER_COOKIE:
            raise CorruptHeader(path, f"no dynamic disk header: its cookie is {cookie!r}")
        expected = checksum(data[:HEADER_SIZE]) + sum(data[_HEADER_CHECKSUM : _HEADER_CHECKSUM + 4]) & 0xFFFFFFFF
        if total != expected:
            raise CorruptHeader(path, f"header checksum is {total:#010x}, its bytes make {expected:#010x}")
        if version >> 16 != 1:
            raise UnsupportedVhd(path, f"header version {version:#010x}")
        if block_size < 8 * SECTOR or block_size & (block_size - 1) or block_size > 1 << 30:
            raise CorruptHeader(path, f"block size {block_size} is not a power of two from 4 KiB to 1 GiB")
        locators = tuple(
            ParentLocator(code, space, length, offset, rest)
            for code, space, length, rest, offset in _LOCATOR.iter_unpack(data[576:768])
        )
        return cls(
            table_offset=table_offset,
            table_entries=entries,
            block_size=block_size,
            parent_id=uuid.UUID(bytes=parent_id),
            parent_timestamp=parent_timestamp,
            parent_name=parent_name,
            locators=locators,
            version=version,
            data_offset=data_offset,
            reserved=reserved,
            tail=bytes(data[768:HEADER_SIZE]),
        )

    def pack(self) -> bytes:
        """Return the 1024 bytes, with their checksum."""
        data = bytearray(
            _HEADER.pack(
                HEADER_COOKIE,
                self.data_offset,
                self.table_offset,
                self.version,
                self.table_entries,
                self.block_size,
                0,
                self.parent_id.bytes,
                self.parent_timestamp,
                self.reserved,
                self.parent_name,
            )
        )
        for locator in self.locators:
            data += _LOCATOR.pack(locator.code, locator.space, locator.length, locator.reserved, locator.offset)
        data += self.tail
        struct.pack_into(">I", data, _HEADER_CHECKSUM, checksum(data))
        return bytes(data)

    @property
    def table_bytes(self) -> int:
        """The room that the block allocation table takes, whole sectors."""
        return padded_at_least_one(self.table_entries * 4)

    @property
    def batmap_header_offset(self) -> int:
        """Where a batmap's header is, if the file has a batmap: right behind the table."""
        return self.table_offset + self.table_bytes


@dataclass(frozen=True, slots=True)
class BatmapHeader:
    """The sector that describes a batmap: where it is, in bytes, and how long, in sectors."""

    offset: int
    sectors: int
    total: int
    version: int = BATMAP_VERSION
    marker: int = 0
    rest: bytes = field(default=bytes(SECTOR - _BATMAP.size), repr=False)

    @classmethod
    def parse(cls, data: bytes) -> BatmapHeader | None:
        """Return the batmap header in a sector, or None where there is none."""
        if len(data) < SECTOR:
            return None
        cookie, offset, sectors, version, total, marker = _BATMAP.unpack_from(data)
        if cookie != BATMAP_COOKIE or version > BATMAP_VERSION:
            return None
        return cls(offset, sectors, total, version, marker, bytes(data[_BATMAP.size : SECTOR]))

    def pack(self) -> bytes:
        """Return the 512 bytes."""
        fixed = _BATMAP.pack(BATMAP_COOKIE, self.offset, self.sectors, self.version, self.total, self.marker)
        return fixed + self.rest
