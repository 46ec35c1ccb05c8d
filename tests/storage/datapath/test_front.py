from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.eventually import eventually
from xapi.storage.datapath.front import ExportName, NbdFront, export_name, parse_export_name
from xapi.storage.errors import VdiMissing
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import CreateVdi, DiskReader
from xapi.system.certificates import ensure_server_certificate, server_context

from .client import Client, Refused, RequestFailed

SR = "5a000000-0000-4000-8000-000000000001"
SIZE = 8 << 20
SESSION = "OpaqueRef:good"


@pytest.fixture
def sr(tmp_path: Path) -> FileSr:
    config = {"location": str(tmp_path / "sr")}
    FileDriver().create(SR, config, 0, "user", {})
    return FileDriver().attach(SR, config, {})


@pytest.fixture
def disk(sr: FileSr) -> str:
    location = str(uuid.uuid4())
    sr.create(CreateVdi(location, SIZE))
    with sr.open_for_writing(location) as writer:
        writer.pwrite(2 << 20, b"d" * 4096)
    return location


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    ensure_server_certificate(path, "localhost", ("127.0.0.1",), datetime.now(UTC))
    return path


class Door:
    def __init__(self, sr: FileSr, tls: ssl.SSLContext | None) -> None:
        self.sr = sr
        self.front = NbdFront(lambda session, vdi: session == SESSION, self.open, tls)
        self.address = self.front.listen("127.0.0.1", 0)

    def open(self, vdi: str) -> DiskReader:
        if self.sr.is_held(vdi):
            raise VdiMissing(SR, vdi)
        return self.sr.open_for_reading(vdi)

    def connect(self) -> Client:
        return Client(socket.create_connection(self.address))


@pytest.fixture
def door(sr: FileSr, certificate: Path) -> Iterator[Door]:
    opened = Door(sr, server_context(certificate))
    yield opened
    opened.front.close()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("structured", [False, True])
def test_a_disk_is_read_over_tls(door: Door, disk: str, structured: bool) -> None:
    name = export_name(disk, SESSION)
    client = door.connect()
    client.start_tls(trusting())
    if structured:
        client.want_structured()
        client.set_contexts(name)
    client.go(name, code=6)
    client.go(name)
    assert client.size == SIZE
    assert client.flags & 2
    assert client.read(0, SIZE) == bytes(2 << 20) + b"d" * 4096 + bytes(SIZE - (2 << 20) - 4096)
    with pytest.raises(RequestFailed):
        client.write(0, b"x")
    if structured:
        assert client.status(0, SIZE) == [(2 << 20, 3), (4096, 0), (SIZE - (2 << 20) - 4096, 3)]
    client.disconnect()


def test_the_old_way_to_an_export(door: Door, disk: str) -> None:
    client = door.connect()
    client.start_tls(trusting())
    client.export_name(export_name(disk, SESSION))
    assert client.read(2 << 20, 4) == b"dddd"
    client.close()


def test_a_disk_is_given_up_with_its_connection(door: Door, disk: str, sr: FileSr) -> None:
    for _ in range(2):
        client = door.connect()
        client.start_tls(trusting())
        client.go(export_name(disk, SESSION))
        assert sr.is_held(disk)
        client.disconnect()
        door.front.close()
        assert eventually(lambda: not sr.is_held(disk), bool)
        door.address = door.front.listen("127.0.0.1", 0)


def test_nothing_without_tls(door: Door, disk: str) -> None:
    client = door.connect()
    with pytest.raises(Refused):
        client.go(export_name(disk, SESSION))
    client.close()


@pytest.mark.parametrize("name", ["", "x", "/{disk}", "/{disk}?session_id=bad", "{disk}?session_id=", "//x/{disk}"])
def test_nothing_for_strangers(door: Door, disk: str, name: str) -> None:
    client = door.connect()
    client.start_tls(trusting())
    with pytest.raises(Refused) as caught:
        client.go(name.format(disk=disk))
    assert caught.value.args[0] == 6
    assert client.list() == []
    client.close()


def test_a_network_without_tls(sr: FileSr, disk: str) -> None:
    door = Door(sr, None)
    client = door.connect()
    client.go(export_name(disk, SESSION))
    assert client.read(2 << 20, 4) == b"dddd"
    client.close()
    door.front.close()


def test_closing_hangs_up(door: Door, disk: str) -> None:
    client = door.connect()
    client.start_tls(trusting())
    client.go(export_name(disk, SESSION))
    door.front.close()
    with pytest.raises((EOFError, OSError)):
        client.read(0, 1)
    client.close()


@given(st.uuids(), st.text(st.characters(categories=["L", "N"]), min_size=1).map("OpaqueRef:".__add__))
def test_a_name_comes_back(vdi: uuid.UUID, session: str) -> None:
    assert parse_export_name(export_name(str(vdi), session)) == ExportName(str(vdi), session)


@given(st.text(max_size=120))
def test_any_name_is_parsed_or_none(text: str) -> None:
    parse_export_name(text)
    parse_export_name("/" + text + "?session_id=" + text)


@pytest.mark.skipif(shutil.which("nbdinfo") is None, reason="nbdinfo is not installed")
def test_nbdinfo_understands(sr: FileSr, disk: str) -> None:
    door = Door(sr, None)
    host, port = door.address
    uri = f"nbd://{host}:{port}/{export_name(disk, SESSION)}"
    assert str(SIZE) in subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True, check=True).stdout
    door.front.close()
