import uuid

import pytest

from xapi.storage.vhd.chain import Chain, RawDisk
from xapi.storage.vhd.check import check
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import InvalidName, InvalidSize, UnsupportedVhd
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import kill_data, set_marker, set_parent, set_physical_size
from xapi.storage.vhd.parents import Parent

from .disks import Killed, Store

BLOCK = 4096


@pytest.fixture
def store():
    """Two VHDs and two raw files that can be parents, each full of its own letter."""
    store = Store()
    for letter, path in (("a", "/sr/a.vhd"), ("b", "/sr/other/long-name-b.vhd")):
        vhd = create_dynamic(store.create(path), 8 * BLOCK, block_size=BLOCK)
        vhd.write(0, letter.encode() * 8 * BLOCK)
        vhd.flush()
    store.create("/sr/c.raw").pwrite(b"c" * 8 * BLOCK, 0)
    store.create("/sr/d.raw").pwrite(b"d" * 8 * BLOCK, 0)
    return store


def parent(store, letter):
    path = {"a": "/sr/a.vhd", "b": "/sr/other/long-name-b.vhd", "c": "/sr/c.raw", "d": "/sr/d.raw"}[letter]
    if path.endswith(".raw"):
        return Parent(path, 8 * BLOCK)
    return Parent(path, 8 * BLOCK, Vhd.open(store.open(path)).footer.unique_id)


def child(store, letter):
    made = create_child(store.create("/sr/child.vhd"), parent(store, letter), block_size=BLOCK)
    made.write(0, b"x" * BLOCK)
    made.flush()
    return made


def seen(store):
    return store.chain("/sr/child.vhd").read(BLOCK, 1).decode()


@pytest.mark.parametrize("old", "abcd")
@pytest.mark.parametrize("new", "abcd")
def test_killed_at_any_write_the_parent_is_old_or_new(store, old, new):
    child(store, old)
    after = store.copy()
    set_parent(Vhd.open(after.open("/sr/child.vhd"), writable=True), parent(store, new))
    assert seen(after) == new
    assert check(after.open("/sr/child.vhd")) == []
    assert after.writes >= 5
    for budget in range(after.writes):
        victim = store.copy()
        victim.budget = budget
        with pytest.raises(Killed):
            set_parent(Vhd.open(victim.open("/sr/child.vhd"), writable=True), parent(store, new))
        victim.budget = None
        assert seen(victim) in (old, new)
        set_parent(Vhd.open(victim.open("/sr/child.vhd"), writable=True), parent(store, new))
        assert seen(victim) == new


def test_a_path_too_long_for_its_locators_needs_a_journal(store):
    made = child(store, "a")
    far = f"/sr/{'deep/' * 60}far.vhd"
    store.files[far] = bytearray(store.files["/sr/a.vhd"])
    long = Parent(far, 8 * BLOCK, parent(store, "a").unique_id)
    with pytest.raises(InvalidName):
        set_parent(made, long)
    del store.files["/sr/a.vhd"]
    set_parent(made, long, store.create("/sr/journal"))
    assert seen(store) == "a"
    assert store.chain("/sr/child.vhd").read(0, 1) == b"x"
    assert check(store.open("/sr/child.vhd")) == []


def test_a_parent_with_a_shorter_name_changes_one_sector_of_the_header(store):
    for old, new in (("/sr/a.vhd", "/sr/VHD-a"), ("/sr/c.raw", "/sr/LV-c")):
        store.files[new] = store.files.pop(old)
    named = Parent("/sr/VHD-a", 8 * BLOCK, Vhd.open(store.open("/sr/VHD-a")).footer.unique_id)
    create_child(store.create("/sr/child.vhd"), named, block_size=BLOCK)
    before = bytes(store.files["/sr/child.vhd"][512:1536])
    set_parent(Vhd.open(store.open("/sr/child.vhd"), writable=True), Parent("/sr/LV-c", 8 * BLOCK))
    after = bytes(store.files["/sr/child.vhd"][512:1536])
    assert before[:512] != after[:512]
    assert before[512:] == after[512:]
    assert seen(store) == "c"
    assert check(store.open("/sr/child.vhd")) == []


def test_names_that_no_header_can_hold(store):
    with pytest.raises(InvalidName):
        create_child(store.create("/sr/n"), Parent(f"/sr/{'n' * 257}", BLOCK, uuid.uuid4()))
    with pytest.raises(UnsupportedVhd):
        set_parent(Vhd.open(store.open("/sr/a.vhd"), writable=True), parent(store, "b"))


def test_killing_the_data_shows_the_parent_and_shrinks_the_file(store):
    made = child(store, "b")
    before = len(made.file.data)
    kill_data(made)
    assert store.chain("/sr/child.vhd").read(0, 8 * BLOCK) == b"b" * 8 * BLOCK
    assert len(made.file.data) < before
    assert check(store.open("/sr/child.vhd")) == []
    with pytest.raises(UnsupportedVhd):
        kill_data(create_fixed(store.create("/sr/f"), BLOCK))


def test_killed_while_killing_the_data_each_block_is_there_or_not(store):
    child(store, "b")
    after = store.copy()
    kill_data(Vhd.open(after.open("/sr/child.vhd"), writable=True))
    for budget in range(after.writes):
        victim = store.copy()
        victim.budget = budget
        with pytest.raises(Killed):
            kill_data(Vhd.open(victim.open("/sr/child.vhd"), writable=True))
        victim.budget = None
        assert victim.chain("/sr/child.vhd").read(0, 2 * BLOCK) in (b"x" * BLOCK + b"b" * BLOCK, b"b" * 2 * BLOCK)


def test_the_footer_goes_where_the_device_will_end(store):
    file = store.create("/dev/x", 64 * 512)
    vhd = create_dynamic(file, 4 * BLOCK, block_size=BLOCK)
    vhd.write(0, b"q" * BLOCK)
    vhd.flush()
    with pytest.raises(InvalidSize):
        set_physical_size(vhd, vhd.physical_size - 512)
    set_physical_size(vhd, vhd.physical_size)
    del file.data[vhd.physical_size :]
    assert Chain(Vhd.open(file, strict=True)).read(0, BLOCK) == b"q" * BLOCK


def test_the_marker_lives_in_the_batmap(store):
    vhd = Vhd.open(store.open("/sr/a.vhd"), writable=True)
    set_marker(vhd, 200)
    again = Vhd.open(store.open("/sr/a.vhd"))
    assert again.batmap.header.marker == 200 and again.batmap.valid and again.batmap.test(0)
    with pytest.raises(UnsupportedVhd):
        set_marker(create_fixed(store.create("/sr/f"), BLOCK), 1)


def test_hidden_comes_and_goes(store):
    vhd = Vhd.open(store.open("/sr/a.vhd"), writable=True)
    vhd.set_hidden(True)
    assert Vhd.open(store.open("/sr/a.vhd"), strict=True).hidden == 1
    vhd.set_hidden(False)
    assert Vhd.open(store.open("/sr/a.vhd"), strict=True).hidden == 0


def test_raw_parents_open_as_raw(store):
    child(store, "c")
    links = store.chain("/sr/child.vhd").open_all()
    assert isinstance(links[1], RawDisk)
