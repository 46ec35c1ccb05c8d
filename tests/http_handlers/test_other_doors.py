"""The doors to blobs, messages, dumps, backups, logs and the support bundle."""

from __future__ import annotations

import io
import json
import re
import tarfile
import uuid
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as some
from lxml import etree

from tests.http_handlers.doors import Doors, noise
from xapi.actions.message import MOST_KEPT
from xapi.datamodel.classes import PBD, PIF, VM, Blob, Host, Pool, Secret
from xapi.datamodel.classes.message import AlertMessage, Cls
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.db.database import Database
from xapi.db.schema import METADATA, STORED
from xapi.db.store import Insert, Store, open_engine, sqlite_url
from xapi.http_handlers.admission import pool_secret
from xapi.http_handlers.database_dump import HIDDEN, _protect, _restore, dump, read_dump
from xapi.http_handlers.database_restore import APPLIED, STAGED, ThisHost, adapted, apply_staged
from xapi.http_handlers.logs import audit_files, lines_since, stamp
from xapi.http_handlers.messages import read_messages
from xapi.http_handlers.system_status import MAKERS


def code(failure: pytest.ExceptionInfo[Failure]) -> str:
    return failure.value.code


# Blobs


@pytest.fixture
def blob(doors: Doors):
    ref = doors.client.blob.create("text/plain", False)
    yield ref
    doors.client.blob.destroy(ref)


def test_a_blob_comes_back_as_it_went(doors: Doors, blob: str):
    data = noise(3_000_000)
    assert doors.get("/blob", ref=blob).status == 404
    assert doors.put("/blob", data, ref=blob).status == 200
    answer = doors.get("/blob", ref=blob)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/plain", data)
    assert answer.headers["x-content-type-options"] == "nosniff"
    row = doors.db.get(Blob, blob)
    assert row.size == len(data) and row.last_updated.year > 2000
    assert doors.get("/blob", uuid=row.uuid).body == data
    assert doors.put("/blob", b"", ref=blob).status == 200
    assert doors.get("/blob", ref=blob).body == b""


def test_a_broken_upload_leaves_the_old_data(doors: Doors, blob: str):
    doors.put("/blob", b"old", ref=blob)
    path = doors.path("/blob", {"ref": blob})
    doors.raw(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nnew".encode(), shut=True)
    assert doors.get("/blob", ref=blob).body == b"old"
    directory = doors.toolstack.state / "blobs"
    assert [entry.name for entry in directory.iterdir()] == [doors.db.get(Blob, blob).uuid]


def test_a_client_of_http_1_0_is_answered_before_it_sends(doors: Doors, blob: str):
    path = doors.path("/blob", {"ref": blob})
    answer = doors.raw(f"PUT {path} HTTP/1.0\r\n\r\n".encode(), b"streamed", shut=True)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert doors.get("/blob", ref=blob).body == b"streamed"


def test_only_public_blobs_are_for_everybody(doors: Doors, blob: str):
    public = doors.client.blob.create("text/html", True)
    for ref in (blob, public):
        doors.put("/blob", b"data", ref=ref)
    assert doors.request("GET", f"/blob?ref={blob}").status == 401
    answer = doors.request("GET", f"/blob?ref={public}")
    assert (answer.status, answer.body) == (200, b"data")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert doors.request("PUT", f"/blob?ref={public}", b"x").status == 401
    reader = doors.house.caller(READ_ONLY)
    assert doors.request("PUT", f"/blob?ref={public}&session_id={reader.session}", b"x").status == 403
    doors.client.blob.destroy(public)
    assert doors.request("GET", f"/blob?ref={public}").status == 401


def test_a_mime_type_cannot_break_the_answer(doors: Doors):
    ref = doors.client.blob.create("text/plain\r\nSet-Cookie: a=b", True)
    doors.put("/blob", b"data", ref=ref)
    answer = doors.request("GET", f"/blob?ref={ref}")
    assert answer.headers["content-type"] == "application/octet-stream" and "set-cookie" not in answer.headers
    doors.client.blob.destroy(ref)


@pytest.mark.parametrize(
    ("query", "status"), [({}, 400), ({"ref": "x"}, 404), ({"uuid": "x"}, 404), ({"ref": "OpaqueRef:NULL"}, 404)]
)
def test_blobs_that_are_not_there(doors: Doors, query: dict[str, str], status: int):
    assert doors.get("/blob", **query).status == status
    assert doors.put("/blob", b"x", **query).status == status


# Messages


def document(*messages: dict[str, str]) -> bytes:
    return b"".join(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<message>'
        + b"".join(f"<{name}>{text}</{name}>".encode() for name, text in each.items())
        + b"</message>"
        for each in messages
    )


def message(vm: str, **changes: str) -> dict[str, str]:
    return {
        "ref": f"OpaqueRef:{uuid.uuid4()}",
        "name": "VM_STARTED",
        "priority": "5",
        "cls": "VM",
        "obj_uuid": vm,
        "timestamp": "20240102T03:04:05Z",
        "uuid": str(uuid.uuid4()),
        "body": "it &lt;ran&gt;",
        **changes,
    }


@pytest.fixture(scope="module")
def vm(doors: Doors) -> VM:
    return next(row for row in doors.db.all(VM) if row.is_a_template)


def test_messages_of_another_pool_are_kept_as_they_were(doors: Doors, vm: VM):
    first, second = message(vm.uuid), message(vm.uuid, body="", timestamp="2024-01-02T03:04:06Z")
    for _ in range(2):
        assert doors.put("/messages", document(first, second), cls="vm", uuid=vm.uuid).status == 200
    found = [row for row in doors.db.all(AlertMessage) if row.obj_uuid == vm.uuid]
    assert sorted(row.uuid for row in found) == sorted([first["uuid"], second["uuid"]])
    row = doors.db.get(AlertMessage, first["ref"])
    assert (row.name, row.priority, row.cls, row.body) == ("VM_STARTED", 5, Cls.VM, "it <ran>")
    assert doors.client.message.get_record(first["ref"])["timestamp"].isoformat().startswith("2024-01-02T03:04:05")


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": "high"},
        {"priority": str(1 << 70)},
        {"timestamp": "yesterday"},
        {"ref": "x"},
        {"uuid": ""},
        {"cls": "SR"},
        {"obj_uuid": "another"},
    ],
)
def test_one_bad_message_and_none_is_taken(doors: Doors, vm: VM, changes: dict[str, str]):
    good = message(vm.uuid)
    answer = doors.put("/messages", document(good, message(vm.uuid, **changes)), cls="VM", uuid=vm.uuid)
    assert answer.status == 400 and b"INVALID_VALUE" in answer.body
    assert doors.db.find(AlertMessage, good["ref"]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"<message>",
        b"<other/>",
        b"<message/>",
        b"\xff",
        b'<!DOCTYPE m [<!ENTITY a "b">]><message><body>&a;</body></message>',
        b"</messages><messages>",
    ],
)
def test_what_is_no_message(doors: Doors, vm: VM, body: bytes):
    answer = doors.put("/messages", body, cls="VM", uuid=vm.uuid)
    assert answer.status == 400


def test_messages_about_nothing(doors: Doors, vm: VM):
    assert doors.put("/messages", b"", cls="VM", uuid="x").status == 404
    assert doors.put("/messages", b"", cls="sausage", uuid=vm.uuid).status == 400
    assert doors.put("/messages", b"", uuid=vm.uuid).status == 400


def test_the_oldest_messages_make_room(doors: Doors, vm: VM, monkeypatch):
    monkeypatch.setattr("xapi.http_handlers.messages.MOST_KEPT", 3)
    assert MOST_KEPT > 3
    sent = [message(vm.uuid, timestamp=f"20240101T00:00:{second:02}Z") for second in range(5)]
    assert doors.put("/messages", document(*sent), cls="VM", uuid=vm.uuid).status == 200
    assert len(doors.db.all(AlertMessage)) == 3


@given(some.binary(max_size=100))
def test_any_bytes_are_messages_or_refused(data: bytes):
    try:
        list(read_messages(data, Cls.VM, "x"))
    except Failure as failure:
        assert failure.code == "INVALID_VALUE"


# Dump and restore


def dumped(doors: Doors, *, hide: bool = False) -> bytes:
    return b"".join(dump(doors.db, hide_secrets=hide))


def test_a_dump_holds_every_row_as_it_is(doors: Doors):
    with doors.db.transaction() as transaction:
        odd = transaction.create(
            Secret, value="a%\x00\x1b\n\t\"<&>' \u00e9\U0001f600%u0041", other_config={"k\n": "v%", "é": "\ufffe"}
        )
    answer = doors.get("/pool/xmldbdump")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/xml")
    assert answer.body.startswith(b"<?xml") and answer.body.rstrip().endswith(b"</database>")
    rows = read_dump(answer.body).rows
    for entity, stored in STORED.items():
        if entity.wire_name in ("session", "task"):
            continue
        kept = {row[0]: row for row in doors.db.all(entity) if row[0] not in doors.db.fleeting}
        found = {row[0]: row for row in rows[entity]}
        assert kept.keys() == found.keys()
        for column in stored.columns:
            index = column.field.index
            assert {ref: row[index] for ref, row in found.items()} == {ref: row[index] for ref, row in kept.items()}
    doors.client.secret.destroy(odd)


@given(some.text())
def test_any_text_survives_an_attribute(text: str):
    protected = _protect(text)
    assert _restore(protected) == text
    element = etree.Element("row", {"a": protected})
    assert etree.fromstring(etree.tostring(element)).get("a") == protected


def rows_of(doors: Doors):
    return {entity: tuple(doors.db.all(entity)) for entity in STORED}


def here(doors: Doors) -> ThisHost:
    return ThisHost.among(rows_of(doors), doors.db.get(Host, doors.toolstack.this_host).uuid)


def test_a_restore_waits_for_the_next_start(doors: Doors):
    document = dumped(doors)
    staged = doors.toolstack.state / STAGED
    answer = doors.put("/pool/xmldbdump", document, dry_run="true")
    assert answer.status == 200 and b"fits" in answer.body and not staged.exists()
    assert doors.put("/pool/xmldbdump", document).status == 200
    assert staged.read_bytes() == document
    assert staged.stat().st_mode & 0o777 == 0o600
    staged.unlink()


@pytest.mark.parametrize(
    ("document", "status", "word"),
    [
        (b"<database/>", 500, b"RESTORE_INCOMPATIBLE_VERSION"),
        (b"<html/>", 400, b"INVALID_VALUE"),
        (b"<!DOCTYPE database><database/>", 400, b"INVALID_VALUE"),
        (b'<database><manifest><pair key="format" value="2"/></manifest></database>', 500, b"INCOMPATIBLE"),
        (b'<database><manifest><pair key="format" value="1"/></manifest></database>', 400, b"coordinator"),
        (
            b'<database><manifest><pair key="format" value="1"/></manifest>'
            b'<table name="VM"><row ref="x" power_state="Sleeping"/></table></database>',
            400,
            b"VM.power_state",
        ),
        (
            b'<database><manifest><pair key="format" value="1"/></manifest>'
            b'<table name="VM"><row name__label="x"/></table></database>',
            400,
            b"reference",
        ),
    ],
)
def test_what_cannot_be_restored(doors: Doors, document: bytes, status: int, word: bytes):
    answer = doors.put("/pool/xmldbdump", document)
    assert answer.status == status and word in answer.body
    assert not (doors.toolstack.state / STAGED).exists()


def test_a_backup_of_other_hardware_is_refused_or_fitted(doors: Doors):
    document = dumped(doors)
    own = here(doors)
    strange = ThisHost("11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000", {}, "")
    with pytest.raises(Failure) as refused:
        adapted(read_dump(document), strange)
    assert code(refused) == "RESTORE_TARGET_MISSING_DEVICE"
    with pytest.raises(Failure) as refused:
        adapted(read_dump(document), ThisHost("", "", own.addresses, "eth99"))
    assert code(refused) == "RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP"
    moved = {device: f"0a:00:00:00:00:{place:02x}" for place, device in enumerate(own.addresses)}
    rows = adapted(read_dump(document), ThisHost(strange.uuid, strange.control_domain, moved, own.management))
    assert [host.uuid for host in rows[Host]] == [strange.uuid]
    assert {vm.uuid for vm in rows[VM] if vm.is_control_domain} == {strange.control_domain}
    assert {pif.device: pif.MAC for pif in rows[PIF] if pif.physical} == moved


def test_other_hosts_of_a_backup_are_forgotten(doors: Doors):
    with doors.db.transaction() as transaction:
        other = transaction.create(Host, name_label="another")
        transaction.create(PIF, host=other, device="eth7", physical=True)
        transaction.create(PBD, host=other)
    rows = adapted(read_dump(dumped(doors)), here(doors))
    assert [host.ref for host in rows[Host]] == [doors.toolstack.this_host]
    assert all(row.host == doors.toolstack.this_host for entity in (PIF, PBD) for row in rows[entity])
    with doors.db.transaction() as transaction:
        for entity in (PIF, PBD):
            for row in transaction.all(entity):
                if row.host == other:
                    transaction.delete(entity, row.ref)
        transaction.delete(Host, other)


def test_the_next_start_puts_a_backup_in_place(doors: Doors, tmp_path: Path):
    (tmp_path / STAGED).write_bytes(dumped(doors))
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    METADATA.create_all(engine)
    store = Store(engine)
    uuid_here = doors.db.get(Host, doors.toolstack.this_host).uuid
    present = rows_of(doors)
    store.write(Insert(entity, row) for entity in (Host, PIF, VM, Pool) for row in present[entity])
    stale = doors.db.all(VM)[0]
    store.write([Insert(VM, type(stale)(["OpaqueRef:stale", *stale[1:]]))])
    assert apply_staged(store, tmp_path, uuid_here)
    assert not apply_staged(store, tmp_path, uuid_here)
    assert (tmp_path / APPLIED).exists() and not (tmp_path / STAGED).exists()
    database = Database(store)
    assert database.find(VM, "OpaqueRef:stale") is None
    assert {row.ref for row in database.all(VM)} == {
        row.ref for row in doors.db.all(VM) if row.ref not in doors.db.fleeting
    }
    assert database.all(Pool)[0].master == doors.toolstack.this_host
    database.close()


def test_a_fresh_host_takes_a_backup_as_it_is(doors: Doors, tmp_path: Path):
    (tmp_path / STAGED).write_bytes(dumped(doors))
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    METADATA.create_all(engine)
    store = Store(engine)
    assert apply_staged(store, tmp_path, "none")
    database = Database(store)
    assert len(database.all(Host)) == 1
    database.close()


# Backup


def test_a_backup_brings_blobs_and_database_back(doors: Doors):
    ref = doors.client.blob.create("", False)
    doors.put("/blob", b"precious", ref=ref)
    answer = doors.get("/host_backup")
    assert answer.status == 200
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        names = archive.getnames()
    assert names == ["database.xml", f"blobs/{doors.db.get(Blob, ref).uuid}"]
    doors.put("/blob", b"spoilt", ref=ref)
    staged = doors.toolstack.state / STAGED
    assert doors.put("/host_restore", answer.body, dry_run="true").status == 200
    assert doors.get("/blob", ref=ref).body == b"spoilt" and not staged.exists()
    assert doors.put("/host_restore", answer.body).status == 200
    assert doors.get("/blob", ref=ref).body == b"precious"
    read_dump(staged.read_bytes())
    staged.unlink()
    doors.client.blob.destroy(ref)


def packed(*members: tuple[str, bytes, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content)
            if kind == tarfile.SYMTYPE:
                entry.linkname, entry.size = "/etc/passwd", 0
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("name", ["blobs/../../../etc/passwd", "/etc/passwd", "blobs/", "other"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_a_backup_with_anything_else_in_it_is_refused(doors: Doors, name: str, kind: bytes):
    content = b"x" if kind == tarfile.REGTYPE else b""
    backup = packed(("database.xml", tarfile.REGTYPE, dumped(doors)), (name, kind, content))
    assert doors.put("/host_restore", backup).status == 400
    assert not (doors.toolstack.state / STAGED).exists()


@pytest.mark.parametrize(
    "backup", [b"x" * 2000, packed(("database.xml", tarfile.SYMTYPE, b"")), packed(("x", b"0", b"y"))]
)
def test_what_is_no_backup(doors: Doors, backup: bytes):
    assert doors.put("/host_restore", backup).status in (400, 500)
    assert not (doors.toolstack.state / STAGED).exists()


# Logs


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("20090910T11:31:11.417", "2009-09-10T11:31:11.417"),
        ("20090910 11:31:11.417", "2009-09-10T11:31:11.417"),
        ("2009-09-10T11:31:11.417Z", "2009-09-10T11:31:11.417"),
        ("2009-09-10 11:31:11", "2009-09-10T11:31:11"),
        ("2009-09-10T11:31", "2009-09-10T11:31"),
        ("2009-09-10", "2009-09-10"),
        ("20090910", "2009-09-10"),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_moments(text: str, wanted: str):
    assert stamp(text) == wanted


@pytest.fixture
def audit(doors: Doors):
    state = doors.toolstack.state
    files = {
        "audit.log.10": b"2024-01-01T00:00:00.000Z oldest\n",
        "audit.log.2": b"2024-01-02T00:00:00.000Z older\n",
        "audit.log": b"2024-01-03T00:00:00.000Z old\n2024-01-03T12:00:00.500Z new\n",
    }
    for name, content in files.items():
        (state / name).write_bytes(content)
    yield b"".join(files.values())
    for name in files:
        (state / name).unlink()


def test_the_audit_log_from_a_moment_on(doors: Doors, audit: bytes):
    assert doors.get("/audit_log").body == audit
    assert doors.get("/audit_log", since="20240103T12:00:00").body == b"2024-01-03T12:00:00.500Z new\n"
    assert doors.get("/audit_log", since="2024-01-02").body == audit[audit.index(b"2024-01-02") :]
    assert doors.get("/audit_log", since="2030").body == audit
    assert doors.get("/audit_log", since="2030-01-01").body == b""
    answer = doors.get("/audit_log")
    assert answer.headers["content-type"] == "text/plain"


def test_long_logs_go_out_in_pieces(tmp_path: Path):
    path = tmp_path / "audit.log"
    line = b"2024-01-01T00:00:00.000Z " + b"x" * 1000 + b"\n"
    path.write_bytes(line * 2000)
    pieces = list(lines_since(audit_files(tmp_path), "2024"))
    assert b"".join(pieces) == line * 2000 and len(pieces) > 5


def test_the_logs_as_an_archive(doors: Doors, audit: bytes):
    answer = doors.get("/host_logs_download")
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as archive:
        assert archive.getnames() == ["logs/audit.log.10", "logs/audit.log.2", "logs/audit.log"]
    operator = doors.house.caller(POOL_OPERATOR)
    assert doors.request("GET", f"/host_logs_download?session_id={operator.session}").status == 200


# The support bundle


def files(doors: Doors, form: str, **query: str) -> dict[str, bytes]:
    answer = doors.get("/system-status", output=form, **query)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/data")
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(answer.body)) as bundle:
            return {name: bundle.read(name) for name in bundle.namelist()}
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.bz2", "zip"])
def test_a_bundle_in_each_form(doors: Doors, audit: bytes, form: str):
    found = files(doors, form)
    assert {name.removeprefix("system-status/") for name in found} == {
        "versions.json",
        "state.json",
        "threads.txt",
        "database.xml",
        "logs/audit.log",
        "logs/audit.log.2",
        "logs/audit.log.10",
    }
    host = doors.db.get(Host, doors.toolstack.this_host)
    assert json.loads(found["system-status/versions.json"])["host"]["uuid"] == host.uuid
    assert b"MainThread" in found["system-status/threads.txt"]


def test_a_bundle_holds_no_secret(doors: Doors):
    word = "correct-horse-battery"
    doors.client.secret.create({"value": word, "other_config": {}})
    with doors.db.transaction() as transaction:
        for row in transaction.all(PBD):
            transaction.update(
                PBD, row.ref, device_config={**row.device_config, "cifspassword": word, "server": "nfs1"}
            )
        pool = transaction.all(Pool)[0]
        transaction.update(Pool, pool.ref, other_config={**pool.other_config, "api_token": word, "note": "kept"})
    assert word.encode() in doors.get("/pool/xmldbdump").body
    everything = b"".join(files(doors, "tar").values())
    assert word.encode() not in everything and doors.password.encode() not in everything
    assert HIDDEN.encode() in everything and b"nfs1" in everything and b"kept" in everything
    assert doors.session.encode() not in everything
    assert pool_secret(doors.toolstack).value().encode() not in everything + doors.get("/host_backup").body


def test_a_bundle_has_the_entries_that_the_host_announces(doors: Doors):
    """A graphical client asks the host for the entries, and the bundle for those that the person leaves ticked."""
    document = doors.client.host.get_system_status_capabilities(doors.toolstack.this_host)
    announced = ElementTree.fromstring(document).findall("capability")
    assert [one.get("key") for one in announced] == list(MAKERS)
    assert {one.get("default-checked") for one in announced} == {"yes"}
    assert {one.get("pii") for one in announced} <= {"no", "yes", "maybe"}
    for one in announced:
        for bound in ("min-size", "max-size", "min-time", "max-time"):
            assert int(one.get(bound) or "") >= -1
    parts = [set(files(doors, "tar", entries=str(one.get("key")))) for one in announced]
    assert set().union(*parts) == set(files(doors, "tar"))
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_entries_are_chosen(doors: Doors):
    assert list(files(doors, "tar", entries="xenserver-install,nothing")) == ["system-status/versions.json"]
    for query in ({"entries": "nothing"}, {"output": "rar"}):
        answer = doors.get("/system-status", **query)
        assert answer.status == 500 and b"SYSTEM_STATUS_RETRIEVAL_FAILED" in answer.body


def test_each_download_tells_a_task(doors: Doors):
    for path in ("/system-status", "/host_backup", "/pool/xmldbdump", "/audit_log", "/host_logs_download"):
        task = doors.task()
        answer = doors.get(path, task_id=task)
        assert answer.status == 200 and doors.ended(task)[0] == "success"
        assert re.fullmatch(r"OpaqueRef:.*", answer.headers["task-id"])


@pytest.mark.parametrize("path", ["/host_restore", "/pool/xmldbdump"])
def test_who_only_asks_where_a_backup_has_to_go_is_answered(doors: Doors, path: str):
    head = f"PUT {doors.path(path, {})} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 60}\r\n\r\n".encode()
    assert doors.raw(head, shut=True).startswith(b"HTTP/1.1 200 ")
    assert not (doors.toolstack.state / STAGED).exists()
