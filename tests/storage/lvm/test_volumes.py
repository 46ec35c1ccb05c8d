import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.interface import StorageFailure
from xapi.storage.lvm import commands
from xapi.storage.lvm.volumes import (
    EXTENT,
    HIDDEN_TAG,
    Group,
    Volume,
    empty_size,
    full_size,
    group_name,
    metadata_size,
    parse_group,
    parse_volumes,
    volume_name,
)
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.file import MemoryFile
from xapi.storage.vhd.parents import Parent

DISK = "0c9b1a5e-3d1f-4b7a-9a5e-2f3c4d5e6f70"
BASE = "1c9b1a5e-3d1f-4b7a-9a5e-2f3c4d5e6f71"
RAW = "2c9b1a5e-3d1f-4b7a-9a5e-2f3c4d5e6f72"
LVS = f"""
  {{
      "report": [
          {{
              "lv": [
                  {{"lv_name":"MGT", "lv_size":"4194304B", "lv_attr":"-wi-a-----", "lv_tags":""}},
                  {{"lv_name":"VHD-{DISK}", "lv_size":"8606711808B", "lv_attr":"-wi-ao----", "lv_tags":""}},
                  {{"lv_name":"VHD-{BASE}", "lv_size":"4194304B", "lv_attr":"-ri-------", "lv_tags":"hidden,other"}},
                  {{"lv_name":"LV-{RAW}", "lv_size":"1073741824B", "lv_attr":"-wi-------", "lv_tags":"unhidden"}},
                  {{"lv_name":"lvol0", "lv_size":"1073741824B", "lv_attr":"-wi-------", "lv_tags":""}}
              ]
          }}
      ]
  }}
"""
VGS = """
  {"report": [{"vg": [{"vg_name":"VG_XenStorage-x", "vg_size":"1072668082176B", "vg_free":"4194304B",
   "vg_extent_size":"4194304B"}]}]}
"""


def test_report_of_volumes_is_read() -> None:
    assert parse_volumes(LVS) == [
        Volume(DISK, "vhd", f"VHD-{DISK}", 8606711808, active=True, open=True, read_only=False, hidden=False),
        Volume(BASE, "vhd", f"VHD-{BASE}", 4194304, active=False, open=False, read_only=True, hidden=True),
        Volume(RAW, "raw", f"LV-{RAW}", 1073741824, active=False, open=False, read_only=False, hidden=False),
    ]


def test_report_of_a_group_is_read() -> None:
    assert parse_group(VGS) == Group("VG_XenStorage-x", 1072668082176, 4194304, 4194304)
    with pytest.raises(StorageFailure) as caught:
        parse_group('{"report": [{"vg": []}]}')
    assert caught.value.number == 92


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"report": 1}', '{"report": [1]}', '{"report": [{"lv": [1]}]}'])
def test_report_of_nonsense_is_a_named_failure(text: str) -> None:
    with pytest.raises(StorageFailure):
        parse_volumes(text)


@pytest.mark.parametrize("size", ["", "4.00m", "-1B", "²B"])
def test_size_that_is_none_is_a_named_failure(size: str) -> None:
    row = {"lv_name": f"VHD-{DISK}", "lv_size": size, "lv_attr": "", "lv_tags": ""}
    with pytest.raises(StorageFailure):
        parse_volumes(json.dumps({"report": [{"lv": [row]}]}))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_volumes_or_a_failure(value: object) -> None:
    for document in (value, {"report": value}, {"report": [{"lv": value}]}):
        try:
            parse_volumes(json.dumps(document))
        except StorageFailure:
            continue


@pytest.mark.parametrize("text", ["", "-rf", "../x", DISK.upper(), f"{DISK}\n", f"{DISK}/x"])
def test_names_are_made_of_uuids_only(text: str) -> None:
    with pytest.raises(StorageFailure):
        group_name(text)
    with pytest.raises(StorageFailure):
        volume_name(text, "vhd")


@given(st.integers(1, 1 << 41))
def test_metadata_of_a_vhd_has_the_size_that_is_reckoned_with(size: int) -> None:
    rounded = -(-size // (2 << 20)) * (2 << 20)
    if rounded > 1 << 36:
        assert full_size(rounded) >= rounded
        return
    plain, child = MemoryFile(), MemoryFile(path="/dev/VG_XenStorage-a/VHD-b")
    create_dynamic(plain, rounded)
    create_child(child, Parent("/dev/VG_XenStorage-a/VHD-c", rounded))
    assert plain.size() <= child.size() <= metadata_size(rounded)
    assert full_size(rounded) % EXTENT == 0
    assert full_size(rounded) >= rounded + metadata_size(rounded)
    assert empty_size() <= full_size(rounded)


def test_options_end_before_the_names() -> None:
    group, name = group_name(DISK), volume_name(BASE, "vhd")
    for argv in (
        commands.list_volumes(group),
        commands.show_group(group),
        commands.create_group(group, ["/dev/sdb"]),
        commands.remove_group(group),
        commands.create_volume(group, name, EXTENT),
        commands.create_volume(group, name, EXTENT, tag="hidden", active=False),
        commands.remove_volume(group, name),
        commands.rename_volume(group, name, volume_name(RAW, "vhd")),
        commands.resize_volume(group, name, EXTENT),
        commands.activate_volume(group, name),
        commands.deactivate_volume(group, name),
        commands.tag_volume(group, name, HIDDEN_TAG, present=True),
    ):
        names = argv[argv.index("--") + 1 :]
        assert names
        assert not any(part.startswith("-") for part in names)
    assert f"{EXTENT}B" in commands.create_volume(group, name, EXTENT)
