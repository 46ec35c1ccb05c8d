"""One HTTP connection, as a state machine that never holds a thread while it waits.

Here are its phases: shake hands, read the head and the body of a request, wait for an answer that comes later, and go
on or end. `http_channel` holds the socket and its owner, `http_answers` writes.
"""

from __future__ import annotations

import enum
import logging
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from xapi.rpc.http_answers import SERVER_FAILED, SMALL, AnswerHost, AnsweringChannel
from xapi.rpc.http_channel import BLOCK
from xapi.rpc.http_message import (
    BodyDecoder,
    BodyKind,
    Head,
    MessageError,
    Peer,
    Request,
    Response,
    body_decoder,
    parse_head,
)
from xapi.rpc.http_routes import HandlerFailed, Later, Simple, ask

log = logging.getLogger(__name__)

RECEIVE = 64 * 1024  # bytes read at once while looking for a head
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HEAD_KEPT = 1024  # bytes of a head that are worth keeping for the next one to be compared with
_READABLE = select.EPOLLIN | select.EPOLLRDHUP
_GONE = select.EPOLLHUP | select.EPOLLERR


class Host(AnswerHost, Protocol):
    """What a connection needs of its server."""

    route: Callable[[str, str], object]

    def submit(self, connection: Connection) -> None:
        """Give the connection to a worker."""

    def hurried(self) -> bool:
        """Say whether connections wait for a worker."""

    def stream(self, connection: Connection, head: Head, route: object) -> bool:
        """Let a handler stream on this thread; say whether the connection is still the worker's."""


class Phase(enum.Enum):
    """What a connection does next, when it is served."""

    HANDSHAKE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    WAITING = enum.auto()
    SENDING = enum.auto()
    DRAINING = enum.auto()


class _Waiter:
    """The two ends of a Later: `answer` for those who know it, the connection for the peer."""

    __slots__ = ("cancel", "connection", "response")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.response: Response | None = None
        self.cancel: Callable[[], None] | None = None

    def answer(self, outcome: object) -> None:
        """Send the response, unless there was one before or nobody waits any more."""
        connection = self.connection
        if isinstance(outcome, Response):
            response = outcome
        else:
            log.error("a request was answered with what is no response: %r", outcome)
            response = connection.host.error_page(500, SERVER_FAILED)
        with connection.lock:
            if self.response is not None:
                return
            self.response = response
            if not connection.parked or connection.waiter is not self:
                return  # the worker that holds the connection finds the response before it parks
            connection.parked = False
        connection.answer_at_once()


class Connection(AnsweringChannel):
    """A client's connection and all that is known about its current request."""

    __slots__ = (
        "decoder",
        "drain_until",
        "gathered",
        "half_closed",
        "head_until",
        "inbound",
        "last_head",
        "lingering",
        "phase",
        "target",
        "tls_context",
        "waiter",
    )

    host: Host

    def __init__(self, host: Host, sock: socket.socket, peer: Peer, tls_context: ssl.SSLContext | None) -> None:
        super().__init__(host, sock, peer)
        self.tls_context = tls_context
        self.phase = Phase.HEAD if tls_context is None else Phase.HANDSHAKE
        self.inbound = bytearray()
        self.head_until = 0.0
        self.last_head: tuple[bytes, Head] | None = None
        self.lingering = False
        self.target: Simple | None = None
        self.decoder: BodyDecoder | None = None
        self.gathered = bytearray()
        self.waiter: _Waiter | None = None
        self.half_closed = False
        self.drain_until = 0.0

    def serve(self) -> None:
        """Do all that can be done without waiting; called by a worker that owns the connection."""
        try:
            if self.abandoned:
                self.close()
                return
            while _STEPS[self.phase](self):
                pass
        except OSError as error:
            # The peer went away, or close() of the server shut the socket under our hands.
            log.debug("connection of %s lost: %s", self.peer.address or "local", error)
            self.close()
        except Exception:
            log.exception("serving %s failed", self.peer.address or "local")
            self.close()

    def close(self) -> bool:
        """Close the connection and cancel who waits on it; always False."""
        super().close()
        self.outbound = self.sending = None
        with self.lock:
            waiter, self.waiter = self.waiter, None
            unanswered = waiter is not None and waiter.response is None
        if unanswered and waiter is not None and waiter.cancel is not None:
            try:
                ask(waiter.cancel)
            except HandlerFailed as failed:
                log.error("cancelling a waiting request failed", exc_info=failed.__cause__)
        return False

    # Phases: each returns whether the connection is still ours

    def _shake_hands(self) -> bool:
        limits = self.host.limits
        try:
            if not isinstance(self.sock, ssl.SSLSocket):
                assert self.tls_context is not None
                self.sock = self.tls_context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
                self.head_until = time.monotonic() + limits.handshake_time
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return self.park(select.EPOLLIN, self.head_until - time.monotonic())
        except ssl.SSLWantWriteError:
            return self.park(select.EPOLLOUT, self.head_until - time.monotonic())
        except OSError as error:
            log.info("TLS handshake with %s failed: %s", self.peer.address, error)
            return self.close()
        certificate = self.sock.getpeercert(binary_form=True)
        self.peer = Peer(self.peer.local, self.peer.address, tls=True, certificate=certificate)
        self.tls_context = None
        self.head_until = 0.0
        self.phase = Phase.HEAD
        return True

    def _read_head(self) -> bool:
        limits = self.host.limits
        inbound = self.inbound
        if self.lingering and not inbound:
            self.lingering = False
            if not self.wait(select.POLLIN, 0.0 if self.host.hurried() else limits.linger):
                return self._park_for_head()
        while True:
            if inbound:
                try:
                    found = self._find_head()
                except MessageError as error:
                    return self.refuse(error.status, str(error))
                if found is not None:
                    break
                if not inbound.strip(b"\r\n"):
                    inbound.clear()  # empty lines between requests are nothing, also for the clock
            data = self.receive(RECEIVE)
            if data is None:
                return self._park_for_head()
            if not data:
                return self.close()
            inbound += data
        self.head, size = found
        del inbound[:size]
        self.head_until = 0.0
        self.keep_alive = self.head.keep_alive and not self.host.closing
        return self._choose(self.head)

    def _find_head(self) -> tuple[Head, int] | None:
        """Parse the head; most clients send the same one again and again, which then is known."""
        inbound, last = self.inbound, self.last_head
        if last is not None and inbound.startswith(last[0]):
            return last[1], len(last[0])
        limits = self.host.limits
        found = parse_head(inbound, limits.head_bytes, limits.header_count)
        if found is not None:
            head, size = found
            self.last_head = (bytes(inbound[:size]), head) if size <= _HEAD_KEPT else None
        return found

    def _park_for_head(self) -> bool:
        limits = self.host.limits
        if not self.inbound:
            if self.host.closing:
                return self.close()
            return self.park(select.EPOLLIN, limits.idle_time)
        now = time.monotonic()
        if not self.head_until:
            self.head_until = now + limits.head_time
        return self.park(select.EPOLLIN, self.head_until - now)

    def _choose(self, head: Head) -> bool:
        try:
            route = ask(self.host.route, head.method, head.path)
        except HandlerFailed as failed:
            log.error("no route for %s %s", head.method, head.path, exc_info=failed.__cause__)
            return self.refuse(500, "The request could not be routed.")
        early = None
        if isinstance(route, Response):
            # A short body is read, so that the connection can go on; a long one is not waited for.
            early = route
            route = Simple(lambda _: early, SMALL)
        if not isinstance(route, Simple):
            return self.host.stream(self, head, route)
        self.target = route
        if head.body is BodyKind.NONE:
            return self._perform(head, b"")
        if head.body is BodyKind.LENGTH:
            if head.length > route.body_limit:
                return self._cut_short(early or self._too_large())
            if len(self.inbound) >= head.length:
                body = bytes(memoryview(self.inbound)[: head.length])
                del self.inbound[: head.length]
                return self._perform(head, body)
        if early is not None and (head.expects_continue or head.body is not BodyKind.LENGTH):
            return self._cut_short(early)
        if head.expects_continue and not self.inbound:
            self.send_all(CONTINUE)
        self.decoder = body_decoder(head)
        self.phase = Phase.BODY
        return True

    def _read_body(self) -> bool:
        head, decoder, target, gathered = self.head, self.decoder, self.target, self.gathered
        assert head is not None and decoder is not None and target is not None
        try:
            while True:
                while piece := decoder.take(self.inbound, BLOCK):
                    gathered += piece
                if len(gathered) > target.body_limit:
                    return self._cut_short(self._too_large())
                if decoder.complete:
                    break
                data = self.receive(min(decoder.direct, BLOCK) or RECEIVE)
                if data is None:
                    return self.park(select.EPOLLIN, self.host.limits.body_time)
                if data and decoder.direct:
                    gathered += data
                    decoder.skip(len(data))
                elif data:
                    self.inbound += data
                elif decoder.end_of_input():
                    break
                else:
                    return self.close()
        except MessageError as error:
            return self.refuse(error.status, str(error))
        self.decoder = None
        self.gathered = bytearray()
        self.keep_alive = self.keep_alive and head.body is not BodyKind.UNTIL_CLOSE
        return self._perform(head, bytes(gathered))

    def request(self, head: Head, body: bytes) -> Request:
        """Return the request for a handler."""
        return Request(head.method, head.path, head.target, head.query, head.headers, head.version, body, self.peer)

    def _perform(self, head: Head, body: bytes) -> bool:
        assert self.target is not None
        try:
            outcome = ask(self.target.handler, self.request(head, body))
            if isinstance(outcome, Later):
                self._begin(outcome)
        except HandlerFailed as failed:
            log.error("%s %s failed", head.method, head.path, exc_info=failed.__cause__)
            self.waiter = None
            outcome = self.host.error_page(500, SERVER_FAILED)
        return self._go_on_waiting() if isinstance(outcome, Later) else self._respond(outcome)

    # Later

    def _begin(self, later: Later) -> None:
        waiter = self.waiter = _Waiter(self)
        self.phase = Phase.WAITING
        self.half_closed = False
        waiter.cancel = ask(later.begin, waiter.answer)

    def _go_on_waiting(self) -> bool:
        waiter = self.waiter
        assert waiter is not None
        if self.half_closed:
            events = 0  # a full hang-up is reported all the same
        else:
            # What a peer may send ahead is bounded; the rest stays in its socket.
            events = _READABLE if len(self.inbound) < self.host.limits.head_bytes else select.EPOLLRDHUP
        with self.lock:
            if waiter.response is None:
                self.parked_at = time.monotonic()
                self.deadline = float("inf")
                self.parked = self.host.arm(self, events)
                if self.parked:
                    return False
        if waiter.response is None:
            return self.close()
        self.waiter = None
        return self._respond(waiter.response)

    def _look_after_waiter(self) -> bool:
        waiter = self.waiter
        assert waiter is not None
        if waiter.response is None:
            if self.events & _GONE:
                return self.close()
            while len(self.inbound) < self.host.limits.head_bytes:
                data = self.receive(RECEIVE)
                if data is None:
                    break
                if not data:
                    # Only a Unix socket tells a peer that has gone from one that has nothing more to say.
                    if not self.peer.local:
                        return self.close()
                    self.half_closed = True
                    break
                self.inbound += data
            else:
                if self.events & select.EPOLLRDHUP and not self.peer.local:
                    return self.close()
        return self._go_on_waiting()

    def answer_at_once(self) -> None:
        """Send the answer of a Later from a foreign thread if that takes no time, else let a worker do it."""
        waiter = self.waiter
        assert waiter is not None and waiter.response is not None
        if isinstance(self.sock, ssl.SSLSocket) or self.host.closing:
            self.host.submit(self)
            return
        self.waiter = None
        try:
            self.phase = Phase.SENDING
            self.prepare(waiter.response)
            if self.outbound is None and self.push() and self.keep_alive and not self.inbound:
                self.phase = Phase.HEAD
                self.park(select.EPOLLIN, self.host.limits.idle_time)
                return
        except OSError as error:
            log.debug("an answer to %s was lost: %s", self.peer.address or "local", error)
            self.close()
            return
        self.host.submit(self)

    # The end of a request

    def _too_large(self) -> Response:
        return self.host.error_page(413, "The request body is too large.")

    def refuse(self, status: int, explanation: str) -> bool:
        """Answer with an error page and end the connection."""
        return self._cut_short(self.host.error_page(status, explanation))

    def _cut_short(self, response: Response) -> bool:
        """Answer before the request was read to its end, which ends the connection."""
        self.keep_alive = False
        self.drain_until = time.monotonic() + self.host.limits.drain_time
        return self._respond(response)

    def _respond(self, response: Response) -> bool:
        self.phase = Phase.SENDING
        self.prepare(response)
        return self._send_rest()

    def _send_rest(self) -> bool:
        return self.send_prepared() and self.after_response()

    def after_response(self) -> bool:
        """Go on with the next request, or end the connection as it was agreed."""
        self.phase = Phase.HEAD
        self.target = None
        if self.keep_alive:
            if self.inbound and self.host.hurried():
                self.host.submit(self)  # one that sends many requests ahead takes its turn
                return False
            self.lingering = True
            return True
        if not self.drain_until:
            return self.close()
        return self._start_draining()

    def _start_draining(self) -> bool:
        # Closing with unread input would reset the connection, and the peer could lose the answer.
        self.phase = Phase.DRAINING
        self.inbound.clear()
        if isinstance(self.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.sock.unwrap()
        socket.socket.shutdown(self.sock, socket.SHUT_WR)
        return True

    def _drain(self) -> bool:
        seconds = self.drain_until - time.monotonic()
        try:
            for _ in range(64):
                data = socket.socket.recv(self.sock, BLOCK) if seconds > 0 else b""
                if not data:
                    return self.close()
        except BlockingIOError:
            return self.park(select.EPOLLIN, seconds)
        self.host.submit(self)
        return False


_STEPS: dict[Phase, Callable[[Connection], bool]] = {
    Phase.HANDSHAKE: Connection._shake_hands,
    Phase.HEAD: Connection._read_head,
    Phase.BODY: Connection._read_body,
    Phase.WAITING: Connection._look_after_waiter,
    Phase.SENDING: Connection._send_rest,
    Phase.DRAINING: Connection._drain,
}
