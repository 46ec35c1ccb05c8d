from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.hypervisor.rfb.viewer import joined
from xapi.hypervisor.rfb import font
from xapi.hypervisor.rfb.keyboard import Keyboard
from xapi.hypervisor.rfb.session import RfbSession
from xapi.hypervisor.rfb.terminal import Cell, Terminal
from xapi.hypervisor.rfb.text_display import LONGEST_PASTE, TextDisplay


def shown(terminal: Terminal) -> list[str]:
    return ["".join(cell.text for cell in line).rstrip() for line in terminal.lines]


def after(text: str, rows: int = 4, columns: int = 10) -> Terminal:
    terminal = Terminal(rows, columns)
    terminal.feed(text.encode())
    return terminal


@pytest.mark.parametrize(
    ("sent", "lines", "place"),
    [
        ("ab\r\ncd", ["ab", "cd", "", ""], (1, 2)),
        ("0123456789", ["0123456789", "", "", ""], (0, 9)),
        ("0123456789x", ["0123456789", "x", "", ""], (1, 1)),
        ("\x1b[?7l0123456789xy", ["012345678y", "", "", ""], (0, 9)),
        ("1\r\n2\r\n3\r\n4\r\n5", ["2", "3", "4", "5"], (3, 1)),
        ("a\tb", ["a       b", "", "", ""], (0, 9)),
        ("abc\b\bX", ["aXc", "", "", ""], (0, 2)),
        ("\x1b[3;4Hx", ["", "", "   x", ""], (2, 4)),
        ("\x1b[99;99Hx\x1b[A\x1b[3Dy", ["", "", "      y", "         x"], (2, 7)),
        ("abcdef\x1b[3D\x1b[K", ["abc", "", "", ""], (0, 3)),
        ("abcdef\x1b[3D\x1b[1K", ["    ef", "", "", ""], (0, 3)),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[J", ["a", "", "", ""], (1, 0)),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[1J", ["", "", "c", ""], (1, 0)),
        ("a\r\nb\x1b[2J", ["", "", "", ""], (1, 1)),
        ("a\r\nb\r\nc\x1b[1;1H\x1b[L", ["", "a", "b", "c"], (0, 0)),
        ("a\r\nb\r\nc\x1b[1;1H\x1b[2M", ["c", "", "", ""], (0, 0)),
        ("abcdef\x1b[1;3H\x1b[2P", ["abef", "", "", ""], (0, 2)),
        ("abcdef\x1b[1;3H\x1b[2@", ["ab  cdef", "", "", ""], (0, 2)),
        ("abcdef\x1b[1;3H\x1b[2X", ["ab  ef", "", "", ""], (0, 2)),
        ("abc\x1b[4h\x1b[1;2HX\x1b[4lY", ["aXYc", "", "", ""], (0, 3)),
        ("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n", ["1", "3", "", "4"], (2, 0)),
        ("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[2;1H\x1bM", ["1", "", "2", "4"], (1, 0)),
        ("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[?6h\x1b[1;1Hx\x1b[9;1Hy", ["1", "x", "y", "4"], (2, 1)),
        ("a\x1b7\x1b[4;4Hb\x1b8c", ["ac", "", "", "   b"], (0, 2)),
        ("a\x1b[?1049hXYZ\x1b[?1049lb", ["ab", "", "", ""], (0, 2)),
        ("\x1b(0lqk\x1b(Bx", ["┌─┐x", "", "", ""], (0, 4)),
        ("\x1b)0\x0ex\x0fx", ["│x", "", "", ""], (0, 2)),
        ("x\x1b[3b", ["xxxx", "", "", ""], (0, 4)),
        ("\x1b]0;a title\x07a\x1b]2;b\x1b\\b\x1bPq\x1b\\c", ["abc", "", "", ""], (0, 3)),
        ("a\x1b[2;2H\x1bc", ["", "", "", ""], (0, 0)),
        ("ab\x1b[20h\ncd", ["ab", "cd", "", ""], (1, 2)),
        ("\x1b[3g\x1b[1;3H\x1bH\r\tx", ["  x", "", "", ""], (0, 3)),
        ("1\r\n2\x1b[S", ["2", "", "", ""], (1, 1)),
        ("1\r\n2\x1b[T", ["", "1", "2", ""], (1, 1)),
        ("é€", ["é€", "", "", ""], (0, 2)),
        ("\x1b[2Ex\x1b[Fy", ["", "y", "x", ""], (1, 1)),
        ("\x1b[>c\x1b[?25l\x1b[!pz", ["z", "", "", ""], (0, 1)),
    ],
)
def test_what_a_terminal_shows(sent, lines, place):
    terminal = after(sent)
    assert (shown(terminal), (terminal.row, terminal.column)) == (lines, place)
    apart = Terminal(4, 10)
    for byte in sent.encode():
        apart.feed(bytes((byte,)))
    assert (shown(apart), (apart.row, apart.column)) == (lines, place)


def test_colours():
    terminal = after("\x1b[1;31ma\x1b[0;7mb\x1b[0;38;5;200;48;2;0;0;95mc\x1b[0;4;94md\x1b[39;24me\x1b[8mf\x1b[38mg", 1)
    assert terminal.lines[0][:6] == [
        Cell("a", 9, 0),
        Cell("b", 0, 7),
        Cell("c", 200, 17),
        Cell("d", 12, 0, True),
        Cell("e", 7, 0),
        Cell(" ", 7, 0),
    ]


def test_a_terminal_answers_who_and_where_it_is():
    answers: list[bytes] = []
    Terminal(5, 10, answers.append).feed(b"\x1b[c\x1b[2;3H\x1b[6n\x1b[5n\x1bZ")
    assert answers == [b"\x1b[?6c", b"\x1b[2;3R", b"\x1b[0n", b"\x1b[?6c"]


@settings(max_examples=300, deadline=None)
@given(
    some.lists(
        some.one_of(
            some.binary(max_size=20),
            some.builds(
                lambda private, numbers, final: f"\x1b[{private}{';'.join(map(str, numbers))}{final}".encode(),
                some.sampled_from(["", "?", ">"]),
                some.lists(some.integers(0, 10**12), max_size=4),
                some.sampled_from("ABCDEFGHJKLMPSTX@`abcdefghlmnrsu"),
            ),
            some.sampled_from([b"\x1bM", b"\x1bD", b"\x1b7", b"\x1b8", b"\x1b#8", b"\n", b"\x1b]0;", b"\x1b[?1049h"]),
        ),
        max_size=40,
    )
)
def test_whatever_a_guest_sends_the_grid_stays_whole(pieces):
    terminal = Terminal(5, 12)
    for piece in pieces:
        terminal.feed(piece)
        assert len(terminal.lines) == 5 and {len(line) for line in terminal.lines} == {12}
        assert 0 <= terminal.row < 5 and 0 <= terminal.column < 12
    terminal.resize(3, 20)
    assert len(terminal.lines) == 3 and {len(line) for line in terminal.lines} == {20}
    assert 0 <= terminal.row < 3


@pytest.mark.parametrize(
    "poison", [b"\x1b[" + b"1;" * 50_000, b"\x1b]0;" + b"x" * 100_000, b"\x1bP" + b"\xff" * 50_000]
)
def test_a_sequence_without_an_end_is_not_kept(poison):
    terminal = Terminal(5, 12)
    for start in range(0, len(poison), 1000):
        terminal.feed(poison[start : start + 1000])
        assert len(terminal._pending) < 6000


def test_repeating_is_bounded():
    terminal = Terminal(5, 12)
    started = time.process_time()
    for _ in range(100):
        terminal.feed(b"x\x1b[999999999b\x1b[999999999L\x1b[999999999S")
    assert time.process_time() - started < 20
    assert len(terminal.lines) == 5


def test_growing_and_shrinking_keep_the_lines_at_the_cursor():
    terminal = after("1\r\n2\r\n3\r\n4")
    terminal.resize(2, 5)
    assert shown(terminal) == ["3", "4"] and terminal.row == 1
    terminal.resize(4, 10)
    assert shown(terminal) == ["3", "4", "", ""]


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ([0x61], b"a"),
        ([0xE9], "é".encode()),
        ([0x010020AC], "€".encode()),
        ([0xFF0D], b"\r"),
        ([0xFF08], b"\x7f"),
        ([0xFFE3, 0x63], b"\x03"),
        ([0xFFE3, 0x43], b"\x03"),
        ([0xFFE3, 0x20], b"\0"),
        ([0xFFE3, 0x35], b"5"),
        ([0xFFE9, 0x78], b"\x1bx"),
        ([0xFF52], b"\x1b[A"),
        ([0xFFBE], b"\x1bOP"),
        ([0xFFB7], b"7"),
        ([0xFFE1, 0x41], b"A"),
        ([0x0100D800], b""),
        ([0xFFFFFFFF], b""),
    ],
)
def test_keys(keys, sent):
    keyboard = Keyboard()
    assert b"".join(keyboard.press(key, True) for key in keys) == sent
    assert b"".join(keyboard.press(key, False) for key in keys) == b""
    assert keyboard.press(0x63, True) == b"c"


def test_cursor_keys_of_programs_that_want_them_so():
    assert Keyboard().press(0xFF54, True, application_cursor=True) == b"\x1bOB"


@settings(max_examples=100)
@given(some.integers(0, 2**32 - 1), some.booleans())
def test_any_key_symbol_is_text_or_nothing(keysym, control):
    keyboard = Keyboard()
    keyboard.press(0xFFE3, control)
    assert len(keyboard.press(keysym, True)) <= 6


def test_the_font_has_every_letter_and_no_two_look_alike():
    letters = [font.glyph(chr(code)) for code in range(0x21, 0x7F)]
    assert all(len(each) == 16 and any(each) for each in letters)
    assert len(set(letters)) == len(letters)
    assert font.glyph("é") == font.glyph("e") and font.glyph("\u4e00") == font.glyph("\u4e01") != font.glyph(" ")
    assert font.glyph("┼")[0] == font.glyph("│")[15] == 0x18 and font.glyph("─")[8] == 0xFF


def test_the_letter_on_the_screen_is_the_one_that_was_sent():
    display = TextDisplay(2, 4, lambda _: None)
    display.receive(b"\x1b[31mF")
    viewer = joined(RfbSession(display, ""))
    viewer.ask()
    viewer.take()
    drawn = ["".join("#" if pixel == (170, 0, 0) else "." for pixel in row[:8]) for row in viewer.picture[:16:2]]
    assert drawn == [
        "#######.",
        ".##...#.",
        ".##.#...",
        ".####...",
        ".##.#...",
        ".##.....",
        "####....",
        "........",
    ]
    assert viewer.picture[0][8] == (170, 170, 170)  # the cursor


def test_only_what_differs_is_drawn_again():
    display = TextDisplay(10, 40, lambda _: None)
    display.receive(b"\x1b[?25lhello")
    before = display.framebuffer.version
    display.receive(b"\rhello")
    assert display.framebuffer.version == before
    display.receive(b"\rhallo")
    assert display.framebuffer.version == before + 1
    (part,) = display.framebuffer.changed(before, display.framebuffer.area)
    assert (part.width, part.height) == (16, 16)


def test_what_is_typed_and_pasted():
    typed: list[bytes] = []
    display = TextDisplay(10, 40, typed.append)
    display.key(0x61, True)
    display.key(0x61, False)
    display.pointer(1, 5, 5)
    display.paste("b\nc\r\n")
    display.paste("x" * (LONGEST_PASTE + 1))
    assert typed == [b"a", b"b\rc\r"]
    display.receive(b"\x1b[6n")
    assert typed[-1] == b"\x1b[1;1R"
