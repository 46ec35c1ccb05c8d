from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.hypervisor.rfb.viewer import Viewer, joined
from xapi.hypervisor.rfb.encodings import Encoder, Encoding
from xapi.hypervisor.rfb.errors import ProtocolError
from xapi.hypervisor.rfb.framebuffer import Framebuffer, Rect
from xapi.hypervisor.rfb.messages import LONGEST, Activity, ClientMessages, Kind
from xapi.hypervisor.rfb.pixels import PALETTE, PixelFormat, PixelWriter, nearest
from xapi.hypervisor.rfb.png import png
from xapi.hypervisor.rfb.session import RfbSession
from xapi.hypervisor.rfb.snapshot import Snapshot

FORMATS = {
    "ours": ("<", 32, 24, True, (255, 255, 255), (16, 8, 0)),
    "rgbx high": ("<", 32, 24, True, (255, 255, 255), (24, 16, 8)),
    "big-endian": (">", 32, 24, True, (255, 255, 255), (16, 8, 0)),
    "big-endian high": (">", 32, 24, True, (255, 255, 255), (24, 16, 8)),
    "depth 32": ("<", 32, 32, True, (255, 255, 255), (0, 8, 16)),
    "565": ("<", 16, 16, True, (31, 63, 31), (11, 5, 0)),
    "565 big-endian": (">", 16, 16, True, (31, 63, 31), (11, 5, 0)),
    "332": ("<", 8, 8, True, (7, 7, 3), (0, 3, 6)),
    "map": ("<", 8, 8, False, (0, 0, 0), (0, 0, 0)),
}
HANDSHAKE = b"RFB 003.008\n\x01\x01"


class Picture:
    """A display of anything."""

    def __init__(self, width: int, height: int) -> None:
        self.framebuffer = Framebuffer(width, height)
        self.heard: list[object] = []

    def key(self, keysym: int, down: bool) -> None:
        self.heard.append(("key", keysym, down))

    def pointer(self, buttons: int, left: int, top: int) -> None:
        self.heard.append(("pointer", buttons, left, top))

    def paste(self, text: str) -> None:
        self.heard.append(("paste", text))


def drawn(width: int, height: int, seed: int, colours: int) -> Picture:
    """A picture with rectangles of a few colours, some of them noisy."""
    chance = random.Random(seed)
    picture = Picture(width, height)
    inks = [chance.randrange(256) for _ in range(colours)]
    for _ in range(12):
        left, top = chance.randrange(width), chance.randrange(height)
        columns, rows = chance.randint(1, width - left), chance.randint(1, height - top)
        noisy = chance.random() < 0.4
        picture.framebuffer.paint(
            left,
            top,
            [bytes(chance.choice(inks) for _ in range(columns)) if noisy else bytes([inks[0]]) * columns] * rows,
        )
    return picture


def expected(picture: Picture, viewer: Viewer) -> list[list[tuple[int, int, int]]]:
    wanted = PixelWriter(
        PixelFormat(
            viewer.pixel[1], viewer.pixel[2], viewer.pixel[0] == ">", viewer.pixel[3], viewer.pixel[4], viewer.pixel[5]
        )
    )
    colours = [viewer.colour(wanted.one(index)) for index in range(256)]
    return [[colours[pixel] for pixel in row] for row in picture.framebuffer.rows(picture.framebuffer.area)]


@pytest.mark.parametrize("encoding", [0, 5, 6, 16])
@pytest.mark.parametrize("pixels", FORMATS)
@pytest.mark.parametrize(("size", "colours"), [((70, 37), 2), ((130, 70), 5), ((16, 16), 40), ((1, 1), 1)])
def test_every_encoding_brings_the_same_picture(encoding, pixels, size, colours):
    picture = drawn(*size, seed=colours, colours=colours)
    viewer = joined(RfbSession(picture, "a screen"))
    viewer.ask_format(*FORMATS[pixels])
    viewer.ask_encodings(encoding)
    viewer.ask()
    assert set(viewer.take()) == {encoding}
    assert viewer.picture == expected(picture, viewer)


@settings(max_examples=60, deadline=None)
@given(some.integers(0, 10**6), some.sampled_from([0, 5, 6, 16]), some.integers(1, 20))
def test_what_changes_is_sent_and_makes_the_same_picture(seed, encoding, colours):
    chance = random.Random(seed)
    picture = drawn(chance.randint(1, 90), chance.randint(1, 90), seed, colours)
    viewer = joined(RfbSession(picture, "a screen"))
    viewer.ask_encodings(encoding)
    viewer.ask()
    viewer.take()
    for _ in range(4):
        screen = picture.framebuffer
        left, top = chance.randrange(screen.width), chance.randrange(screen.height)
        screen.paint(left, top, [bytes([chance.randrange(256)])])
        viewer.ask(incremental=True)
        viewer.take()
        assert viewer.picture == expected(picture, viewer)
        viewer.ask(incremental=True)
        with pytest.raises(AssertionError, match="nothing to read"):
            viewer.read(1)


@pytest.mark.parametrize("minor", [3, 7, 8])
def test_the_versions_of_the_protocol(minor):
    session = RfbSession(drawn(20, 20, 1, 2), "näme")
    waiting = bytearray(session.greet())

    def read(count):
        if len(waiting) < count:
            waiting.extend(session.update())
        data = bytes(waiting[:count])
        del waiting[:count]
        return data

    viewer = Viewer(lambda data: waiting.extend(session.feed(data)), read, minor)
    assert (viewer.name, viewer.width, viewer.height) == ("näme", 20, 20)


def test_a_small_change_costs_little():
    picture = drawn(640, 480, 3, 4)
    viewer = joined(RfbSession(picture, ""))
    viewer.ask()
    viewer.take()
    picture.framebuffer.paint(100, 100, [b"\x01" * 8] * 16)
    viewer.ask(incremental=True)
    session_bytes = len(viewer.waiting)
    viewer.take()
    assert session_bytes == 0
    assert picture.framebuffer.changed(picture.framebuffer.version - 1, Rect(0, 0, 640, 480)) == [Rect(96, 96, 16, 32)]


def test_a_new_size_is_told_to_who_understands_it():
    picture = drawn(64, 48, 1, 2)
    viewer, simple = joined(RfbSession(picture, "")), joined(RfbSession(picture, ""))
    viewer.ask_encodings(5, -223)
    for each in (viewer, simple):
        each.ask()
        each.take()
    picture.framebuffer.resize(100, 90)
    picture.framebuffer.paint(90, 80, [b"\x05" * 10] * 10)
    viewer.ask(incremental=True)
    assert viewer.take() == [-223]
    assert (viewer.width, viewer.height) == (100, 90)
    viewer.ask(incremental=True)
    assert set(viewer.take()) == {5}
    assert viewer.picture == expected(picture, viewer)
    simple.ask(incremental=True)
    simple.take()
    assert simple.picture == [row[:64] for row in expected(picture, viewer)[:48]]


def test_a_screen_that_shrinks_under_a_simple_viewer_breaks_nothing():
    picture = drawn(64, 48, 1, 2)
    viewer = joined(RfbSession(picture, ""))
    picture.framebuffer.resize(30, 20)
    viewer.ask()
    viewer.take()
    assert [row[:30] for row in viewer.picture[:20]] == expected(picture, viewer)


def test_a_part_that_is_asked_for_leaves_the_rest_to_come():
    picture = drawn(64, 64, 2, 3)
    viewer = joined(RfbSession(picture, ""))
    viewer.send(struct.pack(">BBHHHH", 3, 0, 16, 16, 16, 16))
    viewer.take()
    wanted = expected(picture, viewer)
    assert viewer.picture[20][16:32] == wanted[20][16:32] and viewer.picture[0][0] is None
    viewer.ask(incremental=True)
    viewer.take()
    assert viewer.picture == wanted


def test_a_flood_of_requests_is_answered_once():
    session = RfbSession(drawn(64, 48, 1, 2), "")
    session.feed(HANDSHAKE)
    assert session.feed(struct.pack(">BBHHHH", 3, 0, 0, 0, 64, 48) * 1000) == b""
    assert len(session.update()) == 16 + 64 * 48 * 4
    assert session.update() == b""


def test_keys_pointer_and_clipboard_are_heard():
    picture = Picture(8, 8)
    session = RfbSession(picture, "")
    session.feed(HANDSHAKE)
    session.feed(struct.pack(">B?xxI", 4, True, 0x61) + struct.pack(">BBHH", 5, 1, 3, 4))
    session.feed(struct.pack(">BxxxI", 6, 3) + b"a\nb")
    assert picture.heard == [("key", 0x61, True), ("pointer", 1, 3, 4), ("paste", "a\nb")]


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200",
        b"RFB 003.008\n\x02",
        HANDSHAKE + b"\x63",
        HANDSHAKE + b"\x06\0\0\0\x7f\xff\xff\xff",
        HANDSHAKE + b"\x06\0\0\0\x80\0\0\0",
        HANDSHAKE + b"\x00\0\0\0\x07" + bytes(15),
        HANDSHAKE + b"\x00\0\0\0" + bytes([32, 24, 0, 0]) + bytes(12),
        HANDSHAKE + b"\xff\x07\0\0",
    ],
)
def test_nonsense_ends_the_conversation(sent):
    with pytest.raises(ProtocolError):
        RfbSession(Picture(8, 8), "").feed(sent)


@settings(max_examples=200, deadline=None)
@given(some.binary(max_size=400), some.integers(1, 50))
def test_any_bytes_are_understood_or_refused_in_any_pieces(data, piece):
    session = RfbSession(Picture(8, 8), "")
    try:
        session.feed(HANDSHAKE)
        for start in range(0, len(data), piece):
            session.feed(data[start : start + piece])
            session.update()
    except ProtocolError:
        pass


def test_messages_to_real_guests_are_found_too():
    sent = HANDSHAKE + b"\xff\0" + bytes(10) + b"\xff\x01\0\x02" + bytes(6) + b"\xff\x01\0\0" + b"\x96" + bytes(9)
    sent += b"\xf8\0\0\0\0\0\0\0\x02ab" + b"\xfb\0\0\x08\0\x08\x01\0" + bytes(16) + b"\x01\0\0\0\0\x01" + bytes(6)
    sent += b"\x06\0\0\0\xff\xff\xff\xfcabcd" + struct.pack(">BBHHHH", 3, 1, 0, 0, 1, 1)
    for piece in (1, 7, 1000):
        messages = ClientMessages()
        found = [kind for n in range(0, len(sent), piece) for kind, _ in messages.feed(sent[n : n + piece])]
        assert found[3:] == [
            Kind.QEMU,
            Kind.QEMU,
            Kind.QEMU,
            Kind.CONTINUOUS_UPDATES,
            Kind.FENCE,
            Kind.SET_DESKTOP_SIZE,
            Kind.SET_COLOUR_MAP,
            Kind.CUT_TEXT,
            Kind.UPDATE_REQUEST,
        ]


def test_activity_is_what_a_person_does():
    activity = Activity()
    assert not activity.feed(HANDSHAKE)
    assert not activity.feed(struct.pack(">BBHHHH", 3, 1, 0, 0, 1, 1))
    assert activity.feed(b"\x04\x01\0\0\0\0\0a")
    assert not activity.feed(b"\x05\x01\0")
    assert activity.feed(b"\0\0\0")
    assert activity.feed(b"\x63")  # not understood: from here on anything counts
    assert activity.feed(b"x") and not activity.feed(b"")


def test_a_long_message_is_refused_before_it_has_come():
    messages = ClientMessages()
    messages.feed(HANDSHAKE)
    with pytest.raises(ProtocolError):
        messages.feed(struct.pack(">BxxxI", 6, LONGEST))


@settings(max_examples=100, deadline=None)
@given(
    some.integers(1, 70),
    some.integers(1, 70),
    some.lists(some.tuples(some.integers(0, 69), some.integers(0, 69), some.integers(1, 70), some.integers(1, 70))),
)
def test_changed_parts_cover_what_changed_and_do_not_overlap(width, height, changes):
    screen = Framebuffer(width, height)
    before = screen.version
    touched = set()
    for left, top, columns, rows in changes:
        part = Rect(left, top, columns, rows).within(screen.area)
        if part.empty:
            continue
        screen.paint(part.left, part.top, [b"\x01" * part.width] * part.height)
        touched |= {
            (x, y) for x in range(part.left, part.left + part.width) for y in range(part.top, part.top + part.height)
        }
    covered = [
        (x, y)
        for part in screen.changed(before, screen.area)
        for x in range(part.left, part.left + part.width)
        for y in range(part.top, part.top + part.height)
    ]
    assert len(covered) == len(set(covered))
    assert touched <= set(covered)
    assert not screen.changed(screen.version, screen.area)


def test_text_is_smaller_in_each_better_encoding():
    picture = drawn(320, 200, 5, 2)
    writer = PixelWriter(PixelFormat())
    rows = picture.framebuffer.rows(picture.framebuffer.area)
    sizes = [len(Encoder().encode(kind, rows, writer)) for kind in (Encoding.RAW, Encoding.HEXTILE, Encoding.ZRLE)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_palette_is_that_of_terminals():
    assert len(PALETTE) == 256 and PALETTE[16] == (0, 0, 0) and PALETTE[231] == (255, 255, 255)
    assert PALETTE[nearest(255, 0, 0)] == (255, 0, 0) and PALETTE[nearest(90, 140, 180)] == (95, 135, 175)


def decoded(data: bytes) -> tuple[int, int, bytes]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, packed, size = 8, b"", (0, 0)
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            size = struct.unpack(">II", content[:8])
            assert content[8:] == b"\x08\x02\0\0\0"
        packed += content if kind == b"IDAT" else b""
        place += 12 + length
    rows = zlib.decompress(packed)
    stride = size[0] * 3 + 1
    assert len(rows) == stride * size[1] and not any(rows[::stride])
    return *size, b"".join(rows[n + 1 : n + stride] for n in range(0, len(rows), stride))


def look(session: RfbSession, piece: int = 10**9, between=lambda: None) -> bytes:
    snapshot, waiting = Snapshot(), session.greet()
    while snapshot.picture is None:
        asked = b""
        for start in range(0, len(waiting), piece):
            asked += snapshot.feed(waiting[start : start + piece])
        waiting = session.feed(asked)
        between()
        waiting += session.update()
        assert waiting or snapshot.picture is not None
    return snapshot.picture


@pytest.mark.parametrize("piece", [1, 1000, 10**9])
def test_a_snapshot_is_the_picture(piece):
    picture = drawn(40, 30, 9, 8)
    width, height, pixels = decoded(look(RfbSession(picture, "x"), piece))
    assert (width, height) == (40, 30)
    rows = picture.framebuffer.rows(picture.framebuffer.area)
    assert pixels == bytes(level for row in rows for pixel in row for level in PALETTE[pixel])


def test_a_snapshot_of_a_screen_that_changes_its_size():
    picture = drawn(40, 30, 9, 8)
    sizes = iter([(40, 30), (50, 20)])

    def change():
        if (size := next(sizes, None)) and size != (picture.framebuffer.width, picture.framebuffer.height):
            picture.framebuffer.resize(*size)

    assert decoded(look(RfbSession(picture, "x"), between=change))[:2] == (50, 20)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 ",
        b"RFB 003.008\n\x01\x02",
        b"RFB 003.008\n\x00",
        b"RFB 003.003\n\0\0\0\x02",
        b"RFB 003.008\n\x01\x01\0\0\0\x01",
        b"RFB 003.003\n\0\0\0\x01\xff\xff\xff\xff" + bytes(16) + b"\0\0\0\0",
        b"RFB 003.003\n\0\0\0\x01\0\x08\0\x08" + bytes(16) + b"\xff\xff\xff\xff",
        b"RFB 003.003\n\0\0\0\x01\0\x08\0\x08" + bytes(20) + b"\x09",
        b"RFB 003.003\n\0\0\0\x01\0\x08\0\x08" + bytes(20) + b"\0\0\0\x01\0\x04\0\0\0\x08\0\x01\0\0\0\0",
    ],
)
def test_a_snapshot_of_something_else_fails(sent):
    with pytest.raises(ProtocolError):
        Snapshot().feed(sent)


def test_a_snapshot_skips_what_is_not_the_picture():
    snapshot = Snapshot()
    snapshot.feed(b"RFB 003.003\n\0\0\0\x01\0\x01\0\x01" + bytes(20))
    snapshot.feed(b"\x02" + b"\x03\0\0\0\0\0\0\x02hi" + b"\x01\0\0\0\0\x01" + bytes(6))
    snapshot.feed(b"\0\0\0\x01" + struct.pack(">HHHHi", 0, 0, 1, 1, 0) + b"\x01\x02\x03\x04")
    assert decoded(snapshot.picture or b"") == (1, 1, b"\x01\x02\x03")


def test_a_picture_of_another_size_is_no_png():
    with pytest.raises(ValueError, match="size"):
        png(2, 2, b"123")
