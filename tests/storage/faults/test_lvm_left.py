"""What faults leave of a volume group, as it was seen on real ones, and what an SR makes of it when it is attached."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.storage.coalesce.farm import SR, LvmFarm
from tests.storage.faults.devices import DEVICE_FAULTS, device_fault
from tests.storage.faults.operations import CLONE, PLAIN, RAW, furnish
from tests.storage.faults.state import assert_clean_group, state
from tests.storage.lvm.fake import FakeGroup
from xapi.storage.contract import MIB, content, new_uuid, write
from xapi.storage.interface import SrReadOnly, VdiUnavailable
from xapi.storage.lvm.volumes import METADATA_VOLUME, group_name


@pytest.fixture
def farm(tmp_path: Path) -> LvmFarm:
    farm = LvmFarm(tmp_path / "sr")
    furnish(farm.sr)
    return farm


def group(farm: LvmFarm) -> FakeGroup:
    return farm.lvm.groups[group_name(SR)]


@pytest.mark.parametrize("name", [METADATA_VOLUME, f"VHD-{PLAIN}", f"LV-{RAW}"])
def test_devices_that_lead_nowhere_go(farm: LvmFarm, name: str) -> None:
    """A device that was made before its disk had gone and come back still leads to the old one."""
    before = state(farm.sr)
    link = farm.lvm.link(group_name(SR), name)
    link.write_bytes(os.urandom(4096))
    farm.attach()
    assert state(farm.sr) == before
    assert_clean_group(farm)


def test_a_volume_that_waits_goes_on(farm: LvmFarm) -> None:
    group(farm).volumes[f"VHD-{PLAIN}"].suspended = True
    farm.attach()
    assert not group(farm).volumes[f"VHD-{PLAIN}"].suspended
    write(farm.sr, PLAIN, 0, b"x" * 512)


def test_what_lies_on_the_devices_that_are_there_can_be_used(farm: LvmFarm) -> None:
    kept = content(farm.sr, RAW)
    base = farm.sr.find(CLONE).parent
    group(farm).volumes[f"VHD-{base}"].missing = True
    farm.attach()
    missing = {vdi.location for vdi in farm.sr.scan().vdis if vdi.missing}
    assert missing == {base, PLAIN, CLONE}
    assert content(farm.sr, RAW) == kept
    with pytest.raises(VdiUnavailable, match="partial"):
        farm.sr.open_for_reading(PLAIN)
    group(farm).volumes[f"VHD-{base}"].missing = False
    assert not any(vdi.missing for vdi in farm.sr.scan().vdis)


def test_an_sr_that_cannot_be_written_to_can_be_read(farm: LvmFarm) -> None:
    before = state(farm.sr)

    (fault,) = (each for each in DEVICE_FAULTS if each.name == "read-only")
    with device_fault(fault, farm.lvm, 0, once=False):
        farm.attach()
        assert state(farm.sr) == before
        with pytest.raises(SrReadOnly, match="cannot be written to"):
            farm.sr.snapshot(PLAIN, new_uuid())
        farm.sr.attach(PLAIN, True)
        farm.sr.detach(PLAIN)
    farm.sr.resize(PLAIN, 8 * MIB)
    assert_clean_group(farm)
