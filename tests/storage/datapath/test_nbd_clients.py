"""The programs that people read and write disks with: libnbd's, and qemu's."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from xapi.storage.datapath.control import Control
from xapi.storage.vhd.check import check
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.resize import grow

from .served_disk import SIZE, ServedDisk

MIB = 1 << 20


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed (Debian: {package})")


libnbd = needs("nbdcopy", "libnbd-bin")
qemu = needs("qemu-io", "qemu-utils")


def output_of(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def place(short_path: Path) -> Iterator[ServedDisk]:
    opened = ServedDisk(short_path)
    yield opened
    opened.close()


@pytest.fixture
def uri(place: ServedDisk) -> str:
    return f"nbd+unix:///?socket={place.nbd}"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A raw disk: data here and there, among it zeros that are stored."""
    source = random.Random(4)
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(MIB)
        file.write(source.randbytes(MIB + 512))
        file.seek(5 * MIB)
        file.write(bytes(MIB))
    return path


def room(place: ServedDisk) -> int:
    return os.stat(place.disk).st_blocks * 512


def qemu_io(uri: str, *commands: str) -> str:
    arguments = [part for command in commands for part in ("-c", command)]
    found = output_of("qemu-io", "-f", "raw", *arguments, uri)
    assert "failed" not in found, found
    return found


def damage(place: ServedDisk) -> list[str]:
    with closing(RealFile.open(place.disk)) as file:
        return check(file)


@libnbd
def test_nbdinfo_is_told_what_the_disk_can_do(uri: str) -> None:
    found: dict[str, Any] = json.loads(output_of("nbdinfo", "--json", uri))
    assert (found["protocol"], found["structured"]) == ("newstyle-fixed", True)
    (export,) = found["exports"]
    assert export["export-size"] == SIZE
    assert export["contexts"] == ["base:allocation"]
    able = {name for name in export if name.startswith(("can_", "is_")) and export[name]}
    assert {"can_multi_conn", "can_flush", "can_fua", "can_trim", "can_zero", "can_df"} <= able
    assert "is_read_only" not in able
    assert export["block_size_preferred"] == 65536


@libnbd
def test_nbdcopy_in_and_out(place: ServedDisk, uri: str, image: Path, tmp_path: Path) -> None:
    output_of("nbdcopy", "--flush", "--connections=4", "--requests=16", image, uri)
    assert place.content() == image.read_bytes()
    assert room(place) < 3 * MIB
    back = tmp_path / "back"
    back.touch()
    output_of("nbdcopy", "--connections=4", uri, back)
    assert back.read_bytes() == image.read_bytes()
    assert back.stat().st_blocks * 512 < 3 * MIB
    place.server.close()
    assert damage(place) == []


@libnbd
def test_nbdinfo_maps_holes(place: ServedDisk, uri: str, image: Path) -> None:
    output_of("nbdcopy", image, uri)
    pieces = json.loads(output_of("nbdinfo", "--map", "--json", uri))
    assert sum(piece["length"] for piece in pieces) == SIZE
    content = image.read_bytes()
    for piece in pieces:
        part = content[piece["offset"] : piece["offset"] + piece["length"]]
        assert piece["type"] in (0, 3)
        assert any(part) or piece["type"] == 3 or piece["length"] <= 2 * MIB
    assert pieces[-1]["type"] == 3


@qemu
def test_qemu_img_reads_and_writes(place: ServedDisk, uri: str, image: Path, tmp_path: Path) -> None:
    assert json.loads(output_of("qemu-img", "info", "--output=json", uri))["virtual-size"] == SIZE
    output_of("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri)
    assert place.content() == image.read_bytes()
    assert room(place) < 3 * MIB
    output_of("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, tmp_path / "back.qcow2")
    output_of("qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, tmp_path / "back.qcow2")
    pieces = json.loads(output_of("qemu-img", "map", "-f", "raw", "--output=json", uri))
    assert sum(piece["length"] for piece in pieces) == SIZE
    assert any(piece["zero"] for piece in pieces)


@qemu
def test_qemu_io_with_every_kind_of_request(place: ServedDisk, uri: str) -> None:
    qemu_io(
        uri,
        "write -P 1 0 4M",
        "write -f -P 2 4M 64k",  # force unit access
        "write -P 3 5000 700",  # not on sectors
        "read -P 1 0 5000",
        "read -P 3 5000 700",
        "read -P 1 5700 1k",
        "write -z 1M 64k",
        "read -P 0 1M 64k",
        "write -z -u 2M 1M",  # may become a hole
        "read -P 0 2M 1M",
        "discard 3M 1M",
        "read -P 2 4M 64k",
        "aio_write -P 5 6M 1M",
        "aio_write -P 6 7M 1M",
        "aio_flush",
        "flush",
        "read -P 5 6M 1M",
        "read -P 6 7M 1M",
    )
    assert room(place) < 6 * MIB + 512 * 1024
    content = place.content()
    assert content[5000:5700] == b"\3" * 700
    assert content[2 * MIB : 3 * MIB] == bytes(MIB)
    assert content[6 * MIB :] == b"\5" * MIB + b"\6" * MIB
    place.server.close()
    assert damage(place) == []


@qemu
def test_zeros_take_no_room_in_an_empty_disk(place: ServedDisk, uri: str) -> None:
    before = room(place)
    qemu_io(uri, "write -z 0 8M", "write -z -u 1M 4M", "discard 0 8M", "flush")
    assert room(place) == before
    with closing(RealFile.open(place.disk)) as file:
        assert Vhd.open(file).table.count() == 0


@qemu
def test_clients_at_the_same_time(place: ServedDisk, uri: str) -> None:
    command = ["qemu-io", "-f", "raw", uri]
    writers = []
    for number in range(4):
        # Neighbours share blocks of the disk.
        lines = [f"write -P {number + 1} {(at * 4 + number) * 65536} 64k" for at in range(SIZE // (4 * 65536))]
        arguments = [part for line in [*lines, "flush"] for part in ("-c", line)]
        writers.append(subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL))
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    assert place.content() == b"".join(bytes([at % 4 + 1]) * 65536 for at in range(SIZE // 65536))
    place.server.close()
    assert damage(place) == []


@libnbd
def test_a_disk_that_has_grown(place: ServedDisk, uri: str) -> None:
    with Control(place.control) as control:
        control.call("pause")
        with closing(RealFile.open(place.disk, True)) as file:
            grow(Vhd.open(file, writable=True), 2 * SIZE)
        control.call("resume")
    assert int(output_of("nbdinfo", "--size", uri)) == 2 * SIZE
