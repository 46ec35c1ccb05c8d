"""Our NBD server beneath the kernel's own client: what a guest's disk is when a host has no better way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.inside.shell import eventually, sh
from xapi.storage.contract import MIB, new_uuid
from xapi.storage.datapath.processes import DataPathProcesses
from xapi.storage.file.driver import FileDriver
from xapi.storage.interface import AttachedSr, CreateVdi, FileBackend

DEVICE = "/dev/nbd0"
SR = "5a000000-0000-4000-8000-00000000000e"
SIZE = 64 * MIB


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[DataPathProcesses]:
    made = DataPathProcesses(tmp_path / "run")
    yield made
    made.close_unused()


@pytest.fixture
def sr(store: Path, tmp_path: Path, processes: DataPathProcesses) -> AttachedSr:
    config = {"location": str(store / new_uuid())}
    FileDriver().create(SR, config, 0, "user", {})
    return FileDriver().attach(SR, config, {}, processes)


def test_a_file_system_survives_a_snapshot_beneath_it(
    sr: AttachedSr, processes: DataPathProcesses, tmp_path: Path
) -> None:
    disk = sr.create(CreateVdi(new_uuid(), SIZE)).location
    backend = sr.attach(disk, False)
    assert isinstance(backend, FileBackend)
    place = processes.open(SR, disk, backend)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    sh("nbd-client", "-unix", place.socket, DEVICE, "-N", place.export)
    try:
        eventually(lambda: int(Path("/sys/block/nbd0/size").read_text()) * 512 == SIZE)
        sh("mkfs.ext4", "-q", DEVICE)
        sh("mount", DEVICE, str(mounted))
        (mounted / "before").write_bytes(b"b" * MIB)
        os.sync()
        taken = sr.snapshot(disk, new_uuid())
        (mounted / "after").write_bytes(b"a" * MIB)
        sh("umount", str(mounted))
        sh("fsck.ext4", "-f", "-n", DEVICE)
    finally:
        sh("umount", str(mounted), check=False)
        sh("nbd-client", "-d", DEVICE)
        processes.close(SR, disk, False)
        sr.detach(disk)
    with sr.open_for_reading(disk) as now, sr.open_for_reading(taken.location) as then:
        assert then.size == now.size == SIZE
        assert then.pread(1024 + 56, 2) == now.pread(1024 + 56, 2) == b"\x53\xef", "the superblock's mark"
        whole, before = now.pread(0, SIZE), then.pread(0, SIZE)
    assert b"a" * 4096 in whole
    assert b"a" * 4096 not in before
    assert b"b" * 4096 in before
    sr.destroy(disk)
    sr.destroy(taken.location)
    sr.detach_sr()
