from __future__ import annotations

import base64
import ipaddress
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.fakes.eventually import eventually
from tests.http_handlers.doors import MIB, Doors, noise
from tests.http_handlers.test_export_import import disks_of, everything, exported, furnish, imported, make_vm
from xapi.datamodel.classes import VIF, VM
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import VM_ADMIN
from xapi.http_handlers import import_url
from xapi.http_handlers.import_url import ImportNetworks
from xapi.system.certificates import server_context

LOOPBACK = ImportNetworks((ipaddress.ip_network("127.0.0.0/8"),))


class Shop(ThreadingHTTPServer):
    """A web server that gives out what it is told to."""

    daemon_threads = True

    def __init__(self, tls: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Counter)
        self.goods: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.release = threading.Event()
        if tls is not None:
            self.socket = server_context(tls).wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that goes is what some tests are about
            super().handle_error(request, client_address)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Counter(BaseHTTPRequestHandler):
    server: Shop

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        shop = self.server
        shop.asked.append((self.path, self.headers.get("Authorization", "")))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/vm.xva")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = self.path.partition("?")[0]
        data = shop.goods.get(name.removeprefix("/cut").removeprefix("/hang"))
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if name.startswith(("/cut", "/hang")):
            self.wfile.write(data[: len(data) // 2])
            if name.startswith("/hang"):
                self.wfile.flush()
                shop.release.wait(20)
        else:
            self.wfile.write(data)


@pytest.fixture
def shop(doors: Doors) -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.serve_forever)
    thread.start()
    before = doors.toolstack.parts[ImportNetworks]
    doors.toolstack.parts[ImportNetworks] = LOOPBACK
    try:
        yield shop
    finally:
        doors.toolstack.parts[ImportNetworks] = before
        shop.release.set()
        shop.shutdown()
        thread.join()
        shop.server_close()


@pytest.fixture
def vm(doors: Doors) -> str:
    made = make_vm(doors)
    furnish(doors, made)
    return made


def refused(doors: Doors, url: str, sr: str = "", force: bool = False) -> list[str]:
    before = everything(doors)
    with pytest.raises(Failure) as failure:
        doors.client("VM.import", url, sr or doors.sr, False, force)
    assert everything(doors) == before
    return failure.value.description


def test_an_archive_from_the_web(doors, vm, shop):
    shop.goods["/vm.xva"] = exported(doors, vm, use_compression="zstd")
    (made,) = doors.client("VM.import", f"http://me:p%40ss@{shop.place}/vm.xva?key=1", doors.sr, False, False)
    assert doors.content(disks_of(doors, made)["0"]) == doors.content(disks_of(doors, vm)["0"])
    assert doors.db.get(VM, made).current_operations == {}
    assert doors.db.get(VIF, doors.db.get(VM, made).VIFs[0]).MAC != "02:00:00:00:00:07"
    assert shop.asked == [("/vm.xva?key=1", "Basic " + base64.b64encode(b"me:p@ss").decode())]


def test_the_door_fetches_too(doors, vm, shop):
    shop.goods["/vm.xva"] = exported(doors, vm)
    (made,) = imported(doors, b"", url=f"http://{shop.place}/vm.xva", sr_id=doors.sr)
    assert doors.content(disks_of(doors, made)["0"]) == doors.content(disks_of(doors, vm)["0"])
    before = everything(doors)
    answer = doors.put("/import", b"", url="http://10.0.0.1/vm.xva")
    assert answer.status == 400 and b"INVALID_VALUE: url" in answer.body
    assert everything(doors) == before


def test_a_restore_keeps_the_identity(doors, shop):
    vm = make_vm(doors)
    identity = doors.db.get(VM, vm).uuid
    shop.goods["/vm.xva"] = exported(doors, vm)
    doors.client.VM.destroy(vm)
    (made,) = doors.client("VM.import", f"http://{shop.place}/vm.xva", doors.sr, True, False)
    assert doors.db.get(VM, made).uuid == identity


def test_what_goes_wrong_leaves_nothing_behind(doors, vm, shop):
    shop.goods["/vm.xva"] = exported(doors, vm)
    assert refused(doors, f"http://{shop.place}/cut/vm.xva") == ["IMPORT_ERROR_PREMATURE_EOF"]
    assert refused(doors, f"http://{shop.place}/nosuch") == ["IMPORT_ERROR", "the server answered 404"]
    assert refused(doors, f"http://{shop.place}/vm.xva", "OpaqueRef:x") == ["HANDLE_INVALID", "SR", "OpaqueRef:x"]


def test_a_redirection_is_not_followed(doors, vm, shop):
    shop.goods["/vm.xva"] = exported(doors, vm)
    assert refused(doors, f"http://{shop.place}/moved") == ["IMPORT_ERROR", "the server answered 302"]
    assert [path for path, _ in shop.asked] == ["/moved"]


def test_an_archive_that_does_not_end_is_cut(doors, vm, shop, monkeypatch):
    shop.goods["/vm.xva"] = exported(doors, vm)
    monkeypatch.setattr(import_url, "LONGEST", 2 * MIB)
    assert refused(doors, f"http://{shop.place}/vm.xva") == ["IMPORT_ERROR", "the archive is longer than any may be"]


def test_cancelling_ends_a_server_that_hangs(doors, vm, shop):
    shop.goods["/vm.xva"] = exported(doors, vm)
    before = everything(doors)
    task = doors.client("Async.VM.import", f"http://{shop.place}/hang/vm.xva", doors.sr, False, False)
    eventually(lambda: shop.asked, bool)
    doors.client.task.cancel(task)
    ended = eventually(lambda: doors.ended(task), lambda one: one[0] != "pending", 10.0)
    assert ended == ("cancelled", ["TASK_CANCELLED", task])
    assert everything(doors) == before


def test_nobody_listens(doors, shop):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert refused(doors, f"http://127.0.0.1:{port}/")[0] == "IMPORT_ERROR"


def test_a_certificate_that_nobody_vouches_for(doors, shop):
    with Shop(doors.certificate) as safe:
        thread = threading.Thread(target=safe.handle_request)
        thread.start()
        code, text = refused(doors, f"https://{safe.place}/vm.xva")
        thread.join()
    assert code == "IMPORT_ERROR" and "certificate" in text.lower()
    assert safe.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://example.com/",
        "http://",
        "http:///x",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://[::1/",
        "http://example.com/a b",
        "http://example.com/\r\nHost: x",
        "http://ex\u00e4mple.com/",
        "http://example.com/" + "x" * 9000,
    ],
)
def test_what_is_no_web_address(doors, url):
    assert refused(doors, url)[:2] == ["INVALID_VALUE", "url"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.1.2.3", "192.168.0.1", "169.254.169.254", "2130706433",
     "0x7f.1", "[::ffff:10.0.0.1]", "[fe80::1]", "[fd00::1]", "[2002:7f00:1::]", "224.0.0.1", "100.64.0.1"],
)  # fmt: skip
def test_hosts_of_the_inside_are_not_asked(doors, host):
    code, name, text = refused(doors, f"http://{host}/vm.xva")
    assert (code, name) == ("INVALID_VALUE", "url") and "import_networks" in text


def test_one_address_of_the_inside_among_others_is_enough(doors, monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(import_url.socket, "getaddrinfo", lambda *_, **__: found)
    assert refused(doors, "http://example.com/")[0] == "INVALID_VALUE"


@given(some.ip_addresses())
def test_only_the_public_internet_and_what_is_named(address):
    reached = getattr(address, "ipv4_mapped", None) or address  # which Python calls global since some version only
    assert not ImportNetworks().allow(address) or reached.is_global
    assert ImportNetworks((ipaddress.ip_network("10.0.0.0/8"),)).allow(ipaddress.ip_address("10.255.0.1"))
    assert ImportNetworks().allow(ipaddress.ip_address("93.184.216.34"))


def test_a_role_that_is_too_low(doors):
    with pytest.raises(Failure, match="RBAC_PERMISSION_DENIED"):
        doors.house.caller(VM_ADMIN)("VM.import", "http://example.com/", doors.sr, False, False)


def test_a_large_archive_goes_through_little_memory(doors, shop):
    vm = make_vm(doors)
    doors.connect(vm, doors.disk(16 * MIB, {0: noise(16 * MIB)}))
    shop.goods["/vm.xva"] = exported(doors, vm)
    (made,) = doors.client("VM.import", f"http://{shop.place}/vm.xva", doors.sr, False, False)
    assert doors.content(disks_of(doors, made)["0"]) == noise(16 * MIB)
