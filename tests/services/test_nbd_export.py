from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.actions.storage_house import MEBIBYTE, StorageHouse, storage_house
from tests.fakes.eventually import eventually
from xapi.actions.host.files import files_of
from xapi.datamodel.classes import PIF
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.services.nbd_export import NbdExports, port_of
from xapi.system.certificates import make_self_signed, store_server_certificate

from ..storage.datapath.client import Client, Refused, RequestFailed


@pytest.fixture
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture
def network(house: StorageHouse) -> str:
    (pif,) = [ref for ref, record in house.client.PIF.get_all_records().items() if record["management"]]
    with house.db.transaction() as transaction:
        transaction.update(PIF, pif, IP="127.0.0.1")
    found: str = house.client.PIF.get_network(pif)
    return found


@pytest.fixture
def exports(house: StorageHouse, network: str) -> Iterator[NbdExports]:
    toolstack = house.house.toolstack
    opened = NbdExports(toolstack, files_of(toolstack).server_certificate, port=0)
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def disk(house: StorageHouse) -> str:
    made = house.disk(house.sr(), virtual_size=str(4 * MEBIBYTE))
    house.write(made, 2 * MEBIBYTE, b"d" * 4096)
    return made


def told(house: StorageHouse, disk: str) -> dict[str, Any]:
    """Where the disk can be read, once the server is there."""

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = house.client.VDI.get_nbd_info(disk)
        return found

    (info,) = eventually(look, lambda found: bool(found) and found[0]["port"] != "0")
    return info


def connect(info: dict[str, Any]) -> Client:
    sock = socket.create_connection((info["address"], int(info["port"])), timeout=30)
    try:
        return Client(sock)
    except (OSError, EOFError):
        sock.close()
        raise


def trusting(info: dict[str, Any]) -> ssl.SSLContext:
    """The context of a client that believes what it was told, and nothing else."""
    context = ssl.create_default_context(cadata=info["cert"])
    context.check_hostname = True
    return context


def start_tls(client: Client, info: dict[str, Any]) -> None:
    client.option(5)
    client.sock = trusting(info).wrap_socket(client.sock, server_hostname=info["subject"])


def read_all(info: dict[str, Any]) -> bytes:
    client = connect(info)
    try:
        start_tls(client, info)
        client.go(info["exportname"])
        return client.read(0, client.size)
    finally:
        client.close()


def test_a_disk_is_read_as_the_toolstack_tells(
    house: StorageHouse, network: str, exports: NbdExports, disk: str
) -> None:
    house.client.network.add_purpose(network, "nbd")
    expected = bytes(2 * MEBIBYTE) + b"d" * 4096 + bytes(2 * MEBIBYTE - 4096)
    assert read_all(told(house, disk)) == expected


def test_nothing_can_be_written(house: StorageHouse, network: str, exports: NbdExports, disk: str) -> None:
    house.client.network.add_purpose(network, "nbd")
    info = told(house, disk)
    client = connect(info)
    start_tls(client, info)
    client.go(info["exportname"])
    with pytest.raises(RequestFailed):
        client.write(0, b"x" * 512)
    client.close()


def test_without_tls_only_where_that_is_allowed(
    house: StorageHouse, network: str, exports: NbdExports, disk: str
) -> None:
    house.client.network.add_purpose(network, "nbd")
    info = told(house, disk)
    client = connect(info)
    with pytest.raises(Refused):
        client.go(info["exportname"])
    client.close()
    house.client.network.remove_purpose(network, "nbd")
    house.client.network.add_purpose(network, "insecure_nbd")
    exports.follow()
    info = told(house, disk)
    client = connect(info)
    client.go(info["exportname"])
    assert client.read(2 * MEBIBYTE, 4) == b"dddd"
    client.close()


def test_the_doors_close_with_the_purpose(house: StorageHouse, network: str, exports: NbdExports, disk: str) -> None:
    house.client.network.add_purpose(network, "nbd")
    info = told(house, disk)
    client = connect(info)
    start_tls(client, info)
    client.go(info["exportname"])
    house.client.network.remove_purpose(network, "nbd")

    def refused() -> bool:
        try:
            connect(info).close()
        except (OSError, EOFError):
            return True
        return False

    assert eventually(refused, bool)
    with pytest.raises((EOFError, OSError)):
        client.read(0, 1)
    client.close()


def test_a_session_is_needed_that_may_ask(house: StorageHouse, network: str, exports: NbdExports, disk: str) -> None:
    house.client.network.add_purpose(network, "nbd")
    info = told(house, disk)
    uuid = house.client.VDI.get_uuid(disk)
    operator, reader = house.house.caller(POOL_OPERATOR), house.house.caller(READ_ONLY)
    gone = house.house.caller(POOL_OPERATOR)
    house.house.toolstack.sessions.close(gone.session)
    assert exports.may_read(operator.session, uuid)
    for session in (reader.session, gone.session, "OpaqueRef:nobody", ""):
        assert not exports.may_read(session, uuid)
        client = connect(info)
        start_tls(client, info)
        with pytest.raises(Refused):
            client.go(f"/{uuid}?session_id={session}")
        client.close()
    assert not exports.may_read(operator.session, "0c9b1a5e-3d1f-4b7a-9a5e-2f3c4d5e6f70")


def test_a_disk_that_cannot_be_reached_is_not_offered(
    house: StorageHouse, network: str, exports: NbdExports, disk: str
) -> None:
    house.client.network.add_purpose(network, "nbd")
    info = told(house, disk)
    house.client.PBD.unplug(house.pbd(house.client.VDI.get_SR(disk)))
    client = connect(info)
    start_tls(client, info)
    with pytest.raises(Refused):
        client.go(info["exportname"])
    client.close()


def test_a_new_certificate_is_shown(house: StorageHouse, network: str, exports: NbdExports, disk: str) -> None:
    house.client.network.add_purpose(network, "nbd")
    before = told(house, disk)
    path = files_of(house.house.toolstack).server_certificate
    store_server_certificate(path, make_self_signed("another.example", ("127.0.0.1",), datetime.now(UTC)))
    exports.follow()
    info = told(house, disk)
    assert info["cert"] != before["cert"]
    assert info["subject"] == "another.example"
    assert len(read_all(info)) == 4 * MEBIBYTE
    client = connect(info)
    with pytest.raises(ssl.SSLError):
        start_tls(client, before)
    client.close()


def test_an_address_that_cannot_be_had_is_left_out(house: StorageHouse, network: str, disk: str) -> None:
    toolstack = house.house.toolstack
    with socket.create_server(("127.0.0.1", 0)) as taken:
        exports = NbdExports(toolstack, files_of(toolstack).server_certificate, port=taken.getsockname()[1])
        exports.start()
        house.client.network.add_purpose(network, "nbd")
        exports.follow()
    exports.follow()
    assert len(read_all(told(house, disk))) == 4 * MEBIBYTE
    exports.stop()


def test_the_port_is_a_setting() -> None:
    assert port_of({}) == 10809
    assert port_of({"nbd_port": "0"}) == 0
    for text in ("", "x", "-1", "65536", "²"):
        with pytest.raises(ValueError, match="nbd_port"):
            port_of({"nbd_port": text})
