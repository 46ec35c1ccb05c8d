import pytest

from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.check import check, repair
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import InvalidSize, JournalError, JournalPending, NoSpace, ReadOnly
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import revert
from xapi.storage.vhd.modify import set_marker
from xapi.storage.vhd.parents import Parent
from xapi.storage.vhd.resize import grow, largest_size

from .disks import Killed, Store

BLOCK = 4096
DATA = bytes(range(1, 241)) * 273
DATA = DATA[: 15 * BLOCK]


def prepared(kind, fixed_size=0):
    """A disk with data in its first blocks, which lie where longer metadata will go."""
    store = Store()
    file = store.create("/sr/disk", fixed_size)
    if kind == "fixed":
        vhd = create_fixed(file, 16 * BLOCK)
    elif kind == "child":
        store.create("/sr/base").truncate(16 * BLOCK)
        vhd = create_child(file, Parent("/sr/base", 16 * BLOCK), block_size=BLOCK)
    else:
        vhd = create_dynamic(file, 16 * BLOCK, block_size=BLOCK)
    vhd.write(0, DATA)
    if kind != "fixed":
        set_marker(vhd, 7)
    vhd.flush()
    return store


def contents(store, fixed_size=False):
    file = store.device("/sr/disk") if fixed_size else store.open("/sr/disk")
    chain = Chain(Vhd.open(file, strict=True), store.open)
    return chain.read(0, chain.size)


def run(store, blocks, fixed_size=False):
    file = store.device("/sr/disk") if fixed_size else store.open("/sr/disk")
    grow(Vhd.open(file, writable=True), blocks * BLOCK, store.create("/sr/journal"))


@pytest.mark.parametrize("kind", ["fixed", "dynamic", "child"])
@pytest.mark.parametrize("blocks", [17, 128, 129, 300, 5000, 20_000])
def test_growing_keeps_the_data_and_adds_zeros(kind, blocks):
    store = prepared(kind)
    run(store, blocks)
    found = contents(store)
    assert len(found) == blocks * BLOCK
    assert found[: len(DATA)] == DATA
    assert not any(found[len(DATA) :])
    file = store.open("/sr/disk")
    assert check(file) == []
    vhd = Vhd.open(file, writable=True)
    if kind != "fixed":
        assert vhd.batmap.header.marker == 7
        assert vhd.batmap.test(3) and not vhd.batmap.test(15)
        vhd.write((blocks - 1) * BLOCK, b"e" * BLOCK)
        vhd.flush()
        assert contents(store)[-BLOCK:] == b"e" * BLOCK
    assert len(store.files["/sr/journal"]) == 512


@pytest.mark.parametrize("fixed_size", [0, 3_000_000])
@pytest.mark.parametrize("kind", ["fixed", "dynamic", "child"])
@pytest.mark.parametrize("blocks", [17, 200, 600])
@pytest.mark.parametrize("torn", [False, True])
def test_killed_at_any_write_the_disk_is_old_or_new(kind, blocks, torn, fixed_size):
    if fixed_size:
        fixed_size = 6000 * 512
    before = prepared(kind, fixed_size)
    after = before.copy()
    run(after, blocks, fixed_size > 0)
    old, new = contents(before, fixed_size > 0), contents(after, fixed_size > 0)
    pending = 0
    for budget in range(after.writes):
        victim = before.copy()
        victim.budget, victim.torn = budget, torn
        with pytest.raises(Killed):
            run(victim, blocks, fixed_size > 0)
        victim.budget = None
        opened = victim.device if fixed_size else victim.open
        try:
            Vhd.open(opened("/sr/disk"))
        except JournalPending:
            pending += 1
            interrupted_revert(victim, opened, torn)
        found = contents_tolerant(victim, opened)
        assert found in (old, new)
        run(victim, blocks, fixed_size > 0)
        repair(opened("/sr/disk"))
        assert contents(victim, fixed_size > 0) == new
        assert check(opened("/sr/disk")) == []
    assert pending > 2


def interrupted_revert(store, opened, torn):
    """Revert, killed at every write first; each time it is done again it goes on."""
    for budget in range(100):
        attempt = store.copy()
        attempt.budget, attempt.torn = budget, torn
        device = attempt.device if opened("/sr/disk").fixed_size else attempt.open
        try:
            revert(device("/sr/disk"), attempt.open("/sr/journal"))
        except Killed:
            attempt.budget = None
            try:
                Vhd.open(device("/sr/disk"))
            except JournalPending:
                assert revert(device("/sr/disk"), attempt.open("/sr/journal"))
            contents_tolerant(attempt, device)
        else:
            break
    assert revert(opened("/sr/disk"), store.open("/sr/journal"))


def contents_tolerant(store, opened):
    chain = Chain(Vhd.open(opened("/sr/disk")), store.open)
    return chain.read(0, chain.size)


def test_room_left_at_creation_makes_growing_one_change_of_the_footer():
    store = Store()
    vhd = create_dynamic(store.create("/sr/disk"), 16 * BLOCK, largest_size=500 * BLOCK, block_size=BLOCK)
    vhd.write(0, DATA)
    vhd.flush()
    assert largest_size(vhd) == 500 * BLOCK
    grow(vhd, 500 * BLOCK)
    assert contents(store)[: len(DATA)] == DATA
    assert check(store.open("/sr/disk")) == []
    with pytest.raises(JournalError):
        grow(vhd, 501 * BLOCK)
    vhd.write(499 * BLOCK, b"e" * BLOCK)
    vhd.flush()
    assert contents(store)[-BLOCK:] == b"e" * BLOCK


def test_garbage_in_the_unused_part_of_the_table_does_not_come_to_light():
    store = Store()
    vhd = create_dynamic(store.create("/sr/disk"), 16 * BLOCK, largest_size=500 * BLOCK, block_size=BLOCK)
    vhd.file.pwrite(bytes(400), vhd.header.table_offset + 64)
    grow(vhd, 100 * BLOCK)
    assert not any(contents(store))


def test_refusals():
    store = prepared("dynamic")
    vhd = Vhd.open(store.open("/sr/disk"), writable=True)
    before = bytes(vhd.file.data)
    for size in (15 * BLOCK, 0, 16 * BLOCK + 1, 2041 << 30):
        with pytest.raises(InvalidSize):
            grow(vhd, size, store.create("/sr/journal"))
    with pytest.raises(ReadOnly):
        grow(Vhd.open(store.open("/sr/disk")), 17 * BLOCK, store.create("/sr/journal"))
    grow(vhd, 16 * BLOCK)
    assert vhd.file.data == before


def test_a_device_without_room_is_left_alone():
    store = prepared("dynamic", 260 * 512)
    vhd = Vhd.open(store.device("/sr/disk"), writable=True)
    before = bytes(vhd.file.data)
    with pytest.raises(NoSpace):
        grow(vhd, 5000 * BLOCK, store.create("/sr/journal"))
    assert vhd.file.data == before
