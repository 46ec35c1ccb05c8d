from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.storage_house import DEAD, StorageHouse, refusal, storage_house
from tests.fakes.guests import halted, running
from xapi.datamodel.classes import PBD, Host, Secret


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture
def sr(house: StorageHouse) -> str:
    return house.sr("dummy")


@pytest.fixture
def loose(house: StorageHouse) -> str:
    """An SR without PBDs, which exists on this host."""
    sr = house.sr("dummy")
    house.client.PBD.unplug(house.pbd(sr))
    house.client.PBD.destroy(house.pbd(sr))
    return sr


def record(host: str, sr: str, **device_config: str) -> dict[str, object]:
    return {"host": host, "SR": sr, "device_config": device_config}


def test_three_members_make_a_pbd(house: StorageHouse, loose: str) -> None:
    pbd = house.client.PBD.create(record(house.host, loose, size="1000000"))
    found = house.client.PBD.get_record(pbd)
    assert (found["host"], found["SR"], found["currently_attached"]) == (house.host, loose, False)
    assert found["device_config"] == {"size": "1000000"}
    assert house.client.SR.get_PBDs(loose) == [pbd]


def test_other_members_are_taken(house: StorageHouse, loose: str) -> None:
    pbd = house.client.PBD.create({**record(house.host, loose), "other_config": {"a": "b"}, "uuid": "mine"})
    assert house.client.PBD.get_other_config(pbd) == {"a": "b"}


def test_a_host_has_one_pbd_for_an_sr(house: StorageHouse, sr: str) -> None:
    assert refusal(house.client.PBD.create, record(house.host, sr)) == ["PBD_EXISTS", sr, house.host, house.pbd(sr)]


def test_both_ends_must_be_there(house: StorageHouse, loose: str) -> None:
    assert refusal(house.client.PBD.create, record(DEAD, loose)) == ["HANDLE_INVALID", "host", DEAD]
    assert refusal(house.client.PBD.create, record(house.host, DEAD)) == ["HANDLE_INVALID", "SR", DEAD]
    assert house.client.SR.get_PBDs(loose) == []


def test_the_key_of_the_hosts_themselves_is_refused(house: StorageHouse, loose: str) -> None:
    expected = ["VALUE_NOT_SUPPORTED", "SRmaster", "true", "This key is for internal use only"]
    assert refusal(house.client.PBD.create, record(house.host, loose, SRmaster="true")) == expected
    pbd = house.client.PBD.create(record(house.host, loose))
    assert refusal(house.client.PBD.set_device_config, pbd, {"SRmaster": "true"}) == expected
    assert house.client.PBD.get_device_config(pbd) == {}


def test_each_pbd_has_secrets_of_its_own(house: StorageHouse, loose: str) -> None:
    with house.house.toolstack.db.transaction() as transaction:
        secret = transaction.create(Secret, value="very secret")
    uuid = house.db.get(Secret, secret).uuid
    pbd = house.client.PBD.create(record(house.host, loose, password_secret=uuid))
    own = house.client.PBD.get_device_config(pbd)["password_secret"]
    assert own != uuid
    assert house.db.by_uuid(Secret, own).value == "very secret"
    house.client.PBD.destroy(pbd)
    assert house.db.by_uuid(Secret, own) is None
    assert house.db.by_uuid(Secret, uuid) is not None


def test_plugging_and_unplugging(house: StorageHouse, sr: str) -> None:
    disk, pbd = house.disk(sr), house.pbd(sr)
    assert "destroy" in house.client.VDI.get_allowed_operations(disk)
    house.client.PBD.unplug(pbd)
    assert not house.client.PBD.get_currently_attached(pbd)
    assert refusal(house.client.VDI.clone, disk, {}) == ["SR_HAS_NO_PBDS", sr]
    house.client.PBD.unplug(pbd)
    house.client.PBD.plug(pbd)
    assert house.client.PBD.get_currently_attached(pbd)
    house.client.PBD.plug(pbd)
    house.client.VDI.clone(disk, {})
    assert house.client.SR.get_current_operations(sr) == {}
    house.check_rows_follow_storage(sr)


def test_plugging_heals_rows_and_storage_that_disagree(house: StorageHouse) -> None:
    sr = house.sr()
    vanished, kept = house.disk(sr), house.disk(sr)
    handle = house.repositories.get(house.db, sr)
    unknown = handle.snapshot(house.client.VDI.get_location(kept), "00000000-0000-4000-8000-000000000001")
    handle.destroy(house.client.VDI.get_location(vanished))
    house.client.PBD.unplug(house.pbd(sr))
    house.client.PBD.plug(house.pbd(sr))
    found = {house.client.VDI.get_uuid(ref): ref for ref in house.client.SR.get_VDIs(sr)}
    assert found[house.client.VDI.get_uuid(kept)] == kept
    assert house.client.VDI.get_snapshot_of(found[unknown.uuid]) == kept
    assert vanished not in found.values()
    house.check_rows_follow_storage(sr)


def test_a_plugged_pbd_is_not_destroyed(house: StorageHouse, sr: str) -> None:
    pbd = house.pbd(sr)
    assert refusal(house.client.PBD.destroy, pbd) == ["OPERATION_NOT_ALLOWED", "PBD is currently attached"]
    house.client.PBD.unplug(pbd)
    house.client.PBD.destroy(pbd)
    assert house.client.SR.get_PBDs(sr) == []


def test_a_pbd_with_a_disk_in_use_stays_plugged(house: StorageHouse, sr: str) -> None:
    disk, pbd = house.disk(sr), house.pbd(sr)
    idle = house.disk(sr)
    house.drive(halted(house.client), idle)
    vm = running(house.client)
    drive = house.drive(vm, disk)
    house.client.VBD.plug(drive)
    assert refusal(house.client.PBD.unplug, pbd) == ["VDI_IN_USE", disk]
    assert house.client.SR.get_current_operations(sr) == {}
    house.client.VBD.unplug(drive)
    house.client.PBD.unplug(pbd)


def test_a_driver_that_cannot_attach_leaves_the_pbd_unplugged(house: StorageHouse, loose: str) -> None:
    pbd = house.client.PBD.create(record(house.host, loose, **{"fault-attach_sr": "47"}))
    assert refusal(house.client.PBD.plug, pbd)[0] == "SR_BACKEND_FAILURE_47"
    assert not house.client.PBD.get_currently_attached(pbd)
    assert house.client.SR.get_current_operations(loose) == {}
    house.client.PBD.set_device_config(pbd, {})
    house.client.PBD.plug(pbd)


def test_a_driver_that_cannot_scan_is_plugged_all_the_same(house: StorageHouse, loose: str) -> None:
    pbd = house.client.PBD.create(record(house.host, loose, **{"fault-scan": "47:2"}))
    house.client.PBD.plug(pbd)
    assert house.client.PBD.get_currently_attached(pbd)
    house.client.SR.scan(loose)


def test_a_driver_that_cannot_detach_leaves_the_pbd_plugged(house: StorageHouse, loose: str) -> None:
    pbd = house.client.PBD.create(record(house.host, loose, **{"fault-detach_sr": "16:1"}))
    house.client.PBD.plug(pbd)
    assert refusal(house.client.PBD.unplug, pbd)[0] == "SR_BACKEND_FAILURE_16"
    assert house.client.PBD.get_currently_attached(pbd)
    house.client.PBD.unplug(pbd)


def test_the_pbd_of_another_host_is_out_of_reach(house: StorageHouse, loose: str) -> None:
    with house.house.toolstack.db.transaction() as transaction:
        other = transaction.create(Host, name_label="another")
    pbd = house.client.PBD.create(record(other, loose))
    assert refusal(house.client.PBD.plug, pbd) == ["HOST_OFFLINE", other]
    assert refusal(house.client.PBD.unplug, pbd) == ["HOST_OFFLINE", other]
    mine = house.client.PBD.create(record(house.host, loose))
    with house.house.toolstack.db.transaction() as transaction:
        transaction.update(PBD, pbd, currently_attached=True)
    assert refusal(house.client.PBD.plug, mine) == ["SR_NOT_SHARABLE", loose, other]
    house.client.SR.set_shared(loose, True)
    house.client.PBD.plug(mine)
    with house.house.toolstack.db.transaction() as transaction:
        transaction.delete(PBD, pbd)
        transaction.delete(Host, other)


def test_dead_references(house: StorageHouse) -> None:
    for message, parameters in {"plug": (), "unplug": (), "destroy": (), "set_device_config": ({},)}.items():
        assert refusal(getattr(house.client.PBD, message), DEAD, *parameters) == ["HANDLE_INVALID", "PBD", DEAD]


# Restarts


def test_a_restart_plugs_what_can_be_plugged_and_heals_it() -> None:
    with storage_house() as house:
        sound, lost = house.sr(), house.sr(location=str(house.place()))
        kept = house.disk(sound)
        away = house.client.PBD.get_device_config(house.pbd(lost))["location"]
        handle = house.repositories.get(house.db, sound)
        handle.clone(house.client.VDI.get_location(kept), "00000000-0000-4000-8000-000000000002")
        house.house.close()
        (house.root / away).rename(house.root / "away")
        house.house = type(house.house)(house.root / "state")
        assert house.client.PBD.get_currently_attached(house.pbd(sound))
        assert not house.client.PBD.get_currently_attached(house.pbd(lost))
        assert kept in house.client.SR.get_VDIs(sound)
        assert "00000000-0000-4000-8000-000000000002" in {
            house.client.VDI.get_uuid(ref) for ref in house.client.SR.get_VDIs(sound)
        }
        house.check_rows_follow_storage(sound)
        (house.root / "away").rename(house.root / away)
        house.client.PBD.plug(house.pbd(lost))
        house.check_rows_follow_storage(lost)
