from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.http_handlers.doors import MIB, Doors, noise
from xapi.datamodel.failure import Failure
from xapi.http_handlers import raw_vdi
from xapi.http_handlers.qcow2_stream import CLUSTER, Layout, lay_out, metadata, parse_head
from xapi.storage.facts import Extent

QEMU_IMG = shutil.which("qemu-img")
with_qemu_img = pytest.mark.skipif(QEMU_IMG is None, reason="qemu-img is not installed")
SIZE = 12 * MIB
CONTENT = {0: noise(512), 70_144: noise(4096, 2), 5 * MIB - 512: noise(3 * MIB, 3), SIZE - 512: noise(512, 4)}


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run([str(QEMU_IMG), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(doors: Doors, vdi: str) -> bytes:
    answer = doors.get("/export_raw_vdi", vdi=vdi, format="qcow2")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-qemu-disk")
    assert int(answer.headers["content-length"]) == len(answer.body)
    return answer.body


def extent(first: int, last: int, zero: bool = False) -> Extent:
    return Extent(first, last - first, -1 if zero else 0, first)


def entries(data: bytes, place: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f">{count}Q", data, place)


def image_of(content: Mapping[int, bytes], size: int) -> tuple[Layout, bytes]:
    """An image, made of what a disk holds."""
    disk = bytearray(size)
    for offset, data in content.items():
        disk[offset : offset + len(data)] = data
    layout = lay_out(size, (extent(offset, offset + len(data)) for offset, data in sorted(content.items())))
    data = b"".join(
        bytes(disk[number * CLUSTER : (number + 1) * CLUSTER]).ljust(CLUSTER, b"\0")
        for first, count in layout.runs
        for number in range(first, first + count)
    )
    return layout, b"".join(metadata(layout)) + data


# Out


def test_the_tables_lead_to_the_data():
    size = 3 << 30
    place = (1 << 30) + 12_345 * 512
    layout = lay_out(size, [extent(0, 512), extent(512, 4096, zero=True), extent(place, place + 200_000)])
    front = b"".join(metadata(layout))
    assert len(front) == layout.data * CLUSTER
    image = parse_head(front)
    assert (image.size, image.cluster, image.first_entries) == (size, CLUSTER, 6)
    first = entries(front, image.first_table, 6)
    assert [bool(one) for one in first] == [True, False, True, False, False, False]
    found = {}
    for number, entry in enumerate(first):
        if entry:
            assert entry >> 63 == 1
            for index, one in enumerate(entries(front, entry & ~(1 << 63), CLUSTER // 8)):
                if one:
                    found[number * (CLUSTER // 8) + index] = one & ~(1 << 63)
    expected = [0, *range(place // CLUSTER, (place + 200_000 - 1) // CLUSTER + 1)]
    assert list(found) == expected
    assert list(found.values()) == [layout.data * CLUSTER + number * CLUSTER for number in range(len(expected))]
    assert layout.length == (layout.data + len(expected)) * CLUSTER


@pytest.mark.parametrize("size", [64 * MIB, 1 << 40, 16 << 40])
def test_the_counts_have_room_for_every_cluster(size):
    layout = lay_out(size, [extent(0, size)])
    assert layout.count_blocks * (CLUSTER // 2) >= layout.length // CLUSTER
    assert layout.count_tables * (CLUSTER // 8) >= layout.count_blocks
    assert (layout.count_blocks - 2) * (CLUSTER // 2) < layout.length // CLUSTER


@with_qemu_img
@settings(max_examples=15, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 4000), some.integers(1, 300)), max_size=5), some.integers(1, 4400))
def test_qemu_img_finds_nothing_to_complain_of(tmp_path_factory, parts, sectors):
    directory = tmp_path_factory.mktemp("image")
    size, content, place = sectors * 512, {}, 0
    for gap, count in parts:
        place += gap
        if place + count <= sectors:
            content[place * 512] = noise(count * 512, place)
            place += count
    _, data = image_of(content, size)
    (directory / "x.qcow2").write_bytes(data)
    assert json.loads(qemu_img("check", "--output=json", directory / "x.qcow2"))["check-errors"] == 0
    qemu_img("convert", "-f", "qcow2", "-O", "raw", directory / "x.qcow2", directory / "x.raw")
    raw = (directory / "x.raw").read_bytes()
    assert len(raw) == size
    assert all(raw[offset : offset + len(part)] == part for offset, part in content.items())
    assert raw.count(0) >= size - sum(map(len, content.values()))


@with_qemu_img
def test_a_disk_comes_out_whole(doors, tmp_path):
    vdi = doors.disk(SIZE, CONTENT)
    (tmp_path / "x.qcow2").write_bytes(exported(doors, vdi))
    qemu_img("check", tmp_path / "x.qcow2")
    qemu_img("convert", "-f", "qcow2", "-O", "raw", tmp_path / "x.qcow2", tmp_path / "x.raw")
    assert (tmp_path / "x.raw").read_bytes() == doors.content(vdi)


def test_holes_are_left_out(doors):
    assert len(exported(doors, doors.disk(1 << 40))) < MIB
    vdi = doors.disk(1 << 40, {1 << 39: noise(MIB)})
    assert MIB < len(exported(doors, vdi)) < 4 * MIB


def test_there_is_no_export_of_differences(doors):
    vdi = doors.disk(2 * MIB)
    answer = doors.get("/export_raw_vdi", vdi=vdi, base=vdi, format="qcow2")
    assert answer.status == 501 and b"NOT_IMPLEMENTED" in answer.body


# In


@pytest.mark.parametrize("content", [{}, CONTENT], ids=["empty", "data"])
def test_there_and_back(doors, content):
    vdi = doors.disk(SIZE, content)
    other = doors.disk(SIZE, {MIB: noise(10 * MIB, 9)})
    task = doors.task()
    assert doors.put("/import_raw_vdi", exported(doors, vdi), vdi=other, format="qcow2", task_id=task).status == 200
    assert doors.content(other) == doors.content(vdi)
    assert doors.ended(task) == ("success", [])


@with_qemu_img
@pytest.mark.parametrize(
    "options",
    [
        ["-o", "compat=0.10"],
        ["-o", "cluster_size=512"],
        ["-o", "cluster_size=2M"],
        ["-o", "preallocation=full"],
        ["-c"],
        ["-c", "-o", "cluster_size=4k"],
        ["-c", "-o", "compression_type=zstd"],
        ["-S", "0"],
    ],
    ids=" ".join,
)
def test_every_kind_that_qemu_img_writes(doors, tmp_path, options):
    raw = bytearray(SIZE)
    for offset, data in CONTENT.items():
        raw[offset : offset + len(data)] = data
    raw[9 * MIB : 10 * MIB] = b"compressible" * (MIB // 12) + b"...."
    (tmp_path / "x.raw").write_bytes(raw)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, tmp_path / "x.raw", tmp_path / "x.qcow2")
    vdi = doors.disk(SIZE + MIB, {0: noise(SIZE + MIB, 5)})
    before = doors.content(vdi)
    answer = doors.put("/import_raw_vdi", (tmp_path / "x.qcow2").read_bytes(), vdi=vdi, format="qcow2")
    assert answer.status == 200, answer.body
    assert doors.content(vdi) == raw + before[SIZE:]


@with_qemu_img
def test_what_needs_something_else_is_refused(doors, tmp_path):
    vdi = doors.disk(SIZE)
    (tmp_path / "base.raw").write_bytes(noise(MIB))
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", tmp_path / "base.raw", tmp_path / "child.qcow2")
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/d,data_file_raw=on", tmp_path / "far.qcow2", "1M")
    qemu_img("create", "-f", "qcow2", "-o", "extended_l2=on", tmp_path / "extended.qcow2", "1M")
    for name, word in (("child", b"backing file"), ("far", b"features"), ("extended", b"features")):
        answer = doors.put("/import_raw_vdi", (tmp_path / f"{name}.qcow2").read_bytes(), vdi=vdi, format="qcow2")
        assert answer.status == 400 and b"IMPORT_ERROR" in answer.body and word in answer.body
    qemu_img("create", "-f", "qcow2", tmp_path / "large.qcow2", "1T")
    answer = doors.put("/import_raw_vdi", (tmp_path / "large.qcow2").read_bytes(), vdi=vdi, format="qcow2")
    assert answer.status == 400 and f"VDI_TOO_SMALL: {vdi}, {1 << 40}".encode() in answer.body


def patched(data: bytes, place: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("place", "form", "value"),
    [
        (0, ">I", 0),
        (4, ">I", 4),
        (8, ">Q", 1 << 20),
        (20, ">I", 3),
        (20, ">I", 40),
        (32, ">I", 1),
        (36, ">I", 0),
        (36, ">I", 1 << 30),
        (40, ">Q", 1 << 50),
        (72, ">Q", 2),
    ],
)
def test_a_head_that_lies(doors, place, form, value):
    vdi = doors.disk(SIZE, {0: noise(512)})
    before = doors.content(vdi)
    _, data = image_of({0: noise(512)}, MIB)
    answer = doors.put("/import_raw_vdi", patched(data, place, form, value), vdi=vdi, format="qcow2")
    assert answer.status == 400 and b"IMPORT_ERROR" in answer.body
    assert doors.content(vdi) == before


def test_tables_that_lie(doors):
    vdi = doors.disk(SIZE)
    layout, data = image_of({0: noise(512)}, MIB)
    for place, value in (
        (layout.first_table * CLUSTER, 1 << 50),
        (layout.tables * CLUSTER, 1 << 50),
        (layout.tables * CLUSTER, 1 << 62 | 1 << 50),
        (layout.tables * CLUSTER, 1 << 62 | layout.data * CLUSTER),
    ):
        answer = doors.put("/import_raw_vdi", patched(data, place, ">Q", value), vdi=vdi, format="qcow2")
        assert answer.status == 400 and b"IMPORT_ERROR" in answer.body


def test_an_upload_that_breaks_off_or_does_not_end(doors, monkeypatch):
    vdi = doors.disk(SIZE)
    _, data = image_of({0: noise(MIB)}, SIZE)
    assert doors.put("/import_raw_vdi", data[: CLUSTER * 6], vdi=vdi, format="qcow2").status == 400
    path = doors.path("/import_raw_vdi", {"vdi": vdi, "format": "qcow2"})
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    assert b"IMPORT_ERROR_PREMATURE_EOF" in doors.raw(head, data[:-1], shut=True)
    monkeypatch.setattr(raw_vdi, "MOST_BESIDES", 0)
    answer = doors.put("/import_raw_vdi", data + bytes(2 * SIZE), vdi=vdi, format="qcow2")
    assert answer.status == 400 and b"longer than" in answer.body


@given(some.binary(max_size=200) | some.binary(max_size=200).map(lambda rest: b"QFI\xfb\0\0\0\3" + rest))
def test_any_bytes_are_a_head_or_refused(data):
    try:
        parse_head(data)
    except Failure as failure:
        assert failure.code == "IMPORT_ERROR"
