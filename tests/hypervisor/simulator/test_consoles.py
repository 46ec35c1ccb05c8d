import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hypervisor.bench import SimulatorBench, config_of
from xapi.hypervisor.contract import running
from xapi.hypervisor.interface import ConsoleProtocol, NoSuchDomain, Unsupported
from xapi.hypervisor.simulator.screens import HEIGHT, WIDTH, ProtocolError, RfbScreen, TextScreen

UUID = config_of(1).uuid


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SimulatorBench]:
    bench = SimulatorBench(tmp_path)
    yield bench
    bench.driver.close()


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "hung up"
        data += more
    return data


def test_a_whole_rfb_conversation(bench: SimulatorBench) -> None:
    running(bench, 1)
    with connect(bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path) as client:
        assert read(client, 12) == b"RFB 003.008\n"
        client.sendall(b"RFB 003.008\n")
        assert read(client, 2) == b"\x01\x01"
        client.sendall(b"\x01")
        assert read(client, 4) == b"\0\0\0\0"
        client.sendall(b"\x01")
        width, height = struct.unpack(">HH", read(client, 4))
        assert (width, height) == (WIDTH, HEIGHT)
        read(client, 16)
        (length,) = struct.unpack(">I", read(client, 4))
        assert read(client, length) == b"vm 1"
        client.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        assert struct.unpack(">BxHHHHHi", read(client, 16)) == (0, 1, 0, 0, width, height, 0)
        assert len(read(client, width * height * 4)) == width * height * 4


def test_a_text_console_prompts(bench: SimulatorBench) -> None:
    config = config_of(1, consoles=(ConsoleProtocol.VT100,))
    bench.driver.domains.create(config)
    with connect(bench.driver.consoles.endpoint(UUID, ConsoleProtocol.VT100).path) as client:
        prompt = b"\r\nvm 1 login: "
        assert read(client, len(prompt)) == prompt
        client.sendall(b"root\r")
        assert read(client, 6 + len(prompt)) == b"root\r\n" + prompt
    with pytest.raises(Unsupported):
        bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB)


def test_a_console_ends_with_its_domain(bench: SimulatorBench) -> None:
    running(bench, 1)
    path = bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path
    with connect(path) as client:
        read(client, 12)
        bench.driver.domains.destroy(UUID)
        assert client.recv(1) == b""
    with pytest.raises(NoSuchDomain):
        bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB)


def test_closing_the_driver_ends_the_thread_and_the_sockets(bench: SimulatorBench) -> None:
    running(bench, 1)
    path = bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path
    with connect(path) as client:
        read(client, 12)
        bench.driver.close()
        assert client.recv(1) == b""
    assert not path.parent.exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("simulator")]
    bench.driver = bench.open()


@pytest.mark.parametrize("minor", [3, 7, 8])
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_every_version_in_any_pieces(minor: int, piece: int) -> None:
    screen = RfbScreen("x")
    security = b"" if minor == 3 else b"\x01"
    sent = b"RFB 003.%03d\n" % minor + security + b"\x01"
    sent += b"\x00\0\0\0" + bytes([16, 16, 0, 1]) + bytes(12) + b"\x02\0\0\x01\0\0\0\0" + b"\x04" + bytes(7)
    sent += b"\x05" + bytes(5) + b"\x06\0\0\0\0\0\0\x03abc" + struct.pack(">BBHHHH", 3, 0, 600, 0, 100, 2)
    got = b"".join(screen.feed(sent[start : start + piece]) for start in range(0, len(sent), piece))
    expected = {3: b"\0\0\0\x01", 7: b"\x01\x01", 8: b"\x01\x01\0\0\0\0"}[minor]
    assert got.startswith(expected)
    assert got.endswith(struct.pack(">BxHHHHHi", 0, 1, 600, 0, 40, 2, 0) + b"\x20" * (40 * 2 * 2))
    assert screen.feed(struct.pack(">BBHHHH", 3, 1, 0, 0, 100, 2)) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200",
        b"RFB 003.008\n\x02",
        b"RFB 003.008\n\x01\x01\x63",
        b"RFB 003.008\n\x01\x01\x06\0\0\0\xff\xff\xff\xff",
        b"RFB 003.008\n\x01\x01\x00\0\0\0\x07" + bytes(15),
    ],
)
def test_nonsense_ends_the_conversation(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        RfbScreen("x").feed(sent)


def test_a_terminal_echoes_lines() -> None:
    assert TextScreen("x").feed(b"a\r\nb\n") == b"a\r\n\r\nx login: b\r\n\r\nx login: "


def test_a_flood_of_requests_is_answered_once() -> None:
    screen = RfbScreen("x")
    screen.feed(b"RFB 003.008\n\x01\x01")
    answer = screen.feed(struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT) * 1000)
    assert len(answer) == 16 + WIDTH * HEIGHT * 4
