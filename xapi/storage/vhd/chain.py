"""A disk as its reader sees it: a leaf and its parents, opened when a read first comes through to them."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

from xapi.storage.vhd.errors import (
    ChainLoop,
    ChainTooDeep,
    OutOfRange,
    ParentMismatch,
    ParentMissing,
    ReadOnly,
    Unaligned,
    VhdError,
)
from xapi.storage.vhd.file import Bytes, Opener, RandomAccessFile, RealFile, zero_range
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import SECTOR
from xapi.storage.vhd.parents import canonical_path, decode_name, parent_paths
from xapi.system.undo import on_failure

MAXIMUM_DEPTH = 256
CHUNK = 2 << 20
CHANGE_GRANULE = 64 << 10
"""The bytes that one bit of a changed-blocks bitmap stands for, as XenAPI's changed block tracking has it."""
HOLE = -1


class RawDisk:
    """A raw file or volume in the place of a parent (or of the whole disk): every byte is its own."""

    def __init__(self, file: RandomAccessFile, writable: bool = False) -> None:
        self.file = file
        self.size = file.size()
        self.writable = writable

    @property
    def path(self) -> str:
        """The name of the file."""
        return self.file.path

    def run_at(self, offset: int, end: int) -> tuple[int, int | None]:
        """Return the end and the place of a run, as `Vhd.run_at` does."""
        return end, offset

    def write(self, offset: int, data: Bytes) -> None:
        """Write whole sectors at `offset`."""
        self._check_write(offset, len(memoryview(data).cast("B")))
        self.file.pwrite(data, offset)

    def write_zeros(self, offset: int, length: int) -> None:
        """Make whole sectors read as zeros, by a hole where that can be."""
        self._check_write(offset, length)
        zero_range(self.file, offset, length)

    def _check_write(self, offset: int, length: int) -> None:
        if not self.writable:
            raise ReadOnly(self.path, "opened for reading only")
        if offset < 0 or offset + length > self.size:
            raise OutOfRange(self.path, f"{length} bytes at {offset} lie outside a disk of {self.size} bytes")
        if offset % SECTOR or length % SECTOR:
            raise Unaligned(self.path, f"a write of {length} bytes at {offset} is not of whole sectors")

    def flush(self, sync: bool = True) -> None:
        """Return when everything is on stable storage."""
        if sync:
            self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Extent(NamedTuple):
    """A piece of the virtual disk, in bytes, that lies in one piece in one file; no file for zeros."""

    offset: int
    length: int
    file: RandomAccessFile | None
    file_offset: int
    depth: int


class BlockState(enum.Enum):
    """What a range of the virtual disk holds."""

    DATA = "data"
    ZERO = "zero"


def open_parent(child: Vhd, opener: Opener = RealFile.open, writable: bool = False) -> Vhd | RawDisk:
    """Open the parent of a differencing disk.

    Of the paths that the child gives, the first is taken where the VHD has the right UUID; a raw parent is known
    only by its name. Where there is none, what was wrong with the first file that was there is raised (for a VHD with
    another UUID a ParentMismatch), or ParentMissing.
    """
    tried: list[str] = []
    wrong: VhdError | None = None
    name = decode_name(child.header)
    paths = list(parent_paths(child))
    if child.parent_is_raw:
        paths.sort(key=lambda path: path.rsplit("/", 1)[-1] != name)
    for path in paths:
        tried.append(path)
        try:
            file = opener(path, writable)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if child.parent_is_raw:
            return RawDisk(file, writable)
        try:
            with on_failure(file.close):
                parent = Vhd.open(file, writable)
        except VhdError as error:
            wrong = wrong or error
            continue
        if parent.footer.unique_id == child.header.parent_id:
            return parent
        expected, actual = str(child.header.parent_id), str(parent.footer.unique_id)
        wrong = wrong or ParentMismatch(child.path, path, expected, actual)
        file.close()
    raise wrong or ParentMissing(child.path, tuple(tried))


class Chain:
    """A leaf with its parents, read and written as one disk.

    Offsets and lengths are bytes of the virtual disk, whose size is the leaf's. Writes go to the leaf;
    `parents_writable` is for those who coalesce.
    Reads may come from several threads once `open_all` was called; writes come from one at a time.
    """

    def __init__(self, leaf: Vhd | RawDisk, opener: Opener = RealFile.open, parents_writable: bool = False) -> None:
        self._links: list[Vhd | RawDisk] = [leaf]
        self._opener = opener
        self._parents_writable = parents_writable
        self._complete = not (isinstance(leaf, Vhd) and leaf.has_parent)

    @classmethod
    def open(cls, path: str, writable: bool = False, opener: Opener = RealFile.open, raw: bool = False) -> Chain:
        """Open the leaf at `path`; its parents follow when they are needed."""
        file = opener(path, writable)
        with on_failure(file.close):
            return cls(RawDisk(file, writable) if raw else Vhd.open(file, writable), opener)

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def leaf(self) -> Vhd | RawDisk:
        """The link that is written to."""
        return self._links[0]

    @property
    def size(self) -> int:
        """The size of the virtual disk in bytes."""
        return self.leaf.size

    def link(self, depth: int) -> Vhd | RawDisk | None:
        """Return the link `depth` steps below the leaf, opening what is on the way; None below the last."""
        while depth >= len(self._links) and not self._complete:
            self._open_next()
        return self._links[depth] if depth < len(self._links) else None

    def _open_next(self) -> None:
        last = self._links[-1]
        assert isinstance(last, Vhd)
        if len(self._links) >= MAXIMUM_DEPTH:
            raise ChainTooDeep(self.leaf.path, f"more than {MAXIMUM_DEPTH} links")
        parent = open_parent(last, self._opener, self._parents_writable)
        try:
            self._check_loop(parent)
        except ChainLoop:
            parent.close()
            raise
        self._links.append(parent)
        self._complete = not (isinstance(parent, Vhd) and parent.has_parent)

    def _check_loop(self, parent: Vhd | RawDisk) -> None:
        place = canonical_path(parent.path)
        for link in self._links:
            same: uuid.UUID | None = link.footer.unique_id if isinstance(link, Vhd) else None
            own = parent.footer.unique_id if isinstance(parent, Vhd) else None
            if canonical_path(link.path) == place or (own is not None and own == same):
                raise ChainLoop(self.leaf.path, f"its parents lead back to {parent.path}")

    def open_all(self) -> list[Vhd | RawDisk]:
        """Open every link and return them, leaf first."""
        self.link(MAXIMUM_DEPTH)
        return list(self._links)

    def close(self) -> None:
        """Close every link that was opened, whatever one of them says to that."""
        with ExitStack() as stack:
            for link in self._links:
                stack.callback(link.close)

    # Reading

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise OutOfRange(self.leaf.path, f"{length} bytes at {offset} lie outside a disk of {self.size} bytes")

    def _run_at(self, depth: int, offset: int, end: int) -> tuple[int, int | None]:
        """Return the end of a link's run and its place: HOLE below the last link, None for what a parent has to say."""
        link = self._links[depth] if depth < len(self._links) else self.link(depth)
        if link is None or offset >= link.size:  # also beyond a parent that is smaller than its child
            return end, HOLE
        return link.run_at(offset, end if end < link.size else link.size)

    def _pieces(self, offset: int, length: int, floor: int = MAXIMUM_DEPTH + 1) -> Iterator[Extent]:
        """Yield the extents of a range as the links have them; nothing of what lies at `floor` and below.

        Each link is asked once for each of its runs, whatever the links above it have in pieces.
        """
        end = offset + length
        runs: list[tuple[int, int, int | None]] = []  # of each link the present one: begin, end, place
        while offset < end:
            stop, depth, place = end, 0, None
            while depth < floor:
                if depth == len(runs):
                    runs.append((offset, *self._run_at(depth, offset, end)))
                elif runs[depth][1] <= offset:
                    runs[depth] = (offset, *self._run_at(depth, offset, end))
                begin, until, place = runs[depth]
                if until < stop:
                    stop = until
                if place is not None:
                    break
                depth += 1
            if place == HOLE:
                yield Extent(offset, stop - offset, None, HOLE, depth)
            elif place is not None:
                yield Extent(offset, stop - offset, self._links[depth].file, place + offset - begin, depth)
            offset = stop

    def _stored(self, offset: int, length: int, floor: int = MAXIMUM_DEPTH + 1) -> Iterator[Extent]:
        """Yield the same, with what is a hole in its file as zeros."""
        for piece in self._pieces(offset, length, floor):
            if piece.file is None:
                yield piece
                continue
            shift = piece.offset - piece.file_offset
            for start, count, present in piece.file.data_runs(piece.file_offset, piece.length):
                yield Extent(
                    start + shift, count, piece.file if present else None, start if present else HOLE, piece.depth
                )

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Yield where the bytes of a range lie, in order and without gaps, each extent as long as it can be.

        What lies in no file reads as zeros, whether it was never written or its room was given up.
        """
        length = self.size - offset if length is None else length
        self._check_range(offset, length)
        last: Extent | None = None
        for piece in self._stored(offset, length):
            if last is None:
                last = piece
            elif piece.file is last.file and (
                piece.file is None or piece.file_offset == last.file_offset + last.length
            ):
                last = last._replace(length=last.length + piece.length)
            else:
                yield last
                last = piece
        if last is not None:
            yield last

    def block_status(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[int, int, BlockState]]:
        """Yield (offset, length, state) over a range, neighbours of the same state joined (NBD block status)."""
        start = total = 0
        state: BlockState | None = None
        for extent in self.extents(offset, length):
            found = BlockState.ZERO if extent.file is None else BlockState.DATA
            if found is not state:
                if state is not None:
                    yield start, total, state
                start, total, state = extent.offset, 0, found
            total += extent.length
        if state is not None:
            yield start, total, state

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the disk's bytes from `offset`."""
        length = len(buffer)
        if offset < 0 or offset + length > self.size:
            self._check_range(offset, length)
        for start, count, file, place, _ in self._pieces(offset, length):
            part = buffer if count == length else buffer[start - offset : start - offset + count]
            have = file.pread_into(part, place) if file is not None else 0
            if have < count:  # a hole, or a last block that the end of its file cuts short
                part[have:] = bytes(count - have)

    def read_cached(self, offset: int, buffer: memoryview) -> bool:
        """Fill `buffer` if no disk has to be waited for, and return whether it is filled."""
        for start, count, file, place, _ in self._pieces(offset, len(buffer)):
            part = buffer[start - offset : start - offset + count]
            if file is None:
                part[:] = bytes(count)
            elif not isinstance(file, RealFile) or not file.pread_cached(part, place):
                return False
        return True

    def prefetch(self, offset: int, length: int) -> None:
        """Let the system begin to read a range inside the disk."""
        for piece in self._pieces(offset, length):
            if isinstance(piece.file, RealFile):
                piece.file.prefetch(piece.file_offset, piece.length)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`."""
        self._check_range(offset, length)
        buffer = bytearray(length)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    # Writing

    def write(self, offset: int, data: Bytes) -> None:
        """Write whole sectors at `offset`, into the leaf."""
        self.leaf.write(offset, data)

    def write_zeros(self, offset: int, length: int, keep_room: bool = False) -> None:
        """Make a range of whole sectors read as zeros; where it does already, nothing is done.

        The leaf gives up the room of its data and stores no zeros, unless `keep_room` says that it should.
        """
        if offset % SECTOR or length % SECTOR:
            raise Unaligned(self.leaf.path, f"zeroing {length} bytes at {offset} is not of whole sectors")
        zeros = memoryview(bytes(min(length, CHUNK) if keep_room else 0))
        for start, count, state in list(self.block_status(offset, length)):
            if state is BlockState.ZERO:
                continue
            if not keep_room:
                self.leaf.write_zeros(start, count)
                continue
            for at in range(start, start + count, CHUNK):
                self.leaf.write(at, zeros[: min(CHUNK, start + count - at)])

    def flush(self, sync: bool = True) -> None:
        """Return when everything written so far is on stable storage."""
        self.leaf.flush(sync)

    # What changed

    def changed_runs(self, base_depth: int, offset: int = 0, length: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what links above `base_depth` hold, in order, neighbours joined.

        With the depth of an older snapshot's link, that is what may differ between it and the leaf.
        """
        length = self.size - offset if length is None else length
        start = stop = -1
        self._check_range(offset, length)
        for extent in self._pieces(offset, length, base_depth):
            if extent.file is None:
                continue
            if extent.offset != stop:
                if start >= 0:
                    yield start, stop - start
                start = extent.offset
            stop = extent.offset + extent.length
        if start >= 0:
            yield start, stop - start

    def changed_blocks(self, base_depth: int, granule: int = CHANGE_GRANULE) -> bytes:
        """Return one bit for each `granule` bytes, first bit highest, set where a link above `base_depth` has data."""
        count = -(-self.size // granule)
        flags = bytearray(b"0" * count)
        for offset, length in self.changed_runs(base_depth):
            first, last = offset // granule, (offset + length - 1) // granule
            flags[first : last + 1] = b"1" * (last + 1 - first)
        flags += b"0" * (-count % 8)
        return int(flags, 2).to_bytes(len(flags) // 8, "big") if flags else b""
