"""Consoles of real programs at a pty: what they say is seen as text and as a picture, and they hear what is typed."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from tests.hypervisor.rfb.test_service import dial, look, read
from tests.hypervisor.rfb.viewer import Viewer
from xapi.hypervisor.rfb import font
from xapi.hypervisor.rfb.service import ConsoleClosed, ConsoleService
from xapi.hypervisor.rfb.stream_line import UNSENT, StreamLine
from xapi.hypervisor.rfb.text_screen import BACKLOG, TerminalScreen, TextScreen

TEXT, PICTURE = "text", "picture"


@pytest.fixture
def service() -> Iterator[ConsoleService]:
    opened = ConsoleService("test-lines")
    yield opened
    opened.close()


class Terminal:
    """A line to a pty, heard by a service, and the pty's other side for the test."""

    def __init__(self, service: ConsoleService) -> None:
        master, self.slave = os.openpty()
        self.line = StreamLine(master)
        self.paths = {
            TEXT: service.listen(TEXT, TEXT, lambda: TextScreen(self.line)),
            PICTURE: service.listen(PICTURE, PICTURE, lambda: TerminalScreen(self.line, "a terminal", 10, 40)),
        }
        service.hear(self.line, frozenset(self.paths))

    def program(self, *command: str) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True
        )
        os.close(self.slave)
        return started


def shows(viewer: Viewer, text: str) -> bool:
    """Whether a line of the picture begins with a text, by its pixels."""
    return any(
        all(
            (viewer.picture[row * 16 + y][x * 8 + bit] != (0, 0, 0)) == bool(bits >> bit & 1)
            for x, character in enumerate(text)
            for y, bits in enumerate(font.glyph(character))
            for bit in range(8)
        )
        for row in range(viewer.height // 16)
    )


def until_shown(viewer: Viewer, text: str) -> None:
    viewer.ask()
    viewer.take()
    while not shows(viewer, text):
        viewer.ask(incremental=True)
        viewer.take()


def until_said(connection: socket.socket, text: bytes) -> bytes:
    said = b""
    while text not in said:
        said += read(connection, 1)
    return said


def test_a_program_is_seen_and_typed_to_in_both_ways(service: ConsoleService) -> None:
    terminal = Terminal(service)
    program = terminal.program("sh", "-c", 'echo ready; while read line; do echo "got $line"; done')
    with dial(terminal.paths[PICTURE]) as shown, dial(terminal.paths[TEXT]) as told:
        viewer = look(shown)
        assert (viewer.name, viewer.width, viewer.height) == ("a terminal", 320, 160)
        until_shown(viewer, "ready")
        viewer.press("from the picture\n")
        until_shown(viewer, "got from the picture")
        assert b"got from the picture" in until_said(told, b"got from the picture")
        told.sendall(b"from the text\r")
        until_said(told, b"got from the text")
        until_shown(viewer, "got from the text")
    program.kill()
    program.wait()


def test_what_was_said_before_anybody_came_is_seen(service: ConsoleService) -> None:
    terminal = Terminal(service)
    os.write(terminal.slave, b"long ago\r\n")
    eventually(lambda: bytes(terminal.line.backlog), bool)
    with dial(terminal.paths[TEXT]) as told:
        until_said(told, b"long ago")
    with dial(terminal.paths[PICTURE]) as shown:
        until_shown(look(shown), "long ago")
    os.close(terminal.slave)


def test_a_guest_that_talks_to_nobody_never_waits(service: ConsoleService) -> None:
    terminal = Terminal(service)
    written = threading.Event()

    def talk() -> None:
        for _ in range(64):
            os.write(terminal.slave, b"x" * 16384)
        written.set()

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    assert written.wait(30)
    talker.join(10)
    assert eventually(lambda: len(terminal.line.backlog), lambda size: size == BACKLOG) == BACKLOG
    os.close(terminal.slave)


def test_a_program_that_ends_ends_its_consoles(service: ConsoleService) -> None:
    terminal = Terminal(service)
    program = terminal.program("sh", "-c", "read line; echo goodbye")
    with dial(terminal.paths[TEXT]) as told:
        told.sendall(b"\r")
        until_said(told, b"goodbye")
        while told.recv(100):
            pass
    program.wait()
    assert eventually(terminal.line.fileno, lambda number: number < 0) == -1
    assert not eventually(terminal.paths[TEXT].exists, lambda there: not there)


def test_hanging_up_closes_the_line(service: ConsoleService) -> None:
    terminal = Terminal(service)
    service.hang_up({PICTURE})
    assert eventually(terminal.line.fileno, lambda number: number < 0) == -1
    os.close(terminal.slave)


def test_closing_the_service_closes_lines_that_nobody_looks_at(service: ConsoleService) -> None:
    master, slave = os.openpty()
    line = StreamLine(master)
    service.hear(line, frozenset())
    service.close()
    assert line.fileno() == -1
    os.close(slave)
    late, slave = os.openpty()
    with pytest.raises(ConsoleClosed):
        service.hear(StreamLine(late), frozenset())
    os.close(slave)


def test_who_does_not_read_gets_no_more_than_a_terminal_holds() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        line = StreamLine(ours.detach())
        for _ in range(100):
            line.type(b"y" * 16384)
        assert len(line._unsent) <= UNSENT
        theirs.settimeout(5)
        received = theirs.recv(1 << 20)
        while len(line._unsent):
            line.tick()
            received += theirs.recv(1 << 20)
        assert set(received) == {ord("y")}
        line.close()
        line.close()
        line.type(b"late")
        line.tick()


def test_programs_learn_how_large_the_terminal_is(tmp_path: Path) -> None:
    master, slave = os.openpty()
    line = StreamLine(master)
    line.resize(37, 100)
    assert os.get_terminal_size(slave) == (100, 37)
    os.close(slave)
    line.close()
    ours, theirs = socket.socketpair()
    with theirs:
        line = StreamLine(ours.detach())
        with pytest.raises(OSError):
            line.resize(1, 1)
        line.close()
