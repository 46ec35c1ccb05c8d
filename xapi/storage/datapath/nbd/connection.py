"""One client's connection: bytes in, bytes out, one thread.

Requests are done in their order. Small replies gather while more requests are at hand, and go out together. While a
request works on the disk, the connection's `lock` is held; never while waiting for the client, so that whoever takes
the lock waits for the disk only.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from threading import Lock

from xapi.storage.datapath.nbd import protocol
from xapi.storage.datapath.nbd.export import Export
from xapi.storage.datapath.nbd.negotiation import Negotiation, Next
from xapi.storage.datapath.nbd.protocol import (
    LONGEST_PAYLOAD,
    MOST_DESCRIPTORS,
    REFUSED_FLAGS,
    ChunkType,
    Command,
    CommandFlag,
    Malformed,
    Request,
    joined_pieces,
)

LOG = logging.getLogger("xapi.storage.datapath")
INPUT = 64 << 10
OUTPUT = 512 << 10
KEPT = 4 << 20
SPARSE_READ = 64 << 10
"""From this length on, a structured reply looks for zeros that need not be sent."""
FORESEEN = 1 << 20
"""A longer read keeps the disk at work by itself."""
HANDSHAKE_SECONDS = 30.0
# Plain numbers: each request asks for these, and members of an enumeration are slow to combine.
READ, WRITE = int(Command.READ), int(Command.WRITE)
WRITING = frozenset(map(int, (Command.WRITE, Command.TRIM, Command.WRITE_ZEROES)))
FUA, DONT_FRAGMENT = int(CommandFlag.FUA), int(CommandFlag.DONT_FRAGMENT)
REQUEST_SIZE = protocol.REQUEST.size
NOTHING = memoryview(b"")


class Closed(Exception):
    """The client is gone, or has said that it goes."""


class Connection:
    """A client from its first byte to its last."""

    def __init__(self, sock: socket.socket, negotiation: Negotiation, tls: ssl.SSLContext | None = None) -> None:
        self._socket = sock
        self._negotiation = negotiation
        self._tls = tls
        self.lock = Lock()
        self._input = bytearray(INPUT)
        self._begin = self._end = self._foreseen = 0
        self._output = memoryview(bytearray(OUTPUT))
        self._waiting = 0
        self._large = bytearray()
        self._export: Export
        self._structured = False

    def run(self, begun: Callable[[], None] = lambda: None) -> None:
        """Serve the client until it goes; `begun` is called between handshake and requests."""
        try:
            self._socket.settimeout(HANDSHAKE_SECONDS)
            if not self._negotiate():
                return
            self._socket.settimeout(None)
            assert self._negotiation.export is not None
            self._export = self._negotiation.export
            self._structured = self._negotiation.structured
            begun()
            while True:
                self._serve(self._next_request())
        except Closed:
            pass
        except Malformed as error:
            LOG.warning("a client broke the protocol: %s", error)
        except OSError as error:
            LOG.info("a client was lost: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        """Hang up; also from another thread, which ends `run`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            LOG.debug("already gone: %s", error)
        self._socket.close()

    # Bytes

    def _receive(self, wanted: int) -> int:
        """Have so many bytes at hand and return where they begin."""
        if self._end - self._begin < wanted:
            if self._waiting:
                self._send_waiting()
            if self._begin:
                have = self._end - self._begin
                self._input[:have] = self._input[self._begin : self._end]
                self._foreseen = max(self._foreseen - self._begin, 0)
                self._begin, self._end = 0, have
            view = memoryview(self._input)
            while self._end - self._begin < wanted:
                count = self._socket.recv_into(view[self._end :])
                if count == 0:
                    raise Closed
                self._end += count
        at = self._begin
        self._begin += wanted
        return at

    def _receive_into(self, view: memoryview) -> None:
        """Fill a buffer, first with what is at hand."""
        have = min(self._end - self._begin, len(view))
        view[:have] = memoryview(self._input)[self._begin : self._begin + have]
        self._begin += have
        while have < len(view):
            if self._waiting:
                self._send_waiting()
            count = self._socket.recv_into(view[have:])
            if count == 0:
                raise Closed
            have += count

    def _take(self, length: int) -> bytes:
        at = self._receive(length)
        return bytes(self._input[at : at + length])

    def _room(self, length: int) -> memoryview:
        """Return a buffer for a reply of this length; `_sent` sends it."""
        if length <= OUTPUT:
            if self._waiting + length > OUTPUT:
                self._send_waiting()
            return self._output[self._waiting : self._waiting + length]
        return self._big(length)

    def _big(self, length: int) -> memoryview:
        if len(self._large) < length:
            self._large = bytearray(length)
        return memoryview(self._large)[:length]

    def _sent(self, reply: memoryview) -> None:
        if len(reply) <= OUTPUT:
            self._waiting += len(reply)
            return
        self._send_waiting()
        self._socket.sendall(reply)
        self._slim()

    def _slim(self) -> None:
        if len(self._large) > KEPT:
            self._large = bytearray()

    def _say(self, data: bytes) -> None:
        room = self._room(len(data))
        room[:] = data
        self._sent(room)

    def _send_waiting(self) -> None:
        if self._waiting:
            self._socket.sendall(self._output[: self._waiting])
            self._waiting = 0

    # The handshake

    def _negotiate(self) -> bool:
        """Whether the client got as far as to choose an export."""
        self._socket.sendall(protocol.greeting())
        self._negotiation.client_flags(self._take(4))
        while True:
            code, length = protocol.parse_option(self._take(protocol.OPTION.size))
            answer = self._negotiation.option(code, self._take(length))
            self._socket.sendall(answer.data)
            match answer.then:
                case Next.START_TLS:
                    self._start_tls()
                case Next.TRANSMIT:
                    return True
                case Next.CLOSE:
                    return False
                case Next.GO_ON:
                    pass

    def _start_tls(self) -> None:
        if self._tls is None or self._end != self._begin:
            raise Malformed("more was said in the clear after TLS was asked for")
        self._socket = self._tls.wrap_socket(self._socket, server_side=True)

    # Requests

    def _next_request(self) -> Request:
        at = self._receive(REQUEST_SIZE)
        return protocol.parse_request(self._input, at)

    def _serve(self, request: Request) -> None:
        payload = self._payload(request) if request.command == WRITE else NOTHING
        error = self._objection(request)
        if error:
            self._fail(request, error)
            return
        if request.command == READ:
            self._read(request)
            return
        if request.command == Command.DISCONNECT:
            self._send_waiting()
            raise Closed
        try:
            with self.lock:
                pieces = self._do(request, payload)
        except OSError as failure:
            self._fail(request, protocol.wire_error(failure.errno), failure)
            return
        finally:
            self._slim()
        if pieces is not None:
            self._say(protocol.status_chunk(request.cookie, pieces))
        elif self._structured:
            self._say(protocol.chunk_head(ChunkType.NONE, request.cookie, 0))
        else:
            self._say(protocol.simple_reply(request.cookie))

    def _payload(self, request: Request) -> memoryview:
        if request.length > LONGEST_PAYLOAD:
            raise Malformed(f"a write of {request.length} bytes")
        view = self._big(request.length)
        self._receive_into(view)
        return view

    def _objection(self, request: Request) -> int:
        """Return the error for a request that is not even tried, 0 for none."""
        command, end = request.command, request.offset + request.length
        refused = REFUSED_FLAGS.get(command)
        if refused is None or request.flags & refused:
            return protocol.WIRE_ERRORS[22]
        export = self._export
        writes = command in WRITING
        if writes and export.read_only:
            return protocol.WIRE_ERRORS[1]
        if end > export.size and command not in (Command.FLUSH, Command.DISCONNECT):
            return protocol.WIRE_ERRORS[28 if writes else 22]
        if command == READ and request.length > LONGEST_PAYLOAD:
            return protocol.WIRE_ERRORS[75]
        if command == Command.BLOCK_STATUS and (not self._negotiation.allocation or not request.length):
            return protocol.WIRE_ERRORS[22]
        return 0

    def _fail(self, request: Request, error: int, failure: OSError | None = None) -> None:
        if failure is not None:
            LOG.error("%s of %d bytes at %d: %s", request.command, request.length, request.offset, failure)
        if self._structured:
            self._say(protocol.error_chunk(request.cookie, error))
        else:
            self._say(protocol.simple_reply(request.cookie, error))

    def _do(self, request: Request, payload: memoryview) -> list[tuple[int, bool]] | None:
        export = self._export
        match request.command:
            case Command.WRITE:
                export.write(request.offset, payload)
            case Command.WRITE_ZEROES:
                export.write_zeros(request.offset, request.length, bool(request.flags & CommandFlag.NO_HOLE))
            case Command.TRIM:
                export.trim(request.offset, request.length)
            case Command.FLUSH:
                export.flush()
                return None
            case Command.BLOCK_STATUS:
                most = 1 if request.flags & CommandFlag.REQUEST_ONE else MOST_DESCRIPTORS
                return joined_pieces(export.status(request.offset, request.length, most))[:most]
        if request.flags & FUA:
            export.flush()
        return None

    def _read(self, request: Request) -> None:
        if not self._structured:
            self._read_simply(request)
        elif request.length >= SPARSE_READ and not request.flags & DONT_FRAGMENT:
            self._read_sparsely(request)
        elif request.length:
            self._read_piece(request, request.offset, request.length, done=True)
        else:
            self._say(protocol.chunk_head(ChunkType.NONE, request.cookie, 0))

    def _fill(self, offset: int, data: memoryview) -> None:
        """Read; if that waits for the disk, let the disk begin with the reads that are at hand behind this one."""
        if self._end - self._begin < REQUEST_SIZE:
            self._export.read_into(offset, data)
        elif not self._export.read_cached(offset, data):
            self._foresee()
            self._export.read_into(offset, data)

    def _foresee(self) -> None:
        at = max(self._begin, self._foreseen)
        while at + REQUEST_SIZE <= self._end:
            magic, _, command, _, offset, length = protocol.REQUEST.unpack_from(self._input, at)
            if magic != protocol.REQUEST_MAGIC:
                break
            if command == READ and length <= FORESEEN and offset + length <= self._export.size:
                self._export.prefetch(offset, length)
            at += REQUEST_SIZE + (length if command == WRITE else 0)
        self._foreseen = min(at, self._end)  # a payload that is not all here is not received into this buffer

    def _read_simply(self, request: Request) -> None:
        head = protocol.SIMPLE_REPLY.size
        reply = self._room(head + request.length)
        try:
            with self.lock:
                self._fill(request.offset, reply[head:])
        except OSError as failure:
            self._fail(request, protocol.wire_error(failure.errno), failure)
            return
        protocol.SIMPLE_REPLY.pack_into(reply, 0, protocol.SIMPLE_REPLY_MAGIC, 0, request.cookie)
        self._sent(reply)

    def _read_sparsely(self, request: Request) -> None:
        """Reply piece by piece, zeros by their length only."""
        try:
            with self.lock:
                pieces = joined_pieces(self._export.status(request.offset, request.length, MOST_DESCRIPTORS))
        except OSError as failure:
            self._fail(request, protocol.wire_error(failure.errno), failure)
            return
        offset, end = request.offset, request.offset + request.length
        for index, (length, zero) in enumerate(pieces):
            last = index == len(pieces) - 1
            length = end - offset if last and not zero else length
            done = offset + length == end
            if zero:
                self._say(protocol.hole_chunk(request.cookie, offset, length, done))
            elif not self._read_piece(request, offset, length, done):
                return
            offset += length
        if offset < end:
            self._read_piece(request, offset, end - offset, done=True)

    def _read_piece(self, request: Request, offset: int, length: int, done: bool) -> bool:
        """Reply with data, and return whether that went well; an error ends the request."""
        head = protocol.DATA_CHUNK.size
        reply = self._room(head + length)
        try:
            with self.lock:
                self._fill(offset, reply[head:])
        except OSError as failure:
            self._fail(request, protocol.wire_error(failure.errno), failure)
            return False
        protocol.pack_data_head(reply, request.cookie, offset, length, done)
        self._sent(reply)
        return True
