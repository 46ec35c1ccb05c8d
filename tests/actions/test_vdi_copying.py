from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.actions.vdi.copying import copy_bytes, copy_changes
from xapi.storage.file.driver import FileDriver
from xapi.storage.interface import AttachedSr, CreateVdi

SIZE = 4 << 20
SECTOR = 512
DISKS = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in range(4))

writes = st.lists(
    st.tuples(st.integers(0, SIZE // SECTOR - 1), st.integers(1, 4000), st.integers(0, 3)), max_size=6
).map(lambda found: [(sector, min(count, SIZE // SECTOR - sector), value) for sector, count, value in found])
Writes = list[tuple[int, int, int]]
few = settings(max_examples=20, deadline=None)  # each makes an SR on the disk


@contextmanager
def sr() -> Iterator[AttachedSr]:
    with tempfile.TemporaryDirectory() as directory:
        config = {"location": str(Path(directory) / "sr")}
        identifier = "00000000-0000-4000-8000-0000000000ff"
        driver = FileDriver()
        driver.create(identifier, config, 0, "user", {})
        yield driver.attach(identifier, config, {})


def write(handle: AttachedSr, disk: str, made: Writes) -> None:
    with handle.open_for_writing(disk) as writer:
        for sector, count, value in made:
            writer.pwrite(sector * SECTOR, bytes([value]) * count * SECTOR)


def content(handle: AttachedSr, disk: str) -> bytes:
    with handle.open_for_reading(disk) as reader:
        return reader.pread(0, SIZE)


@few
@given(writes, writes)
def test_a_copy_is_alike_whatever_was_there_before(ours: Writes, theirs: Writes) -> None:
    with sr() as handle:
        for disk, made in zip(DISKS, (ours, theirs), strict=False):
            handle.create(CreateVdi(disk, SIZE))
            write(handle, disk, made)
        told: list[int] = []
        with handle.open_for_reading(DISKS[0]) as reader, handle.open_for_writing(DISKS[1]) as writer:
            copy_bytes(reader, writer, told.append)
        assert content(handle, DISKS[1]) == content(handle, DISKS[0])
        assert told == sorted(told)
        assert told[-1] == SIZE


@few
@given(writes)
def test_a_copy_to_a_blank_disk_is_alike(made: Writes) -> None:
    with sr() as handle:
        for disk in DISKS[:2]:
            handle.create(CreateVdi(disk, SIZE))
        write(handle, DISKS[0], made)
        with handle.open_for_reading(DISKS[0]) as reader, handle.open_for_writing(DISKS[1]) as writer:
            copy_bytes(reader, writer, lambda _: None, blank=True)
        assert content(handle, DISKS[1]) == content(handle, DISKS[0])


@few
@given(writes, writes, st.booleans())
def test_changes_since_a_base_make_a_copy_of_the_base_alike(before: Writes, after: Writes, related: bool) -> None:
    base, disk, copy = DISKS[:3]
    with sr() as handle:
        handle.create(CreateVdi(base, SIZE))
        write(handle, base, before)
        if related:
            handle.clone(base, disk)
        else:
            handle.create(CreateVdi(disk, SIZE))
        handle.create(CreateVdi(copy, SIZE))
        write(handle, copy, before)
        write(handle, disk, after)
        told: list[int] = []
        with ExitStack() as stack:
            older = stack.enter_context(handle.open_for_reading(base))
            reader = stack.enter_context(handle.open_for_reading(disk))
            writer = stack.enter_context(handle.open_for_writing(copy))
            copy_changes(older, reader, writer, told.append)
        assert content(handle, copy) == content(handle, disk)
        assert told[-1] == SIZE


def test_a_disk_that_grew_since_its_base_is_copied_to_its_end() -> None:
    base, disk, copy = DISKS[:3]
    with sr() as handle:
        handle.create(CreateVdi(base, SIZE // 2))
        handle.clone(base, disk)
        handle.resize(disk, SIZE)
        handle.create(CreateVdi(copy, SIZE))
        write(handle, disk, [(SIZE // SECTOR - 1, 1, 7)])
        with ExitStack() as stack:
            older = stack.enter_context(handle.open_for_reading(base))
            reader = stack.enter_context(handle.open_for_reading(disk))
            writer = stack.enter_context(handle.open_for_writing(copy))
            copy_changes(older, reader, writer, lambda _: None)
        assert content(handle, copy) == content(handle, disk)
