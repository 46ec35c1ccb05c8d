"""One request and its answer, for handlers that read and write as they go."""

import os
import select
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO

from xapi.rpc.http_answers import SMALL
from xapi.rpc.http_channel import BLOCK, BLOCKED
from xapi.rpc.http_connection import CONTINUE, RECEIVE, Connection
from xapi.rpc.http_message import (
    Buffer,
    Head,
    MessageError,
    Response,
    body_decoder,
    body_size,
    has_no_body,
    join_blocks,
    parts,
    render_head,
    wants_close,
)

_SENDFILE = 1 << 30  # bytes asked of the system at once


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
                    count = self._fill(view[: decoder.direct])
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

    def _fill(self, view: memoryview) -> int:
        """Receive what is there, at least a byte unless the peer has ended; TLS gives no more than 16 KiB at once."""
        sock = self._connection.sock
        filled = sock.recv_into(view)
        if isinstance(sock, ssl.SSLSocket):
            with suppress(*BLOCKED):
                while filled < len(view) and (count := sock.recv_into(view[filled:])):
                    filled += count
        return filled

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
