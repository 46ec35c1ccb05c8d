from __future__ import annotations

import socket
import struct
import threading

import pytest

from tests.fakes.eventually import eventually
from tests.hypervisor.rfb.viewer import Viewer
from xapi.hypervisor.rfb.framebuffer import Framebuffer
from xapi.hypervisor.rfb.service import VIEWERS, ConsoleClosed, ConsoleService
from xapi.hypervisor.rfb.session import RfbSession


class Board:
    """A screen that turns a pixel on for each key, and counts."""

    def __init__(self) -> None:
        self.framebuffer = Framebuffer(320, 200)
        self.keys = self.ticks = 0

    def converse(self) -> RfbSession:
        return RfbSession(self, "board")

    def tick(self) -> None:
        self.ticks += 1

    def key(self, keysym: int, down: bool) -> None:
        self.keys += 1
        self.framebuffer.paint(self.keys, 0, [b"\x0f"])

    def pointer(self, buttons: int, left: int, top: int) -> None: ...

    def paste(self, text: str) -> None: ...


@pytest.fixture
def service():
    opened = ConsoleService("test-consoles")
    yield opened
    opened.close()


def dial(path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(path))
    return connection


def look(connection: socket.socket) -> Viewer:
    return Viewer(connection.sendall, lambda count: read(connection, count))


def read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "hung up"
        data += more
    return data


def test_two_viewers_see_what_one_types(service):
    board = Board()
    path = service.listen("a", "a.rfb", lambda: board)
    assert service.listen("a", "a.rfb", Board) == path
    with dial(path) as one, dial(path) as other:
        viewers = look(one), look(other)
        for viewer in viewers:
            viewer.ask()
            viewer.take()
            viewer.ask(incremental=True)
        viewers[0].press("x")
        for viewer in viewers:
            while viewer.picture[0][2] != (255, 255, 255):
                viewer.take()
                viewer.ask(incremental=True)


def test_nothing_is_made_before_somebody_looks(service):
    made: list[Board] = []

    def make() -> Board:
        made.append(Board())
        return made[-1]

    assert not service.started
    path = service.listen("a", "a.rfb", make)
    assert service.started and not made
    with dial(path) as connection:
        look(connection)
        assert len(made) == 1


def test_one_who_does_not_read_stops_nobody(service):
    path = service.listen("a", "a.rfb", Board)
    with dial(path) as stuck, dial(path) as quick:
        look(stuck)
        stuck.setblocking(False)
        request = struct.pack(">BBHHHH", 3, 0, 0, 0, 320, 200)
        for _ in range(200):
            try:
                stuck.send(request * 100)
            except BlockingIOError:
                break
        viewer = look(quick)
        for _ in range(3):
            viewer.ask()
            viewer.take()


def test_one_who_speaks_nonsense_is_hung_up_on(service):
    with dial(service.listen("a", "a.rfb", Board)) as connection:
        read(connection, 12)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert connection.recv(1) == b""


def test_a_console_has_only_so_many_viewers(service):
    path = service.listen("a", "a.rfb", Board)
    connections = [dial(path) for _ in range(VIEWERS + 1)]
    try:
        for connection in connections[:-1]:
            read(connection, 12)
        assert connections[-1].recv(1) == b""
    finally:
        for connection in connections:
            connection.close()


def test_hanging_up_and_closing(service):
    first, second = service.listen("a", "a.rfb", Board), service.listen("b", "b.rfb", Board)
    with dial(first) as one, dial(second) as other:
        read(one, 12)
        read(other, 12)
        service.hang_up({"a", "never was"})
        assert one.recv(1) == b""
        assert not eventually(first.exists, lambda there: not there)
        service.close()
        assert other.recv(1) == b""
    assert not second.parent.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "test-consoles"]
    with pytest.raises(ConsoleClosed):
        service.listen("c", "c.rfb", Board)
    service.close()


def test_a_name_that_is_too_long_for_a_socket(service):
    with pytest.raises((ConsoleClosed, OSError)):
        service.listen("a", "x" * 200, Board)


def test_time_passes_for_who_looks(service):
    board = Board()
    with dial(service.listen("a", "a.rfb", lambda: board)) as connection:
        look(connection)
        before = board.ticks
        assert eventually(lambda: board.ticks, lambda ticks: ticks > before) > before
