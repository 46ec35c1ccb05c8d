from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.file.record import VdiRecord
from xapi.storage.lvm.metadata import SECTOR, Metadata, fields_of, record_of

DISK = "0c9b1a5e-3d1f-4b7a-9a5e-2f3c4d5e6f70"
OTHER = "1c9b1a5e-3d1f-4b7a-9a5e-2f3c4d5e6f71"
# As the drivers of XenServer write it, element by element.
WRITTEN = b"".join(
    part.ljust(SECTOR)
    for part in (
        b"XSSM:4096      :1:2",
        b'<?xml version="1.0" ?><uuid>5a000000-0000-4000-8000-00000000000a</uuid><allocation>thin</allocation>',
        b"<name_label>LVM &amp; more</name_label>",
        b"<name_description></name_description>",
        b"<vdi><name_label>a &lt;disk&gt;</name_label><name_description>text</name_description>",
        f"<uuid>{DISK}</uuid><deleted>0</deleted><type>user</type><vdi_type>vhd</vdi_type><is_a_snapshot>1"
        f"</is_a_snapshot><snapshot_of>{OTHER}</snapshot_of><snapshot_time>20261121T13:00:00Z</snapshot_time>"
        "<read_only>0</read_only><managed>1</managed><metadata_of_pool></metadata_of_pool></vdi>".encode(),
        b"<vdi><name_label>gone</name_label><name_description></name_description>",
        f"<uuid>{OTHER}</uuid><deleted>1</deleted></vdi>".encode(),
    )
)


def test_what_xenserver_wrote_is_read() -> None:
    found = Metadata.parse(WRITTEN + bytes(SECTOR))
    assert (found.name_label, found.allocation) == ("LVM & more", "thin")
    assert list(found.disks()) == [DISK]
    record = record_of(found.disks()[DISK])
    assert (record.name_label, record.is_a_snapshot, record.snapshot_of) == ("a <disk>", True, OTHER)
    assert record.snapshot_time == datetime(2026, 11, 21, 13, tzinfo=UTC)


def test_free_slots_are_taken_first() -> None:
    found = Metadata.parse(WRITTEN)
    assert found.put(fields_of(OTHER, "raw", VdiRecord())) == 1
    assert found.drop(DISK) == 0
    assert found.drop(DISK) is None
    assert list(Metadata.parse(found.encode()).disks()) == [OTHER]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=600)


@given(TEXT, TEXT, st.booleans(), st.dictionaries(st.text(max_size=30), st.text(max_size=200), max_size=3))
def test_a_disk_comes_back_with_its_names_cut_to_what_has_room(
    label: str, description: str, sharable: bool, config: dict[str, str]
) -> None:
    metadata = Metadata(OTHER, label, description)
    try:
        metadata.put(fields_of(DISK, "vhd", VdiRecord(label, description, sharable=sharable, sm_config=config)))
    except InvalidConfiguration as failure:
        assert failure.key == "sm_config"
        assert len(json.dumps(config)) > 100
        return
    encoded = metadata.encode()
    assert len(encoded) == metadata.length == 6 * SECTOR
    found = record_of(Metadata.parse(encoded).disks()[DISK])
    assert label.startswith(found.name_label)
    assert description.startswith(found.name_description)
    assert found.sharable is sharable
    assert found.sm_config == config
    if len(label) + len(description) < 60:
        assert (found.name_label, found.name_description) == (label, description)


@given(st.binary(max_size=4000))
def test_anything_is_metadata_or_a_failure(data: bytes) -> None:
    for untrusted in (data, b"XSSM:4096      :1:2".ljust(SECTOR) + data):
        try:
            Metadata.parse(untrusted)
        except StorageFailure:
            continue


def test_a_length_beyond_the_volume_is_not_believed() -> None:
    with pytest.raises(StorageFailure):
        Metadata.parse(WRITTEN[: 6 * SECTOR])


def test_a_configuration_without_room_is_refused_and_not_dropped() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        fields_of(DISK, "vhd", VdiRecord(sm_config={"key": "x" * 400}))
    assert caught.value.key == "sm_config"


def test_elements_of_others_stay_when_a_disk_is_written_anew() -> None:
    found = Metadata.parse(WRITTEN.replace(b"<read_only>0</read_only>", b"<read_only>0</read_only><mine>1</mine>"))
    found.put(fields_of(DISK, "vhd", VdiRecord("new name")))
    assert (found.disks()[DISK]["mine"], found.disks()[DISK]["name_label"]) == ("1", "new name")
