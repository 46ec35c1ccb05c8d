from __future__ import annotations

import pytest

from xapi.storage.images.interface import ADOPT, KINDS, REPLACE, Merge
from xapi.storage.lvm.fork import VolumeFork
from xapi.storage.lvm.merges import journal_of, old_name, parse_merge, room_for_merge
from xapi.storage.lvm.sizes import INFLATE_NAME, NEW_PREFIX
from xapi.storage.lvm.volumes import LONGEST_DEVICE_NAME, PAGE, device_name, group_name, short_name, volume_name
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.file import MemoryFile
from xapi.storage.vhd.parents import Parent

SR, ONE, TWO, THREE = (f"5a000000-0000-4000-8000-00000000000{number}" for number in range(4))
BLOCK = 2 << 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_is_found_again_by_its_name(kind: str) -> None:
    merge = Merge(kind, ONE, TWO)
    assert parse_merge(journal_of(merge)) == merge


def test_journals_are_called_as_xenserver_calls_them() -> None:
    group = group_name(SR)
    assert short_name(group, journal_of(Merge(ADOPT, ONE, TWO))) == f"relink_{ONE}_1"
    assert journal_of(Merge(REPLACE, ONE, TWO)) == f"leaf_{ONE}_{TWO}"
    assert old_name(Merge(REPLACE, ONE, TWO)) == f"OLD_VHD-{ONE}"


@pytest.mark.parametrize(
    "name", ["", f"leaf_{ONE}", f"leaf_{ONE}_{ONE}", f"relink_{ONE}_1", f"coalesce_{ONE}_{TWO}", "x"]
)
def test_other_names_are_no_journals(name: str) -> None:
    assert parse_merge(name) is None


def test_every_name_has_room_in_the_device_mapper() -> None:
    group = group_name(SR)
    names = [journal_of(Merge(kind, ONE, TWO)) for kind in KINDS]
    names += [old_name(Merge(REPLACE, ONE, TWO)), VolumeFork(ONE, TWO, THREE).journal, f"inflate_{ONE}_{2040 << 30}"]
    names += [NEW_PREFIX + volume_name(ONE, "vhd"), f"{NEW_PREFIX}{ONE}.cbtlog"]
    assert INFLATE_NAME.fullmatch(f"inflate_{ONE}_{2040 << 30}")
    for name in names:
        assert len(device_name(group, short_name(group, name))) <= LONGEST_DEVICE_NAME


@pytest.mark.parametrize(("child", "text"), [(THREE, THREE), ("", "")])
def test_a_split_is_found_again_by_its_name(child: str, text: str) -> None:
    fork = VolumeFork(ONE, TWO, child)
    assert fork.journal == f"clone_{ONE}_{TWO}_{text}"
    assert VolumeFork.parse(fork.journal) == fork
    assert VolumeFork.parse(f"clone_{ONE}_{ONE}_{TWO}") is None


def test_room_is_for_blocks_that_the_parent_has_not() -> None:
    parent = create_dynamic(MemoryFile(path="/parent"), 8 * BLOCK)
    child = create_child(MemoryFile(path="/child"), Parent("/parent", 8 * BLOCK, parent.footer.unique_id))
    parent.write(0, b"1" * 512)
    child.write(0, b"2" * 512)
    assert room_for_merge(child, parent) == parent.physical_size + PAGE
    child.write(3 * BLOCK, b"2" * 512)
    assert room_for_merge(child, parent) == parent.physical_size + PAGE + BLOCK + PAGE
