from __future__ import annotations

import base64
import re
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from tests.http_handlers.doors import MIB, Doors, noise
from tests.http_handlers.test_every_door import ASKED
from xapi.datamodel.classes import Task
from xapi.datamodel.classes.task import TaskAllowedOperations
from xapi.datamodel.errors import SR_FULL, TASK_CANCELLED
from xapi.datamodel.roles import LOCAL_ROOT, READ_ONLY, VM_ADMIN, allowed_roles
from xapi.dispatch.context import Context
from xapi.dispatch.tasks import TaskInHand
from xapi.http_handlers.admission import HttpTask, basic_credentials, failure_page, flag, given, status_of
from xapi.http_handlers.http_actions import NAMED
from xapi.http_handlers.transfer import Progress
from xapi.rpc.http_message import Request


def test_the_doors_open_to_each_way_of_saying_who_one_is(doors):
    vdi = doors.disk(2 * MIB)
    path = f"/export_raw_vdi?vdi={vdi}"
    for headers in ({"Cookie": f"session_id={doors.session}"}, doors.basic()):
        assert doors.request("GET", path, None, headers).status == 200
    assert doors.request("GET", f"{path}&session_id={doors.session}").status == 200
    assert doors.request("GET", path, local=True).status == 200
    assert doors.request("GET", path + "&session_id=dead", local=True).status == 200


def test_a_session_for_one_request_is_closed_after_it(doors):
    before = {session.ref for session in doors.toolstack.sessions.all()}
    doors.request("GET", "/export_raw_vdi", None, doors.basic())
    doors.request("GET", "/export_raw_vdi", local=True)

    def after() -> set[str]:
        return {session.ref for session in doors.toolstack.sessions.all()}

    assert eventually(after, lambda refs: refs <= before, 10.0) <= before


def test_a_password_may_be_percent_encoded(doors):
    encoded = "".join(f"%{byte:02x}" for byte in doors.password.encode())
    assert doors.request("GET", "/export_raw_vdi", None, doors.basic("r%6fot", encoded)).status == 400


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Digest a=b", ""]
)
def test_malformed_credentials(header):
    with pytest.raises(Exception, match="SESSION_AUTHENTICATION_FAILED"):
        basic_credentials(header)


def test_a_password_may_have_colons():
    assert basic_credentials("basic " + base64.b64encode("ü:a:b".encode()).decode()) == ("ü", "a:b")


def test_a_cookie_wins_over_the_query():
    request = Request("GET", "/", query={"a": "1", "b": "2"}, headers={"cookie": "a=3; c=4"})
    assert given(request) == {"a": "3", "b": "2", "c": "4"}
    assert [flag(Request("GET", "/", query={"f": word}), "f") for word in ("true", "TRUE", "1", "false", "", "x")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert flag(Request("GET", "/"), "f", default=True)


@pytest.mark.parametrize("query", ["", "&session_id=OpaqueRef:dead"])
def test_the_task_of_somebody_who_is_not_let_in_fails(doors, query):
    task = doors.task()
    assert doors.request("GET", f"/export?task_id={task}{query}").status == 401
    status, error = doors.ended(task)
    assert status == "failure" and error[0] in ("SESSION_AUTHENTICATION_FAILED", "SESSION_INVALID")


def test_the_task_of_somebody_whose_role_is_too_low_fails(doors):
    task = doors.task()
    somebody = doors.house.caller(READ_ONLY)
    assert doors.request("GET", f"/export?task_id={task}&session_id={somebody.session}").status == 403
    assert doors.ended(task) == (
        "failure",
        ["RBAC_PERMISSION_DENIED", "http/get_export", "No permission in user session"],
    )


def test_a_transfer_can_be_a_part_of_another_task(doors):
    parent = doors.task()
    vdi = doors.disk(2 * MIB)
    answer = doors.get("/export_raw_vdi", vdi=vdi, subtask_of=parent)
    assert answer.status == 200
    (child,) = doors.db.get(Task, parent).subtasks
    assert child == answer.headers["task-id"] and doors.ended(child) == ("success", [])
    own = doors.task()
    assert doors.get("/export_raw_vdi", vdi=vdi, subtask_of=parent, task_id=own).status == 200
    assert doors.db.get(Task, parent).subtasks == (child,)
    assert doors.get("/export_raw_vdi", vdi=vdi, subtask_of="OpaqueRef:NULL").status == 200
    answer = doors.get("/export_raw_vdi", vdi=vdi, subtask_of="OpaqueRef:dead")
    assert answer.status == 404 and b"HANDLE_INVALID: task, OpaqueRef:dead" in answer.body


def test_a_task_that_another_transfer_drives_is_left_alone(doors):
    task = doors.task()
    other = TaskInHand(doors.toolstack.tasks, "", "")
    other.adopt(task)
    try:
        answer = doors.get("/export_raw_vdi", vdi=doors.disk(2 * MIB), task_id=task)
        assert answer.status == 500 and b"OPERATION_NOT_ALLOWED" in answer.body
        assert doors.request("GET", f"/export?task_id={task}").status == 401
        assert doors.ended(task) == ("pending", [])
    finally:
        other.succeed()


def test_a_task_that_was_cancelled_before_stops_the_transfer(doors):
    task = doors.task()
    with doors.db.transaction() as transaction:
        transaction.update(Task, task, current_operations={"OpaqueRef:x": TaskAllowedOperations.CANCEL})
    vdi = doors.disk(2 * MIB)
    answer = doors.put("/import_raw_vdi", noise(2 * MIB), vdi=vdi, task_id=task)
    assert answer.status == 500 and b"TASK_CANCELLED" in answer.body
    assert doors.ended(task) == ("cancelled", ["TASK_CANCELLED", task])


def test_cancelling_stops_a_transfer_under_way(doors: Doors):
    vdi = doors.disk(32 * MIB)
    task = doors.task()

    def body():
        yield noise(2 * MIB)
        doors.client.task.cancel(task)
        for seed in range(30):
            yield noise(MIB, seed)

    answer = doors.put("/import_raw_vdi", body(), vdi=vdi, task_id=task)
    assert answer.status == 500 and b"TASK_CANCELLED" in answer.body
    assert doors.ended(task) == ("cancelled", ["TASK_CANCELLED", task])
    assert doors.client.VDI.get_current_operations(vdi) == {}


@pytest.mark.parametrize("path", ["/export_raw_vdi", "/import_raw_vdi"])
def test_a_peer_that_hangs_is_cut_off_when_its_task_is_cancelled(doors: Doors, path: str):
    vdi = doors.disk(64 * MIB)
    task = doors.task()
    method = b"GET " if path[1] == "e" else b"PUT "
    target = doors.path(path, {"vdi": vdi, "task_id": task}).encode()
    with socket.create_connection(doors.address, 30) as peer:
        peer.sendall(method + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * MIB) + b"x" * 1024)
        eventually(lambda: doors.client.VDI.get_current_operations(vdi), bool)
        doors.client.task.cancel(task)
        assert eventually(lambda: doors.ended(task), lambda ended: ended[0] != "pending", 5.0) == (
            "cancelled",
            ["TASK_CANCELLED", task],
        )
        received = 0
        with suppress(ConnectionResetError):
            while data := peer.recv(1 << 20):
                received += len(data)
        assert received < 64 * MIB
    assert doors.client.VDI.get_current_operations(vdi) == {}


def test_a_transfer_that_has_ended_is_not_cut_off(doors):
    called = threading.Event()

    def timers() -> list[threading.Timer]:
        return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]

    task = HttpTask(doors.toolstack, "", doors.session, kept=False)
    task.guard(called.set)
    task.cancel()
    (timer,) = timers()
    task.let_go()
    timer.join(10)
    assert not timer.is_alive() and not called.is_set()
    task.cancel()
    assert not timers()
    other = HttpTask(doors.toolstack, "", doors.session, kept=False)
    other.guard(called.set)
    other.cancel()
    other.cancel()
    assert called.wait(10)
    other.let_go()


def test_progress_is_told_in_steps(doors):
    task = TaskInHand(doors.toolstack.tasks, "", doors.session)
    task.adopt(doors.task())
    ctx = Context(doors.toolstack, doors.toolstack.sessions.get(doors.session), task)
    seen = []
    progress = Progress(ctx, 1000)
    for _ in range(1000):
        progress.add(1)
        seen.append(doors.db.get(Task, task.ref).progress)
    assert seen == sorted(seen) and 10 < len(set(seen)) < 60 and seen[-1] > 0.94
    task.cancel()
    with pytest.raises(Exception, match="TASK_CANCELLED"):
        progress.add(1)
    task.fail(TASK_CANCELLED(task.ref))


def test_a_page_names_the_error_and_escapes_it():
    page = failure_page(NAMED["get_export"], SR_FULL("<1>", "2"))
    assert page.status == status_of(SR_FULL()) == 500
    assert b"SR_FULL: &lt;1&gt;, 2" in bytes(page.body)


def test_roles_of_an_action_that_nobody_is_given():
    assert NAMED["get_repository"].role is LOCAL_ROOT and NAMED["get_repository"].roles == ()
    assert NAMED["put_import"].roles == allowed_roles(VM_ADMIN)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_page_at_the_root_is_open(doors, method):
    answer = doors.request(method, "/")
    assert answer.status == 200
    if method == "GET":
        assert b"xapi" in answer.body and b"XML-RPC" in answer.body


def test_the_manual_has_every_door():
    manual = (Path(__file__).resolve().parents[2] / "docs" / "http-doors.md").read_text()
    rows = [line for line in manual.splitlines() if line.startswith("| ") and "`/" in line]
    named = {path for line in rows for path in re.findall(r"`(/[^`]*)`", line.split("|")[1])}
    assert named == {action.path for action in ASKED} | {"/"}
