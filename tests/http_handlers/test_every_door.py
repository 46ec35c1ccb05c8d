"""Every HTTP action of the contract: who is let in, how, and with which method; and peers that misbehave."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from tests.fakes.guests import running
from tests.http_handlers.doors import MIB, Doors, open_files
from xapi.datamodel.classes import Task
from xapi.datamodel.roles import ROLES
from xapi.dispatch.logins import LogIns
from xapi.http_handlers.admission import pool_secret
from xapi.http_handlers.http_actions import ACTIONS, HttpAction
from xapi.http_handlers.places import Places, PublicPlaces, places_of
from xapi.http_handlers.routes import HANDLERS, NOT_DOORS, Routes, make_doors
from xapi.rpc.endpoint import Endpoint
from xapi.rpc.http import Limits, Server
from xapi.system.passwords import LockoutDelay

FACTS = Path("/work/shared/facts/xenapi-facts.json")
ASKED = [
    action
    for action in ACTIONS
    if action.name not in NOT_DOORS and action.method != "OPTIONS" and action.name != "get_root"
]
"""The actions that ask who somebody is."""
OPEN = [action for action in ACTIONS if action not in ASKED]
NAMES = [action.name for action in ASKED]
OWN = 8
"""Files that workers and relays open for themselves when they are first needed."""


@pytest.mark.skipif(not FACTS.exists(), reason="the facts are kept beside the project")
def test_the_actions_are_those_of_the_contract() -> None:
    wanted = json.loads(FACTS.read_text())["http_actions"]
    assert [action.name for action in ACTIONS] == [fact["name"] for fact in wanted]
    for action, fact in zip(ACTIONS, wanted, strict=True):
        assert (action.method, action.path, action.role.name) == (fact["method"], fact["uri"], fact["min_role"])
        assert action.checked == fact["rbac_checked"], action.name
        assert sorted(role.name for role in action.roles) == sorted(fact["roles"]), action.name
        assert {name: role.name for name, role in action.sub_actions.items()} == {
            sub["name"]: sub["min_role"] for sub in fact["sub_actions"]
        }


def test_every_action_has_a_door(doors: Doors) -> None:
    made = make_doors(doors.toolstack)
    assert {(action.method, action.path.rstrip("/")) for action in ASKED} <= made.keys()
    assert HANDLERS.keys() == {action.name for action in ASKED}


@pytest.fixture(autouse=True)
def guesses_are_forgotten(doors: Doors) -> Iterator[None]:
    """Each wrong password is really looked at, and nobody after us has to wait for our guesses."""
    yield
    doors.toolstack.part(LogIns).lockout = LockoutDelay(doors.toolstack.clock)


def test_every_action_is_tried_here() -> None:
    assert len(ASKED) + len(OPEN) == len(ACTIONS) == 57
    assert {action.name for action in OPEN} == {
        *NOT_DOORS,
        "get_root",
        *(one.name for one in OPEN if one.method == "OPTIONS"),
    }
    assert not any(action.checked for action in OPEN)


def ways_in(doors: Doors) -> dict[str, tuple[str, dict[str, str]]]:
    """Each way of saying who one is: what is added to the query, and headers."""
    secret = pool_secret(doors.toolstack).value()
    return {
        "basic": ("", doors.basic()),
        "query": (f"session_id={doors.session}", {}),
        "cookie": ("", {"Cookie": f"session_id={doors.session}"}),
        "pool secret": ("", {"Cookie": f"other=1; pool_secret={secret}"}),
        "session before secret": ("", {"Cookie": f"pool_secret=wrong; session_id={doors.session}"}),
        "session before password": (f"session_id={doors.session}", doors.basic(password="wrong")),
    }


@pytest.mark.parametrize("action", ASKED, ids=NAMES)
def test_each_way_of_saying_who_one_is_opens_the_door(doors: Doors, action: HttpAction) -> None:
    seen: set[int] = set()
    for way, (query, headers) in ways_in(doors).items():
        answer = doors.request(action.method, f"{action.path}?{query}", None, headers)
        assert answer.status not in (401, 403, 500, 501), (way, answer.body)
        seen.add(answer.status)
    assert doors.request(action.method, action.path, None, local=True).status in seen
    assert len(seen) == 1


@pytest.mark.parametrize("action", ASKED, ids=NAMES)
def test_a_stranger_gets_401_with_the_realm(doors: Doors, action: HttpAction) -> None:
    ended = doors.house.caller(superuser=True)
    ended("session.logout")
    for path, headers in (
        (action.path, {}),
        (f"{action.path}?session_id={ended.session}", {}),
        (f"{action.path}?session_id=OpaqueRef:dead", {}),
        (action.path, {"Cookie": "session_id=OpaqueRef:dead"}),
        (action.path, doors.basic(password="wrong")),
        (action.path, {"Authorization": "Bearer x"}),
        (action.path, {"Cookie": "pool_secret=wrong"}),
        (action.path, {"Cookie": "pool_secret="}),
        (
            f"{action.path}?pool_secret={pool_secret(doors.toolstack).value()}",
            {},
        ),  # where logs and proxies would see it
    ):
        answer = doors.request(action.method, path, None, headers)
        assert answer.status == 401, (path, headers)
        assert answer.headers["www-authenticate"] == f'Basic realm="{action.name}"'
        assert answer.headers["content-type"] == "text/html"


@pytest.mark.parametrize("action", ASKED, ids=NAMES)
def test_a_role_that_is_too_low_gets_403(doors: Doors, action: HttpAction) -> None:
    for role in ROLES:
        somebody = doors.house.caller(role)
        answer = doors.request(action.method, f"{action.path}?session_id={somebody.session}")
        if action.checked and role not in action.roles:
            assert answer.status == 403, role
            assert f"RBAC_PERMISSION_DENIED: http/{action.name}".encode() in answer.body
        else:
            assert answer.status not in (401, 403), role


@pytest.mark.parametrize("action", ASKED, ids=NAMES)
def test_a_wrong_method_is_turned_away(doors: Doors, action: HttpAction) -> None:
    others = {"GET", "PUT", "CONNECT", "HEAD"} - {one.method for one in ACTIONS if one.path == action.path}
    for method in others:
        answer = doors.request(method, f"{action.path}?session_id={doors.session}")
        assert answer.status == 403, method
    assert doors.request("DELETE", action.path).status == 501


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nosuch", 403), ("GET", "/exporting", 403), ("PUT", "/", 403), ("GET", "/messages", 403)],
)
def test_what_has_no_door(doors: Doors, method: str, path: str, status: int) -> None:
    assert doors.request(method, f"{path}?session_id={doors.session}").status == status


# Actions that ask nobody: the calls, what browsers ask before them, and the first page


@pytest.mark.parametrize("action", OPEN, ids=[action.name for action in OPEN])
def test_an_open_action_answers_everybody(doors: Doors, action: HttpAction) -> None:
    json_rpc = b'{"jsonrpc": "2.0", "id": 1, "method": "system.listMethods", "params": []}'
    xml = b"<methodCall><methodName>system.listMethods</methodName><params/></methodCall>"
    body = {"POST": json_rpc if "json" in action.path else xml}.get(action.method)
    for headers in ({}, {"Cookie": "session_id=OpaqueRef:dead"}, doors.basic(password="wrong")):
        answer = doors.request(action.method, action.path, body, headers)
        assert answer.status == 200, headers
        if action.method == "POST":
            assert b"VM.start" in answer.body
    for method in {"PUT", "CONNECT"}:
        assert doors.request(method, action.path).status == 403


# Peers that are idle, slow or broken


def openings(doors: Doors, vm: str) -> Iterator[bytes]:
    """A request for each door, with names of objects that it takes as far as it goes, up to where a body would come."""
    disk = doors.disk(8 * MIB)
    blob = doors.client.VM.create_new_blob(vm, "a blob", "", False)
    uuid = doors.client.VM.get_uuid(vm)
    names = {
        "put_import_raw_vdi": f"vdi={disk}",
        "get_export_raw_vdi": f"vdi={disk}",
        "put_blob": f"ref={blob}",
        "get_blob": f"ref={blob}",
        "put_messages": f"cls=VM&uuid={uuid}",
        "rrd": f"uuid={uuid}",
        "connect_console": f"uuid={uuid}",
        "get_vncsnapshot": f"uuid={uuid}",
        "rrd_updates": "start=-60",
    }
    for action in ASKED:
        path = f"{action.path}?session_id={doors.session}&{names.get(action.name, '')}"
        body = "Content-Length: 1000000\r\n" if action.method in ("PUT", "POST") else ""
        yield f"{action.method} {path} HTTP/1.1\r\nHost: x\r\n{body}\r\n".encode()


@pytest.fixture
def hasty(doors: Doors) -> Iterator[tuple[str, int]]:
    """The same doors on a server that has little patience."""
    limits = Limits(
        head_time=0.5, body_time=0.5, stream_time=0.5, send_time=0.5, idle_time=0.5, drain_time=0.2, handshake_time=0.5
    )
    server = Server(Routes(Endpoint(doors.house.performer), make_doors(doors.toolstack)), limits=limits, name="hasty")
    address = server.listen_tcp("127.0.0.1", 0)
    server.start()
    yield address
    server.close()


def until_closed(peers: list[socket.socket]) -> None:
    for peer in peers:
        peer.settimeout(30)
        with suppress(ConnectionResetError):
            while peer.recv(1 << 16):
                pass


@pytest.mark.parametrize("fault", ["half a head", "half a body", "nothing is read", "reset"])
def test_peers_that_misbehave_at_every_door_are_let_go(doors: Doors, hasty: tuple[str, int], fault: str) -> None:
    vm = running(doors.client)
    requests = list(openings(doors, vm))
    assert doors.get("/vncsnapshot", ref=vm).status == 200  # from now on, what serves consoles has its files
    tasks, files = len(doors.db.all(Task)), open_files()
    with ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection(hasty, 30)) for _ in requests]
        for peer, request in zip(peers, requests, strict=True):
            if fault == "half a head":
                peer.sendall(request[: len(request) - 3])
            elif fault == "half a body":
                peer.sendall(request + (b"x" * 1000 if b"Content-Length" in request else b""))
            elif fault == "nothing is read":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                peer.sendall(request)
            else:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.sendall(request[: len(request) // 2 * 2])
                peer.close()
        assert doors.request("GET", "/").status == 200
        assert eventually(lambda: places_of(doors.toolstack).taken, lambda taken: not taken) == 0
        if fault in ("half a head", "half a body"):
            # A console that was opened is kept as long as its guest and its viewer are there.
            closing = [
                peer for peer, request in zip(peers, requests, strict=True) if b"CONNECT /console" not in request
            ]
            until_closed(closing)
    assert eventually(lambda: len(doors.toolstack.tasks.in_hand), lambda count: not count) == 0
    pending = [row for row in doors.db.all(Task) if str(row.status) == "pending" and row.name_label != "transfer"]
    assert pending == []
    assert len(doors.db.all(Task)) - tasks <= len(requests)
    assert eventually(open_files, lambda count: count <= files + OWN) <= files + OWN
    doors.client.VM.hard_shutdown(vm)
    doors.client.VM.destroy(vm)


def test_transfers_leave_room_for_calls(doors: Doors) -> None:
    """Uploads that never end fill their places; who comes then is told so at once, and calls go on."""
    places = Places(3)
    doors.toolstack.parts[Places] = places
    task = doors.task()
    disks = [doors.disk(2 * MIB) for _ in range(3)]
    try:
        with ExitStack() as stack:
            for disk in disks:
                peer = stack.enter_context(socket.create_connection(doors.address, 30))
                path = doors.path("/import_raw_vdi", {"vdi": disk})
                peer.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n".encode())
            assert eventually(lambda: places.taken, lambda taken: taken == 3) == 3
            answer = doors.get("/host_rrd", task_id=task)
            assert (answer.status, b"TOO_BUSY" in answer.body) == (503, True)
            assert doors.ended(task) == ("failure", ["TOO_BUSY"])
            assert doors.request("GET", "/host_rrd").status == 401
            assert doors.client.VM.get_all()
        assert eventually(lambda: places.taken, lambda taken: not taken) == 0
        assert doors.get("/audit_log").status == 200
    finally:
        del doors.toolstack.parts[Places]


def test_strangers_have_few_places(doors: Doors) -> None:
    """Who downloads what is for everybody and does not read it stands in nobody's way."""
    places = PublicPlaces(2)
    doors.toolstack.parts[PublicPlaces] = places
    blob = doors.client.blob.create("application/octet-stream", True)
    doors.put("/blob", b"x" * (16 * MIB), ref=blob)
    try:
        with ExitStack() as stack:
            for _ in range(2):
                peer = stack.enter_context(socket.socket())
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                peer.connect(doors.address)
                peer.sendall(f"GET /blob?ref={blob} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert eventually(lambda: places.taken, lambda taken: taken == 2) == 2
            answer = doors.request("GET", f"/blob?ref={blob}")
            assert (answer.status, b"TOO_BUSY" in answer.body) == (503, True)
            assert doors.get("/audit_log").status == 200
        assert eventually(lambda: places.taken, lambda taken: not taken) == 0
        assert doors.request("GET", f"/blob?ref={blob}").status == 200
    finally:
        del doors.toolstack.parts[PublicPlaces]
        doors.client.blob.destroy(blob)
