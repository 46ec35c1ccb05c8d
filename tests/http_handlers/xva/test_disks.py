from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http_handlers.xva.test_archive import Bytes
from xapi.http_handlers.overlap import MOST
from xapi.http_handlers.xva import digests
from xapi.http_handlers.xva.archive import END, TarReader, TarWriter
from xapi.http_handlers.xva.disks import BLOCK, MOST_EMPTY, DiskStream, Incoming, chosen_blocks, write_disk
from xapi.http_handlers.xva.errors import BadArchive, ChecksumMismatch, EndedEarly, UnexpectedMember


@dataclass
class Piece:
    offset: int
    length: int
    zero: bool


class Disk:
    """A disk in memory: sectors of data by their number."""

    def __init__(self, size: int, data: dict[int, bytes]) -> None:
        self.size = size
        self.content = bytearray(size)
        for offset, piece in data.items():
            self.content[offset : offset + len(piece)] = piece
        self.data = data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.content[offset : offset + len(buffer)]

    def extents(self) -> list[Piece]:
        found, place = [], 0
        for offset, piece in sorted(self.data.items()):
            found += [Piece(place, offset - place, True), Piece(offset, len(piece), False)]
            place = offset + len(piece)
        return [*found, Piece(place, self.size - place, True)]

    def pwrite(self, offset: int, data: memoryview) -> None:
        assert offset % 512 == 0 and len(data) % 512 == 0
        end = min(offset + len(data), self.size)
        self.content[offset:end] = data[: end - offset]


def written(kind: str = digests.SHA1, **disks: Disk) -> bytes:
    data = io.BytesIO()
    tar = TarWriter(data.write)
    for prefix, disk in disks.items():
        passed: list[int] = []
        write_disk(tar, prefix, disk, passed.append, kind)
        assert sum(passed) == disk.size
    return data.getvalue() + END


def received(data: bytes, sizes: dict[str, int], **options: bool) -> dict[str, bytes]:
    disks = {prefix: Disk(size, {}) for prefix, size in sizes.items()}
    passed: list[int] = []
    stream = DiskStream(
        TarReader(Bytes(data)), {p: Incoming(d, d.size) for p, d in disks.items()}, passed.append, **options
    )
    stream.receive()
    assert sum(passed) == sum(sizes.values())
    return {prefix: bytes(disk.content) for prefix, disk in disks.items()}


SIZES = st.integers(1, 5 * BLOCK // 512).map(lambda sectors: sectors * 512)


@settings(deadline=None)
@given(SIZES, st.lists(st.tuples(st.integers(0, 5 * BLOCK // 512), st.booleans()), max_size=5))
def test_there_and_back(size, places):
    data = {place * 512 % size // 512 * 512: (b"x" if full else b"\0") * 512 for place, full in places}
    disk = Disk(size, data)
    assert received(written(a=disk), {"a": size}) == {"a": bytes(disk.content)}


def test_zeros_are_left_out_but_for_the_first_and_the_last_block():
    disk = Disk(6 * BLOCK, {2 * BLOCK + 512: b"x" * 512, 4 * BLOCK: bytes(512)})
    assert list(chosen_blocks(disk)) == [0, 2, 4, 5]
    reader = TarReader(Bytes(written(a=disk)))
    names = []
    while (member := reader.next()) is not None:
        names.append(member.name)
    assert names[::2] == ["a/00000000", "a/00000002", "a/00000005"]


@pytest.mark.parametrize("kind", [digests.SHA1, digests.XXH64])
def test_either_kind_of_checksum(kind):
    disk = Disk(BLOCK + 512, {0: b"y" * 1024})
    assert received(written(kind, a=disk), {"a": disk.size}) == {"a": bytes(disk.content)}


def test_disks_may_be_mixed_and_in_any_order():
    one, two = Disk(2 * BLOCK, {0: b"1" * 512, BLOCK: b"2" * 512}), Disk(BLOCK, {0: b"3" * 512})
    assert received(written(b=two, a=one), {"a": one.size, "b": two.size}) == {
        "a": bytes(one.content),
        "b": bytes(two.content),
    }


def blocks(*files: tuple[str, bytes], end: bytes = END) -> bytes:
    data = io.BytesIO()
    tar = TarWriter(data.write)
    for name, content in files:
        tar.add(name, content)
        if "/" in name:
            tar.add(name + ".checksum", digests.sha1(content).encode())
    return data.getvalue() + end


def test_an_empty_block_takes_a_number_and_no_room():
    first, last = b"1" * BLOCK, b"2" * BLOCK
    files = [("a/00000000", first), ("a/00000003", b""), ("a/00000004", b""), ("a/00000005", last)]
    content = received(blocks(*files), {"a": 4 * BLOCK})["a"]
    assert content == first + bytes(2 * BLOCK) + last


def test_a_skipped_block_is_as_long_as_the_first_one():
    data = blocks(("a/00000000", b"1" * 1024), ("a/00000003", b"2" * 1024), ("a/00000004", b"3" * 512))
    assert received(data, {"a": 4608})["a"] == b"1" * 1024 + bytes(2048) + b"2" * 1024 + b"3" * 512


def test_old_archives_have_a_table_at_the_end_and_none_have_no_checksums():
    data = blocks(("a/00000000", b"1" * 512), ("checksum.xml", b"<value/>"))
    assert received(data, {"a": 512}) == {"a": b"1" * 512}
    out = io.BytesIO()
    tar = TarWriter(out.write)
    tar.add("a/00000000", b"1" * BLOCK)
    tar.add("a/00000001", b"2" * 512)
    bare = out.getvalue() + END
    assert received(bare, {"a": BLOCK + 512}, verify=False)["a"] == b"1" * BLOCK + b"2" * 512
    with pytest.raises(UnexpectedMember):
        received(bare, {"a": BLOCK + 512})


def test_what_is_received_ahead_of_the_disk_has_a_limit():
    class Counted(Bytes):
        given = 0

        def readinto(self, buffer: memoryview) -> int:
            count = super().readinto(buffer)
            self.given += count
            return count

    disk = Disk(40 * BLOCK, {number * BLOCK: b"x" * 512 for number in range(40)})
    source = Counted(written(a=disk))
    ahead: list[int] = []

    class Slow(Disk):
        def pwrite(self, offset: int, data: memoryview) -> None:
            ahead.append(source.given - offset)
            super().pwrite(offset, data)

    target = Slow(40 * BLOCK, {})
    DiskStream(TarReader(source), {"a": Incoming(target, target.size)}, lambda count: None).receive()
    assert target.content == disk.content and len(ahead) == 40
    assert max(ahead) <= MOST + BLOCK + 4 * 512 * 40


def test_a_disk_that_cannot_be_written_ends_the_transfer_with_its_own_error():
    class Full(Disk):
        def pwrite(self, offset: int, data: memoryview) -> None:
            if offset >= 2 * BLOCK:
                raise OSError(28, "no room")
            super().pwrite(offset, data)

    disk = Disk(30 * BLOCK, {number * BLOCK: b"x" * 512 for number in range(30)})
    passed: list[int] = []
    target = Full(disk.size, {})
    with pytest.raises(OSError, match="no room"):
        DiskStream(TarReader(Bytes(written(a=disk))), {"a": Incoming(target, disk.size)}, passed.append).receive()
    assert sum(passed) < disk.size


def test_a_disk_that_cannot_be_read_ends_the_export_with_its_own_error():
    class Torn(Disk):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            if offset >= 2 * BLOCK:
                raise OSError(5, "torn")
            super().read_into(offset, buffer)

    sent: list[int] = []
    with pytest.raises(OSError, match="torn"):
        write_disk(
            TarWriter(lambda data: sent.append(len(data))),
            "a",
            Torn(5 * BLOCK, {number * BLOCK: b"x" * 512 for number in range(5)}),
            lambda count: None,
        )
    assert len(sent) <= 2


def test_a_wrong_checksum():
    data = written(a=Disk(512, {0: b"z" * 512})).replace(b"z" * 512, b"y" * 512)
    with pytest.raises(ChecksumMismatch):
        received(data, {"a": 512})
    assert received(data, {"a": 512}, force=True) == {"a": b"y" * 512}


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ([("a/00000000", b"1" * 512)], EndedEarly),
        ([("b/00000000", b"1" * 1024)], UnexpectedMember),
        ([("a/00000000", b"1" * 1024), ("a/00000001", b"")], UnexpectedMember),
        ([("a/x", b"1" * 1024)], UnexpectedMember),
        ([("a/-1", b"1" * 1024)], UnexpectedMember),
        ([("a/" + "9" * 50, b"1" * 1024)], UnexpectedMember),
        ([("a/00000000", b"1" * 512), ("a/00000000", b"1" * 512)], BadArchive),
        ([("a/00000000", b"1" * 1536)], BadArchive),
        ([("a/00000001", b"1" * 512)], BadArchive),
    ],
)
def test_blocks_that_cannot_be_right(files, error):
    with pytest.raises(error):
        received(blocks(*files), {"a": 1024})


def test_there_is_an_end_to_empty_blocks():
    class Endless:
        """An archive of empty blocks that never ends."""

        def __init__(self) -> None:
            self.number = 0
            self.waiting = b""

        def readinto(self, buffer: memoryview) -> int:
            if not self.waiting:
                self.waiting = blocks((f"a/{self.number:08d}", b""), end=b"")
                self.number += 1
            count = min(len(buffer), len(self.waiting))
            buffer[:count] = self.waiting[:count]
            self.waiting = self.waiting[count:]
            return count

    source = Endless()
    stream = DiskStream(TarReader(source), {"a": Incoming(Disk(1 << 20, {}), 1 << 60, gap=0)}, lambda count: None)
    stream._empty = MOST_EMPTY - 5
    with pytest.raises(BadArchive, match="empty"):
        stream.receive()
    assert source.number == 6
