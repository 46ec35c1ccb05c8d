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
import queue
import select
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from xapi.rpc.http_connection import (
    BLOCK,
    BLOCKED,
    CONTINUE,
    RECEIVE,
    SERVER_FAILED,
    SMALL,
    Connection,
    Later,
    Limits,
    Phase,
    Simple,
)
from xapi.rpc.http_message import (
    Buffer,
    Head,
    MessageError,
    Peer,
    Request,
    Response,
    body_decoder,
    body_size,
    error_page,
    has_no_body,
    join_blocks,
    parts,
    render_head,
    wants_close,
)

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

_SENDFILE = 1 << 30  # bytes asked of the system at once
_ACCEPTS = 64  # connections accepted before the poller looks after the others
_BACKLOG = 1024
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORT = 0.02  # seconds between looks at what is about to change
_IDLE_AGE = 0.1  # seconds of silence after which a connection may be closed in favour of another
_WORKER_PATIENCE = 10.0  # seconds without work after which a worker ends


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


class _Workers:
    """A pool of daemon threads that serve connections; it grows when nobody is free and shrinks when idle."""

    def __init__(self, name: str, minimum: int, maximum: int) -> None:
        self._name = name
        self._minimum = minimum
        self._maximum = maximum
        self._queue: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._spare = 0  # workers without work, less connections without a worker
        self._started = 0
        self._threads: set[threading.Thread] = set()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    @property
    def short(self) -> bool:
        """Whether a connection waits for a worker."""
        return self._spare < 0

    def submit(self, connection: Connection) -> None:
        """Let a worker serve the connection; one that comes after the end is closed."""
        fresh = None
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._spare -= 1
                if self._spare < 0 and len(self._threads) < self._maximum:
                    self._spare += 1
                    self._started += 1
                    fresh = threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True)
                    self._threads.add(fresh)
                self._queue.put(connection)
        if stopped:
            connection.close()
        if fresh is not None:
            self._begin(fresh)

    def _begin(self, fresh: threading.Thread) -> None:
        try:
            fresh.start()
        except RuntimeError as error:
            log.error("no thread for a connection, which must wait for another: %s", error)
            with self._lock:
                self._spare -= 1
                self._threads.discard(fresh)

    def stop(self, seconds: float) -> bool:
        """End the workers that are free; say whether all ended in time."""
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        until = time.monotonic() + seconds
        for thread in threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while True:
            try:
                connection = self._queue.get(timeout=_WORKER_PATIENCE)
            except queue.Empty:
                with self._lock:
                    if self._spare > 0 and len(self._threads) > self._minimum:
                        self._spare -= 1
                        self._threads.discard(threading.current_thread())
                        return
                continue
            if connection is None:
                with self._lock:
                    self._threads.discard(threading.current_thread())
                return
            connection.serve()
            del connection  # a resting worker keeps nothing alive
            with self._lock:
                self._spare += 1


@dataclass(slots=True)
class _Listener:
    sock: socket.socket
    local: bool
    tls: bool
    path: str = ""
    identity: tuple[int, int] = (0, 0)


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
        self._workers = _Workers(f"{name}-worker", *threads)
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
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
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
        except BaseException:
            sock.close()
            raise
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
        try:
            sock.bind(path)
            os.chmod(path, mode)
            status = os.lstat(path)
            sock.listen(_BACKLOG)  # last: nobody gets in before the permissions are right
        except BaseException:
            sock.close()
            raise
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

    def arm(self, connection: Connection, events: int) -> bool:
        """Let epoll report one of the events, once; False when nobody polls any more."""
        if self._closed.is_set():
            return False
        try:
            self._epoll.modify(connection.fd, events | select.EPOLLONESHOT)
        except ValueError:  # closed just now
            return False
        return True

    def submit(self, connection: Connection) -> None:
        """Give the connection to a worker."""
        self._workers.submit(connection)

    def forget(self, connection: Connection) -> None:
        """Remove the connection from epoll and from the books."""
        if self._connections.get(connection.fd) is connection:
            del self._connections[connection.fd]
            with suppress(OSError, ValueError):
                self._epoll.unregister(connection.fd)

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
            route.handler(exchange)
            if not exchange.taken:
                exchange.finish()
        except Exception as error:
            if exchange.lost:
                log.info("%s %s was cut short by its peer: %s", head.method, head.path, error)
                return connection.abort()
            if not exchange.started and not exchange.taken and isinstance(error, MessageError):
                return connection.refuse(error.status, str(error))
            log.exception("%s %s failed", head.method, head.path)
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
        next_sweep = 0.0
        stopping = False
        try:
            while True:
                # A server without connections sleeps; one that closes looks often whether it is done.
                seconds = self._sweep_time if self._connections else None
                if stopping or self._hear_again:
                    seconds = _SHORT
                self._dispatch(self._epoll.poll(seconds, 256))
                now = time.monotonic()
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


class Exchange:
    """One request and its answer, for a handler that streams.

    Reads return an empty value at the end of the body; `truncated` then tells whether the peer stopped early. Reads
    and writes hold the worker; they raise OSError when the peer is lost, which the handler need not catch. An
    exception before `start` becomes a page with status 500; after it, the connection is cut.
    """

    def __init__(self, connection: Connection, head: Head) -> None:
        self.request = connection.request(head, b"")
        self.truncated = False
        self.started = False
        self.taken = False
        self.lost = False
        self._connection = connection
        self._head = head
        self._decoder = body_decoder(head)
        self._continue = head.expects_continue
        self._silent = head.method == "HEAD"
        self._chunked = False
        self._remaining: int | None = None
        self._finished = False

    @property
    def body_complete(self) -> bool:
        """Whether the request body was read to its end."""
        return self._decoder.complete

    # The request body

    def read(self, count: int = BLOCK) -> bytes:
        """Return the next bytes of the body, at least one and at most `count`; empty at the end."""
        connection, decoder = self._connection, self._decoder
        while count > 0 and not self.truncated:
            data = decoder.take(connection.inbound, count)
            if data or decoder.complete:
                return data
            direct = min(count, decoder.direct, BLOCK)
            received = self._receive(direct or RECEIVE)
            if received and direct:
                decoder.skip(len(received))
                return received
            connection.inbound += received
        return b""

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the front of the buffer with body; return how many bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        connection, decoder = self._connection, self._decoder
        if not connection.inbound and decoder.direct and not self.truncated and view:
            self._send_continue()
            while True:
                try:
                    count = connection.sock.recv_into(view[: decoder.direct])
                    break
                except BLOCKED:
                    self._wait_for_input()
                except ConnectionError:
                    count = 0
                    break
            if count:
                decoder.skip(count)
            else:
                self._end_of_input()
            return count
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def _receive(self, size: int) -> bytes:
        self._send_continue()
        try:
            while (data := self._connection.receive(size)) is None:
                self._wait_for_input()
        except ConnectionError:
            data = b""
        if not data:
            self._end_of_input()
        return data

    def _wait_for_input(self) -> None:
        connection = self._connection
        if not connection.wait(select.POLLIN, connection.host.limits.stream_time):
            self.lost = True
            raise TimeoutError("the peer sends no more of its request")

    def _end_of_input(self) -> None:
        self.truncated = not self._decoder.end_of_input()
        self._connection.keep_alive = False

    def _send_continue(self) -> None:
        if self._continue:
            self._continue = False
            if not self.started and not self._connection.inbound:
                self._send(CONTINUE)

    def discard(self) -> bool:
        """Drop what is left of a short request body without waiting; say whether it is all gone."""
        connection, decoder = self._connection, self._decoder
        left = BLOCK
        while not decoder.complete and left > 0 and not self._continue:
            try:
                data = decoder.take(connection.inbound, BLOCK)
            except MessageError:
                return False
            left -= len(data)
            if not data and not decoder.complete:
                received = connection.receive(min(decoder.direct, BLOCK) or RECEIVE)
                if not received:
                    return False
                connection.inbound += received
        return decoder.complete

    # The response

    def start(self, status: int, headers: Sequence[tuple[str, str]] = (), length: int | None = None) -> None:
        """Send the response head; without a length the body is chunked, or ends with an HTTP/1.0 connection.

        After a 1xx status, and after a 2xx to CONNECT, there is no body: `take_over` comes next.
        """
        if self.started:
            raise RuntimeError("the response was started before")
        connection = self._connection
        tunnel = status < 200 or (self._head.method == "CONNECT" and status < 300)
        framing = ""
        self._chunked = False
        if has_no_body(status) or tunnel:
            self._silent = True
        elif length is not None:
            framing = f"Content-Length: {length}\r\n"
        elif self._head.version == "1.1":
            framing = "Transfer-Encoding: chunked\r\n"
            self._chunked = True
        else:
            connection.keep_alive = False
        if wants_close(headers) or (self._continue and not self.body_complete):
            connection.keep_alive = False  # a peer that waits for 100 may send its body or not: who knows
        if not tunnel:
            framing += connection.connection_header()
        else:
            framing += "".join(f"{name}: {value}\r\n" for name, value in headers if name.lower() == "connection")
        data = render_head(status, headers, framing)
        self._remaining = None if self._silent else length
        self.started = True
        self._send(data)

    def write(self, data: Buffer) -> None:
        """Send a part of the response body."""
        view = memoryview(data).cast("B")
        if not self._account(len(view)):
            return
        if not self._chunked:
            self._send(view)
        elif len(view) <= SMALL:
            self._send(b"".join((b"%x\r\n" % len(view), view, b"\r\n")))
        else:
            self._send(b"%x\r\n" % len(view))
            self._send(view)
            self._send(b"\r\n")

    def sendfile(self, file: IO[bytes] | int, offset: int, count: int) -> None:
        """Send `count` bytes of the file from `offset` as a part of the response body, without copying if possible.

        Raises EOFError when the file is shorter.
        """
        if not self._account(count):
            return
        descriptor = file if isinstance(file, int) else file.fileno()
        if self._chunked:
            self._send(b"%x\r\n" % count)
        end = offset + count
        plain = not isinstance(self._connection.sock, ssl.SSLSocket)
        while offset < end:
            sent = self._sendfile_once(descriptor, offset, end - offset) if plain else None
            if sent is None:
                plain = False
                data = os.pread(descriptor, min(BLOCK, end - offset), offset)
                self._send(data)
                sent = len(data)
            if not sent:
                raise EOFError(f"the file ends {end - offset} bytes early")
            offset += sent
        if self._chunked:
            self._send(b"\r\n")

    def _sendfile_once(self, descriptor: int, offset: int, count: int) -> int | None:
        """Send some bytes with the system's help; None when it has none for this kind of file."""
        connection = self._connection
        while True:
            try:
                return os.sendfile(connection.fd, descriptor, offset, min(count, _SENDFILE))
            except BlockingIOError:
                if not connection.wait(select.POLLOUT, connection.host.limits.send_time):
                    self.lost = True
                    raise TimeoutError("the peer does not read") from None
            except ConnectionError:
                self.lost = True
                raise
            except OSError:
                return None

    def finish(self) -> None:
        """End the response; done by the server when the handler returns, which then need not call it."""
        if self._finished:
            return
        if not self.started:
            raise RuntimeError("the handler ended without a response")
        if self._remaining:
            raise RuntimeError(f"the response lacks {self._remaining} of the bytes that its head announced")
        self._finished = True
        if self._chunked and not self._silent:
            self._send(b"0\r\n\r\n")

    def respond(self, response: Response) -> None:
        """Send a whole response at once."""
        self.start(response.status, response.headers, body_size(response.body))
        for block in join_blocks(parts(response.body), BLOCK):
            self.write(block)
        self.finish()

    def take_over(self) -> tuple[socket.socket, bytes]:
        """Return the blocking socket and the bytes that were read ahead; the server forgets both."""
        if self._finished or (self.started and not self._silent):
            raise RuntimeError("the response uses this connection")
        connection = self._connection
        self.taken = True
        connection.host.forget(connection)
        connection.sock.settimeout(None)
        ahead = bytes(connection.inbound)
        connection.inbound.clear()
        return connection.sock, ahead

    def _account(self, count: int) -> bool:
        """Check that a part of the body may be sent now; False if there is nothing to send."""
        if not self.started or self._finished or self.taken:
            raise RuntimeError("a body is sent between start and finish")
        if self._silent or not count:
            return False
        if self._remaining is not None:
            if count > self._remaining:
                raise ValueError("the body is longer than its head announced")
            self._remaining -= count
        return True

    def _send(self, data: Buffer) -> None:
        try:
            self._connection.send_all(data)
        except OSError:
            self.lost = True
            raise
