import pytest

from xapi.storage.vhd.chain import Chain, RawDisk
from xapi.storage.vhd.check import check
from xapi.storage.vhd.coalesce import coalesce, coalesce_to_ancestor
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.errors import ParentTooSmall, UnsupportedVhd
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent

from .disks import Killed, Store

BLOCK = 8192


def describe(store, path):
    vhd = Vhd.open(store.open(path))
    return Parent(path, vhd.size, vhd.footer.unique_id)


def child(store, path, parent, size=0):
    return create_child(store.create(path), parent, size=size, block_size=BLOCK)


@pytest.fixture
def store():
    """base <- one <- two <- leaf, with blocks that are whole, in part, and only in some."""
    store = Store()
    base = create_dynamic(store.create("/sr/base"), 6 * BLOCK, block_size=BLOCK)
    base.write(0, b"b" * 3 * BLOCK)
    base.flush()
    one = child(store, "/sr/one", describe(store, "/sr/base"))
    one.write(BLOCK, b"1" * 2 * BLOCK)
    one.flush()
    two = child(store, "/sr/two", describe(store, "/sr/one"))
    two.write(2 * BLOCK + 512, b"2" * 1024)
    leaf = child(store, "/sr/leaf", describe(store, "/sr/two"))
    leaf.write(2 * BLOCK + 1024, b"l" * BLOCK)
    leaf.write(5 * BLOCK, b"L" * BLOCK)
    leaf.flush()
    return store


def view(store, path="/sr/leaf"):
    chain = store.chain(path)
    return chain.read(0, chain.size)


def opened(store, path, writable=True):
    return Vhd.open(store.open(path), writable)


def test_a_child_goes_into_its_parent(store):
    before = view(store)
    copied = coalesce(opened(store, "/sr/leaf", False), opened(store, "/sr/two"))
    assert copied == 2 * BLOCK
    assert view(store) == before
    assert view(store, "/sr/two") == before
    assert check(store.open("/sr/two")) == []


def test_killed_at_any_write_nothing_is_seen_to_change(store):
    before = view(store)
    after = store.copy()
    coalesce(opened(after, "/sr/leaf", False), opened(after, "/sr/two"))
    for torn in (False, True):
        for budget in range(after.writes):
            victim = store.copy()
            victim.budget, victim.torn = budget, torn
            with pytest.raises(Killed):
                coalesce(opened(victim, "/sr/leaf", False), opened(victim, "/sr/two"))
            victim.budget = None
            assert view(victim) == before
            coalesce(opened(victim, "/sr/leaf", False), opened(victim, "/sr/two"))
            assert view(victim, "/sr/two") == before


def links(store, depth):
    chain = Chain(opened(store, "/sr/leaf", False), store.open, parents_writable=True)
    return [chain.link(number) for number in range(depth + 1)]


@pytest.mark.parametrize(("depth", "ancestor"), [(1, "/sr/two"), (2, "/sr/one"), (3, "/sr/base")])
def test_a_child_goes_into_an_ancestor_and_is_seen_through_what_lies_between(store, depth, ancestor):
    before = view(store)
    coalesce_to_ancestor(links(store, depth))
    assert view(store) == before
    assert view(store, "/sr/two") == before
    assert view(store, ancestor)[5 * BLOCK :] == b"L" * BLOCK
    for path in ("/sr/two", "/sr/one", "/sr/base"):
        assert check(store.open(path)) == []


def test_killed_on_the_way_to_an_ancestor_the_leaf_looks_the_same(store):
    before = view(store)
    after = store.copy()
    coalesce_to_ancestor(links(after, 3))
    for budget in range(after.writes):
        victim = store.copy()
        victim.budget = budget
        with pytest.raises(Killed):
            coalesce_to_ancestor(links(victim, 3))
        victim.budget = None
        assert view(victim) == before
        coalesce_to_ancestor(links(victim, 3))
        assert view(victim, "/sr/two") == before


def test_a_raw_parent_takes_the_data(store):
    store.create("/sr/raw").truncate(6 * BLOCK)
    leaf = child(store, "/sr/onraw", Parent("/sr/raw", 6 * BLOCK))
    leaf.write(512, b"w" * BLOCK)
    target = RawDisk(store.open("/sr/raw"), writable=True)
    reports = []
    coalesce(leaf, target, lambda done, total: reports.append((done, total)))
    assert store.files["/sr/raw"] == bytes(512) + b"w" * BLOCK + bytes(5 * BLOCK - 512)
    assert reports[-1] == (512 + BLOCK, 6 * BLOCK)


def test_a_parent_that_is_too_small_is_left_alone(store):
    big = child(store, "/sr/big", describe(store, "/sr/base"), size=8 * BLOCK)
    big.write(0, b"f" * BLOCK)
    base = opened(store, "/sr/base")
    assert coalesce(big, base) == BLOCK  # what it has is inside
    big.write(7 * BLOCK, b"f" * 512)
    before = bytes(store.files["/sr/base"])
    with pytest.raises(ParentTooSmall):
        coalesce(big, base)
    assert store.files["/sr/base"] == before


def test_only_children_are_coalesced(store):
    with pytest.raises(UnsupportedVhd):
        coalesce(opened(store, "/sr/base"), opened(store, "/sr/one"))
    with pytest.raises(UnsupportedVhd):
        coalesce_to_ancestor(links(store, 0))
