"""Bulk data between a disk and a connection, in blocks: what both directions have in common.

Data is never touched byte by byte and never gathered: out of a disk it goes by sendfile, into a disk through one
buffer. Between blocks the task is asked whether somebody wants the transfer to stop.
"""

from __future__ import annotations

from typing import Final, Protocol

from xapi.datamodel.errors import IMPORT_ERROR_PREMATURE_EOF
from xapi.dispatch.context import Context
from xapi.rpc.http import Exchange
from xapi.storage.interface import DiskReader

BLOCK: Final = 1 << 20
PIECE: Final = 4 << 20  # bytes sent before the task is asked again
STEP: Final = 0.05  # the share by which progress grows before it is told again: each time costs a durable write
SMALL_STEP: Final = 0.005  # the same for a slow transfer, which is told of
PAUSE: Final = 1.0  # so often, in seconds
ZEROS: Final = bytes(BLOCK)
ABSURD: Final = 1 << 50
"""A Content-Length from which on a client does not mean what it says: it has none and had to send one."""


class Source(Protocol):
    """Something that bytes come out of, one after the other."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of the buffer; return how many bytes, 0 at the end only."""


class Progress:
    """Tells a task how far a transfer of so many bytes has come, and lets it stop the transfer.

    A transfer in two parts gives the share of the way that had `begun` before the second.
    """

    def __init__(self, ctx: Context, total: int, begun: float = 0.0) -> None:
        self._ctx = ctx
        self._total = max(total, 1)
        self._done = 0
        self._begun = self._told = begun
        self._told_at = ctx.toolstack.clock.monotonic()

    def add(self, count: int) -> None:
        """Note that so many bytes more are done; TASK_CANCELLED if somebody wants the transfer to stop."""
        self._ctx.task.check()
        self._done += count
        share = min(self._begun + (1 - self._begun) * self._done / self._total, 1.0)
        if share < self._told + SMALL_STEP:
            return
        now = self._ctx.toolstack.clock.monotonic()
        if share >= self._told + STEP or now >= self._told_at + PAUSE:
            self._told, self._told_at = share, now
            self._ctx.session.last_used = now
            self._ctx.task.progress(share)


class Upload:
    """The body of a request as a source, which knows whether it came to a proper end.

    A body without a length ends where it ends; one with an absurd length may be cut short. A body that is shorter than
    a length that was meant, or a chunked one without its last chunk, raises IMPORT_ERROR_PREMATURE_EOF.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        length = exchange.request.headers.get("content-length", "")
        announced = int(length.split(",")[0]) if length else None
        self.length = announced if announced is not None and announced < ABSURD else None
        self._boundless = announced is not None and announced >= ABSURD
        self._ahead = b""

    @property
    def empty(self) -> bool:
        """Whether the request says that it has no body at all."""
        return self._exchange.body_complete

    @property
    def boundless(self) -> bool:
        """Whether waiting for the end of the body would be in vain."""
        return self._boundless

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of the buffer; return how many bytes, 0 at the end only."""
        if self._ahead and buffer:
            buffer[: len(self._ahead)] = self._ahead
            self._ahead = b""
            return 1
        count = self._exchange.readinto(buffer)
        if not count and self._exchange.truncated and not self._boundless:
            raise IMPORT_ERROR_PREMATURE_EOF()
        return count

    def answer_early(self, headers: tuple[tuple[str, str], ...]) -> bool:
        """Send the head of the answer before the body is read, to a client that wants it so; False if no body follows.

        Clients that speak HTTP/1.0 send their upload only once they have read 200. Those that send an absurd length
        wait for the answer as well: Xen Orchestra first asks with that length and without any body where the upload
        has to go, and hangs up on the answer. All others learn at the end how it went.
        """
        exchange = self._exchange
        if exchange.request.version == "1.0":
            exchange.start(200, headers, 0)
        elif self._boundless:
            # Without a length, so that the answer does not end before the upload does: a client may then stop sending.
            exchange.start(200, (*headers, ("Connection", "close")))
            self._ahead = exchange.read(1)
            return bool(self._ahead)
        return True


def fill(source: Source, buffer: memoryview) -> int:
    """Fill the whole buffer if the source has so much; return how many bytes there were."""
    done = 0
    while done < len(buffer):
        count = source.readinto(buffer[done:])
        if not count:
            break
        done += count
    return done


def take(source: Source, count: int) -> bytes:
    """Return exactly `count` bytes of the source; IMPORT_ERROR_PREMATURE_EOF where it has less."""
    buffer = bytearray(count)
    if fill(source, memoryview(buffer)) < count:
        raise IMPORT_ERROR_PREMATURE_EOF()
    return bytes(buffer)


def send_range(exchange: Exchange, reader: DiskReader, offset: int, length: int, progress: Progress) -> None:
    """Send a range of a disk as a part of the answer's body; holes are sent from memory."""
    for extent in reader.extents(offset, length):
        if extent.zero:
            send_zeros(exchange, extent.length, progress)
            continue
        for done in range(0, extent.length, PIECE):
            size = min(PIECE, extent.length - done)
            exchange.sendfile(extent.descriptor, extent.place + done, size)
            progress.add(size)


def send_zeros(exchange: Exchange, count: int, progress: Progress) -> None:
    """Send so many zeros."""
    while count:
        size = min(count, BLOCK)
        exchange.write(memoryview(ZEROS)[:size])
        progress.add(size)
        count -= size
