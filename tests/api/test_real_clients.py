"""What unmodified clients do on the wire, played without them; and Xen Orchestra's own library, where it is at hand.

XAPI_CLIENTS names a directory with the npm packages `xen-api` and `@xen-orchestra/xapi` in its node_modules.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lxml.etree
import pytest

from tests.fakes.served import Served
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.types import EnumType, MapType, OptionType, RecordType, RefType, SetType, Type

MEBIBYTE = 1 << 20
ABSURD = 1125899906842624
CLIENTS = os.environ.get("XAPI_CLIENTS", "")


@pytest.fixture
def api(session) -> Any:
    return session.xenapi


@pytest.fixture
def disk(api) -> Any:
    sr = api.pool.get_default_SR(api.pool.get_all()[0])
    ref = api.VDI.create({"SR": sr, "name_label": "uploaded", "virtual_size": str(2 * MEBIBYTE), "type": "user"})
    yield ref
    api.VDI.destroy(ref)


class Upload:
    """A PUT with an absurd length, as xen-api sends a stream of unknown length."""

    def __init__(self, running: Served, path: str, session: str, **query: str) -> None:
        self.socket = socket.create_connection(running.http, timeout=30)
        names = "&".join(f"{name}={value}" for name, value in {**query, "session_id": session}.items())
        head = f"PUT {path}?{names} HTTP/1.1\r\nHost: x\r\nContent-Length: {ABSURD}\r\nConnection: keep-alive\r\n\r\n"
        self.socket.sendall(head.encode())

    def answer(self) -> tuple[int, bytes]:
        """Status and head of the answer; only what comes before the body was sent."""
        found = b""
        while b"\r\n\r\n" not in found:
            data = self.socket.recv(4096)
            assert data, "the connection was closed without an answer"
            found += data
        head, _, _ = found.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.lower()

    def hang_up(self) -> None:
        self.socket.close()


def outcome(api: Any, task: str) -> tuple[str, list[str]]:
    deadline = time.monotonic() + 30
    while (status := api.task.get_status(task)) == "pending":
        assert time.monotonic() < deadline, "the task does not end"
        time.sleep(0.005)
    error = api.task.get_error_info(task)
    api.task.destroy(task)
    return status, error


def download(running: Served, session: Any, vdi: str) -> bytes:
    answer = running.request("GET", f"/export_raw_vdi/?vdi={vdi}&format=raw&session_id={session.handle}")
    assert answer.status == 200
    return answer.body


# Xen Orchestra


@pytest.mark.parametrize("size", [2 * MEBIBYTE, MEBIBYTE])
def test_xen_orchestra_asks_with_an_absurd_length_and_then_sends(running, session, api, disk, size):
    probe = Upload(running, "/import_raw_vdi/", session.handle, vdi=disk, format="raw")
    status, head = probe.answer()  # before a single byte of the body: that is what the client waits for
    assert status == 200
    assert b"content-length" not in head, "an answer that has ended may end the upload"
    probe.hang_up()
    task = api.task.create("upload", "")
    upload = Upload(running, "/import_raw_vdi/", session.handle, vdi=disk, format="raw", task_id=task)
    assert upload.answer()[0] == 200
    content = os.urandom(size)
    upload.socket.sendall(content)
    upload.hang_up()
    assert outcome(api, task) == ("success", [])
    assert download(running, session, disk) == content + bytes(2 * MEBIBYTE - size)


def test_a_question_keeps_nobody_from_the_disk(running, session, api, disk):
    probe = Upload(running, "/import_raw_vdi/", session.handle, vdi=disk, format="vhd")
    assert probe.answer()[0] == 200
    assert api.VDI.get_current_operations(disk) == {}
    api.VDI.destroy(api.VDI.snapshot(disk))
    probe.hang_up()


def test_a_question_about_a_disk_in_use_is_refused(running, session, api, disk):
    template = api.VM.get_by_name_label("Other install media")[0]
    vm = api.VM.clone(template, "has the disk")
    api.VM.set_is_a_template(vm, False)
    api.VBD.create({"VM": vm, "VDI": disk, "userdevice": "0", "mode": "RW", "type": "Disk", "bootable": True})
    api.VM.start(vm, False, False)
    probe = Upload(running, "/import_raw_vdi/", session.handle, vdi=disk, format="raw")
    assert probe.answer()[0] == 500
    probe.hang_up()
    api.VM.hard_shutdown(vm)
    api.VM.destroy(vm)


def test_a_vm_is_imported_by_an_absurd_length(running, session, api):
    template = api.VM.get_by_name_label("Other install media")[0]
    vm = api.VM.clone(template, "goes and comes")
    archive = running.request("GET", f"/export/?ref={vm}&session_id={session.handle}").body
    before = set(api.VM.get_all())
    probe = Upload(running, "/import/", session.handle)
    assert probe.answer()[0] == 200
    probe.hang_up()
    task = api.task.create("upload", "")
    upload = Upload(running, "/import/", session.handle, task_id=task)
    assert upload.answer()[0] == 200
    upload.socket.sendall(archive)
    upload.hang_up()
    assert outcome(api, task) == ("success", [])
    (new,) = set(api.VM.get_all()) - before
    assert api.VM.get_name_label(new) == "goes and comes"
    for ref in (vm, new):
        api.VM.destroy(ref)


@pytest.mark.parametrize("path", ["/pool/xmldbdump", "/host_restore"])
def test_an_empty_upload_of_a_backup_changes_nothing(running, session, path):
    assert running.request("PUT", f"{path}?session_id={session.handle}", headers={"Content-Length": "0"}).status == 200
    probe = Upload(running, path, session.handle)
    assert probe.answer()[0] == 200
    probe.hang_up()
    assert not (running.state / "restore.xml").exists()


def test_the_event_loop_of_xen_api(session, api):
    (pool,) = api.pool.get_all()
    token = api.event.inject("pool", pool)
    types = [name.split(".")[0] for name in session.system.listMethods() if name.endswith(".get_all_records")]
    session.xenapi.pool.add_to_other_config(pool, "xo:barrier:1", "0")
    batch = getattr(api.event, "from")(types, token, 60.1)
    (event,) = [event for event in batch["events"] if event["class"] == "pool"]
    assert event["snapshot"]["other_config"]["xo:barrier:1"] == "0"
    assert set(batch["valid_ref_counts"]) >= {"task", "vm", "pool"}
    api.pool.remove_from_other_config(pool, "xo:barrier:1")


# Ansible, Xen Orchestra: the tools in the drive of a running VM


def test_the_tools_go_into_the_drive_of_a_running_vm(api):
    template = api.VM.get_by_name_label("Other install media")[0]
    vm = api.VM.clone(template, "wants tools")
    api.VM.set_is_a_template(vm, False)
    drive = api.VBD.create({"VM": vm, "userdevice": "3", "mode": "RO", "type": "CD", "empty": True, "bootable": False})
    api.VM.start(vm, False, False)
    (tools,) = [ref for ref in api.VDI.get_by_name_label("guest-tools.iso") if api.VDI.get_is_tools_iso(ref)]
    assert not api.VDI.get_missing(tools)
    api.VBD.insert(drive, tools)
    assert api.VBD.get_VDI(drive) == tools and api.VBD.get_currently_attached(drive)
    api.VBD.eject(drive)
    assert api.VBD.get_empty(drive)
    api.VM.hard_shutdown(vm)
    api.VM.destroy(vm)


# Typed clients: every value of every record has the form of its type, every enum value is known


FORMS = {
    "string": (None, r"(?s).*"),
    "int": (None, r"-?[0-9]+"),
    "float": ("double", r"-?[0-9.]+(e[+-]?[0-9]+)?|nan|-?inf"),
    "bool": ("boolean", r"[01]"),
    "datetime": ("dateTime.iso8601", r"[0-9]{8}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
}
"""The element in which a value comes, if any, and what its text looks like."""


def complaints(where: str, kind: Type, value: Any) -> Iterator[str]:
    """What a typed client could not read of a value."""
    (child,) = value if len(value) else (None,)
    tag = None if child is None else child.tag
    if isinstance(kind, SetType):
        for item in value.iterfind("array/data/value"):
            yield from complaints(f"{where}[]", kind.of, item)
        if tag != "array":
            yield f"{where}: {tag} for a set"
    elif isinstance(kind, MapType):
        for member in value.iterfind("struct/member"):
            yield from complaints(f"{where} value", kind.value, member.find("value"))
        if tag != "struct":
            yield f"{where}: {tag} for a map"
    elif isinstance(kind, RecordType | OptionType):
        return
    else:
        text = (value if child is None else child).text or ""
        if isinstance(kind, EnumType):
            form: tuple[str | None, str] = (None, "|".join(re.escape(member) for member in kind.enum))
        elif isinstance(kind, RefType):
            form = (None, r"OpaqueRef:\S+")
        else:
            form = FORMS[str(kind)]
        if tag != form[0] or not re.fullmatch(form[1], text):
            yield f"{where}: {tag} {text!r} for {kind}"


@pytest.mark.parametrize("name", [entity.wire_name for entity in CATALOG.stored()])
def test_typed_clients_can_read_all_records_of_a_class(running, session, name):
    body = (
        f"<methodCall><methodName>{name}.get_all_records</methodName><params><param><value>{session.handle}"
        "</value></param></params></methodCall>"
    )
    answer = running.request("POST", "/", body.encode(), {"Content-Type": "text/xml"})
    assert answer.headers["content-type"] == "text/xml"
    members = {
        member.findtext("name"): member.find("value")
        for member in lxml.etree.fromstring(answer.body).iterfind(".//param/value/struct/member")
    }
    if members["Status"].text != "Success":
        code = members["ErrorDescription"].findtext("array/data/value")
        assert code in ("MESSAGE_REMOVED", "MESSAGE_METHOD_UNKNOWN"), code
        return
    declared = {field.name: field.type for field in CATALOG.entities[name].fields if not field.internal}
    found = []
    for record in members["Value"].iterfind("struct/member/value/struct"):
        values = {member.findtext("name"): member.find("value") for member in record}
        assert set(values) == set(declared)
        for field, value in values.items():
            found += complaints(f"{name}.{field}", declared[field], value)
    assert found == []


# The real thing


@pytest.mark.slow
@pytest.mark.skipif(not CLIENTS, reason="XAPI_CLIENTS names no directory with npm packages")
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
@pytest.mark.parametrize("transport", ["json-rpc", "xml-rpc"])
def test_xen_orchestras_own_library(running, transport, tmp_path):
    script = Path(__file__).with_name("xen_orchestra.mjs")
    copied = Path(CLIENTS) / f".{tmp_path.name}-{script.name}"  # where node looks for the packages
    shutil.copy(script, copied)
    try:
        done = subprocess.run(
            ["node", str(copied), f"http://{running.http[0]}:{running.http[1]}", running.password, transport],
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        copied.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
