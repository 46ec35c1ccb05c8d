"""Datapath processes in earnest: one for each disk, found again, revived, and paused by a driver."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.datapath.processes import DataPathProcesses
from xapi.storage.errors import VdiUnavailable
from xapi.storage.facts import FileBackend, NbdBackend
from xapi.storage.file.driver import FileDriver
from xapi.storage.interface import CreateVdi

from .client import Client

SR = "5a000000-0000-4000-8000-000000000001"
SIZE = 8 << 20


class Host:
    """An SR whose disks are served by processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes = DataPathProcesses(path / "run")
        self.clients: list[Client] = []
        config = {"location": str(path / "sr")}
        FileDriver().create(SR, config, 0, "user", {})
        self.sr = FileDriver().attach(SR, config, {}, self.processes)

    def disk(self) -> str:
        location = str(uuid.uuid4())
        self.sr.create(CreateVdi(location, SIZE))
        return location

    def serve(self, location: str, read_only: bool = False) -> NbdBackend:
        backend = self.sr.attach(location, read_only)
        assert isinstance(backend, FileBackend)
        return self.processes.open(SR, location, backend)

    def pid(self, location: str) -> int:
        status = self.processes.status(SR, location)
        assert status is not None
        pid = status["pid"]
        assert isinstance(pid, int)
        return pid

    def restart_toolstack(self) -> None:
        self.processes = DataPathProcesses(self.path / "run")

    def client(self, socket: str) -> Client:
        """A client that is closed at the end."""
        self.clients.append(Client.unix(socket))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        DataPathProcesses(self.path / "run").close_unused()
        assert [name for name in os.listdir(self.path / "run") if name != "datapath.log"] == []


@pytest.fixture
def host(short_path: Path) -> Iterator[Host]:
    opened = Host(short_path)
    yield opened
    opened.close()


def gone(pid: int) -> bool:
    """Whether a process has ended; one whose parent has not asked for its end is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: gone(pid), bool)


def test_a_disk_is_served_until_its_last_user_goes(host: Host) -> None:
    disk = host.disk()
    backend = host.serve(disk)
    pid = host.pid(disk)
    again = host.processes.open(SR, disk, FileBackend(str(host.path / "sr" / f"{disk}.vhd"), "vhd"))
    assert again == backend
    assert host.pid(disk) == pid
    client = Client.unix(backend.socket)
    client.write(0, b"written")
    host.processes.close(SR, disk, False)
    assert client.read(0, 7) == b"written"
    host.processes.close(SR, disk, False)
    assert eventually(lambda: gone(pid), bool)
    host.sr.detach(disk)
    with host.sr.open_for_reading(disk) as reader:
        assert reader.pread(0, 7) == b"written"
    client.close()


def test_a_snapshot_under_a_guest_that_writes(host: Host) -> None:
    disk = host.disk()
    client = Client.unix(host.serve(disk).socket)
    client.write(0, b"before")
    made = str(uuid.uuid4())
    host.sr.snapshot(disk, made)
    client.write(0, b"after!")
    client.flush()
    with host.sr.open_for_reading(made) as reader:
        assert reader.pread(0, 6) == b"before"
    assert client.read(0, 6) == b"after!"
    client.close()


def test_a_chain_is_merged_under_a_guest_that_writes(host: Host) -> None:
    disk = host.disk()
    client = Client.unix(host.serve(disk).socket)
    for number in range(4):
        client.write(number * 4096, bytes([number + 1]) * 4096)
        client.write(5 << 20, bytes([number + 1]) * 8192)
        made = str(uuid.uuid4())
        host.sr.snapshot(disk, made)
        host.sr.destroy(made)
    turns = 0

    def meanwhile() -> bool:
        nonlocal turns
        turns += 1
        client.write((6 << 20) + turns % 50 * 4096, bytes([turns % 250 + 1]) * 4096)
        return True

    chains = host.sr.chains()
    chains.small = 0
    found = collect(chains, Wishes(), meanwhile)
    assert not found.failed
    assert host.sr.find(disk).parent in {vdi.uuid for vdi in host.sr.scan().vdis} | {""}
    chains.small = 16 << 20
    assert not collect(chains, Wishes()).failed
    assert [vdi.uuid for vdi in host.sr.scan().vdis] == [disk]
    client.write(7 << 20, b"still here")
    for number in range(4):
        assert client.read(number * 4096, 4096) == bytes([number + 1]) * 4096
    assert client.read(5 << 20, 8192) == bytes([4]) * 8192
    for turn in range(max(1, turns - 40), turns + 1):
        assert client.read((6 << 20) + turn % 50 * 4096, 4096) == bytes([turn % 250 + 1]) * 4096
    # No removed file is held open any more.
    pid = host.pid(disk)
    held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert [name for name in held if name.endswith("(deleted)")] == []
    client.close()


def test_a_disk_grows_under_a_guest(host: Host) -> None:
    disk = host.disk()
    client = Client.unix(host.serve(disk).socket)
    client.write(0, b"first")
    host.sr.resize_online(disk, 2 * SIZE)
    client.write(2 * SIZE - 512, b"z" * 512)
    assert client.read(0, 5) == b"first"
    status = host.processes.status(SR, disk)
    assert status is not None
    assert status["size"] == 2 * SIZE
    client.close()


def test_processes_outlive_the_toolstack(host: Host) -> None:
    disk, other = host.disk(), host.disk()
    client = Client.unix(host.serve(disk).socket)
    host.serve(other)
    pids = host.pid(disk), host.pid(other)
    kill(pids[1])
    client.write(0, b"kept")
    host.restart_toolstack()
    assert host.processes.status(SR, other) is None
    assert host.pid(disk) == pids[0]
    assert client.read(0, 4) == b"kept"
    host.processes.open(SR, disk, FileBackend(str(host.path / "sr" / f"{disk}.vhd"), "vhd"))
    host.processes.close_unused()
    assert host.pid(disk) == pids[0]
    assert client.read(0, 4) == b"kept"
    client.close()


def test_a_process_that_died_is_revived_under_its_name(host: Host) -> None:
    disk = host.disk()
    backend = host.serve(disk)
    client = Client.unix(backend.socket)
    client.write(0, b"durable")
    client.flush()
    kill(host.pid(disk))
    with pytest.raises((EOFError, ConnectionResetError, BrokenPipeError)):
        client.read(0, 1)
    client.close()
    assert host.processes.revive() == (disk,)
    assert host.processes.revive() == ()
    client = Client.unix(backend.socket)
    assert client.read(0, 7) == b"durable"
    client.close()


def test_a_dead_process_does_not_hinder_a_snapshot(host: Host) -> None:
    disk = host.disk()
    host.serve(disk)
    kill(host.pid(disk))
    host.sr.snapshot(disk, str(uuid.uuid4()))


def test_a_disk_that_nobody_serves_needs_no_pause(host: Host) -> None:
    with host.processes.paused(SR, "nothing"):
        pass


def test_a_disk_that_cannot_be_opened_is_refused_with_the_reason(host: Host) -> None:
    with pytest.raises(VdiUnavailable, match="cannot be served"):
        host.processes.open(SR, "x", FileBackend(str(host.path / "missing.vhd"), "vhd"))


def test_a_raw_disk_and_a_read_only_one(host: Host) -> None:
    path = host.path / "raw"
    path.write_bytes(b"r" * 8192)
    client = Client.unix(host.processes.open(SR, "raw", FileBackend(str(path), "raw", True)).socket)
    assert client.size == 8192
    assert client.flags & 2
    assert client.read(0, 8192) == b"r" * 8192
    client.close()
    host.processes.close(SR, "raw", True)


# Going over to another disk


def over(host: Host, disk: str, other: str) -> None:
    with host.processes.held(SR, disk, False) as switch:
        switch(SR, other, FileBackend(str(host.path / "sr" / f"{other}.vhd"), "vhd"))


def twin(host: Host, disk: str, data: bytes) -> str:
    """Another disk, with this at its beginning."""
    other = host.disk()
    with host.sr.open_for_writing(other) as writer:
        writer.pwrite(0, data.ljust(512, b"\0"))
    return other


def test_a_guest_goes_over_to_another_disk(host: Host) -> None:
    disk = host.disk()
    other = twin(host, disk, b"as it was")
    client = host.client(host.serve(disk).socket)
    client.write(0, b"as it was")
    pid = host.pid(disk)
    over(host, disk, other)
    assert host.processes.status(SR, disk) is None
    assert host.pid(other) == pid
    assert client.read(0, 9) == b"as it was"
    client.write(4096, b"new")
    host.processes.close(SR, other, False)
    host.sr.detach(disk)
    with host.sr.open_for_reading(other) as reader, host.sr.open_for_reading(disk) as left:
        assert reader.pread(4096, 3) == b"new"
        assert left.pread(4096, 3) == bytes(3)


def test_a_guest_goes_on_where_it_was_if_the_way_over_fails(host: Host) -> None:
    disk = host.disk()
    other = twin(host, disk, b"of no use")
    client = host.client(host.serve(disk).socket)
    client.write(0, b"as it was")
    with pytest.raises(InterruptedError), host.processes.held(SR, disk, False) as switch:
        switch(SR, other, FileBackend(str(host.path / "sr" / f"{other}.vhd"), "vhd"))
        raise InterruptedError
    assert client.read(0, 9) == b"as it was"
    host.restart_toolstack()
    assert host.processes.status(SR, other) is None
    assert host.processes.status(SR, disk) is not None


def test_a_disk_that_cannot_be_opened_or_is_smaller_takes_no_guest(host: Host) -> None:
    disk = host.disk()
    client = host.client(host.serve(disk).socket)
    small = str(uuid.uuid4())
    host.sr.create(CreateVdi(small, SIZE // 2))
    for location in (small, str(uuid.uuid4())):
        with pytest.raises(VdiUnavailable):
            over(host, disk, location)
        client.write(0, b"still here")
        assert client.read(0, 10) == b"still here"


def test_a_toolstack_that_comes_back_finds_what_its_guest_uses_now(host: Host) -> None:
    disk = host.disk()
    other = twin(host, disk, b"")
    path = str(host.path / "sr" / f"{other}.vhd")
    socket = host.serve(disk).socket
    client = host.client(socket)
    over(host, disk, other)
    pid = host.pid(other)
    host.restart_toolstack()
    assert path in host.processes.found_paths
    assert host.processes.open(SR, other, FileBackend(path, "vhd")).socket == socket
    assert host.pid(other) == pid
    client.write(0, b"goes on")
    kill(pid)
    host.restart_toolstack()
    assert path in host.processes.found_paths


def test_a_process_that_died_while_held_serves_the_other_disk_next(host: Host) -> None:
    disk = host.disk()
    other = twin(host, disk, b"over there")
    socket = host.serve(disk).socket
    pid = host.pid(disk)
    with host.processes.held(SR, disk, False) as switch:
        kill(pid)
        assert host.processes.revive() == ()
        switch(SR, other, FileBackend(str(host.path / "sr" / f"{other}.vhd"), "vhd"))
    assert host.processes.revive() == (other,)
    assert host.client(socket).read(0, 10) == b"over there"


def test_drivers_work_on_a_disk_whose_guest_is_held(host: Host) -> None:
    disk = host.disk()
    client = host.client(host.serve(disk).socket)
    client.write(0, b"frozen")
    with host.processes.held(SR, disk, False):
        made = str(uuid.uuid4())
        host.sr.snapshot(disk, made)
    client.write(0, b"moving")
    with host.sr.open_for_reading(made) as reader:
        assert reader.pread(0, 6) == b"frozen"
    assert client.read(0, 6) == b"moving"
