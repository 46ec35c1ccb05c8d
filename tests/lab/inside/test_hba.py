"""Disks behind a SAS adapter, as only the emulated computer has them."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.lab.inside.shell import wipe
from xapi.storage.contract import MIB, content, new_uuid, refuses, write
from xapi.storage.errors import InvalidConfiguration
from xapi.storage.interface import CreateVdi
from xapi.storage.lvm.san import LvmOverHba

SIZES = {"35000c500a0000000": 16 << 30, "35000c500a0000010": 1 << 28}

pytestmark = pytest.mark.skipif(os.environ["XAPI_LAB"] != "qemu", reason="there is no adapter: --machine qemu has one")


def test_disks_are_told_as_clients_look_for_them(tmp_path: Path) -> None:
    driver = LvmOverHba(str(tmp_path / "state"))
    failure = refuses(InvalidConfiguration, lambda: driver.probe({}, {}))
    assert failure.number == 107
    document = ElementTree.fromstring(failure.params[2])
    found = [{part.tag: (part.text or "").strip() for part in each} for each in document.iter("BlockDevice")]
    assert {row["SCSIid"]: int(row["size"]) for row in found} == SIZES
    for row in found:
        assert (row["hba"], row["numpaths"], row["vendor"], row["lun"]) == ("sas", "1", "QEMU", "0")
    assert sorted(row["id"] for row in found) == ["0", "1"]
    assert {result.configuration["SCSIid"] for result in driver.probe_ext({}, {})} == set(SIZES)


def test_a_disk_behind_an_adapter_becomes_an_sr(tmp_path: Path) -> None:
    scsi_id = "35000c500a0000010"
    driver, config, uuid = LvmOverHba(str(tmp_path / "state")), {"SCSIid": scsi_id}, new_uuid()
    driver.create(uuid, config, 0, "user", {})
    sr = driver.attach(uuid, config, {})
    disk = sr.create(CreateVdi(new_uuid(), 4 * MIB)).location
    write(sr, disk, MIB, b"kept" * 128)
    before = content(sr, disk)
    sr.detach_sr()
    assert uuid in driver.probe(config, {})
    sr = driver.attach(uuid, config, {})
    assert content(sr, disk) == before
    sr.destroy(disk)
    sr.destroy_sr()
    wipe(f"/dev/disk/by-id/scsi-{scsi_id}")
