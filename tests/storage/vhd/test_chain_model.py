"""Chains against an array of bytes, with the process killed at any write of any operation."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.storage.vhd.chain import BlockState, RawDisk
from xapi.storage.vhd.check import check
from xapi.storage.vhd.coalesce import coalesce
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import JournalPending
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import revert
from xapi.storage.vhd.layout import SECTOR
from xapi.storage.vhd.modify import set_parent
from xapi.storage.vhd.parents import Parent
from xapi.storage.vhd.resize import grow

from .disks import Killed, Store

LINKS = 12
JOURNAL = "/sr/journal"


@dataclass
class Disk:
    """A chain under test: the paths from the leaf down, and what the leaf has to read as."""

    store: Store
    paths: list[str]
    model: bytearray
    block_size: int
    raw_base: bool
    made: int = 0

    def copy(self) -> Disk:
        return Disk(
            self.store.copy(), list(self.paths), bytearray(self.model), self.block_size, self.raw_base, self.made
        )

    def is_raw(self, depth: int) -> bool:
        return self.raw_base and depth == len(self.paths) - 1

    def parent(self, depth: int) -> Parent:
        path = self.paths[depth]
        if self.is_raw(depth):
            return Parent(path, len(self.store.files[path]))
        vhd = Vhd.open(self.store.open(path))
        return Parent(path, vhd.size, vhd.footer.unique_id)

    def recover(self) -> None:
        for depth, path in enumerate(self.paths):
            if self.is_raw(depth):
                continue
            try:
                Vhd.open(self.store.open(path))
            except JournalPending:
                assert revert(self.store.open(path), self.store.open(JOURNAL))
                Vhd.open(self.store.open(path))

    def read(self) -> bytes:
        chain = self.store.chain(self.paths[0], raw=self.is_raw(0))
        return chain.read(0, chain.size)

    def inspect(self) -> None:
        chain = self.store.chain(self.paths[0], raw=self.is_raw(0))
        assert chain.read(0, chain.size) == self.model
        assert len(chain.open_all()) == len(self.paths)
        position = 0
        for offset, length, state in chain.block_status():
            assert offset == position and length > 0
            position += length
            if state is BlockState.ZERO:
                assert not any(self.model[offset:position])
        assert position == chain.size
        for depth, path in enumerate(self.paths):
            if not self.is_raw(depth):
                assert check(self.store.open(path)) == []

    # Operations; each leaves the model as it should be when it is complete

    def write(self, sector: int, count: int, value: int) -> None:
        data = (bytes([value]) + value.to_bytes(3, "big") + bytes(508)) * count
        sector %= len(self.model) // SECTOR
        data = data[: len(self.model) - sector * SECTOR]
        chain = self.store.chain(self.paths[0], writable=True)
        chain.write(sector * SECTOR, data)
        chain.flush()
        self.model[sector * SECTOR : sector * SECTOR + len(data)] = data

    def zero(self, sector: int, count: int, _: int) -> None:
        sector %= len(self.model) // SECTOR
        length = min(count * SECTOR, len(self.model) - sector * SECTOR)
        chain = self.store.chain(self.paths[0], writable=True)
        chain.write_zeros(sector * SECTOR, length)
        chain.flush()
        self.model[sector * SECTOR : sector * SECTOR + length] = bytes(length)

    def snapshot(self, extra: int, _: int, hidden: int) -> None:
        if len(self.paths) >= LINKS:
            return
        size = len(self.model) + extra % 3 * self.block_size
        name = "x" * (hidden % 50)
        path = f"/sr/d{self.made % 3}/{self.made}{name}.vhd"
        create_child(self.store.create(path), self.parent(0), size=size, block_size=self.block_size)
        self.made += 1
        self.paths.insert(0, path)
        self.model.extend(bytes(size - len(self.model)))

    def resize(self, extra: int, _: int, __: int) -> None:
        if self.is_raw(0):
            return
        size = len(self.model) + (1 + extra % 150) * self.block_size
        vhd = Vhd.open(self.store.open(self.paths[0]), writable=True)
        grow(vhd, size, self.store.create(JOURNAL))
        assert vhd.size == size
        self.model.extend(bytes(size - len(self.model)))

    def hide(self, _: int, __: int, value: int) -> None:
        if not self.is_raw(0):
            Vhd.open(self.store.open(self.paths[0]), writable=True).set_hidden(value & 1)

    def coalesce(self, which: int, _: int, __: int) -> None:
        if len(self.paths) < 2:
            return
        depth = which % (len(self.paths) - 1)
        child = Vhd.open(self.store.open(self.paths[depth]))
        file = self.store.open(self.paths[depth + 1])
        target = RawDisk(file, True) if self.is_raw(depth + 1) else Vhd.open(file, writable=True)
        if target.size < child.size:
            if isinstance(target, RawDisk):
                return
            grow(target, child.size, self.store.create(JOURNAL))
        coalesce(child, target)
        if depth:
            upper = Vhd.open(self.store.open(self.paths[depth - 1]), writable=True)
            set_parent(upper, self.parent(depth + 1), self.store.create(JOURNAL))
        del self.store.files[self.paths.pop(depth)]


def new_disk(kind: str, block_size: int, blocks: int) -> Disk:
    store = Store()
    size = block_size * blocks
    file = store.create("/sr/base")
    if kind == "raw":
        file.truncate(size)
    elif kind == "fixed":
        create_fixed(file, size)
    else:
        create_dynamic(file, size, block_size=block_size)
    return Disk(store, ["/sr/base"], bytearray(size), block_size, kind == "raw")


def step(disk: Disk, operation: tuple[str, int, int, int]) -> None:
    name, *arguments = operation
    if disk.is_raw(0):
        if name in ("write", "zero"):
            return
        name = "snapshot"
    getattr(disk, name)(*arguments)


def kill_everywhere(disk: Disk, operation: tuple[str, int, int, int], torn: bool, stride: int) -> None:
    """Do the operation on copies, killed after each number of writes; what is left is old or new."""
    after = disk.copy()
    step(after, operation)
    for budget in range(0, after.store.writes, stride):
        victim = disk.copy()
        victim.store.budget, victim.store.torn = budget, torn
        with pytest.raises(Killed):
            step(victim, operation)
        victim.store.budget = None
        paths, new = list(victim.paths), after.model
        victim.recover()
        found = victim.read()
        if operation[0] in ("write", "zero"):
            for at in range(0, len(found), SECTOR):
                assert found[at : at + SECTOR] in (disk.model[at : at + SECTOR], new[at : at + SECTOR])
        else:
            assert found in (disk.model, new)
        if paths == disk.paths and operation[0] in ("coalesce", "resize") and found == disk.model:
            step(victim, operation)
            assert victim.read() == new


KINDS = ["write", "write", "write", "zero", "snapshot", "snapshot", "resize", "hide", "coalesce"]
numbers = (
    st.one_of(st.integers(0, 20), st.integers(0, 100), st.integers(0, 4000)),
    st.integers(1, 24),
    st.integers(1, 255),
)
operations = st.tuples(st.sampled_from(KINDS), *numbers)
deepening = st.tuples(st.sampled_from(["snapshot", "write", "snapshot"]), *numbers)
disks = st.builds(
    new_disk, st.sampled_from(["dynamic", "fixed", "raw"]), st.sampled_from([4096, 32768]), st.integers(1, 9)
)


@settings(max_examples=40, deadline=None)
@given(disks, st.lists(operations, max_size=14))
def test_a_chain_reads_as_the_model(disk, steps):
    for operation in steps:
        step(disk, operation)
    disk.inspect()


@settings(max_examples=25, deadline=None)
@given(disks, st.lists(operations, max_size=8), operations, st.booleans())
def test_an_operation_killed_at_any_write_leaves_old_or_new(disk, steps, last, torn):
    for operation in steps:
        step(disk, operation)
    kill_everywhere(disk, last, torn and last[0] != "coalesce", stride=1)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(disks, st.lists(deepening, max_size=24), st.lists(operations, min_size=4, max_size=30), st.booleans())
def test_long_histories_with_a_kill_at_every_write(disk, first, steps, torn):
    for operation in [*first, *steps]:
        kill_everywhere(disk, operation, torn and operation[0] != "coalesce", stride=3)
        step(disk, operation)
    disk.inspect()
