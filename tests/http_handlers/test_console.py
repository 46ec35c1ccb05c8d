from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from tests.fakes.websocket_frames import frame, frames
from tests.http_handlers.doors import Doors
from tests.hypervisor.rfb.viewer import Viewer
from tests.hypervisor.simulator.test_consoles import reads
from xapi.datamodel.classes import VM, Console, Pool
from xapi.datamodel.classes.console import ConsoleProtocol
from xapi.datamodel.roles import READ_ONLY, VM_OPERATOR
from xapi.http_handlers import console_relay
from xapi.http_handlers.console import relays_of
from xapi.http_handlers.console_relay import ConsoleRelays, ConsoleTaken, TooManyConsoles
from xapi.hypervisor.rfb.messages import Activity
from xapi.rpc.websocket import WebSocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module")
def vm(doors: Doors) -> str:
    """A running VM."""
    ref = doors.client.VM.clone(_template(doors), "a guest")
    doors.client.VM.provision(ref)
    doors.client.VM.start(ref, False, False)
    return str(ref)


@pytest.fixture
def host_vm(doors: Doors) -> VM:
    return next(row for row in doors.db.all(VM) if row.is_control_domain)


@pytest.fixture(autouse=True)
def nothing_is_left(doors: Doors) -> Iterator[None]:
    relays = relays_of(doors.toolstack)
    yield
    assert eventually(lambda: relays.count, lambda count: not count) == 0


def _template(doors: Doors) -> str:
    return next(
        ref
        for ref, record in doors.client.VM.get_all_records().items()
        if record["is_a_template"] and record["name_label"] == "Other install media"
    )


class Line:
    """A connection on which somebody reads exactly what he wants."""

    def __init__(self, doors: Doors, request: str) -> None:
        self.socket = socket.create_connection(doors.address, 20)
        self.socket.sendall(request.encode())
        self.buffer = b""
        self.head = ""

    def __enter__(self) -> Line:
        self.head = self.until(b"\r\n\r\n").decode()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        place = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:place], self.buffer[place:]
        return data

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _more(self) -> None:
        data = self.socket.recv(65536)
        assert data, "hung up"
        self.buffer += data

    def ended(self) -> bool:
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def look(self) -> Viewer:
        return Viewer(self.socket.sendall, self.read)


def dial(doors: Doors, query: str, *, version: str = "1.0", headers: str = "", session: bool = True) -> Line:
    who = f"&session_id={doors.session}" if session else ""
    return Line(doors, f"CONNECT /console?{query}{who} HTTP/{version}\r\nHost: {doors.address[0]}\r\n{headers}\r\n")


def browse(doors: Doors, query: str, headers: str = "", *, session: bool = True, protocol: str = "binary") -> Line:
    who = f"&session_id={doors.session}" if session else ""
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    if protocol:
        upgrade += f"Sec-WebSocket-Protocol: {protocol}\r\n"
    host = f"Host: {doors.address[0]}:{doors.address[1]}\r\n"
    return Line(doors, f"GET /console?{query}{who} HTTP/1.1\r\n{host}{upgrade}{headers}\r\n")


def console_of(doors: Doors, vm: str, protocol: ConsoleProtocol = ConsoleProtocol.RFB) -> Console:
    return next(row for row in doors.db.all(Console) if vm == row.VM and row.protocol is protocol)


def look_at_guest(viewer: Viewer) -> None:
    viewer.ask_encodings(16, -223)
    viewer.ask()
    while viewer.take() == [-223]:
        viewer.ask()


def test_the_location_that_the_console_tells_shows_the_guest(doors: Doors, vm: str):
    location = console_of(doors, vm).location
    query = location.partition("/console?")[2]
    assert query
    with dial(doors, query, version="1.1") as line:
        assert line.status == 200
        viewer = line.look()
        assert viewer.name == "a guest"
        look_at_guest(viewer)
        assert reads(viewer, 0, " a guest ", paper=(0, 0, 170))
        viewer.press("echo typed over http\n")
        while not any(reads(viewer, row, "typed over http") for row in range(30)):
            viewer.ask(incremental=True)
            viewer.take()


@pytest.mark.parametrize("name", ["VM reference", "VM uuid", "console reference", "console uuid"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_each_way_of_naming_a_console(doors: Doors, vm: str, name: str, version: str):
    console = console_of(doors, vm)
    query = {
        "VM reference": f"ref={vm}",
        "VM uuid": f"uuid={doors.db.get(VM, vm).uuid}",
        "console reference": f"ref={console.ref}",
        "console uuid": f"uuid={console.uuid}",
    }[name]
    with dial(doors, query, version=version) as line:
        assert line.status == 200
        assert line.look().name == "a guest"


def test_basic_credentials_and_cookies(doors: Doors, vm: str):
    basic = doors.basic()["Authorization"]
    for headers in (f"Authorization: {basic}\r\n", f"Cookie: session_id={doors.session}\r\n"):
        with dial(doors, f"ref={vm}", headers=headers, session=False) as line:
            assert line.status == 200
            assert line.look().name == "a guest"


def test_what_the_viewer_sends_before_the_answer_is_not_lost(doors: Doors, vm: str):
    head = f"CONNECT /console?ref={vm}&session_id={doors.session} HTTP/1.0\r\n\r\n"
    with Line(doors, head + "RFB 003.003\n") as line:
        assert line.status == 200
        assert line.read(16) == b"RFB 003.008\n\0\0\0\x01"


@pytest.mark.parametrize("open_line", [dial, browse])
def test_nobody_gets_in_who_may_not(doors: Doors, vm: str, host_vm: VM, open_line):
    reader, operator = doors.house.caller(READ_ONLY), doors.house.caller(VM_OPERATOR)
    query = f"ref={vm}"
    for extra, status in (
        ("", 401),
        ("&session_id=OpaqueRef:dead", 401),
        (f"&session_id={reader.session}", 403),
    ):
        with open_line(doors, query + extra, session=False) as line:
            assert line.status == status
    with open_line(doors, f"ref={host_vm.ref}&session_id={operator.session}", session=False) as line:
        assert line.status == 403
        assert b"host_console" in line.until(b"</html>")
    with open_line(doors, f"{query}&session_id={operator.session}", session=False) as line:
        assert line.status in (101, 200)


def test_a_dead_session_opens_nothing(doors: Doors, vm: str):
    somebody = doors.house.caller(VM_OPERATOR)
    doors.toolstack.sessions.close(somebody.session)
    with dial(doors, f"ref={vm}&session_id={somebody.session}", session=False) as line:
        assert line.status == 401


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("", 400, b"INVALID_VALUE"),
        ("ref=", 404, b"HANDLE_INVALID"),
        ("ref=OpaqueRef:nothing", 404, b"HANDLE_INVALID"),
        ("uuid=00000000-0000-4000-8000-000000000000", 404, b"UUID_INVALID"),
    ],
)
def test_what_is_not_there(doors: Doors, query: str, status: int, word: bytes):
    for open_line in (dial, browse):
        with open_line(doors, query) as line:
            assert line.status == status
            assert word in line.until(b"</html>")
    answer = doors.request("GET", f"/vncsnapshot?{query}&session_id={doors.session}")
    assert answer.status == status and word in answer.body


def test_a_vm_that_is_not_running_has_no_console(doors: Doors):
    with dial(doors, f"ref={_template(doors)}") as line:
        assert line.status == 500
        assert b"VM_BAD_POWER_STATE" in line.until(b"</html>")


def test_a_console_that_is_not_answered_is_told_so(doors: Doors, vm: str):
    endpoint = doors.toolstack.hypervisor.consoles.endpoint(doors.db.get(VM, vm).uuid, "rfb")
    moved = endpoint.path.with_suffix(".moved")
    os.rename(endpoint.path, moved)
    try:
        for path in ("/vncsnapshot", "/console"):
            method = "GET" if path == "/vncsnapshot" else "CONNECT"
            answer = doors.request(method, f"{path}?ref={vm}&session_id={doors.session}")
            assert answer.status == 503
    finally:
        os.rename(moved, endpoint.path)


@pytest.mark.parametrize(("wish", "protocol"), [("1", "vt100"), ("0", "rfb"), (None, "rfb")])
def test_the_text_of_a_pv_guest_becomes_a_picture_unless_told_otherwise(doors: Doors, wish: str | None, protocol: str):
    ref = doors.client.VM.clone(_template(doors), "a PV guest")
    doors.client.VM.provision(ref)
    doors.client.VM.set_domain_type(ref, "pv")
    if wish is not None:
        doors.client.VM.add_to_other_config(ref, "disable_pv_vnc", wish)
    doors.client.VM.start(ref, False, False)
    (console,) = doors.client.VM.get_consoles(ref)
    assert doors.client.console.get_protocol(console) == protocol
    with dial(doors, f"ref={console}") as line:
        assert line.status == 200
        line.until(b"a-PV-guest# ".lower() if protocol == "vt100" else b"RFB 003.008\n")
    with dial(doors, f"ref={ref}") as line:
        assert line.status == (200 if protocol == "rfb" else 400)
    doors.client.VM.hard_shutdown(ref)
    doors.client.VM.destroy(ref)


# The host's own


def test_the_text_console_of_the_host(doors: Doors, host_vm: VM):
    console = console_of(doors, host_vm.ref, ConsoleProtocol.VT100)
    with dial(doors, f"uuid={console.uuid}") as line:
        line.until(b"host# ")
        line.socket.sendall(b"id\r")
        assert line.until(b"host# ") == b"id\r\nid: simulated, not run\r\nhost# "


def test_the_text_console_of_the_host_as_a_picture(doors: Doors, host_vm: VM):
    with dial(doors, f"ref={host_vm.ref}") as line:
        viewer = line.look()
        look_at_guest(viewer)
        assert reads(viewer, 0, " host · host console, simulated", paper=(0, 0, 170))


# WebSockets


class Framed:
    """The stream within the frames that the server sends."""

    def __init__(self, line: Line, *, text: bool = False) -> None:
        self.line, self.text, self.buffer = line, text, b""

    def send(self, data: bytes) -> None:
        self.line.socket.sendall(frame(1, base64.b64encode(data)) if self.text else frame(2, data))

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            opcode, payload = self.next()
            assert opcode == (1 if self.text else 2)
            self.buffer += base64.b64decode(payload) if self.text else payload
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def next(self) -> tuple[int, bytes]:
        head = self.line.read(2)
        extra = self.line.read({126: 2, 127: 8}.get(head[1], 0))
        size = int.from_bytes(extra) if extra else head[1]
        ((opcode, payload),) = frames(head + extra + self.line.read(size))
        return opcode, payload


@pytest.mark.parametrize("protocol", ["binary", "base64", ""])
def test_a_browser_sees_the_same_picture(doors: Doors, vm: str, protocol: str):
    with browse(doors, f"ref={vm}", protocol=protocol) as line:
        assert line.status == 101
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in line.head
        assert ("Sec-WebSocket-Protocol: " in line.head) == bool(protocol)
        framed = Framed(line, text=protocol == "base64")
        viewer = Viewer(framed.send, framed.read)
        look_at_guest(viewer)
        assert reads(viewer, 0, " a guest ", paper=(0, 0, 170))
        line.socket.sendall(frame(9, b"there?"))
        while (got := framed.next())[0] != 10:
            pass
        assert got == (10, b"there?")
        line.socket.sendall(frame(8, struct.pack(">H", 1000)))
        while (got := framed.next())[0] != 8:
            pass
        assert got == (8, struct.pack(">H", 1000))
        assert line.ended()


def test_a_violation_ends_the_connection_with_a_reason(doors: Doors, vm: str):
    with browse(doors, f"ref={vm}") as line:
        framed = Framed(line)
        framed.read(12)
        line.socket.sendall(frame(2, b"x", masked=False))
        assert framed.next() == (8, struct.pack(">H", 1002))
        assert line.ended()


def test_a_plain_get_is_told_to_upgrade(doors: Doors, vm: str):
    answer = doors.get("/console", ref=vm)
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    with browse(doors, f"ref={vm}", "Sec-WebSocket-Version: 8\r\n") as line:
        assert line.status == 426


def test_a_page_of_another_site_cannot_ride_on_a_cookie(doors: Doors, vm: str):
    cookie = f"Cookie: session_id={doors.session}\r\n"
    own = f"Origin: http://{doors.address[0]}:{doors.address[1]}\r\n"
    with browse(doors, f"ref={vm}", cookie + "Origin: https://evil.example\r\n", session=False) as line:
        assert line.status == 403
    with browse(doors, f"ref={vm}", cookie + own, session=False) as line:
        assert line.status == 101
    with browse(doors, f"ref={vm}", "Origin: https://panel.example\r\n") as line:
        assert line.status == 101


# Pictures


def test_a_snapshot_is_a_picture_of_the_screen(doors: Doors, vm: str):
    answer = doors.get("/vncsnapshot", uuid=doors.db.get(VM, vm).uuid)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", answer.body[16:24])
    assert (width, height) == (800, 592)
    start = answer.body.index(b"IDAT") + 4
    rows = zlib.decompress(answer.body[start:-16])
    assert rows[1:4] == b"\0\0\xaa"  # the bar of the clock
    operator = doors.house.caller(VM_OPERATOR)
    host = next(row for row in doors.db.all(VM) if row.is_control_domain)
    assert doors.request("GET", f"/vncsnapshot?ref={host.ref}&session_id={operator.session}").status == 403
    text = console_of(doors, host.ref, ConsoleProtocol.VT100)
    assert doors.get("/vncsnapshot", ref=text.ref).status == 400


# Many, slow, gone


def test_two_hundred_idle_consoles_hold_no_workers(doors: Doors, vm: str):
    guests = [vm, *(doors.client.VM.clone(_template(doors), f"guest {n}") for n in range(3))]
    for each in guests[1:]:
        doors.client.VM.provision(each)
        doors.client.VM.start(each, False, False)
    before = threading.active_count()
    lines = []
    try:
        for number in range(200):
            line = (dial, browse)[number % 2](doors, f"ref={guests[number // 2 % 4]}")
            lines.append(line.__enter__())
        assert {line.status for line in lines} == {200, 101}
        # The worker that has just answered the last one may not have let go yet.
        assert eventually(lambda: doors.server.statistics().active, lambda count: not count) == 0
        assert threading.active_count() < before + 20
        assert relays_of(doors.toolstack).count == 200
        assert doors.get("/vncsnapshot", ref=vm).status == 200
    finally:
        for line in lines:
            line.__exit__()
    for each in guests[1:]:
        doors.client.VM.hard_shutdown(each)
        doors.client.VM.destroy(each)


def test_a_console_ends_when_its_vm_stops(doors: Doors):
    ref = doors.client.VM.clone(_template(doors), "short-lived")
    doors.client.VM.provision(ref)
    doors.client.VM.start(ref, False, False)
    files = len(os.listdir("/proc/self/fd"))
    with dial(doors, f"ref={ref}") as line, browse(doors, f"ref={ref}") as other:
        line.look()
        framed = Framed(other)
        Viewer(framed.send, framed.read)
        doors.client.VM.hard_shutdown(ref)
        assert line.ended()
        assert framed.next() == (8, struct.pack(">H", 1000))
        assert other.ended()
    doors.client.VM.destroy(ref)
    assert eventually(lambda: len(os.listdir("/proc/self/fd")), lambda now: now <= files + 2) <= files + 2


def test_who_does_not_read_holds_up_nobody(doors: Doors, vm: str):
    with dial(doors, f"ref={vm}") as stuck, dial(doors, f"ref={vm}") as quick:
        viewer = stuck.look()
        stuck.socket.setblocking(False)
        request = struct.pack(">BBHHHH", 3, 0, 0, 0, viewer.width, viewer.height)
        try:
            for _ in range(500):
                stuck.socket.send(request * 100)
        except BlockingIOError:
            pass
        other = quick.look()
        for _ in range(3):
            other.ask()
            other.take()


def test_only_one_may_look_where_the_pool_says_so(doors: Doors, vm: str):
    pool = doors.toolstack.pool.ref
    with doors.db.transaction() as transaction:
        transaction.update(Pool, pool, limit_console_sessions=True)
    try:
        with dial(doors, f"ref={vm}") as first:
            assert first.status == 200
            for open_line in (dial, browse):
                with open_line(doors, f"ref={vm}") as second:
                    assert second.status == 503
                    assert b"root" in second.until(b"</html>")
        relays = relays_of(doors.toolstack)
        assert eventually(lambda: relays.count, lambda count: not count) == 0
        with dial(doors, f"ref={vm}") as again:
            assert again.status == 200
    finally:
        with doors.db.transaction() as transaction:
            transaction.update(Pool, pool, limit_console_sessions=False)


# The relays alone


class Pair:
    """Relays on a clock of ours between two socket pairs: `viewer` and `guest` are the far ends."""

    def __init__(self, **options: object) -> None:
        self.now = 1000.0
        self.relays = ConsoleRelays(lambda: self.now)
        self.viewer, near = socket.socketpair()
        self.guest, far = socket.socketpair()
        for end in (self.viewer, self.guest):
            end.settimeout(20)
        seat = self.relays.take_seat("vm", "root", alone=False)
        self.relays.carry(seat, near, b"", far, **options)  # type: ignore[arg-type]

    def close(self) -> None:
        self.relays.close()
        self.viewer.close()
        self.guest.close()


@pytest.fixture
def make_pair() -> Iterator[type[Pair]]:
    made: list[Pair] = []

    def make(**options: object) -> Pair:
        made.append(Pair(**options))
        return made[-1]

    yield make  # type: ignore[misc]
    for pair in made:
        pair.close()
        assert pair.relays.count == 0


def drain(end: socket.socket) -> bytes:
    data = b""
    while more := end.recv(65536):
        data += more
    return data


def test_megabytes_go_both_ways_unharmed(make_pair):
    pair = make_pair()
    data = os.urandom(3_000_000)

    def send(end: socket.socket) -> None:
        end.sendall(data)

    senders = [threading.Thread(target=send, args=(end,)) for end in (pair.viewer, pair.guest)]
    for sender in senders:
        sender.start()
    for end in (pair.guest, pair.viewer):
        got = b""
        while len(got) < len(data):
            got += end.recv(65536)
        assert got == data
    for sender in senders:
        sender.join()


def test_a_source_waits_for_a_slow_reader(make_pair):
    pair = make_pair()
    pair.guest.setblocking(False)
    sent = 0
    stuck = 0
    while stuck < 50:
        try:
            sent += pair.guest.send(b"x" * 65536)
            stuck = 0
        except BlockingIOError:
            stuck += 1
            eventually(lambda: False, bool, 0.01)
    assert sent < 4_000_000
    pair.guest.close()
    assert len(drain(pair.viewer)) == sent


def test_what_the_guest_said_last_still_arrives(make_pair):
    pair = make_pair()
    pair.guest.sendall(b"goodbye")
    pair.guest.close()
    assert drain(pair.viewer) == b"goodbye"


def test_when_the_viewer_goes_the_guest_is_left(make_pair):
    pair = make_pair()
    pair.viewer.close()
    assert drain(pair.guest) == b""
    assert eventually(lambda: pair.relays.count, lambda count: not count) == 0


def test_an_idle_console_is_closed_when_a_limit_says_so(make_pair):
    pair = make_pair(idle_limit=60.0, activity=Activity())
    pair.viewer.sendall(b"RFB 003.008\n\x01\x01")
    pair.now += 50
    pair.viewer.sendall(b"\x04\x01\0\0\0\0\0a")
    pair.guest.recv(14 + 8, socket.MSG_WAITALL)
    pair.now += 50
    pair.viewer.sendall(struct.pack(">BBHHHH", 3, 1, 0, 0, 1, 1))
    pair.guest.recv(10, socket.MSG_WAITALL)
    pair.guest.sendall(b"still here")
    assert pair.viewer.recv(10, socket.MSG_WAITALL) == b"still here"
    pair.now += 11
    assert drain(pair.viewer) == b""


def test_without_a_limit_hours_may_pass(make_pair):
    pair = make_pair()
    pair.now += 12 * 3600
    pair.guest.sendall(b"morning")
    assert pair.viewer.recv(7, socket.MSG_WAITALL) == b"morning"


def test_a_silent_websocket_gets_a_sign_of_life(make_pair):
    pair = make_pair(codec=WebSocket())
    pair.now += console_relay.PING_AFTER + 1
    assert pair.viewer.recv(2, socket.MSG_WAITALL) == b"\x89\x00"


def test_closing_says_goodbye_to_browsers(make_pair):
    pair = make_pair(codec=WebSocket())
    pair.guest.sendall(b"x")
    assert pair.viewer.recv(3, socket.MSG_WAITALL) == b"\x82\x01x"
    pair.relays.close()
    assert drain(pair.viewer) == b"\x88\x02" + struct.pack(">H", 1001)
    with pytest.raises(TooManyConsoles):
        pair.relays.take_seat("vm", "root", alone=False)


def test_seats(monkeypatch):
    monkeypatch.setattr(console_relay, "MOST", 2)
    relays = ConsoleRelays(lambda: 0.0)
    one = relays.take_seat("a", "alice", alone=True)
    with pytest.raises(ConsoleTaken) as taken:
        relays.take_seat("a", "bob", alone=True)
    assert taken.value.users == ["alice"]
    relays.take_seat("b", "bob", alone=True)
    with pytest.raises(TooManyConsoles):
        relays.take_seat("c", "carol", alone=False)
    relays.leave(one)
    relays.leave(one)
    assert relays.count == 1
    relays.take_seat("a", "carol", alone=True)


def test_a_console_over_tls(doors: Doors, make_pair, tmp_path: Path):
    certificate = tmp_path / "cert.pem"
    from xapi.system.certificates import ensure_server_certificate, server_context

    ensure_server_certificate(certificate, "localhost", (), doors.toolstack.clock.now())
    near, viewer = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wrapped: list[ssl.SSLSocket] = []
    server = threading.Thread(
        target=lambda: wrapped.append(server_context(certificate).wrap_socket(near, server_side=True))
    )
    server.start()
    with context.wrap_socket(viewer) as client:
        client.settimeout(20)
        server.join()
        pair = make_pair()
        guest, far = socket.socketpair()
        guest.settimeout(20)
        pair.relays.carry(pair.relays.take_seat("tls", "root", alone=False), wrapped[0], b"", far)
        data = os.urandom(1_000_000)
        sender = threading.Thread(target=guest.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            got += client.recv(65536)
        sender.join()
        assert got == data
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            got += guest.recv(65536)
        sender.join()
        assert got == data
        guest.close()
        assert client.recv(1) == b""
