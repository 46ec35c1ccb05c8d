"""WebSockets, the server's side of RFC 6455, as a way to carry a stream of bytes: no sockets here.

What browsers' VNC clients do is known: binary frames (subprotocol `binary`, or none), or base64 in text frames
(`base64`). No extension is ever agreed to. Where one frame of a message ends means nothing to the stream.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from xapi.rpc.http_message import MessageError, Request

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = "13"
SUBPROTOCOLS = ("binary", "base64")
LARGEST = 1 << 20
"""Bytes in one frame, or in one base64 message, that a peer may send."""
_FIN, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a connection ends."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    BAD_DATA = 1007
    TOO_BIG = 1009


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An agreed handshake: the headers of the answer 101, and the subprotocol (empty if none was asked for)."""

    headers: tuple[tuple[str, str], ...]
    subprotocol: str


def wants_upgrade(request: Request) -> bool:
    """Whether a request asks for a WebSocket at all."""
    return "websocket" in _words(request, "upgrade")


def agree(request: Request) -> Upgrade:
    """Answer a handshake; MessageError 400 for a malformed one, 426 for another version of the protocol."""
    if not wants_upgrade(request) or "upgrade" not in _words(request, "connection") or request.version != "1.1":
        raise MessageError(400, "This is no WebSocket handshake.")
    headers = request.headers
    if headers.get("sec-websocket-version", "").strip() != VERSION:
        raise MessageError(426, f"The version of the WebSocket protocol must be {VERSION}.")
    key = headers.get("sec-websocket-key", "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise MessageError(400, "The key of the WebSocket handshake is malformed.")
    digest = base64.b64encode(hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()).decode()
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", digest)]
    asked = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
    chosen = next((word for word in asked if word in SUBPROTOCOLS), "")
    if chosen:
        answer.append(("Sec-WebSocket-Protocol", chosen))
    return Upgrade(tuple(answer), chosen)


def _words(request: Request, header: str) -> set[str]:
    return {word.strip().lower() for word in request.headers.get(header, "").split(",")}


class _Violation(Exception):
    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class WebSocket:
    """A stream of bytes over the frames of one connection.

    `receive` what came: it returns the stream's bytes. Whatever is to be sent (`wrap`, and answers to pings and
    closes) is taken by `outbound`. Once `closed`, nothing more comes; the connection ends when `outbound` is sent.
    """

    def __init__(self, subprotocol: str = "binary") -> None:
        self.closed = False
        self._text = subprotocol == "base64"
        self._inbound = bytearray()
        self._outbound: list[bytes] = []
        self._within: Opcode | None = None  # the kind of a message of which only a part has come
        self._encoded = bytearray()

    def outbound(self) -> bytes:
        """Take what is to be sent."""
        data = b"".join(self._outbound)
        self._outbound.clear()
        return data

    def wrap(self, data: bytes) -> None:
        """Send a part of the stream."""
        if data and not self.closed:
            if self._text:
                self._send(Opcode.TEXT, base64.b64encode(data))
            else:
                self._send(Opcode.BINARY, data)

    def ping(self) -> None:
        """Send a sign of life."""
        if not self.closed:
            self._send(Opcode.PING, b"")

    def close(self, code: CloseCode = CloseCode.NORMAL) -> None:
        """Say goodbye."""
        if not self.closed:
            self._end(struct.pack(">H", code))

    def receive(self, data: bytes) -> bytes:
        """Take what came and return what of the stream was in it; a violation of the protocol closes."""
        if self.closed:
            return b""
        self._inbound += data
        found: list[bytes] = []
        try:
            while (frame := self._frame()) is not None:
                found.append(self._understand(*frame))
        except _Violation as violation:
            self.close(violation.code)
        return b"".join(found)

    def _send(self, opcode: Opcode, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", _FIN | opcode, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", _FIN | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", _FIN | opcode, 127, size)
        self._outbound += (head, data)

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        """Cut off the next whole frame."""
        buffer = self._inbound
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        try:
            opcode = Opcode(first & 15)
        except ValueError:
            raise _Violation(CloseCode.PROTOCOL_ERROR) from None
        size, place = second & 127, 2
        if first & _RESERVED or not second & _MASKED or (opcode >= Opcode.CLOSE and (size > 125 or not first & _FIN)):
            raise _Violation(CloseCode.PROTOCOL_ERROR)
        if size >= 126:
            place = 4 if size == 126 else 10
            if len(buffer) < place:
                return None
            size = int.from_bytes(buffer[2:place])
        if size > LARGEST:
            raise _Violation(CloseCode.TOO_BIG)
        end = place + 4 + size
        if len(buffer) < end:
            return None
        payload = _unmasked(bytes(buffer[place : place + 4]), bytes(buffer[place + 4 : end]))
        del buffer[:end]
        return bool(first & _FIN), opcode, payload

    def _understand(self, final: bool, opcode: Opcode, payload: bytes) -> bytes:
        if opcode >= Opcode.CLOSE:
            self._control(opcode, payload)
            return b""
        if (opcode is Opcode.CONTINUATION) != (self._within is not None):
            raise _Violation(CloseCode.PROTOCOL_ERROR)
        if opcode is not Opcode.CONTINUATION and opcode is not (Opcode.TEXT if self._text else Opcode.BINARY):
            raise _Violation(CloseCode.UNSUPPORTED)
        self._within = None if final else opcode if self._within is None else self._within
        if not self._text:
            return payload
        self._encoded += payload
        if len(self._encoded) > LARGEST:
            raise _Violation(CloseCode.TOO_BIG)
        if not final:
            return b""
        try:
            return base64.b64decode(bytes(self._encoded), validate=True)
        except binascii.Error:
            raise _Violation(CloseCode.BAD_DATA) from None
        finally:
            self._encoded.clear()

    def _control(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.PING:
            self._send(Opcode.PONG, payload)
        elif opcode is Opcode.CLOSE:
            self._be_closed(payload)

    def _be_closed(self, payload: bytes) -> None:
        """Answer a close by one with the same code."""
        if payload:
            code = int.from_bytes(payload[:2]) if len(payload) > 1 else 0
            if code not in _CODES:
                raise _Violation(CloseCode.PROTOCOL_ERROR)
            try:
                payload[2:].decode()
            except UnicodeDecodeError:
                raise _Violation(CloseCode.BAD_DATA) from None
        self._end(payload[:2])

    def _end(self, payload: bytes) -> None:
        self._send(Opcode.CLOSE, payload)
        self.closed = True
        self._inbound.clear()


def _unmasked(mask: bytes, data: bytes) -> bytes:
    """Undo the mask, as one long number: byte by byte would be a hundred times slower."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data) ^ int.from_bytes(repeated)).to_bytes(size)
