from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.actions.storage_house import StorageHouse, storage_house
from tests.fakes.eventually import eventually
from xapi.services.repository_scanner import PAUSE, RepositoryScanner


@pytest.fixture
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture
def scanner(house: StorageHouse) -> RepositoryScanner:
    return RepositoryScanner(house.house.toolstack)


def image_added(house: StorageHouse, sr: str) -> None:
    (pbd,) = house.client.SR.get_PBDs(sr)
    place = house.client.PBD.get_device_config(pbd)["location"]
    with open(f"{place}/added.iso", "wb") as image:
        image.truncate(1 << 20)


def names(house: StorageHouse, sr: str) -> set[str]:
    return {house.client.VDI.get_name_label(disk) for disk in house.client.SR.get_VDIs(sr)}


def test_what_was_added_to_a_share_is_found(house: StorageHouse, scanner: RepositoryScanner) -> None:
    sr, _ = house.iso_sr("first.iso")
    image_added(house, sr)
    assert scanner.turn() == []
    assert names(house, sr) == {"first.iso"}
    house.client.SR.add_to_other_config(sr, "auto-scan", "true")
    assert scanner.turn() == [house.client.SR.get_uuid(sr)]
    assert names(house, sr) == {"first.iso", "added.iso"}


def test_a_dirty_one_is_scanned_once(house: StorageHouse, scanner: RepositoryScanner) -> None:
    sr, _ = house.iso_sr("first.iso")
    house.client.SR.add_to_other_config(sr, "dirty", "")
    assert len(scanner.turn()) == 1
    assert scanner.turn() == []


def test_what_is_unplugged_is_left_alone_and_what_fails_does_not_hinder(
    house: StorageHouse, scanner: RepositoryScanner
) -> None:
    unplugged, _ = house.iso_sr("first.iso")
    broken, _ = house.iso_sr("second.iso")
    sound, _ = house.iso_sr("third.iso")
    for sr in (unplugged, broken, sound):
        house.client.SR.add_to_other_config(sr, "auto-scan", "true")
    house.client.PBD.unplug(house.client.SR.get_PBDs(unplugged)[0])
    (pbd,) = house.client.SR.get_PBDs(broken)
    place = house.client.PBD.get_device_config(pbd)["location"]
    image_added(house, sound)
    shutil.rmtree(place)
    assert set(scanner.turn()) == {house.client.SR.get_uuid(broken), house.client.SR.get_uuid(sound)}
    assert "added.iso" in names(house, sound)


def test_the_host_says_how_often(house: StorageHouse, scanner: RepositoryScanner) -> None:
    assert scanner.pause == PAUSE
    house.client.host.add_to_other_config(house.host, "auto-scan-interval", "7")
    assert scanner.pause == 7.0


def test_it_scans_by_itself_until_it_is_stopped(house: StorageHouse, scanner: RepositoryScanner) -> None:
    sr, _ = house.iso_sr("first.iso")
    house.client.SR.add_to_other_config(sr, "auto-scan", "true")
    house.client.host.add_to_other_config(house.host, "auto-scan-interval", "1")
    image_added(house, sr)
    scanner.start()
    try:
        assert "added.iso" in eventually(lambda: names(house, sr), lambda found: "added.iso" in found)
    finally:
        scanner.stop()
