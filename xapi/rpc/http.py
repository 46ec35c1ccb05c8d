"""The project's own HTTP server: threads for what works, epoll for what waits.

One poller thread holds every socket that is idle, half-read, slow or waiting for an answer, at the cost of a few
hundred bytes each. A readable socket goes to a worker of a pool that grows and shrinks; the worker serves, lingers
two milliseconds for the next request on the connection, and parks the socket again. Nothing here knows of XenAPI:
the caller's `route` says which handler serves a method and a path.

    server = Server(lambda method, path: Simple(lambda request: Response(200, body=b"hello")))
    server.listen_unix("/run/example.socket", 0o600)
    server.start()
    ...
    server.close(grace=5.0)
"""

import errno
import logging
import os
import select
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from xapi.rpc.http_answers import SERVER_FAILED
from xapi.rpc.http_channel import Channel
from xapi.rpc.http_connection import Connection, Phase
from xapi.rpc.http_exchange import Exchange
from xapi.rpc.http_message import (
    Head,
    MessageError,
    Peer,
    Request,
    Response,
    error_page,
)
from xapi.rpc.http_routes import HandlerFailed, Later, Limits, Simple, ask
from xapi.rpc.http_workers import Workers
from xapi.system.undo import on_failure

LARGE_ANSWERS = 1  # sent at the same moment

__all__ = [
    "Exchange",
    "Later",
    "Limits",
    "MessageError",
    "Peer",
    "Request",
    "Response",
    "Route",
    "Server",
    "Simple",
    "Statistics",
    "Streaming",
]

log = logging.getLogger(__name__)

_ACCEPTS = 64  # connections accepted before the poller looks after the others
_BACKLOG = 1024
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORT = 0.02  # seconds between looks at what is about to change
_STUCK = 0.005  # seconds without progress after which connections that wait get further workers
_IDLE_AGE = 0.1  # seconds of silence after which a connection may be closed in favour of another


@dataclass(frozen=True, slots=True)
class Streaming:
    """A route whose handler holds a worker, and reads and writes as it likes."""

    handler: "Callable[[Exchange], None]"


Route = Simple | Streaming | Response


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many connections do what, and how many worker threads there are."""

    idle: int  # parked: between requests, or within a slow one
    waiting: int  # for the answer of a Later
    active: int  # held by a worker, or about to be
    threads: int


@dataclass(slots=True)
class _Listener:
    sock: socket.socket
    local: bool
    tls: bool
    path: str = ""
    identity: tuple[int, int] = (0, 0)


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Have an error say where it was not possible to listen."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {place}: {error.strerror}") from error


class Server:
    """An HTTP server on any number of TCP and Unix addresses.

    `route` gets the method and the decoded path, and answers how to serve them; `page` makes the bodies of the
    server's own errors from a status and an explanation. Times are in seconds, sizes in bytes.
    """

    def __init__(
        self,
        route: Callable[[str, str], Route],
        *,
        limits: Limits | None = None,
        page: Callable[[int, str], Response] = error_page,
        threads: tuple[int, int] = (4, 256),
        name: str = "http",
    ) -> None:
        self.route: Callable[[str, str], object] = route
        self.error_page = page
        self.limits = limits or Limits()
        self.large_answers = threading.Semaphore(LARGE_ANSWERS)
        self.closing = False
        self._name = name
        self._workers = Workers(f"{name}-worker", *threads)
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._listeners: dict[int, _Listener] = {}
        self._hear_again = 0.0  # when to accept again, while there is no room for more connections
        self._complain_again = 0.0
        self._connections: dict[int, Connection] = {}
        self._tls: ssl.SSLContext | None = None
        self._poller = threading.Thread(target=self._poll, name=f"{name}-poller", daemon=True)
        self._end = float("inf")
        self._closed = threading.Event()
        times = (self.limits.head_time, self.limits.body_time, self.limits.send_time, self.limits.idle_time)
        self._sweep_time = min(1.0, *(seconds / 4 for seconds in (*times, self.limits.handshake_time)))

    # For the owner

    def listen_tcp(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen on an IPv4 or IPv6 address, an empty host being all of both; return the real host and port.

        All TLS listeners share one context: the last given. Raises OSError.
        """
        if not host:
            host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"
        with _told(f"{host}:{port}"):
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
                0
            ]
            sock = socket.socket(family, socket.SOCK_STREAM)
            with on_failure(sock.close):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
                # Accepted sockets inherit these. A peer that lost its power is noticed within minutes.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5)
                sock.bind(address)
                sock.listen(_BACKLOG)
        if tls is not None:
            self._tls = tls
        self._listen(_Listener(sock, local=False, tls=tls is not None))
        name = sock.getsockname()
        return name[0], name[1]

    def listen_unix(self, path: str | os.PathLike[str], mode: int = 0o600) -> None:
        """Listen on a Unix socket with these permissions; a socket that is there already is replaced."""
        path = os.fspath(path)
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _told(path), on_failure(sock.close):
            sock.bind(path)
            os.chmod(path, mode)
            status = os.lstat(path)
            sock.listen(_BACKLOG)  # last: nobody gets in before the permissions are right
        self._listen(_Listener(sock, local=True, tls=False, path=path, identity=(status.st_dev, status.st_ino)))

    def replace_tls(self, context: ssl.SSLContext) -> None:
        """Use another certificate for new connections; those that are open keep theirs."""
        self._tls = context

    def start(self) -> None:
        """Begin to serve."""
        self._poller.start()

    def close(self, grace: float = 0.0) -> None:
        """Stop accepting, close what is idle, cancel what waits, and give what runs so many seconds to finish."""
        if self._closed.is_set():
            return
        self._end = time.monotonic() + grace
        self.closing = True
        if self._poller.ident is not None:
            os.eventfd_write(self._wake, 1)
            self._closed.wait()
            self._poller.join()
        else:
            self._stop_listening()
            self._closed.set()
        if self._workers.stop(1.0):
            # A handler that is still running may want to park its connection; then epoll is left to the collector.
            self._epoll.close()
        os.close(self._wake)

    def statistics(self) -> Statistics:
        """Count connections and threads, as of now."""
        idle = waiting = active = 0
        for connection in list(self._connections.values()):
            if not connection.parked:
                active += 1
            elif connection.phase is Phase.WAITING:
                waiting += 1
            else:
                idle += 1
        return Statistics(idle, waiting, active, self._workers.count)

    # For connections

    def arm(self, channel: Channel, events: int) -> bool:
        """Let epoll report one of the events, once; False when nobody polls any more."""
        if self._closed.is_set():
            return False
        try:
            self._epoll.modify(channel.fd, events | select.EPOLLONESHOT)
        except ValueError:  # closed just now
            return False
        return True

    def submit(self, connection: Connection) -> None:
        """Give the connection to a worker."""
        self._workers.submit(connection)
        if self._workers.short:
            os.eventfd_write(self._wake, 1)  # the poller is to look soon whether further workers are needed

    def aside(self) -> AbstractContextManager[None]:
        """Let another worker take the place of this one, which waits inside."""
        return self._workers.aside()

    def forget(self, channel: Channel) -> None:
        """Remove the connection from epoll and from the books."""
        if self._connections.get(channel.fd) is channel:
            del self._connections[channel.fd]
            with suppress(OSError, ValueError):
                self._epoll.unregister(channel.fd)

    def hurried(self) -> bool:
        """Say whether connections wait for a worker."""
        return self._workers.short

    def stream(self, connection: Connection, head: Head, route: object) -> bool:
        """Let a streaming handler serve the request on this thread; say whether the connection goes on."""
        if not isinstance(route, Streaming):
            log.error("the route of %s %s is no route: %r", head.method, head.path, route)
            return connection.refuse(500, SERVER_FAILED)
        exchange = Exchange(connection, head)
        try:
            ask(route.handler, exchange)
            if not exchange.taken:
                ask(exchange.finish)  # which finds what the handler has left undone
        except HandlerFailed as failed:
            error = failed.__cause__
            if exchange.lost:
                log.info("%s %s was cut short by its peer: %s", head.method, head.path, error)
                return connection.abort()
            if not exchange.started and not exchange.taken and isinstance(error, MessageError):
                return connection.refuse(error.status, str(error))
            log.error("%s %s failed", head.method, head.path, exc_info=error)
            if exchange.taken:
                return False
            return connection.abort() if exchange.started else connection.refuse(500, SERVER_FAILED)
        return False if exchange.taken else self._after_exchange(connection, exchange)

    def _after_exchange(self, connection: Connection, exchange: "Exchange") -> bool:
        if not (connection.keep_alive and exchange.discard()):
            connection.keep_alive = False
            if not exchange.body_complete:
                connection.drain_until = time.monotonic() + self.limits.drain_time
        return connection.after_response()

    # The poller

    def _listen(self, listener: _Listener) -> None:
        listener.sock.setblocking(False)
        self._listeners[listener.sock.fileno()] = listener
        self._epoll.register(listener.sock, select.EPOLLIN)

    def _stop_listening(self) -> None:
        for descriptor, listener in list(self._listeners.items()):
            del self._listeners[descriptor]
            self._epoll.unregister(descriptor)
            listener.sock.close()
            if listener.path:
                with suppress(FileNotFoundError):
                    status = os.lstat(listener.path)
                    if (status.st_dev, status.st_ino) == listener.identity:
                        os.unlink(listener.path)

    def _poll(self) -> None:
        next_sweep = next_look = 0.0
        stopping = False
        try:
            while True:
                # A server without connections sleeps; one that closes looks often whether it is done.
                seconds = self._sweep_time if self._connections else None
                if stopping or self._hear_again:
                    seconds = _SHORT
                if self._workers.short:
                    seconds = _STUCK
                self._dispatch(self._epoll.poll(seconds, 256))
                now = time.monotonic()
                if now >= next_look:
                    next_look = now + _STUCK
                    self._workers.look()
                if self._hear_again and now >= self._hear_again:
                    self._hear()
                if now >= next_sweep:
                    next_sweep = now + self._sweep_time
                    self._sweep(now)
                if self.closing:
                    if not stopping:
                        stopping = True
                        self._stop_listening()
                    self._dismiss()
                    if not self._connections or now >= self._end:
                        return
        finally:
            self._closed.set()
            for connection in list(self._connections.values()):
                if connection.claim():
                    connection.abandoned = True
                    self._workers.submit(connection)
                else:
                    connection.shut()

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        for descriptor, mask in events:
            connection = self._connections.get(descriptor)
            if connection is not None:
                if connection.claim():
                    connection.events = mask
                    self._workers.submit(connection)
            elif descriptor == self._wake:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            elif (listener := self._listeners.get(descriptor)) is not None:
                self._accept(listener)

    def _accept(self, listener: _Listener) -> None:
        for count in range(_ACCEPTS):
            if len(self._connections) >= self.limits.connections:
                if count:
                    return  # only a new report tells that there is a newcomer to make room for
                if not self._shed():
                    self._stop_hearing(f"all {self.limits.connections} connections are busy")
                    return
            try:
                sock, address = listener.sock.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM or not self._shed():
                    self._stop_hearing(str(error))
                return
            sock.setblocking(False)
            peer = Peer(local=True) if listener.local else Peer(False, address[0].removeprefix("::ffff:"))
            connection = Connection(self, sock, peer, self._tls if listener.tls else None)
            connection.parked = True
            connection.parked_at = time.monotonic()
            limits = self.limits
            patience = limits.handshake_time if listener.tls else limits.idle_time
            connection.deadline = connection.parked_at + patience
            self._connections[connection.fd] = connection
            try:
                self._epoll.register(connection.fd, select.EPOLLIN | select.EPOLLONESHOT)
            except OSError as error:
                connection.close()
                self._stop_hearing(str(error))
                return

    def _stop_hearing(self, reason: str) -> None:
        """Leave newcomers in the backlog for a moment, rather than turn them away."""
        now = time.monotonic()
        if now >= self._complain_again:
            self._complain_again = now + 10
            log.warning("new connections must wait: %s", reason)
        self._hear_again = now + _SHORT
        for descriptor in self._listeners:
            self._epoll.modify(descriptor, 0)

    def _hear(self) -> None:
        self._hear_again = 0.0
        for descriptor in self._listeners:
            self._epoll.modify(descriptor, select.EPOLLIN)

    def _shed(self) -> bool:
        """Close the connections that are idle for longest, one in a hundred; say whether there were any."""
        aged = time.monotonic() - _IDLE_AGE
        idle = [
            connection
            for connection in list(self._connections.values())
            if connection.parked
            and connection.parked_at < aged
            and connection.phase is Phase.HEAD
            and not connection.inbound
        ]
        idle.sort(key=lambda connection: connection.parked_at)
        closed = False
        for connection in idle[: 1 + len(idle) // 100]:
            if connection.claim():
                connection.close()
                closed = True
        return closed

    def _sweep(self, now: float) -> None:
        for connection in list(self._connections.values()):
            if connection.parked and connection.deadline < now and connection.claim():
                log.debug("connection of %s timed out: %s", connection.peer.address or "local", connection.phase.name)
                connection.close()

    def _dismiss(self) -> None:
        """Close the parked connections that have no request under way."""
        for connection in list(self._connections.values()):
            idle = connection.phase in (Phase.HEAD, Phase.HANDSHAKE, Phase.WAITING) and not connection.inbound
            if connection.parked and (idle or connection.phase is Phase.WAITING) and connection.claim():
                connection.abandoned = True
                self._workers.submit(connection)
