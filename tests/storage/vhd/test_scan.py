import pytest

from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import NotVhd
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent
from xapi.storage.vhd.scan import (
    Found,
    Target,
    Volume,
    device_volumes,
    expand_braces,
    look_at,
    scan,
    volume_name,
    volume_targets,
)

from .disks import Store

MIB = 1 << 20


@pytest.fixture
def store():
    store = Store()
    base = create_dynamic(store.create("/sr/base"), 4 * MIB, hidden=True)
    create_child(store.create("/sr/leaf"), Parent("/sr/base", 4 * MIB, base.footer.unique_id))
    create_fixed(store.create("/sr/fixed"), 2 * MIB)
    store.create("/sr/noise").pwrite(b"x" * 5000, 0)
    store.create("/sr/empty")
    return store


def target(store, name):
    return Target(f"/sr/{name}", f"/sr/{name}", len(store.files[f"/sr/{name}"]))


@pytest.mark.parametrize("fast", [False, True])
def test_what_is_said_of_each(store, fast):
    found = {name: look_at(target(store, name), fast, store.open) for name in ("base", "leaf", "fixed")}
    assert (found["base"].capacity, found["base"].hidden, found["base"].parent) == (4 * MIB, 1, None)
    assert (found["leaf"].hidden, found["leaf"].parent) == (0, "base" if fast else "/sr/base")
    assert found["fixed"].capacity == 2 * MIB
    for name in ("noise", "empty"):
        assert look_at(target(store, name), fast, store.open).error == -22
    assert look_at(Target("/sr/no", "/sr/no", 0), fast, store.open).error == -5


def test_a_fast_look_is_one_read(store):
    reads = []

    class Counted:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            if name.startswith("pread"):
                reads.append(name)
            return getattr(self.file, name)

    found = look_at(target(store, "leaf"), True, lambda path, writable: Counted(store.open(path)))
    assert found.parent == "base"
    assert reads == ["pread"]


def test_a_fast_look_does_not_need_the_parent_nor_the_end(store):
    del store.files["/sr/base"]
    del store.files["/sr/leaf"][1536:]
    found = look_at(target(store, "leaf"), True, store.open)
    assert (found.error, found.parent) == (0, "base")


def test_a_slow_look_gives_the_recorded_name_of_a_lost_parent(store):
    del store.files["/sr/base"]
    assert look_at(target(store, "leaf"), False, store.open).parent == "./base"


def test_a_finding_among_the_targets_is_passed_on(store):
    lost = Found("/sr/lost", error=-2, message="gone")
    assert list(scan([lost, target(store, "base")], opener=store.open)) == [lost]
    assert len(list(scan([lost, target(store, "base")], keep_going=True, opener=store.open))) == 2


def test_a_raw_parent_is_hidden_and_as_large_as_its_file(store):
    found = look_at(Target("raw", "/sr/raw", 12345, raw=True), False, store.open)
    assert found == Found("raw", capacity=12345, size=12345, hidden=1)


def test_names_of_volumes():
    assert volume_name("/dev/mapper/VG_XenStorage--a--b-VHD--c--d") == "VHD-c-d"
    assert volume_name("VG_XenStorage--a--b-VHD--c--d") == "VHD-c-d"
    assert volume_name("/dev/mapper/group-volume") == "volume"
    assert volume_name("/dev/VG_X-1/VHD-1-2") == "VHD-1-2"
    assert volume_name("VHD-1-2") == "VHD-1-2"


def test_volumes_are_chosen_by_pattern_and_name():
    volumes = [Volume(name, f"/dev/g/{name}", 1) for name in ("MGT", "VHD-2", "VHD-1", "LV-3")]
    assert [found.name for found in volume_targets(volumes, ["LV-*"], "VHD-*")] == ["VHD-2", "VHD-1", "LV-3"]
    assert [found.name for found in volume_targets(volumes, ["VHD-1", "VHD-1"], None)] == ["VHD-1"]


def test_a_group_without_volumes():
    with pytest.raises(FileNotFoundError):
        device_volumes("no-such-group")


def test_braces():
    assert expand_braces("a{b,c}d{e,f}") == ["abde", "abdf", "acde", "acdf"]
    assert expand_braces("") == []
    assert expand_braces("a{b") == ["a{b"]


def test_the_kinds_of_failure_have_their_errno(store):
    with pytest.raises(NotVhd) as caught:
        Vhd.open(store.open("/sr/noise"))
    assert caught.value.number == 22
