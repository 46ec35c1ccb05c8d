"""Negotiation and requests over a pair of sockets, with a disk in memory."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.storage.datapath.nbd.connection import Connection
from xapi.storage.datapath.nbd.negotiation import Negotiation, Tls

from ..client import Client, Refused, RequestFailed

SIZE = 3 << 20
PAGE = 4096


class Memory:
    """A disk in memory; reading the last page fails."""

    def __init__(self, read_only: bool = False) -> None:
        self.data = bytearray(SIZE)
        self.size = SIZE
        self.read_only = read_only
        self.flushes = 0
        self.cold = False
        self.begun: list[tuple[int, int]] = []

    def read_cached(self, offset: int, buffer: memoryview) -> bool:
        if not self.cold:
            self.read_into(offset, buffer)
        return not self.cold

    def prefetch(self, offset: int, length: int) -> None:
        self.begun.append((offset, length))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if offset + len(buffer) > SIZE - PAGE:
            raise OSError(errno.EIO, "a bad page")
        buffer[:] = self.data[offset : offset + len(buffer)]

    def write(self, offset: int, data: memoryview) -> None:
        if offset == 13 * PAGE:
            raise OSError(errno.ENOSPC, "full")
        self.data[offset : offset + len(data)] = data

    def write_zeros(self, offset: int, length: int, keep_room: bool) -> None:
        self.data[offset : offset + length] = bytes(length)

    def trim(self, offset: int, length: int) -> None:
        self.write_zeros(offset, length, False)

    def flush(self) -> None:
        self.flushes += 1

    def status(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []
        for at in range(offset, offset + length, PAGE):
            part = self.data[at : min(at + PAGE, offset + length)]
            found.append((len(part), not any(part)))
        return found[:most]


Begin = Callable[..., Client]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def connect(memory: Memory) -> Iterator[Begin]:
    opened: list[tuple[Client, Thread]] = []

    def begin(tls: Tls = Tls.NONE, no_zeroes: bool = True) -> Client:
        ours, theirs = socket.socketpair()
        negotiation = Negotiation(lambda name: memory if name in ("", "disk") else None, ("disk",), tls)
        thread = Thread(target=Connection(theirs, negotiation).run)
        thread.start()
        opened.append((Client(ours, no_zeroes), thread))
        return opened[-1][0]

    yield begin
    for client, thread in opened:
        client.close()
        thread.join(10)
        assert not thread.is_alive()


def test_every_way_to_an_export(connect: Begin) -> None:
    for no_zeroes in (True, False):
        client = connect(no_zeroes=no_zeroes)
        client.export_name("disk")
        assert client.size == SIZE
        assert client.read(0, 10) == bytes(10)
    client = connect()
    assert client.list() == ["disk"]
    replies = client.go("disk", code=6)
    assert (3, struct.pack(">H", 1) + b"disk") in replies
    assert (3, struct.pack(">HIII", 3, 512, 65536, 32 << 20)) in replies
    client.go("")
    assert client.flags & 0b100000001 == 0b100000001


def test_what_is_not_there_is_refused_and_the_client_may_go_on(connect: Begin) -> None:
    client = connect()
    for refused, number in (
        (lambda: client.go("other"), 6),
        (lambda: client.option(99), 1),
        (lambda: client.option(5), 1),
        (lambda: client.option(8, b"x"), 3),
        (lambda: client.option(7, b"xxxx"), 3),
        (lambda: client.set_contexts("disk"), 3),
    ):
        with pytest.raises(Refused) as caught:
            refused()
        assert caught.value.args[0] == number
    client.go("disk")


def test_an_unknown_export_by_the_old_way_ends_the_connection(connect: Begin) -> None:
    with pytest.raises(EOFError):
        connect().export_name("other")


def test_nothing_is_said_where_tls_is_required(connect: Begin) -> None:
    client = connect(tls=Tls.REQUIRED)
    for code in (3, 6, 7, 8, 10):
        with pytest.raises(Refused) as caught:
            client.option(code)
        assert caught.value.args[0] == 5
    with pytest.raises(EOFError):
        client.export_name("disk")


def test_contexts(connect: Begin) -> None:
    client = connect()
    client.want_structured()
    assert client.set_contexts("disk", "base:", code=9) == ["base:allocation"]
    assert client.set_contexts("disk", "base:") == []
    assert client.set_contexts("disk", "qemu:dirty-bitmap:x", "base:allocation") == ["base:allocation"]
    client.go("disk")
    assert client.status(0, SIZE) == [(SIZE, 3)]


def test_a_context_of_another_export_does_not_count(connect: Begin) -> None:
    client = connect()
    client.want_structured()
    client.set_contexts("disk")
    client.go("")
    with pytest.raises(RequestFailed, match="22"):
        client.status(0, SIZE)


@pytest.mark.parametrize("structured", [False, True])
def test_reads_and_writes(connect: Begin, memory: Memory, structured: bool) -> None:
    client = connect()
    if structured:
        client.want_structured()
        client.set_contexts("disk")
    client.go("disk")
    client.write(100, b"some data")
    assert client.read(99, 11) == b"\0some data\0"
    large = bytes(range(256)) * 4096
    client.write(1 << 20, large, flags=1)
    assert memory.flushes == 1
    assert client.read((1 << 20) - 5, len(large) + 9) == bytes(5) + large + bytes(4)
    client.zero(1 << 20, 4096)
    client.trim((1 << 20) + 4096, 4096)
    assert client.read(1 << 20, 8200) == bytes(8192) + large[:8]
    client.flush()
    assert memory.flushes == 2
    client.disconnect()


def test_zeros_are_not_sent(connect: Begin) -> None:
    client = connect()
    client.want_structured()
    client.set_contexts("disk")
    client.go("disk")
    client.write(1 << 20, b"x" * PAGE)
    assert client.read(0, 2 << 20) == bytes(1 << 20) + b"x" * PAGE + bytes((1 << 20) - PAGE)
    assert [kind for kind, _, _ in client.chunks] == [2, 1, 2]
    client.read(0, 2 << 20, flags=4)
    assert [kind for kind, _, _ in client.chunks] == [1]
    assert client.status(0, SIZE) == [(1 << 20, 3), (PAGE, 0), (SIZE - (1 << 20) - PAGE, 3)]
    assert client.status(0, SIZE, flags=8) == [(PAGE, 3)]


@pytest.mark.parametrize("structured", [False, True])
def test_errors_are_told_and_the_connection_goes_on(connect: Begin, memory: Memory, structured: bool) -> None:
    memory.data[-PAGE:] = b"b" * PAGE
    client = connect()
    if structured:
        client.want_structured()
        client.set_contexts("disk")
    client.go("disk")
    for wrong, number in (
        (lambda: client.read(SIZE - 10, 20), 22),
        (lambda: client.write(SIZE - 10, bytes(20)), 28),
        (lambda: client.read(SIZE - PAGE, 10), 5),
        (lambda: client.read(SIZE - (1 << 20), 1 << 20), 5),
        (lambda: client.write(13 * PAGE, b"x"), 28),
        (lambda: client.read(0, 10, flags=64), 22),
        (lambda: client.receive() if client.send(55) else None, 22),
    ):
        with pytest.raises(RequestFailed) as caught:
            wrong()
        assert caught.value.args[0] == number
    assert client.read(0, 3) == bytes(3)


def test_a_read_only_export_refuses_writes(connect: Begin, memory: Memory) -> None:
    memory.read_only = True
    client = connect()
    client.go("disk")
    assert client.flags & 2
    for write in (lambda: client.write(0, b"x"), lambda: client.zero(0, 1), lambda: client.trim(0, 1)):
        with pytest.raises(RequestFailed, match="1"):
            write()
    assert not any(memory.data)


def test_a_payload_that_is_too_long_ends_the_connection(connect: Begin) -> None:
    client = connect()
    client.go("disk")
    client.send(1, 0, (32 << 20) + 1)
    with pytest.raises((EOFError, ConnectionResetError)):
        client.receive()


def test_many_requests_at_once_are_answered_in_order(connect: Begin, memory: Memory) -> None:
    client = connect()
    client.go("disk")
    memory.data[: 200 * PAGE] = b"".join(bytes([number]) * PAGE for number in range(200))
    wanted = [client.send(0, number * PAGE, PAGE) for number in range(100)]
    for number, cookie in enumerate(wanted):
        assert client.receive(PAGE) == (cookie, bytes([number]) * PAGE)


requests = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda flags, command, offset, length, data: (
                struct.pack(">IHHQQI", 0x25609513, flags, command, 7, offset, length) + data[:length]
            ),
            st.integers(0, 31),
            st.integers(0, 9),
            st.one_of(st.integers(0, SIZE), st.integers(0, (1 << 64) - 1)),
            st.integers(0, 64),
            st.binary(min_size=64, max_size=64),
        ),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(options=st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=40)), max_size=6), data=requests)
def test_whatever_a_client_sends_the_connection_ends_in_order(
    options: list[tuple[int, bytes]], data: list[bytes]
) -> None:
    memory = Memory()
    ours, theirs = socket.socketpair()
    thread = Thread(target=Connection(theirs, Negotiation(lambda name: memory)).run)
    thread.start()
    sent = struct.pack(">I", 3)
    for code, text in options:
        sent += b"IHAVEOPT" + struct.pack(">II", code, len(text)) + text
    sent += b"IHAVEOPT" + struct.pack(">II", 1, 0) + b"".join(data)
    ours.settimeout(30)
    try:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        while ours.recv(1 << 16):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has had enough
    ours.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(memory.data) == SIZE


def packed(command: int, cookie: int, offset: int, length: int, data: bytes = b"") -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, 0, command, cookie, offset, length) + data


@pytest.mark.parametrize("cold", [False, True])
def test_the_disk_begins_early_with_reads_that_wait_their_turn(memory: Memory, connect: Begin, cold: bool) -> None:
    client = connect()
    client.go("")
    memory.cold = cold
    memory.data[:] = bytes(number % 251 for number in range(PAGE)) * (SIZE // PAGE)
    requests = [packed(0, 1, 0, 10), packed(0, 2, PAGE, 10), packed(1, 3, 512, 512, b"w" * 512)]
    requests += [packed(0, 4, 512, 512), packed(0, 5, SIZE, 10), packed(0, 6, 2 * PAGE, 2 << 20), packed(0, 7, 99, 1)]
    client.sock.sendall(b"".join(requests))
    assert client.receive(10) == (1, bytes(memory.data[:10]))
    assert client.receive(10)[0] == 2
    assert client.receive()[0] == 3
    assert client.receive(512) == (4, b"w" * 512)
    with pytest.raises(RequestFailed):
        client.receive(10)
    assert client.receive(2 << 20)[0] == 6
    assert client.receive(1) == (7, bytes([99]))
    client.disconnect()
    # Once each; not what lies outside the disk, nor what is long enough to keep the disk at work.
    assert memory.begun == ([(PAGE, 10), (512, 512), (99, 1)] if cold else [])
