from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.fakes.eventually import eventually
from xapi.storage.datapath.control import Control, ControlFailed, ControlGone
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.resize import grow

from .client import Client, RequestFailed
from .served_disk import SIZE, ServedDisk


@pytest.fixture
def place(short_path: Path) -> Iterator[ServedDisk]:
    opened = ServedDisk(short_path)
    yield opened
    opened.close()


def test_two_connections_see_the_same_disk(place: ServedDisk) -> None:
    one, other = Client.unix(place.nbd), Client.unix(place.nbd, structured=True)
    one.write(5000, b"hello")
    assert other.read(5000, 5) == b"hello"
    other.write(0, b"x" * 4096)
    other.flush()
    assert one.read(0, 4096) == b"x" * 4096
    assert place.content()[:4096] == b"x" * 4096
    one.disconnect()
    assert other.read(5000, 5) == b"hello"
    other.close()


def test_status_tells_of_clients_and_pauses(place: ServedDisk) -> None:
    client = Client.unix(place.nbd)
    with Control(place.control) as control:
        found = control.call("status")
        assert (found["size"], found["paused"], found["clients"], found["pid"]) == (SIZE, False, 1, os.getpid())
        assert control.call("pause")["paused"] is True
        assert control.call("resume")["paused"] is False
    client.close()


def test_no_request_is_done_in_a_pause_and_files_are_opened_anew(place: ServedDisk, short_path: Path) -> None:
    client = Client.unix(place.nbd)
    client.write(0, b"old" * 1024 + bytes(1024))
    with Control(place.control) as control:
        control.call("pause")
        other = str(short_path / "other.vhd")
        with closing(RealFile.create(other)) as file:
            create_dynamic(file, SIZE).write(0, b"new" * 1024 + bytes(1024))
        os.rename(other, place.disk)
        cookie = client.send(0, 0, 3)
        late = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        late.connect(place.nbd)
        newcomer = Client(late)
        newcomer.go("")
        second = newcomer.send(0, 0, 3)
        client.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.receive(3)
        client.sock.settimeout(30)
        control.call("resume")
    assert client.receive(3) == (cookie, b"new")
    assert newcomer.receive(3) == (second, b"new")
    client.close()
    newcomer.close()


def test_pauses_count(place: ServedDisk) -> None:
    client = Client.unix(place.nbd)
    with Control(place.control) as one, Control(place.control) as other:
        one.call("pause")
        other.call("pause")
        one.call("resume")
        assert other.call("status")["paused"] is True
        other.call("resume")
    assert client.read(0, 1) == b"\0"
    client.close()


def test_a_pause_ends_with_its_connection(place: ServedDisk) -> None:
    client = Client.unix(place.nbd)
    control = Control(place.control)
    control.call("pause")
    control.close()
    assert client.read(0, 1) == b"\0"
    client.close()


def test_a_disk_that_cannot_be_opened_keeps_its_guest_waiting(place: ServedDisk, short_path: Path) -> None:
    client = Client.unix(place.nbd)
    away = str(short_path / "away")
    with Control(place.control) as control:
        control.call("pause")
        os.rename(place.disk, away)
        with pytest.raises(ControlFailed, match="No such file"):
            control.call("resume")
        cookie = client.send(0, 0, 1)
        os.rename(away, place.disk)
    assert client.receive(1) == (cookie, b"\0")
    client.close()


def test_a_disk_grows_under_its_clients(place: ServedDisk) -> None:
    client = Client.unix(place.nbd)
    with pytest.raises(RequestFailed):
        client.write(SIZE, b"x")
    with Control(place.control) as control:
        control.call("pause")
        with closing(RealFile.open(place.disk, True)) as file:
            grow(Vhd.open(file, writable=True), 2 * SIZE)
        control.call("resume")
        assert control.call("status")["size"] == 2 * SIZE
        assert control.call("reopen")["size"] == 2 * SIZE
    client.write(SIZE, b"x")
    assert client.read(SIZE, 1) == b"x"
    client.close()


def test_pauses_under_load_lose_nothing(place: ServedDisk) -> None:
    enough = Event()
    writers: list[Thread] = []
    done: dict[int, int] = {}

    def write(number: int) -> None:
        client = Client.unix(place.nbd, structured=number % 2 == 1)
        count = 0
        while not enough.is_set():
            offset = (number * 512 + count % 512) * 4096
            client.write(offset, (number << 32 | count).to_bytes(8, "big") * 512)
            count += 1
            done[number] = count
        client.flush()
        client.close()

    for number in range(3):
        writers.append(Thread(target=write, args=(number,)))
        writers[-1].start()
    with Control(place.control) as control:
        for _ in range(30):
            control.call("pause")
            before = place.content()
            assert place.content() == before
            control.call("resume")
    counts = eventually(lambda: dict(done), lambda found: len(found) == 3 and min(found.values()) > 20)
    enough.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()
    assert len(counts) == 3
    content = place.content()
    for number in range(3):
        for index in range(512):
            last = [count for count in range(done[number]) if count % 512 == index][-1:]
            data = content[(number * 512 + index) * 4096 :][:4096]
            assert data == ((number << 32 | last[0]).to_bytes(8, "big") * 512 if last else bytes(4096))


def test_stop_makes_everything_durable_and_hangs_up(place: ServedDisk) -> None:
    client = Client.unix(place.nbd)
    client.write(0, b"last words")
    with Control(place.control) as control:
        control.call("stop")
    with pytest.raises((EOFError, ConnectionResetError, BrokenPipeError)):
        client.read(0, 1)
    assert place.content()[:10] == b"last words"
    assert place.server.stopped.is_set()
    client.close()


@pytest.mark.parametrize("line", [b"nothing like it\n", b"[1]\n", b'{"command": 7}\n', b'{"command": "resume"}\n'])
def test_nonsense_on_the_control_channel_is_answered(place: ServedDisk, line: bytes) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(place.control)
    sock.sendall(line)
    assert json.loads(sock.recv(4096))["ok"] is False
    sock.close()


def test_nobody_listens(short_path: Path) -> None:
    with pytest.raises(ControlGone):
        Control(str(short_path / "nothing"))
