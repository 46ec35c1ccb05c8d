from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from tests.http_handlers.doors import MIB, Doors, noise, pieces
from xapi.datamodel.classes import VBD, VDI, VM
from xapi.datamodel.failure import Failure
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.create import create_dynamic, create_fixed
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.layout import DiskType, Footer

DATA = {0: noise(4096), 3 * MIB - 512: noise(2 * MIB, 2), 8 * MIB - 1024: noise(1024, 3)}


@pytest.fixture
def disk(doors: Doors) -> str:
    return doors.disk(8 * MIB, DATA)


def name(doors: Doors, vdi: str) -> str:
    return doors.db.get(VDI, vdi).uuid


def vhd_of(path: Path, content: bytes, fixed: bool = False) -> bytes:
    file = RealFile.create(str(path))
    made = (create_fixed if fixed else create_dynamic)(file, len(content), sync=False)
    for start in range(0, len(content), MIB):
        block = content[start : start + MIB]
        if block.strip(b"\0"):
            made.write(start, block)
    made.flush()
    made.close()
    return path.read_bytes()


def vhd_content(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    with Chain.open(str(path)) as chain:
        return bytes(chain.read(0, chain.size))


# Out


@pytest.mark.parametrize("by", ["ref", "uuid"])
def test_a_disk_goes_out_raw(doors, disk, by):
    answer = doors.get("/export_raw_vdi", vdi=disk if by == "ref" else name(doors, disk))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.headers["content-length"] == str(8 * MIB)
    assert answer.headers["content-disposition"] == f'attachment; filename="{name(doors, disk)}.raw"'
    assert answer.body == doors.content(disk)


def test_a_trailing_slash_leads_to_the_same_door(doors, disk):
    assert doors.get("/export_raw_vdi/", vdi=disk).body == doors.content(disk)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-99999", 100, 100_000),
        ("bytes=3145000-", 3145000, 8 * MIB),
        ("bytes=-700", 8 * MIB - 700, 8 * MIB),
        ("bytes=5-99999999999", 5, 8 * MIB),
    ],
)
def test_a_range_of_a_disk(doors, disk, wanted, start, stop):
    answer = doors.get("/export_raw_vdi", {"Range": wanted}, vdi=disk)
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{8 * MIB}"
    assert answer.body == doors.content(disk)[start:stop]


@pytest.mark.parametrize("wanted", ["bytes=8388608-", "bytes=5-4", "bytes=-0"])
def test_a_range_outside_the_disk(doors, disk, wanted):
    answer = doors.get("/export_raw_vdi", {"Range": wanted}, vdi=disk)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{8 * MIB}")


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=1-2,4-5", "bytes=-", "nonsense"])
def test_a_range_of_another_kind_is_ignored(doors, disk, wanted):
    answer = doors.get("/export_raw_vdi", {"Range": wanted}, vdi=disk)
    assert answer.status == 200 and len(answer.body) == 8 * MIB


def test_a_disk_goes_out_as_a_vhd_that_this_project_reads(doors, disk, tmp_path):
    answer = doors.get("/export_raw_vdi", vdi=disk, format="vhd")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/vhd")
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert vhd_content(tmp_path / "a.vhd", answer.body) == doors.content(disk)
    footer = Footer.parse(answer.body[-512:], "")
    assert footer.disk_type is DiskType.DYNAMIC and str(footer.unique_id) == name(doors, disk)
    assert footer.pack() == answer.body[:512]


def test_an_empty_disk_is_a_small_vhd(doors, tmp_path):
    vdi = doors.disk(64 * MIB)
    answer = doors.get("/export_raw_vdi", vdi=vdi, format="vhd")
    assert len(answer.body) < 8192
    assert not vhd_content(tmp_path / "a.vhd", answer.body).strip(b"\0")


def test_a_delta_holds_only_the_blocks_that_changed(doors, tmp_path):
    vdi = doors.disk(16 * MIB, {0: noise(MIB), 4 * MIB: noise(MIB, 5), 8 * MIB: noise(MIB, 6)})
    base = doors.snapshot(vdi)
    doors.write(vdi, {4 * MIB + 512: b"new".ljust(512, b"\1"), 12 * MIB: noise(512, 7), 8 * MIB: noise(MIB, 6)})
    answer = doors.get("/export_raw_vdi", vdi=vdi, format="vhd", base=name(doors, base))
    assert answer.status == 200
    assert len(answer.body) < 2 * (2 * MIB + 512) + 8192
    footer = Footer.parse(answer.body[-512:], "")
    assert footer.disk_type is DiskType.DIFFERENCING
    parent = tmp_path / f"{name(doors, base)}.vhd"
    parent.write_bytes(doors.get("/export_raw_vdi", vdi=base, format="vhd").body)
    assert vhd_content(tmp_path / "child.vhd", answer.body) == doors.content(vdi)


def test_a_delta_of_disks_that_share_nothing(doors, tmp_path):
    one = doors.disk(8 * MIB, {0: noise(MIB), 4 * MIB: noise(MIB, 2)})
    other = doors.disk(6 * MIB, {0: noise(MIB), 2 * MIB: noise(MIB, 3)})
    answer = doors.get("/export_raw_vdi", vdi=one, format="vhd", base=other)
    (tmp_path / f"{name(doors, other)}.vhd").write_bytes(doors.get("/export_raw_vdi", vdi=other, format="vhd").body)
    assert vhd_content(tmp_path / "child.vhd", answer.body) == doors.content(one)
    assert len(answer.body) < 2 * (2 * MIB + 512) + 8192


def test_two_may_read_a_disk_and_nobody_write_it_meanwhile(doors):
    vdi = doors.disk(8 * MIB)
    handle = doors.disks
    with handle.open_for_reading(doors.db.get(VDI, vdi).location):
        assert doors.get("/export_raw_vdi", vdi=vdi).status == 200
        refused = doors.put("/import_raw_vdi", b"x" * 512, vdi=vdi)
    assert refused.status == 500 and b"VDI_IN_USE" in refused.body


def test_a_disk_that_a_vm_writes_to_is_in_use(doors):
    vdi = doors.disk(8 * MIB)
    vm = next(row.ref for row in doors.db.all(VM) if row.is_a_template)
    vbd = doors.connect(vm, vdi, currently_attached=True)
    for answer in (
        doors.get("/export_raw_vdi", vdi=vdi),
        doors.put("/import_raw_vdi", b"x" * 512, vdi=vdi),
    ):
        assert answer.status == 500 and b"VDI_IN_USE" in answer.body
    assert doors.client.VDI.get_current_operations(vdi) == {}
    with doors.db.transaction() as transaction:
        transaction.delete(VBD, vbd)
    assert doors.get("/export_raw_vdi", vdi=vdi).status == 200


@pytest.mark.parametrize("path", ["/export_raw_vdi", "/import_raw_vdi"])
def test_what_is_wrong_with_a_request_is_told(doors, disk, path):
    def ask(**query: str) -> tuple[int, bytes]:
        answer = doors.get(path, **query) if path[1] == "e" else doors.put(path, b"x", **query)
        return answer.status, answer.body

    unknown = str(uuid.uuid4())
    assert ask(vdi=unknown)[0] == 404 and b"UUID_INVALID: VDI, " + unknown.encode() in ask(vdi=unknown)[1]
    assert ask()[0] == 400
    assert ask(vdi=disk, format="floppy")[0] == 400
    assert ask(vdi=disk, format="tar")[0] == 501
    assert ask(vdi=disk, task_id="OpaqueRef:none")[0] == 404


def test_the_task_of_an_export_is_driven_and_ends_before_the_last_byte(doors, disk):
    task = doors.task()
    answer = doors.get("/export_raw_vdi", vdi=disk, task_id=task)
    assert answer.headers["task-id"] == task
    assert doors.ended(task) == ("success", [])
    assert doors.client.VDI.get_current_operations(disk) == {}
    mine = doors.get("/export_raw_vdi", vdi=disk).headers["task-id"]
    assert doors.client.task.get_status(mine) == "success"


def test_a_failure_is_in_the_task(doors):
    task = doors.task()
    unknown = str(uuid.uuid4())
    assert doors.get("/export_raw_vdi", vdi=unknown, task_id=task).status == 404
    assert doors.ended(task) == ("failure", ["UUID_INVALID", "VDI", unknown])


# In


def test_a_raw_image_comes_in(doors):
    vdi = doors.disk(8 * MIB, {5 * MIB: noise(MIB)})
    content = noise(3 * MIB, 9) + bytes(3 * MIB) + noise(2 * MIB, 10)
    task = doors.task()
    answer = doors.put("/import_raw_vdi", content, vdi=vdi, task_id=task)
    assert (answer.status, answer.body, answer.headers["task-id"]) == (200, b"", task)
    assert doors.content(vdi) == content
    assert doors.ended(task) == ("success", [])
    assert int(doors.client.VDI.get_physical_utilisation(vdi)) >= 5 * MIB


def test_a_raw_image_comes_in_chunks(doors):
    vdi = doors.disk(4 * MIB)
    content = noise(4 * MIB, 11)
    assert doors.put("/import_raw_vdi", pieces(content), vdi=vdi).status == 200
    assert doors.content(vdi) == content


def test_a_short_image_leaves_the_rest_of_the_disk(doors):
    old, new = noise(4 * MIB, 12), noise(MIB + 700, 13)
    vdi = doors.disk(4 * MIB, {0: old})
    assert doors.put("/import_raw_vdi", new, vdi=vdi).status == 200
    assert doors.content(vdi) == new + old[len(new) :]


@pytest.mark.parametrize("chunked", [False, True])
def test_an_image_that_is_too_long_is_refused(doors, chunked):
    vdi = doors.disk(2 * MIB)
    content = noise(2 * MIB + 1)
    task = doors.task()
    answer = doors.put("/import_raw_vdi", pieces(content) if chunked else content, vdi=vdi, task_id=task)
    assert answer.status == 400 and b"VDI_TOO_SMALL" in answer.body
    assert doors.ended(task)[0] == "failure"
    assert doors.content(vdi) == (content[:-1] if chunked else bytes(2 * MIB))


def head(doors: Doors, version: str, *lines: str, **query: str) -> bytes:
    path = doors.path("/import_raw_vdi", query)
    return "\r\n".join([f"PUT {path} HTTP/{version}", "Host: x", *lines, "", ""]).encode()


def test_an_absurd_length_ends_where_the_disk_does(doors):
    vdi = doors.disk(2 * MIB)
    content = noise(2 * MIB, 14)
    received = doors.raw(head(doors, "1.1", "Content-Length: 1125899906842624", "Connection: close", vdi=vdi), content)
    assert received.startswith(b"HTTP/1.1 200")
    assert doors.content(vdi) == content


def test_an_absurd_length_may_be_cut_short(doors):
    vdi = doors.disk(2 * MIB)
    content = noise(MIB, 15)
    task = doors.task()
    request = head(doors, "1.1", "Content-Length: 1125899906842624", vdi=vdi, task_id=task)
    received = doors.raw(request, content, shut=True)
    assert received.startswith(b"HTTP/1.1 200")
    assert doors.content(vdi)[:MIB] == content
    assert doors.ended(task) == ("success", [])


def test_http_1_0_until_close_gets_its_answer_before_the_body(doors):
    vdi = doors.disk(2 * MIB)
    content = noise(2 * MIB, 16)
    received = doors.raw(head(doors, "1.0", vdi=vdi), content, shut=True)
    assert received.startswith(b"HTTP/1.1 200")
    assert doors.content(vdi) == content


def test_a_body_that_is_cut_short_is_a_failure(doors):
    vdi = doors.disk(2 * MIB)
    task = doors.task()
    received = doors.raw(
        head(doors, "1.1", f"Content-Length: {2 * MIB}", vdi=vdi, task_id=task), b"x" * 1000, shut=True
    )
    assert received.startswith(b"HTTP/1.1 400") and b"IMPORT_ERROR_PREMATURE_EOF" in received
    assert doors.ended(task) == ("failure", ["IMPORT_ERROR_PREMATURE_EOF"])
    assert doors.client.VDI.get_current_operations(vdi) == {}


def test_a_failure_after_an_early_answer_cuts_the_connection(doors):
    vdi = doors.disk(2 * MIB)
    task = doors.task()
    doors.raw(head(doors, "1.0", vdi=vdi, format="vhd", task_id=task), b"x" * 1000, shut=True)
    assert doors.ended(task)[0] == "failure"


def test_an_empty_upload_changes_nothing(doors):
    content = noise(MIB, 17)
    vdi = doors.disk(2 * MIB, {0: content})
    for kind in ("raw", "vhd"):
        assert doors.put("/import_raw_vdi", b"", vdi=vdi, format=kind).status == 200
    assert doors.content(vdi)[:MIB] == content


def test_pieces_with_their_places(doors):
    vdi = doors.disk(4 * MIB, {0: b"\7" * 4 * MIB})
    wanted = bytearray(b"\7" * 4 * MIB)
    body = b""
    for offset, data in ((3 * MIB, noise(MIB, 18)), (700, noise(1000, 19)), (0, bytes(512))):
        body += struct.pack("<qI", offset, len(data)) + data
        wanted[offset : offset + len(data)] = data
    body += struct.pack("<qI", 0, 0)
    assert doors.put("/import_raw_vdi", body, vdi=vdi, chunked="true").status == 200
    assert doors.content(vdi) == wanted
    beyond = struct.pack("<qI", 4 * MIB - 1, 2) + b"xx"
    assert doors.put("/import_raw_vdi", beyond, vdi=vdi, chunked="true").status == 400
    assert doors.put("/import_raw_vdi", struct.pack("<qI", -1, 2), vdi=vdi, chunked="true").status == 400


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("way", ["length", "chunks", "absurd"])
def test_a_vhd_comes_in(doors, tmp_path, fixed, way):
    content = noise(MIB) + bytes(3 * MIB) + noise(2 * MIB, 20) + bytes(2 * MIB)
    vdi = doors.disk(8 * MIB, {0: noise(8 * MIB, 21)})
    data = vhd_of(tmp_path / "a.vhd", content, fixed)
    if way == "absurd":
        request = head(doors, "1.1", "Content-Length: 1125899906842624", "Connection: close", vdi=vdi, format="vhd")
        assert doors.raw(request, data).startswith(b"HTTP/1.1 200")
    else:
        assert (
            doors.put("/import_raw_vdi", data if way == "length" else pieces(data), vdi=vdi, format="vhd").status == 200
        )
    assert doors.content(vdi) == content


def test_a_smaller_fixed_vhd_leaves_the_rest(doors, tmp_path):
    vdi = doors.disk(4 * MIB, {0: b"\7" * 4 * MIB})
    data = vhd_of(tmp_path / "a.vhd", noise(MIB + 512), fixed=True)
    assert doors.put("/import_raw_vdi", data, vdi=vdi, format="vhd").status == 200
    assert doors.content(vdi) == noise(MIB + 512) + b"\7" * (3 * MIB - 512)


def test_a_delta_comes_in_on_a_copy_of_its_base(doors):
    vdi = doors.disk(16 * MIB, {0: noise(MIB), 4 * MIB: noise(MIB, 5)})
    base = doors.snapshot(vdi)
    doors.write(vdi, {4 * MIB: bytes(4096), 9 * MIB: noise(512, 7)})
    delta = doors.get("/export_raw_vdi", vdi=vdi, format="vhd", base=base).body
    copy = doors.disk(16 * MIB, {0: doors.content(base)})
    assert doors.put("/import_raw_vdi", delta, vdi=copy, format="vhd").status == 200
    assert doors.content(copy) == doors.content(vdi)


def test_a_vhd_that_is_too_large_or_damaged_changes_nothing(doors, tmp_path):
    content = noise(2 * MIB)
    vdi = doors.disk(2 * MIB, {0: content})
    good = vhd_of(tmp_path / "a.vhd", noise(4 * MIB, 3))
    answers = {
        "large": doors.put("/import_raw_vdi", good, vdi=vdi, format="vhd"),
        "text": doors.put("/import_raw_vdi", b"hello" * 1000, vdi=vdi, format="vhd"),
        "header": doors.put("/import_raw_vdi", good[:600] + b"x" + good[601:], vdi=vdi, format="vhd"),
        "short": doors.put("/import_raw_vdi", good[:100], vdi=vdi, format="vhd"),
    }
    assert {case: answer.status for case, answer in answers.items()} == dict.fromkeys(answers, 400)
    assert b"VDI_TOO_SMALL" in answers["large"].body
    small = vhd_of(tmp_path / "b.vhd", noise(2 * MIB, 4))
    table = bytearray(small)
    table[1536:1540] = b"\0\0\0\1"
    assert doors.put("/import_raw_vdi", bytes(table), vdi=vdi, format="vhd").status == 400
    assert doors.content(vdi)[5000:] == content[5000:]


def test_a_read_only_disk_is_not_written(doors):
    vdi = doors.disk(2 * MIB, read_only=True)
    answer = doors.put("/import_raw_vdi", b"x" * 512, vdi=vdi)
    assert answer.status == 500 and b"VDI_READONLY" in answer.body


def test_curl_writes_and_reads_a_disk(doors, tmp_path):
    vdi = doors.disk(4 * MIB)
    path = tmp_path / "image"
    path.write_bytes(noise(4 * MIB, 22))
    login = doors.url.replace("//", f"//root:{doors.password}@")
    done = doors.curl("-T", str(path), f"{login}/import_raw_vdi?vdi={vdi}&format=raw")
    assert (done.code, done.status) == (0, "200"), done.output
    done = doors.curl("-o", str(tmp_path / "back"), f"{login}/export_raw_vdi?vdi={vdi}&format=raw")
    assert (done.code, done.status) == (0, "200"), done.output
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_nobody_else_gets_at_a_disk_that_is_being_written(doors):
    vdi = doors.disk(4 * MIB)
    task = doors.task()
    refused = []

    def body():
        yield noise(MIB)
        eventually(lambda: doors.client.VDI.get_current_operations(vdi), bool)
        for attempt in (
            lambda: doors.client.VDI.destroy(vdi),
            lambda: doors.client.VDI.snapshot(vdi, {}),
            lambda: doors.client.VDI.resize(vdi, str(8 * MIB)),
        ):
            with pytest.raises(Failure) as failure:
                attempt()
            refused.append(failure.value.code)
        refused.append(doors.get("/export_raw_vdi", vdi=vdi).status)
        yield noise(3 * MIB)

    assert doors.put("/import_raw_vdi", body(), vdi=vdi, task_id=task).status == 200
    assert refused == ["OTHER_OPERATION_IN_PROGRESS"] * 3 + [500]
    doors.client.VDI.destroy(vdi)
