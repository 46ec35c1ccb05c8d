"""One HTTP connection, as a state machine that never holds a thread while it waits.

A connection has one owner at a time. Parked in epoll it belongs to the poller; claimed by an event it belongs to the
worker that serves it, until it is parked again, closed, or taken over. `Connection.lock` guards only that hand-over.
"""

import enum
import logging
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Protocol

from xapi.rpc.http_message import (
    BodyDecoder,
    BodyKind,
    Buffer,
    Head,
    MessageError,
    Peer,
    Request,
    Response,
    body_decoder,
    body_size,
    has_no_body,
    join_blocks,
    parse_head,
    parts,
    render_head,
    wants_close,
)

log = logging.getLogger(__name__)

BLOCK = 256 * 1024  # bytes moved at once in bulk
RECEIVE = 64 * 1024  # bytes read at once while looking for a head
_HEAD_KEPT = 1024  # bytes of a head that are worth keeping for the next one to be compared with
SMALL = 64 * 1024  # bytes that are worth joining to their head, or sending from a foreign thread
_LARGE_SPIN = 0.005  # the same, while others wait to send large answers
_SPIN = 0.02  # seconds that a worker waits for a slow reader before it parks the connection
_READABLE = select.EPOLLIN | select.EPOLLRDHUP
_GONE = select.EPOLLHUP | select.EPOLLERR
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
SERVER_FAILED = "The server failed; its log says why."
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may take: sizes in bytes, times in seconds."""

    head_bytes: int = 64 * 1024
    header_count: int = 100
    handshake_time: float = 10.0
    head_time: float = 30.0
    body_time: float = 120.0  # without progress, while the body of a simple request is gathered
    stream_time: float = 600.0  # without progress, while a streaming handler wants body
    send_time: float = 60.0  # without progress
    idle_time: float = 600.0
    drain_time: float = 2.0  # for the peer to read an early answer before the connection is cut
    linger: float = 0.002  # that a worker stays for the next request of a connection
    connections: int = 4096


@dataclass(frozen=True, slots=True)
class Later:
    """The promise of an answer: `begin` gets the function to answer with, and returns the one that cancels.

    `answer` may be called from any thread, also before `begin` returns, and never blocks; only the first call counts.
    `cancel` is called once, on a worker, if the peer hangs up or the server closes before there is an answer.
    """

    begin: Callable[[Callable[[Response], None]], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Simple:
    """A route whose handler gets the whole body, of at most `body_limit` bytes."""

    handler: Callable[[Request], Response | Later]
    body_limit: int = 64 * 1024 * 1024


class Host(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    closing: bool
    route: Callable[[str, str], object]
    large_answers: threading.Semaphore
    error_page: Callable[[int, str], Response]

    def arm(self, connection: "Connection", events: int) -> bool:
        """Let epoll report one of the events; False if there is no epoll any more. The connection's lock is held."""

    def submit(self, connection: "Connection") -> None:
        """Give the connection to a worker."""

    def aside(self) -> AbstractContextManager[None]:
        """Let another worker take the place of this one, which waits inside."""

    def forget(self, connection: "Connection") -> None:
        """Remove the connection from epoll and from the books."""

    def hurried(self) -> bool:
        """Say whether connections wait for a worker."""

    def stream(self, connection: "Connection", head: Head, route: object) -> bool:
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

    def __init__(self, connection: "Connection") -> None:
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


class Connection:
    """A client's connection and all that is known about its current request."""

    __slots__ = (
        "abandoned",
        "deadline",
        "decoder",
        "drain_until",
        "events",
        "fd",
        "gathered",
        "half_closed",
        "head",
        "head_until",
        "host",
        "inbound",
        "keep_alive",
        "last_head",
        "lingering",
        "lock",
        "outbound",
        "parked",
        "parked_at",
        "peer",
        "phase",
        "sending",
        "sock",
        "target",
        "tls_context",
        "waiter",
    )

    def __init__(self, host: Host, sock: socket.socket, peer: Peer, tls_context: ssl.SSLContext | None) -> None:
        self.host = host
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.tls_context = tls_context
        self.lock = threading.Lock()
        self.phase = Phase.HEAD if tls_context is None else Phase.HANDSHAKE
        self.parked = False
        self.parked_at = 0.0
        self.deadline = 0.0
        self.events = 0  # what epoll reported last
        self.inbound = bytearray()
        self.head: Head | None = None
        self.head_until = 0.0
        self.last_head: tuple[bytes, Head] | None = None
        self.keep_alive = True
        self.lingering = False
        self.target: Simple | None = None
        self.decoder: BodyDecoder | None = None
        self.gathered = bytearray()
        self.outbound: Iterator[memoryview] | None = None
        self.sending: memoryview | None = None
        self.waiter: _Waiter | None = None
        self.abandoned = False
        self.half_closed = False
        self.drain_until = 0.0

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
        self.host.forget(self)
        if isinstance(self.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.sock.unwrap()  # says goodbye; the answer to it is not awaited
        self.sock.close()
        self.outbound = self.sending = None
        with self.lock:
            waiter, self.waiter = self.waiter, None
            unanswered = waiter is not None and waiter.response is None
        if unanswered and waiter is not None and waiter.cancel is not None:
            try:
                waiter.cancel()
            except Exception:
                log.exception("cancelling a waiting request failed")
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

    # Plain input and output, without waiting

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
            route = self.host.route(head.method, head.path)
        except Exception:
            log.exception("no route for %s %s", head.method, head.path)
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
            outcome = self.target.handler(self.request(head, body))
            if isinstance(outcome, Later):
                return self._begin(outcome)
        except Exception:
            log.exception("%s %s failed", head.method, head.path)
            self.waiter = None
            outcome = self.host.error_page(500, SERVER_FAILED)
        return self._respond(outcome)

    # Later

    def _begin(self, later: Later) -> bool:
        waiter = self.waiter = _Waiter(self)
        self.phase = Phase.WAITING
        self.half_closed = False
        waiter.cancel = later.begin(waiter.answer)
        return self._go_on_waiting(waiter)

    def _go_on_waiting(self, waiter: _Waiter) -> bool:
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
        return self._go_on_waiting(waiter)

    def answer_at_once(self) -> None:
        """Send the answer of a Later from a foreign thread if that takes no time, else let a worker do it."""
        waiter = self.waiter
        assert waiter is not None and waiter.response is not None
        if isinstance(self.sock, ssl.SSLSocket) or self.host.closing:
            self.host.submit(self)
            return
        self.waiter = None
        try:
            self._prepare(waiter.response)
            if self.outbound is None and self._push() and self.keep_alive and not self.inbound:
                self.phase = Phase.HEAD
                self.park(select.EPOLLIN, self.host.limits.idle_time)
                return
        except OSError as error:
            log.debug("an answer to %s was lost: %s", self.peer.address or "local", error)
            self.close()
            return
        self.host.submit(self)

    # Responses

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
        self._prepare(response)
        return self._send_rest()

    def _prepare(self, response: Response) -> None:
        head = self.head
        try:
            data, size = self._render(response)
        except (AttributeError, TypeError, ValueError):
            log.exception("the response to %s cannot be sent", "garbage" if head is None else head.path)
            response = self.host.error_page(500, SERVER_FAILED)
            data, size = self._render(response)
        self.phase = Phase.SENDING
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

    def _push(self) -> bool:
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

    def _send_rest(self) -> bool:
        # Large answers are sent a few at a time, so that small calls beside them need not fight for the processors.
        # Whoever's peer does not keep up is parked, and lets the next one in.
        large = self.outbound is not None
        with self._turn() if large else nullcontext():
            while not self._push():
                if not self.wait(select.POLLOUT, _LARGE_SPIN if large else _SPIN):
                    return self.park(select.EPOLLOUT, self.host.limits.send_time)
        return self.after_response()

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
