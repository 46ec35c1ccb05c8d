"""Random access to the bytes of an image: what the format code asks of a file, a real one and one in memory."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from xapi.storage.punch import punch

Bytes: TypeAlias = bytes | bytearray | memoryview

ZEROS_AT_ONCE = 2 << 20
WRITTEN_AT_ONCE = 256 << 10
"""For more, Linux looks for one large page, which costs many times the copy where its memory is in pieces."""
VECTOR_LIMIT = 1024
"""How many buffers one pwritev takes (IOV_MAX on Linux)."""
CANNOT_TELL = (errno.EINVAL, errno.EOPNOTSUPP, errno.EIO)
"""What a file system says that knows of no holes; EIO comes from SMB. A disk that is broken says so when it is read."""


class RandomAccessFile(Protocol):
    """A file or block device that is read and written at byte offsets.

    Every failure is an OSError. A read past the end is short; a write past the end extends the file with a hole,
    except where `fixed_size` says that the file cannot grow.
    """

    @property
    def path(self) -> str:
        """The name that errors carry, and from which a relative parent is found."""

    @property
    def fixed_size(self) -> bool:
        """True for a block device: it neither grows nor shrinks, and its footer is at its end."""

    def size(self) -> int:
        """Return the length in bytes now."""

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end of the file."""

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset` and return how many bytes there were; fewer only at the end of the file."""

    def pwrite(self, data: Bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""

    def pwritev(self, buffers: Sequence[Bytes], offset: int) -> None:
        """Write all the buffers one after the other from `offset`, in one call where that can be had."""

    def truncate(self, length: int) -> None:
        """Make the file exactly `length` bytes long; new bytes are a hole."""

    def flush(self) -> None:
        """Return when everything written so far is on stable storage."""

    def data_runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """Yield (offset, length, has data) over the range; what has no data reads as zeros."""

    def close(self) -> None:
        """Give the file up; a second call does nothing."""


Opener: TypeAlias = Callable[[str, bool], RandomAccessFile]
"""Opens (path, writable); raises FileNotFoundError when there is nothing by that name."""


def zero_range(file: RandomAccessFile, offset: int, length: int) -> None:
    """Make a range of a file read as zeros: by a hole where that can be, by zeros elsewhere."""
    begin, stop = file.punch(offset, length) if isinstance(file, RealFile) else (offset, offset)
    for start, end in ((offset, begin), (stop, offset + length)):
        for at in range(start, end, ZEROS_AT_ONCE):
            file.pwrite(bytes(min(ZEROS_AT_ONCE, end - at)), at)


class RealFile:
    """A regular file or block device, by its descriptor; reads and writes do not share a position."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self._fixed_size = stat.S_ISBLK(os.fstat(descriptor).st_mode)
        self._data_run = (0, 0)
        self._waits_unasked = False

    @classmethod
    def open(cls, path: str, writable: bool = False) -> RealFile:
        """Open what exists at `path`."""
        return cls(os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC), path)

    @classmethod
    def create(cls, path: str, exclusive: bool = True) -> RealFile:
        """Make a new file at `path`, or open the block device there; FileExistsError where a file is in the way.

        Without `exclusive` a file in the way is emptied.
        """
        try:
            if stat.S_ISBLK(os.stat(path).st_mode):
                return cls.open(path, writable=True)
        except FileNotFoundError:
            pass
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if exclusive else os.O_TRUNC)
        return cls(os.open(path, flags, 0o644), path)

    @property
    def path(self) -> str:
        """The name that the file was opened by."""
        return self._path

    @property
    def fixed_size(self) -> bool:
        """True for a block device."""
        return self._fixed_size

    def fileno(self) -> int:
        """Return the descriptor, for copy_file_range, sendfile and their like."""
        return self._descriptor

    def size(self) -> int:
        """Return the length in bytes now."""
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        parts = [data]
        have = len(data)
        while have < length:
            data = os.pread(self._descriptor, length - have, offset + have)
            if not data:
                break
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset` without an intermediate copy."""
        have = count = os.preadv(self._descriptor, (buffer,), offset)
        while count and have < len(buffer):
            count = os.preadv(self._descriptor, (buffer[have:],), offset + have)
            have += count
        return have

    def pread_cached(self, buffer: memoryview, offset: int) -> bool:
        """Fill `buffer` if the system has all of it in memory, and return whether it did."""
        if self._waits_unasked:
            return self.pread_into(buffer, offset) == len(buffer)
        try:
            return os.preadv(self._descriptor, (buffer,), offset, os.RWF_NOWAIT) == len(buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            self._waits_unasked = True  # a file system that cannot tell
            return self.pread_cached(buffer, offset)

    def prefetch(self, offset: int, length: int) -> None:
        """Let the system begin to read a range, and do not wait for it."""
        os.posix_fadvise(self._descriptor, offset, length, os.POSIX_FADV_WILLNEED)

    def pwrite(self, data: Bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        if len(data) <= WRITTEN_AT_ONCE:
            done = os.pwrite(self._descriptor, data, offset)
            if done == len(data):
                return
        else:
            done = 0
        view = memoryview(data)
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done : done + WRITTEN_AT_ONCE], offset + done)

    def pwritev(self, buffers: Sequence[Bytes], offset: int) -> None:
        """Write the buffers one after the other from `offset`."""
        total = sum(map(len, buffers))
        done = os.pwritev(self._descriptor, buffers[:VECTOR_LIMIT], offset)
        if done == total:
            return
        for buffer in buffers:
            if done >= len(buffer):
                done -= len(buffer)
            else:
                self.pwrite(memoryview(buffer)[done:], offset + done)
                done = 0
            offset += len(buffer)

    def truncate(self, length: int) -> None:
        """Make the file exactly `length` bytes long."""
        os.ftruncate(self._descriptor, length)

    def reserve(self, length: int) -> None:
        """Give the file real space for its first `length` bytes, so that later writes cannot run out of it."""
        os.posix_fallocate(self._descriptor, 0, length)

    def flush(self) -> None:
        """Fsync."""
        os.fsync(self._descriptor)

    def data_runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """Ask the file system where the holes are; where it cannot tell, everything is data.

        The last run of data is remembered whole, as some file systems look through all of it to find its end. That
        it may have a hole by now is harmless: the hole reads as zeros.
        """
        end = offset + length
        while offset < end:
            begin, stop = self._data_run
            if not begin <= offset < stop:
                begin = self._seek(offset, os.SEEK_DATA, end)
                if begin > offset:
                    yield offset, begin - offset, False
                if begin >= end:
                    return
                stop = self._seek(begin, os.SEEK_HOLE, sys.maxsize)
                self._data_run = (begin, stop)
                offset = begin
            stop = min(stop, end)
            yield offset, stop - offset, True
            offset = stop

    def forget_data_runs(self) -> None:
        """Ask the file system anew where the holes are: there is one more."""
        self._data_run = (0, 0)

    def punch(self, offset: int, length: int) -> tuple[int, int]:
        """Give up the room of a range, and return the part of it that is a hole now: whole pages, or nothing.

        A block device keeps what it has.
        """
        if self._fixed_size:
            return offset, offset
        found = punch(self._descriptor, offset, length)
        self.forget_data_runs()
        return found

    def _seek(self, offset: int, whence: int, end: int) -> int:
        try:
            return min(os.lseek(self._descriptor, offset, whence), end)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole from here to the end
                return end
            if error.errno in CANNOT_TELL:
                return offset if whence == os.SEEK_DATA else end
            raise

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class MemoryFile:
    """A file in memory, with the conduct of a real one."""

    def __init__(self, data: Bytes = b"", path: str = "memory", fixed_size: bool = False) -> None:
        self.data = bytearray(data)
        self._path = path
        self._fixed_size = fixed_size

    @property
    def path(self) -> str:
        """The name given to it."""
        return self._path

    @property
    def fixed_size(self) -> bool:
        """True when it stands for a block device."""
        return self._fixed_size

    def size(self) -> int:
        """Return the length in bytes now."""
        return len(self.data)

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        return bytes(self.data[offset : offset + length])

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`."""
        part = self.data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def pwrite(self, data: Bytes, offset: int) -> None:
        """Write all of `data` at `offset`; ENOSPC past the end of a device."""
        end = offset + len(data)
        if end > len(self.data):
            if self._fixed_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
            self.data.extend(bytes(end - len(self.data)))
        self.data[offset:end] = data

    def pwritev(self, buffers: Sequence[Bytes], offset: int) -> None:
        """Write the buffers one after the other from `offset`."""
        self.pwrite(b"".join(buffers), offset)

    def truncate(self, length: int) -> None:
        """Make the file exactly `length` bytes long."""
        if self._fixed_size:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._path)
        del self.data[length:]
        self.data.extend(bytes(length - len(self.data)))

    def flush(self) -> None:
        """Do nothing: memory is as durable as it gets."""

    def data_runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """Yield the whole range as data."""
        if length:
            yield offset, length, True

    def close(self) -> None:
        """Do nothing: what was written can be opened again."""
