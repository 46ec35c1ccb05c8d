"""A small NBD client, written from the protocol's text and not from our server."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any


class Refused(Exception):
    """The server has refused an option; its number and its text."""


class RequestFailed(Exception):
    """The server has answered a request with an error."""


class Client:
    def __init__(self, sock: socket.socket, no_zeroes: bool = True) -> None:
        self.sock: socket.socket = sock
        self.sock.settimeout(30)
        self.cookie = 0
        self.structured = False
        self.chunks: list[tuple[int, int, int]] = []
        assert self.exactly(16) == b"NBDMAGICIHAVEOPT"
        (self.server_flags,) = struct.unpack(">H", self.exactly(2))
        self.no_zeroes = no_zeroes
        self.sock.sendall(struct.pack(">I", 3 if no_zeroes else 1))

    @classmethod
    def unix(cls, path: str, name: str = "", structured: bool = False) -> Client:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(path)
        client = cls(sock)
        if structured:
            client.want_structured()
            client.set_contexts(name)
        client.go(name)
        return client

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(min(count - len(data), 1 << 20))
            if not more:
                raise EOFError
            data += more
        return data

    def close(self) -> None:
        self.sock.close()

    # Options

    def option(self, code: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """All replies up to the acknowledgement."""
        self.sock.sendall(b"IHAVEOPT" + struct.pack(">II", code, len(data)) + data)
        replies = []
        while True:
            magic, of, kind, length = struct.unpack(">QIII", self.exactly(20))
            assert magic == 0x3E889045565A9
            assert of == code
            data = self.exactly(length)
            if kind & 1 << 31:
                raise Refused(kind & 0xFFFF, data.decode())
            if kind == 1:
                return replies
            replies.append((kind, data))

    def go(self, name: str, code: int = 7, infos: tuple[int, ...] = (1, 3)) -> list[tuple[int, bytes]]:
        encoded = name.encode()
        data = struct.pack(">I", len(encoded)) + encoded + struct.pack(f">H{len(infos)}H", len(infos), *infos)
        replies = self.option(code, data)
        for kind, info in replies:
            assert kind == 3
            if info[:2] == b"\0\0":
                _, self.size, self.flags = struct.unpack(">HQH", info)
        return replies

    def export_name(self, name: str) -> None:
        encoded = name.encode()
        self.sock.sendall(b"IHAVEOPT" + struct.pack(">II", 1, len(encoded)) + encoded)
        self.size, self.flags = struct.unpack(">QH", self.exactly(10))
        if not self.no_zeroes:
            assert not any(self.exactly(124))

    def list(self) -> list[str]:
        return [data[4:].decode() for _, data in self.option(3)]

    def want_structured(self) -> None:
        self.option(8)
        self.structured = True

    def set_contexts(self, name: str, *queries: str, code: int = 10) -> list[str]:
        encoded = name.encode()
        queries = queries or ("base:allocation",)
        data = struct.pack(">I", len(encoded)) + encoded + struct.pack(">I", len(queries))
        for query in queries:
            data += struct.pack(">I", len(query)) + query.encode()
        return [reply[4:].decode() for _, reply in self.option(code, data)]

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.option(5)
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    # Requests

    def send(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> int:
        self.cookie += 1
        head = struct.pack(">IHHQQI", 0x25609513, flags, command, self.cookie, offset, length)
        self.sock.sendall(head + data)
        return self.cookie

    def receive(self, length: int = 0, offset: int = 0) -> tuple[int, Any]:
        """The next whole reply: its cookie, and the data or the block status."""
        (magic,) = struct.unpack(">I", self.exactly(4))
        if magic == 0x67446698:
            error, cookie = struct.unpack(">IQ", self.exactly(12))
            if error:
                raise RequestFailed(error)
            return cookie, self.exactly(length)
        result = bytearray(length)
        status: list[tuple[int, int]] = []
        self.chunks = []
        while True:
            assert magic == 0x668E33EF
            flags, kind, cookie, size = struct.unpack(">HHQI", self.exactly(16))
            body = self.exactly(size)
            self.chunks.append((kind, flags, size))
            if kind & 1 << 15:
                raise RequestFailed(struct.unpack_from(">I", body)[0])
            if kind == 1:
                (at,) = struct.unpack_from(">Q", body)
                result[at - offset : at - offset + size - 8] = body[8:]
            elif kind == 2:
                at, count = struct.unpack(">QI", body)
                result[at - offset : at - offset + count] = bytes(count)
            elif kind == 5:
                status = list(struct.iter_unpack(">II", body[4:]))
            if flags & 1:
                return cookie, status or bytes(result)
            (magic,) = struct.unpack(">I", self.exactly(4))

    def read(self, offset: int, length: int, flags: int = 0) -> bytes:
        wanted = self.send(0, offset, length, flags=flags)
        cookie, data = self.receive(length, offset)
        assert cookie == wanted
        assert isinstance(data, bytes)
        return data

    def _plain(self, *args: Any, **kwargs: Any) -> None:
        wanted = self.send(*args, **kwargs)
        assert self.receive()[0] == wanted

    def write(self, offset: int, data: bytes, flags: int = 0) -> None:
        self._plain(1, offset, len(data), data, flags)

    def flush(self) -> None:
        self._plain(3)

    def trim(self, offset: int, length: int) -> None:
        self._plain(4, offset, length)

    def zero(self, offset: int, length: int, flags: int = 0) -> None:
        self._plain(6, offset, length, flags=flags)

    def status(self, offset: int, length: int, flags: int = 0) -> list[tuple[int, int]]:
        wanted = self.send(7, offset, length, flags=flags)
        cookie, pieces = self.receive()
        assert cookie == wanted
        return list(pieces)

    def disconnect(self) -> None:
        self.send(2)
        assert self.sock.recv(1) == b""
        self.close()
