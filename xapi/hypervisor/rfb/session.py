"""One viewer's conversation with a screen: the server's side of RFB 3.3, 3.7 and 3.8, without I/O.

No password is asked: these sockets are reached only through the toolstack's own doors, which know who comes.
"""

import struct
from typing import Protocol

from xapi.hypervisor.rfb.encodings import Encoder, Encoding
from xapi.hypervisor.rfb.framebuffer import Framebuffer, Rect
from xapi.hypervisor.rfb.messages import NO_SECURITY, VERSION, ClientMessages, Kind
from xapi.hypervisor.rfb.pixels import PixelFormat, PixelWriter, colour_map

_PICTURES = (Encoding.ZRLE, Encoding.ZLIB, Encoding.HEXTILE, Encoding.RAW)
_BAND = 256  # rows of a rectangle that are encoded at once


class Display(Protocol):
    """A screen with a keyboard and a pointer."""

    @property
    def framebuffer(self) -> Framebuffer:
        """What is to be seen."""

    def key(self, keysym: int, down: bool) -> None:
        """A key went down or up; `keysym` is X11's number for it."""

    def pointer(self, buttons: int, left: int, top: int) -> None:
        """The pointer moved or its buttons (a bit each) changed."""

    def paste(self, text: str) -> None:
        """The viewer's clipboard is to be typed."""


class RfbSession:
    """One viewer of a display. `feed` what it sent; send what `feed` and, once all of that has gone, `update` return.

    Pictures go out only when asked for, one for all requests that came meanwhile: a viewer that reads slowly, or not
    at all, costs nothing but what it has asked for last.
    """

    def __init__(self, display: Display, name: str) -> None:
        self._display = display
        self._name = name.encode()[:256]
        self._messages = ClientMessages()
        self._writer = PixelWriter(PixelFormat())
        self._encoder = Encoder()
        self._encodings: tuple[int, ...] = ()
        self._size = (0, 0)  # as the viewer knows it
        self._fresh: Rect | None = None  # asked for as it is, whether or not the viewer has it
        self._waits = False  # for anything that is new
        self._seen = 0  # the framebuffer's version that the viewer has in full
        self._redraw = False  # what the viewer has is worthless
        self._map_due = False

    def greet(self) -> bytes:
        """The highest version that is spoken here."""
        return VERSION

    def feed(self, data: bytes) -> bytes:
        """Take what came and return what to send at once; raises ProtocolError."""
        return b"".join(self._answer(kind, message) for kind, message in self._messages.feed(data))

    def _answer(self, kind: Kind, message: bytes) -> bytes:
        match kind:
            case Kind.VERSION:
                if self._messages.minor < 7:
                    return struct.pack(">I", NO_SECURITY)
                return bytes((1, NO_SECURITY))
            case Kind.SECURITY:
                return struct.pack(">I", 0) if self._messages.minor >= 8 else b""
            case Kind.INITIALISE:
                return self._introduce()
            case Kind.SET_PIXEL_FORMAT:
                self._set_format(PixelFormat.parse(message[4:]))
            case Kind.SET_ENCODINGS:
                self._encodings = struct.unpack(f">{(len(message) - 4) // 4}i", message[4:])
            case Kind.UPDATE_REQUEST:
                self._note_request(*struct.unpack(">x?HHHH", message))
            case Kind.KEY:
                down, keysym = struct.unpack(">x?xxI", message)
                self._display.key(keysym, down)
            case Kind.POINTER:
                self._display.pointer(*struct.unpack(">xBHH", message))
            case Kind.CUT_TEXT:
                self._display.paste(message[8:].decode("latin-1"))
            case _:
                pass  # nothing that was announced here
        return b""

    def _introduce(self) -> bytes:
        screen = self._display.framebuffer
        self._size = (screen.width, screen.height)
        head: bytes = struct.pack(">HH", *self._size) + self._writer.format.pack()
        return head + struct.pack(">I", len(self._name)) + self._name

    def _set_format(self, wanted: PixelFormat) -> None:
        self._writer = PixelWriter(wanted)
        self._map_due = not wanted.true_colour
        self._redraw = True

    def _note_request(self, incremental: bool, left: int, top: int, width: int, height: int) -> None:
        if incremental:
            self._waits = True  # for all of the screen: parts that nobody asks for would never be up to date
            return
        asked = Rect(left, top, width, height)
        self._fresh = asked if self._fresh is None else _around(self._fresh, asked)

    def update(self) -> bytes:
        """The picture that the viewer waits for; empty while it asked for none, or there is nothing new in it."""
        if self._fresh is None and not self._waits:
            return b""
        screen = self._display.framebuffer
        size = (screen.width, screen.height)
        if size != self._size and Encoding.DESKTOP_SIZE in self._encodings:
            self._size = size
            self._fresh, self._waits, self._redraw = None, False, True
            return struct.pack(">BxHHHHHi", 0, 1, 0, 0, *size, Encoding.DESKTOP_SIZE)
        visible = Rect(0, 0, *self._size).within(screen.area)
        if self._redraw:
            self._fresh = visible
        parts = self._due(screen, visible)
        self._fresh = None
        if not parts:
            return b""
        self._waits = self._redraw = False
        return self._picture(screen, parts)

    def close(self) -> None:
        """The viewer has gone; there is nothing to give back."""

    def _due(self, screen: Framebuffer, visible: Rect) -> list[Rect]:
        parts: list[Rect] = []
        if self._fresh is not None:
            asked = self._fresh.within(visible)
            parts += screen.changed(0, asked)
            if asked == visible:
                self._seen = screen.version
        if self._waits:
            parts += screen.changed(self._seen, visible)
            self._seen = screen.version
        return parts

    def _picture(self, screen: Framebuffer, parts: list[Rect]) -> bytes:
        pieces = [piece for part in parts for piece in _bands(part)]
        encoding = Encoding(next((one for one in self._encodings if one in _PICTURES), Encoding.RAW))
        sent = [colour_map()] if self._map_due else []
        self._map_due = False
        sent.append(struct.pack(">BxH", 0, len(pieces)))
        for piece in pieces:
            sent.append(struct.pack(">HHHHi", *piece, encoding))
            sent.append(self._encoder.encode(encoding, screen.rows(piece), self._writer))
        return b"".join(sent)


def _around(one: Rect, other: Rect) -> Rect:
    left, top = min(one.left, other.left), min(one.top, other.top)
    right = max(one.left + one.width, other.left + other.width)
    bottom = max(one.top + one.height, other.top + other.height)
    return Rect(left, top, right - left, bottom - top)


def _bands(part: Rect) -> list[Rect]:
    return [
        Rect(part.left, top, part.width, min(_BAND, part.top + part.height - top))
        for top in range(part.top, part.top + part.height, _BAND)
    ]
