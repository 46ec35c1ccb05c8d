"""Disks as QCOW2 images: out as a stream from the front to the end, in from a file, as its parts may lie anywhere.

The format is that of QEMU's docs/interop/qcow2.rst. Out goes version 3 with clusters of 64 KiB, tables first, then the
clusters that hold anything but holes. In come versions 2 and 3, compressed or not. What leads to other files (backing
files, external data files) or needs a key is refused: an upload never makes this host read anything but itself.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import zstandard

from xapi.datamodel.errors import IMPORT_ERROR, VDI_TOO_SMALL
from xapi.http_handlers.transfer import BLOCK, Progress, send_range
from xapi.rpc.http import Exchange
from xapi.storage.interface import DiskReader, DiskWriter, Extent

MAGIC: Final = b"QFI\xfb"
CLUSTER_BITS: Final = 16
CLUSTER: Final = 1 << CLUSTER_BITS
SECTOR: Final = 512
ENTRIES: Final = CLUSTER // 8  # of a table of one cluster
COUNTS: Final = CLUSTER // 2  # of a block of reference counts, 16 bits each
COPIED: Final = 1 << 63
COMPRESSED: Final = 1 << 62
ZERO: Final = 1
OFFSET: Final = 0x00FF_FFFF_FFFF_FE00
HEAD: Final = struct.Struct(">4sIQIIQIIQQIIQ")
FEATURES: Final = struct.Struct(">QQQII")
HEAD_LENGTH: Final = HEAD.size + FEATURES.size
DIRTY: Final = 1
COMPRESSION_TYPE: Final = 8
KNOWN_FEATURES: Final = DIRTY | COMPRESSION_TYPE
ZSTD: Final = 1
LONGEST_TABLE: Final = 32 << 20
LARGEST_WINDOW: Final = 8 << 20  # of zstd, for one cluster
SMALLEST_CLUSTER, LARGEST_CLUSTER = 9, 21  # bits


# Out


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in an image: `runs` are the numbers of the first clusters with data, and how many follow.

    The parts come in this order: header, table and blocks of reference counts, first table, second tables, data.
    """

    size: int
    runs: tuple[tuple[int, int], ...]
    clusters: int
    second_tables: tuple[int, ...]
    count_blocks: int

    @property
    def first_entries(self) -> int:
        """The entries of the first table."""
        return -(-self.size // (CLUSTER * ENTRIES))

    @property
    def count_tables(self) -> int:
        """The clusters of the table that finds the blocks of reference counts."""
        return max(1, -(-self.count_blocks // ENTRIES))

    @property
    def first_table(self) -> int:
        """The cluster in which the first table begins."""
        return 1 + self.count_tables + self.count_blocks

    @property
    def tables(self) -> int:
        """The cluster in which the second tables begin."""
        return self.first_table + max(1, -(-self.first_entries // ENTRIES))

    @property
    def data(self) -> int:
        """The cluster in which the data begins."""
        return self.tables + len(self.second_tables)

    @property
    def length(self) -> int:
        """The size of the image in bytes."""
        return (self.data + self.clusters) * CLUSTER


def lay_out(size: int, extents: Iterable[Extent]) -> Layout:
    """Place what a disk of `size` bytes holds besides holes."""
    runs: list[tuple[int, int]] = []
    for extent in extents:
        if extent.zero or not extent.length:
            continue
        first, stop = extent.offset // CLUSTER, -(-(extent.offset + extent.length) // CLUSTER)
        if runs and first <= sum(runs[-1]):
            first = runs.pop()[0]
        runs.append((first, stop - first))
    second = dict.fromkeys(
        table for first, count in runs for table in range(first // ENTRIES, (first + count - 1) // ENTRIES + 1)
    )
    clusters = sum(count for _, count in runs)
    blocks = 1
    while True:
        layout = Layout(size, tuple(runs), clusters, tuple(second), blocks)
        needed = -(-layout.length // CLUSTER // COUNTS)
        if needed <= blocks:
            return layout
        blocks = needed


def metadata(layout: Layout) -> Iterator[bytes]:
    """Yield all that comes before the data, cluster by cluster."""
    head = HEAD.pack(
        MAGIC,
        3,
        0,
        0,
        CLUSTER_BITS,
        layout.size,
        0,
        layout.first_entries,
        layout.first_table * CLUSTER,
        CLUSTER,
        layout.count_tables,
        0,
        0,
    )
    yield (head + FEATURES.pack(0, 0, 0, 4, HEAD_LENGTH)).ljust(CLUSTER, b"\0")
    blocks = range(1 + layout.count_tables, layout.first_table)
    yield from _tables([number * CLUSTER for number in blocks], layout.count_tables)
    total = layout.length // CLUSTER
    for number in range(layout.count_blocks):
        counted = min(max(total - number * COUNTS, 0), COUNTS)
        yield (b"\0\1" * counted).ljust(CLUSTER, b"\0")
    first = [0] * layout.first_entries
    for place, table in enumerate(layout.second_tables):
        first[table] = (layout.tables + place) * CLUSTER | COPIED
    yield from _tables(first, layout.tables - layout.first_table)
    yield from _second_tables(layout)


def _tables(entries: list[int], clusters: int) -> Iterator[bytes]:
    for number in range(clusters):
        part = entries[number * ENTRIES : (number + 1) * ENTRIES]
        yield struct.pack(f">{len(part)}Q", *part).ljust(CLUSTER, b"\0")


def _second_tables(layout: Layout) -> Iterator[bytes]:
    place = layout.data
    runs = iter(layout.runs)
    first, count = next(runs, (0, 0))
    for table in layout.second_tables:
        entries = [0] * ENTRIES
        while count and first // ENTRIES == table:
            taken = min(count, (table + 1) * ENTRIES - first)
            for number in range(taken):
                entries[first % ENTRIES + number] = (place + number) * CLUSTER | COPIED
            place, first, count = place + taken, first + taken, count - taken
            if not count:
                first, count = next(runs, (0, 0))
        yield struct.pack(f">{ENTRIES}Q", *entries)


def send_qcow2(exchange: Exchange, reader: DiskReader, layout: Layout, progress: Progress) -> bytes:
    """Send an image but for its last cluster, which is returned."""
    kept = b""
    for piece in metadata(layout):
        if kept:
            exchange.write(kept)
            progress.add(0)
        kept = piece
    if not layout.runs:
        return kept
    exchange.write(kept)
    last = sum(layout.runs[-1]) - 1
    for first, count in layout.runs:
        stop = min(first + count, last)
        if stop > first:
            send_range(exchange, reader, first * CLUSTER, (stop - first) * CLUSTER, progress)
    length = min(CLUSTER, layout.size - last * CLUSTER)
    return reader.pread(last * CLUSTER, length).ljust(CLUSTER, b"\0")


# In


@dataclass(frozen=True, slots=True)
class Image:
    """What the head of an image says, checked."""

    size: int
    cluster_bits: int
    first_entries: int
    first_table: int
    zstd: bool = False

    @property
    def cluster(self) -> int:
        """The bytes of a cluster."""
        return 1 << self.cluster_bits


def parse_head(data: bytes) -> Image:
    """Read the head of an image; IMPORT_ERROR for one that is broken, or that needs anything besides itself."""
    if len(data) < HEAD.size or data[:4] != MAGIC:
        raise IMPORT_ERROR("the upload is no QCOW2 image")
    _, version, backing, _, bits, size, crypt, entries, table, *_ = HEAD.unpack_from(data)
    if version not in (2, 3):
        raise IMPORT_ERROR(f"QCOW2 images of version {version} cannot be read")
    if backing:
        raise IMPORT_ERROR("the image depends on a backing file")
    if crypt:
        raise IMPORT_ERROR("the image is encrypted")
    zstd = False
    if version == 3:
        if len(data) < HEAD_LENGTH + 1:
            raise IMPORT_ERROR("the image ends within its head")
        features, _, _, _, length = FEATURES.unpack_from(data, HEAD.size)
        if features & ~KNOWN_FEATURES:
            raise IMPORT_ERROR(f"the image has features that cannot be read: {features & ~KNOWN_FEATURES:#x}")
        zstd = bool(features & COMPRESSION_TYPE) and length > HEAD_LENGTH and data[HEAD_LENGTH] == ZSTD
    if not SMALLEST_CLUSTER <= bits <= LARGEST_CLUSTER:
        raise IMPORT_ERROR(f"the image has clusters of 2^{bits} bytes")
    covered = 1 << (2 * bits - 3)  # bytes of the disk that an entry of the first table stands for
    wanted = -(-size // covered)
    if entries * 8 > LONGEST_TABLE or entries < wanted:
        raise IMPORT_ERROR(f"the first table of the image has {entries} entries")
    return Image(size, bits, wanted, table, zstd)


def receive_qcow2(descriptor: int, writer: DiskWriter, vdi: str, progress: Progress) -> None:
    """Write an image in an open file to a disk from its front on; what the image does not reach stays.

    VDI_TOO_SMALL for an image of a larger disk, IMPORT_ERROR for one that is broken.
    """
    image = parse_head(os.pread(descriptor, 4096, 0))
    if image.size > writer.size:
        raise VDI_TOO_SMALL(vdi, image.size)
    source = _File(descriptor)
    per_table = image.cluster // 8
    first = struct.unpack(f">{image.first_entries}Q", source.read(image.first_table, image.first_entries * 8))
    for number, entry in enumerate(first):
        start = number * per_table * image.cluster
        if not entry & OFFSET:
            length = min(per_table * image.cluster, image.size - start)
            _write_zeros(writer, start, length)
            progress.add(length)
            continue
        table = struct.unpack(f">{per_table}Q", source.read(entry & OFFSET, image.cluster))
        _receive_table(source, image, table, start, writer, progress)


def _receive_table(
    source: _File, image: Image, table: tuple[int, ...], start: int, writer: DiskWriter, progress: Progress
) -> None:
    """Write the clusters of one second table; those that follow one another in both go at once."""
    index, cluster = 0, image.cluster
    while index < len(table) and start + index * cluster < image.size:
        entry, offset = table[index], start + index * cluster
        count = 1
        if entry & COMPRESSED:
            _write(writer, offset, _unpacked(source, image, entry), image.size)
        elif _is_zero(entry):
            while index + count < len(table) and _is_zero(table[index + count]):
                count += 1
            _write_zeros(writer, offset, min(count * cluster, image.size - offset))
        else:
            place = entry & OFFSET
            while (
                index + count < len(table)
                and count * cluster < BLOCK
                and not table[index + count] & (COMPRESSED | ZERO)
                and table[index + count] & OFFSET == place + count * cluster
            ):
                count += 1
            _write(writer, offset, source.read(place, count * cluster, padding=cluster), image.size)
        progress.add(min(count * cluster, image.size - offset))
        index += count


def _is_zero(entry: int) -> bool:
    return not entry & COMPRESSED and (bool(entry & ZERO) or not entry & OFFSET)


def _write(writer: DiskWriter, offset: int, data: bytes, size: int) -> None:
    length = min(len(data), -(-(size - offset) // SECTOR) * SECTOR)
    writer.pwrite(offset, memoryview(data)[:length])


def _write_zeros(writer: DiskWriter, offset: int, length: int) -> None:
    writer.write_zeros(offset, -(-length // SECTOR) * SECTOR)


def _unpacked(source: _File, image: Image, entry: int) -> bytes:
    """The content of a compressed cluster."""
    bits = 62 - (image.cluster_bits - 8)
    place = entry & ((1 << bits) - 1)
    sectors = ((entry & ~(COPIED | COMPRESSED)) >> bits) + 1
    length = sectors * SECTOR - place % SECTOR
    packed = source.read(place, length, padding=length)
    try:
        if image.zstd:
            with zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(packed) as reader:
                data = reader.read(image.cluster)
        else:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, image.cluster)
    except (zlib.error, zstandard.ZstdError) as error:
        raise IMPORT_ERROR(f"a compressed cluster is damaged: {error}") from None
    if len(data) < image.cluster:
        raise IMPORT_ERROR("a compressed cluster is too short")
    return data


class _File:
    """The file of an image."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def read(self, place: int, length: int, *, padding: int = 1) -> bytes:
        """Return so many bytes; fewer than `padding` of them may lie behind the end of the file and are zeros."""
        data = os.pread(self._descriptor, length, place) if place < self._size else b""
        if length - len(data) >= padding:
            raise IMPORT_ERROR("the image refers to what lies behind its end")
        return data.ljust(length, b"\0")
