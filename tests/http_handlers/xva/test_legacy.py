from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http_handlers.xva.test_archive import Bytes
from tests.http_handlers.xva.test_disks import Disk
from xapi.http_handlers.xva import legacy
from xapi.http_handlers.xva.archive import END, TarReader, TarWriter
from xapi.http_handlers.xva.disks import Incoming
from xapi.http_handlers.xva.errors import BadArchive, EndedEarly, UnexpectedMember

APPLIANCE = b"""<?xml version="1.0" ?>
<!-- an old one -->
<appliance version="0.1">
  <vm name="vm">
    <label> Debian Sarge </label>
    <shortdesc>old</shortdesc>
    <config mem_set="268435456" vcpus="2"/>
    <hacks is_hvm="false" kernel_boot_cmdline="root=/dev/sda1 ro"/>
    <vbd device="sda" function="root" mode="w" vdi="vdi_sda"/>
  </vm>
  <vdi name="vdi_sda" size="3000000" source="file://sda" type="dir-gzipped-chunks" variety="system"/>
</appliance>
"""


def test_an_appliance_becomes_a_description_of_today():
    assert legacy.is_legacy(APPLIANCE)
    found = legacy.parse(APPLIANCE)
    assert found.legacy and found.number("export_vsn") == 0
    (vm,), (vbd,), (vdi,) = (found.of_class(name) for name in ("VM", "VBD", "VDI"))
    assert vm.snapshot["name_label"] == "Debian Sarge import" and vm.snapshot["VCPUs_max"] == "2"
    assert vm.snapshot["PV_legacy_args"] == "root=/dev/sda1 ro" and vm.snapshot["HVM_boot_policy"] == ""
    assert (vbd.snapshot["VM"], vbd.snapshot["VDI"], vbd.snapshot["userdevice"]) == (vm.id, vdi.id, "sda")
    assert vbd.snapshot["bootable"] and not vbd.snapshot["unpluggable"]
    assert (vdi.id, vdi.snapshot["virtual_size"], vdi.snapshot["type"]) == ("sda", "3000000", "system")


def test_hvm_is_the_default_and_old_windows_wants_no_acpi():
    text = APPLIANCE.replace(b'is_hvm="false" ', b"").replace(
        b"vcpus=", b'distrib="windows" distrib_version="win2k" vcpus='
    )
    (vm,) = legacy.parse(text).of_class("VM")
    assert vm.snapshot["HVM_boot_policy"] == "BIOS order"
    assert vm.snapshot["platform"] == {"acpi": "false", "apic": "false", "nx": "false", "pae": "true"}


@pytest.mark.parametrize("data", [b"<value/>", b"", b"<appliances/>", b"<x><appliance/></x>"])
def test_what_is_no_appliance(data):
    assert not legacy.is_legacy(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'version="0.1"', b'version="0.2"'),
        (b'version="0.1"', b""),
        (b'<?xml version="1.0" ?>', b'<!DOCTYPE appliance [<!ENTITY a "b">]>'),
        (b"file://sda", b"http://sda"),
        (b"file://sda", b"file://../sda"),
        (b"file://sda", b"file:///"),
        (b"dir-gzipped-chunks", b"raw"),
        (b"3000000", b"-1"),
        (b"3000000", b"9" * 40),
        (b'vcpus="2"', b""),
        (b'vdi="vdi_sda"', b'vdi="other"'),
        (b"</appliance>", b""),
    ],
)
def test_an_appliance_that_is_refused(old, new):
    assert old in APPLIANCE
    with pytest.raises(BadArchive):
        legacy.parse(APPLIANCE.replace(old, new, 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_appliance_or_refused(data):
    with pytest.raises(BadArchive):
        legacy.parse(data)


def received(*files: tuple[str, bytes], size: int = 1536) -> bytes:
    data = io.BytesIO()
    tar = TarWriter(data.write)
    for name, content in files:
        tar.add(name, content)
    disk = Disk(size, {})
    passed: list[int] = []
    tar_reader = TarReader(Bytes(data.getvalue() + END, 300))
    legacy.ChunkStream(tar_reader, {"sda": Incoming(disk, size)}, passed.append).receive()
    assert sum(passed) == size
    return bytes(disk.content)


def test_chunks_one_after_the_other():
    one, two = b"1" * 1024, b"2" * 300
    files = [("./sda/chunk-000000000.gz", gzip.compress(one)), ("sda/chunk-000000001.gz", gzip.compress(two))]
    assert received(*files, size=1324) == one + two


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("sda/chunk-000000001.gz", gzip.compress(b"1" * 1536, mtime=0), UnexpectedMember),
        ("sdb/chunk-000000000.gz", gzip.compress(b"1" * 1536, mtime=0), UnexpectedMember),
        ("sda/chunk-0.gz", gzip.compress(b"1" * 1536, mtime=0), UnexpectedMember),
        ("sda/chunk-000000000.gz", gzip.compress(b"1" * 1537, mtime=0), BadArchive),
        ("sda/chunk-000000000.gz", gzip.compress(bytes(50 << 20), mtime=0), BadArchive),
        ("sda/chunk-000000000.gz", gzip.compress(b"1" * 512, mtime=0), EndedEarly),
        ("sda/chunk-000000000.gz", gzip.compress(b"1" * 1536, mtime=0)[:-9], EndedEarly),
    ],
)
def test_chunks_that_cannot_be_right(name, content, error):
    with pytest.raises(error):
        received((name, content))
