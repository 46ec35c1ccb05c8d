"""A socket that waits without a thread, and belongs to one owner at a time.

Parked in epoll it belongs to the poller; claimed by an event it belongs to the worker that serves it, until it is
parked again, closed, or taken over. `Channel.lock` guards only that hand-over.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from typing import Protocol

from xapi.rpc.http_message import Buffer, Peer
from xapi.rpc.http_routes import Limits

BLOCK = 256 * 1024  # bytes moved at once in bulk
BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


class Poller(Protocol):
    """What a channel needs of its server."""

    limits: Limits

    def arm(self, channel: Channel, events: int) -> bool:
        """Let epoll report one of the events; False if there is no epoll any more. The channel's lock is held."""

    def forget(self, channel: Channel) -> None:
        """Remove the channel from epoll and from the books."""


class Channel:
    """A connected socket, plain or with TLS, that never blocks."""

    __slots__ = (
        "abandoned",
        "deadline",
        "events",
        "fd",
        "host",
        "lock",
        "parked",
        "parked_at",
        "peer",
        "sock",
    )

    def __init__(self, host: Poller, sock: socket.socket, peer: Peer) -> None:
        self.host = host
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.lock = threading.Lock()
        self.parked = False
        self.parked_at = 0.0
        self.deadline = 0.0
        self.events = 0  # what epoll reported last
        self.abandoned = False

    # Ownership

    def claim(self) -> bool:
        """Take a parked connection out of epoll's hands; False if it was not parked."""
        with self.lock:
            was_parked = self.parked
            self.parked = False
            return was_parked

    def park(self, events: int, seconds: float) -> bool:
        """Wait in epoll for the events, at most so long; always False, as nothing remains to be done here."""
        self.parked_at = time.monotonic()
        self.deadline = self.parked_at + seconds
        with self.lock:
            armed = self.parked = self.host.arm(self, events)
        return False if armed else self.close()  # once armed, it may be someone else's already

    def close(self) -> bool:
        """Close the socket, politely; always False."""
        self.host.forget(self)
        if isinstance(self.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.sock.unwrap()  # says goodbye; the answer to it is not awaited
        self.sock.close()
        return False

    def abort(self) -> bool:
        """Cut the connection so that the peer cannot take what it got for everything; always False."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.host.forget(self)
        self.sock.close()
        return False

    def shut(self) -> None:
        """Make whoever uses the socket fail; may be called by a thread that does not own the connection."""
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    # Input and output

    def receive(self, size: int) -> bytes | None:
        """Read at most `size` bytes: None when there are none yet, empty at the end."""
        try:
            return self.sock.recv(size)
        except BLOCKED:
            return None

    def wait(self, events: int, seconds: float) -> bool:
        """Hold this thread until the socket is ready for the events; False when the time is up."""
        if events & select.POLLIN and isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        poll = select.poll()
        poll.register(self.fd, events)
        return bool(poll.poll(seconds * 1000))

    def send_all(self, data: Buffer) -> None:
        """Send everything, holding this thread; TimeoutError without progress for `send_time`."""
        view = memoryview(data).cast("B")
        while view:
            block = view[:BLOCK]
            try:
                view = view[self.sock.send(block) :]
            except ssl.SSLWantReadError:
                self._wait_or_fail(select.POLLIN)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait_or_fail(select.POLLOUT)

    def _wait_or_fail(self, events: int) -> None:
        if not self.wait(events, self.host.limits.send_time):
            raise TimeoutError("the peer does not read")
