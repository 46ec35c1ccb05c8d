"""How an answer is written: its head and framing, and what is left of it while its peer does not keep up."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from xapi.rpc.http_channel import BLOCK, BLOCKED, Channel, Poller
from xapi.rpc.http_message import (
    Head,
    Peer,
    Response,
    body_size,
    has_no_body,
    join_blocks,
    parts,
    render_head,
    wants_close,
)

log = logging.getLogger(__name__)

SMALL = 64 * 1024  # bytes that are worth joining to their head, or sending from a foreign thread
SERVER_FAILED = "The server failed; its log says why."
_SPIN = 0.02  # seconds that a worker waits for a slow reader before it parks the connection
_LARGE_SPIN = 0.005  # the same, while others wait to send large answers


class AnswerHost(Poller, Protocol):
    """What the writing of answers needs of the server."""

    closing: bool
    large_answers: threading.Semaphore
    error_page: Callable[[int, str], Response]

    def aside(self) -> AbstractContextManager[None]:
        """Let another worker take the place of this one, which waits inside."""


class AnsweringChannel(Channel):
    """A channel that knows the head of its current request, and sends the answer to it."""

    __slots__ = ("head", "keep_alive", "outbound", "sending")

    host: AnswerHost

    def __init__(self, host: AnswerHost, sock: socket.socket, peer: Peer) -> None:
        super().__init__(host, sock, peer)
        self.head: Head | None = None
        self.keep_alive = True
        self.outbound: Iterator[memoryview] | None = None
        self.sending: memoryview | None = None

    def prepare(self, response: Response) -> None:
        """Make the response what is sent next; a page that says that the server failed if it is none."""
        head = self.head
        try:
            data, size = self._render(response)
        except (AttributeError, TypeError, ValueError):
            log.exception("the response to %s cannot be sent", "garbage" if head is None else head.path)
            response = self.host.error_page(500, SERVER_FAILED)
            data, size = self._render(response)
        if not size or (head is not None and head.method == "HEAD"):
            self.sending, self.outbound = memoryview(data), None
        elif size <= SMALL:
            self.sending, self.outbound = memoryview(b"".join((data, *parts(response.body)))), None
        else:
            self.sending, self.outbound = None, join_blocks((data, *parts(response.body)), BLOCK)

    def _render(self, response: Response) -> tuple[bytes, int]:
        """Return the head of the response, and the size of its body if it has one."""
        if self.host.closing or wants_close(response.headers):
            self.keep_alive = False
        framing = self.connection_header()
        size = 0
        if not has_no_body(response.status):
            size = body_size(response.body)
            framing += f"Content-Length: {size}\r\n"
        return render_head(response.status, response.headers, framing), size

    def connection_header(self) -> str:
        """Return the header line that tells the peer what becomes of the connection, if it must be told."""
        if not self.keep_alive:
            return "Connection: close\r\n"
        if self.head is not None and self.head.version == "1.0":
            return "Connection: keep-alive\r\n"
        return ""

    def push(self) -> bool:
        """Send what the socket takes now; True when everything is sent."""
        while True:
            if self.sending is None:
                self.sending = None if self.outbound is None else next(self.outbound, None)
                if self.sending is None:
                    self.outbound = None
                    return True
            try:
                sent = self.sock.send(self.sending)
            except BLOCKED:
                return False
            self.sending = self.sending[sent:] if sent < len(self.sending) else None

    def send_prepared(self) -> bool:
        """Send what is left of the answer; False if the channel is parked because its peer does not keep up."""
        # Large answers are sent a few at a time, so that small calls beside them need not fight for the processors.
        # Whoever's peer does not keep up is parked, and lets the next one in.
        large = self.outbound is not None
        with self._turn() if large else nullcontext():
            while not self.push():
                if not self.wait(select.POLLOUT, _LARGE_SPIN if large else _SPIN):
                    return self.park(select.EPOLLOUT, self.host.limits.send_time)
        return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        gate = self.host.large_answers
        if not gate.acquire(blocking=False):
            with self.host.aside():
                gate.acquire()
        try:
            yield
        finally:
            gate.release()
