from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.eventually import eventually
from tests.system.certificate_makers import issue, key_pem, pem, rsa_key
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
CONTENT = bytes(2 << 20) + b"d" * 4096 + bytes(SIZE - (2 << 20) - 4096)


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
    """Of an authority, as qemu trusts no server's certificate by itself."""
    now = datetime.now(UTC)
    made = issue("localhost", by="root", since=now - timedelta(days=1), until=now + timedelta(days=1))
    path = tmp_path / "server.pem"
    path.write_text(key_pem(rsa_key("localhost")) + pem(made))
    return path


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    """A directory with the certificates that clients trust, as those programs want it."""
    directory = tmp_path / "authorities"
    directory.mkdir()
    now = datetime.now(UTC)
    root = issue("root", authority=True, since=now - timedelta(days=1), until=now + timedelta(days=1))
    (directory / "ca-cert.pem").write_text(pem(root))
    return directory


class Door:
    one_at_a_time = True

    def __init__(self, sr: FileSr, tls: ssl.SSLContext | None) -> None:
        self.sr = sr
        self.front = NbdFront(lambda session, vdi: session == SESSION, self.open, tls)
        self.address = self.front.listen("127.0.0.1", 0)

    def open(self, vdi: str) -> DiskReader:
        if self.one_at_a_time and self.sr.is_held(vdi):
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
    assert client.read(0, SIZE) == CONTENT
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


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed (Debian: {package})")


def output_of(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_uri(door: Door, scheme: str, name: str) -> str:
    """The slash and the question mark belong to the name of the export."""
    return f"{scheme}://localhost:{door.address[1]}/{quote(name, safe='')}"


@needs("nbdinfo", "libnbd-bin")
def test_nbdinfo_understands(sr: FileSr, disk: str) -> None:
    door = Door(sr, None)
    assert int(output_of("nbdinfo", "--size", as_uri(door, "nbd", export_name(disk, SESSION)))) == SIZE
    door.front.close()


@needs("nbdcopy", "libnbd-bin")
def test_nbdcopy_backs_a_disk_up_over_tls(door: Door, disk: str, authorities: Path, tmp_path: Path) -> None:
    uri = as_uri(door, "nbds", export_name(disk, SESSION)) + f"?tls-certificates={authorities}"
    door.one_at_a_time = False  # it opens several connections
    copy = tmp_path / "copy"
    copy.touch()
    output_of("nbdcopy", uri, copy)
    assert copy.read_bytes() == CONTENT
    assert copy.stat().st_blocks * 512 <= 1 << 20
    stranger = as_uri(door, "nbds", export_name(disk, "OpaqueRef:bad")) + f"?tls-certificates={authorities}"
    with pytest.raises(AssertionError):
        output_of("nbdcopy", stranger, copy)


@needs("nbdinfo", "libnbd-bin")
def test_nbdinfo_does_not_trust_another_authority(door: Door, disk: str, tmp_path: Path) -> None:
    ensure_server_certificate(tmp_path / "ca-cert.pem", "localhost", ("127.0.0.1",), datetime.now(UTC))
    uri = as_uri(door, "nbds", export_name(disk, SESSION)) + f"?tls-certificates={tmp_path}"
    with pytest.raises(AssertionError):
        output_of("nbdinfo", uri)


@needs("qemu-img", "qemu-utils")
def test_qemu_backs_a_disk_up_over_tls(door: Door, disk: str, authorities: Path, tmp_path: Path) -> None:
    source = f"driver=nbd,host=localhost,port={door.address[1]},export={export_name(disk, SESSION)},tls-creds=t"
    credentials = f"tls-creds-x509,id=t,dir={authorities},endpoint=client"
    target = tmp_path / "copy.qcow2"
    output_of("qemu-img", "convert", "--object", credentials, "--image-opts", source, "-O", "qcow2", target)
    output_of("qemu-img", "convert", "-f", "qcow2", "-O", "raw", target, tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").read_bytes() == CONTENT
    assert target.stat().st_size < 1 << 20
