from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actions.storage_house import StorageHouse, storage_house
from tests.storage.lvm.paths import PORTALS, FakePaths
from tests.storage.lvm.san import IQN, LUNS
from xapi.actions.sr.attaching import plug_at_start
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.failure import Failure
from xapi.storage.lvm.san import LvmOverIscsi

SINGLE = {"target": "192.0.2.9", "targetIQN": IQN, "SCSIid": LUNS[0]}
BOTH = {"multipathed": "true", f"mpath-{LUNS[0]}": "[2, 2]", "iscsi_sessions": "2"}
ONE = {"iscsi_sessions": "1"}


@pytest.fixture
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture
def san(house: StorageHouse, tmp_path: Path) -> FakePaths:
    fake = FakePaths(tmp_path)
    restart(house, fake)
    return fake


def restart(house: StorageHouse, san: FakePaths) -> None:
    """Have a driver that has attached nothing yet, as a toolstack that starts."""
    driver = LvmOverIscsi(str(san.root / "state"), san, str(san.devices), [str(san.records)])
    house.house.toolstack.parts[StorageRepositories] = StorageRepositories([driver])


def made(house: StorageHouse, **device_config: str) -> tuple[str, str]:
    sr = house.sr("lvmoiscsi", **SINGLE, **device_config)
    return sr, house.pbd(sr)


def told(house: StorageHouse, pbd: str) -> dict[str, str]:
    found: dict[str, str] = house.client.PBD.get_other_config(pbd)
    return found


def test_an_sr_that_is_made_tells_of_its_paths_until_it_is_unplugged(house: StorageHouse, san: FakePaths) -> None:
    house.client.host.set_multipathing(house.host, True)
    sr, pbd = made(house)
    assert told(house, pbd) == BOTH
    assert house.client.SR.get_sm_config(sr)["multipathable"] == "true"
    assert house.client.PBD.get_device_config(pbd) == SINGLE
    house.client.PBD.add_to_other_config(pbd, "mine", "kept")
    house.client.PBD.unplug(pbd)
    assert told(house, pbd) == {"mine": "kept"}
    assert san.left() == set()
    house.client.PBD.plug(pbd)
    assert told(house, pbd) == {**BOTH, "mine": "kept"}


def test_the_hosts_setting_is_that_of_the_next_plugging(house: StorageHouse, san: FakePaths) -> None:
    _, pbd = made(house)
    assert told(house, pbd) == ONE
    house.client.host.set_multipathing(house.host, True)
    assert san.left() == {PORTALS[0]}
    house.client.PBD.unplug(pbd)
    house.client.PBD.plug(pbd)
    assert told(house, pbd) == BOTH
    house.client.host.set_multipathing(house.host, False)
    assert told(house, pbd) == BOTH
    house.client.PBD.unplug(pbd)
    assert san.left() == set()
    house.client.PBD.plug(pbd)
    assert told(house, pbd) == ONE


def test_a_setting_that_changes_over_a_restart_takes_nothing_from_who_uses_it(
    house: StorageHouse, san: FakePaths
) -> None:
    house.client.host.set_multipathing(house.host, True)
    _, pbd = made(house)
    house.client.host.set_multipathing(house.host, False)
    restart(house, san)
    plug_at_start(house.db, house.repositories, [pbd])
    assert told(house, pbd) == BOTH
    house.client.PBD.unplug(pbd)
    assert san.left() == set()


def test_one_that_cannot_be_plugged_at_the_start_tells_nothing(house: StorageHouse, san: FakePaths) -> None:
    house.client.host.set_multipathing(house.host, True)
    _, pbd = made(house)
    restart(house, san)
    san.daemon = False
    plug_at_start(house.db, house.repositories, [pbd])
    assert told(house, pbd) == {}


def test_what_the_pbd_says_goes_before_what_the_host_says(house: StorageHouse, san: FakePaths) -> None:
    _, pbd = made(house, multipathing="true", multipathhandle="dmp")
    assert told(house, pbd) == BOTH
    house.client.PBD.unplug(pbd)
    house.client.host.set_multipathing(house.host, True)
    house.client.PBD.set_device_config(pbd, {**SINGLE, "multipathing": "false", "multipathhandle": "null"})
    house.client.PBD.plug(pbd)
    assert told(house, pbd) == ONE
    house.client.PBD.unplug(pbd)
    house.client.PBD.set_device_config(pbd, {**SINGLE, "multipathing": "false"})  # one of the two says nothing
    house.client.PBD.plug(pbd)
    assert told(house, pbd) == BOTH


def test_as_xencenter_and_xen_orchestra_set_it(house: StorageHouse, san: FakePaths) -> None:
    client, host = house.client, house.host
    _, pbd = made(house)
    client.PBD.unplug(pbd)
    for key, value in (("multipathing", "true"), ("multipathhandle", "dmp")):
        client.host.remove_from_other_config(host, key)
        client.host.add_to_other_config(host, key, value)
    assert client.host.get_multipathing(host) is True
    client.PBD.plug(pbd)
    assert told(house, pbd) == BOTH
    client.PBD.unplug(pbd)
    client.host.remove_from_other_config(host, "multipathing")
    assert client.host.get_multipathing(host) is True
    client.host.add_to_other_config(host, "multipathing", "false")
    client.host.remove_from_other_config(host, "multipathhandle")
    assert client.host.get_multipathing(host) is False
    client.PBD.plug(pbd)
    assert told(house, pbd) == ONE


def test_a_handle_that_there_is_not_is_refused(house: StorageHouse, san: FakePaths) -> None:
    house.client.host.set_other_config(house.host, {"multipathing": "true", "multipathhandle": "mpp"})
    with pytest.raises(Failure) as caught:
        made(house)
    assert caught.value.code == "SR_BACKEND_FAILURE_1"
    assert "multipathhandle" in caught.value.params[1]
    assert san.left() == set()


def test_a_probe_is_told_the_hosts_setting_and_tells_it_nobody(house: StorageHouse, san: FakePaths) -> None:
    house.client.host.set_multipathing(house.host, True)
    secret = house.client.secret.get_uuid(house.client.secret.create({"value": "sesame"}))
    config = {**SINGLE, "chappassword_secret": secret}
    (found,) = house.client.SR.probe_ext(house.host, config, "lvmoiscsi", {})
    assert found["configuration"] == config
    assert any(argv[:2] == ("multipath", "-v1") for argv in san.calls)
    assert "<SRlist/>" in house.client.SR.probe(house.host, SINGLE, "lvmoiscsi", {})
    assert san.left() == set()


def test_drivers_that_know_no_paths_are_told_nothing_of_them(house: StorageHouse) -> None:
    house.client.host.set_multipathing(house.host, True)
    settings = house.repositories.settings(house.db, "file", house.host, {"location": "/x"})
    assert settings == {"location": "/x"}
    pbd = house.pbd(house.sr())
    assert told(house, pbd) == {}
