from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actions.storage_house import StorageHouse, storage_house
from tests.fakes.clock import FakeClock
from tests.storage.lvm.paths import PORTALS, FakePaths
from tests.storage.lvm.san import IQN, LUNS
from xapi.actions.storage_repositories import StorageRepositories
from xapi.services.path_watcher import QUIET, PathWatcher
from xapi.storage.lvm.san import LvmOverIscsi

CONFIG = {"target": "192.0.2.9", "targetIQN": IQN}
XENCENTER = re.compile(r"^.*host=(.*); host-name=.*; current=(\d+); max=(\d+)$")
"""How that client reads a line of the alert."""


@pytest.fixture
def house(clock: FakeClock) -> Iterator[StorageHouse]:
    with storage_house(clock) as opened:
        yield opened


@pytest.fixture
def san(house: StorageHouse, tmp_path: Path) -> FakePaths:
    fake = FakePaths(tmp_path)
    driver = LvmOverIscsi(str(tmp_path / "state"), fake, str(fake.devices), [str(fake.records)])
    house.house.toolstack.parts[StorageRepositories] = StorageRepositories([driver])
    return fake


@pytest.fixture
def watcher(house: StorageHouse) -> PathWatcher:
    return PathWatcher(house.house.toolstack)


def made(house: StorageHouse, number: int = 0) -> str:
    return house.pbd(house.sr("lvmoiscsi", **CONFIG, SCSIid=LUNS[number]))


def counts(house: StorageHouse, pbd: str, number: int = 0) -> str:
    text: str = house.client.PBD.get_other_config(pbd)[f"mpath-{LUNS[number]}"]
    return text


def alerts(house: StorageHouse) -> list[list[str]]:
    """The bodies, the oldest first, without those of others."""
    records = house.client.message.get_all_records().values()
    found = sorted(
        (row for row in records if row["name"] == "MULTIPATH_PERIODIC_ALERT"), key=lambda row: row["timestamp"]
    )
    pool = house.client.pool.get_uuid(house.client.pool.get_all()[0])
    assert all((row["cls"], row["obj_uuid"], row["priority"]) == ("Pool", pool, "3") for row in found)
    return [row["body"].splitlines() for row in found]


def test_a_lost_path_is_told_once_and_so_is_its_return(
    house: StorageHouse, san: FakePaths, watcher: PathWatcher, clock: FakeClock
) -> None:
    house.client.host.set_multipathing(house.host, True)
    pbd = made(house)
    watcher.turn()
    assert alerts(house) == []
    san.dead = {PORTALS[1]}
    for _ in range(3):
        watcher.turn()
    assert counts(house, pbd) == "[1, 2]"
    (body,) = alerts(house)
    assert [body[0], body[2]] == ["Unhealthy paths:", "Events received during the last 120 seconds:"]
    for line in (body[1], body[3]):
        match = XENCENTER.match(line)
        assert match is not None
        assert match.groups() == (house.client.host.get_uuid(house.host), "1", "2")
        assert f"pbd={house.client.PBD.get_uuid(pbd)}; scsi_id={LUNS[0]};" in line
    clock.advance(QUIET)
    san.dead = set()
    for _ in range(3):
        watcher.turn()
    assert counts(house, pbd) == "[2, 2]"
    (_, body) = alerts(house)
    assert body[0] == "Events received during the last 120 seconds:"
    assert body[1].endswith("current=2; max=2")
    assert len(body) == 2


def test_what_happens_soon_after_an_alert_is_told_together(
    house: StorageHouse, san: FakePaths, watcher: PathWatcher, clock: FakeClock
) -> None:
    house.client.host.set_multipathing(house.host, True)
    made(house)
    made(house, 1)
    san.dead = {PORTALS[1]}
    watcher.turn()
    assert len(alerts(house)[0]) == 6
    san.dead = set(PORTALS)
    watcher.turn()
    clock.advance(QUIET - 1)
    san.dead = {PORTALS[0]}
    watcher.turn()
    assert len(alerts(house)) == 1
    clock.advance(1)
    watcher.turn()
    (_, body) = alerts(house)
    events = body[body.index("Events received during the last 120 seconds:") + 1 :]
    assert [line.rpartition("current=")[2] for line in events] == ["0; max=2"] * 2 + ["1; max=2"] * 2


def test_a_path_that_is_new_raises_the_number_and_no_alarm(
    house: StorageHouse, san: FakePaths, watcher: PathWatcher
) -> None:
    house.client.host.set_multipathing(house.host, True)
    san.dead = {PORTALS[1]}
    pbd = made(house)
    assert counts(house, pbd) == "[1, 1]"
    watcher.turn()
    san.dead = set()
    san(["iscsiadm", "-m", "node", "-T", IQN, "-p", PORTALS[1], "--login"])
    watcher.turn()
    assert counts(house, pbd) == "[2, 2]"
    assert house.client.PBD.get_other_config(pbd)["iscsi_sessions"] == "2"
    assert alerts(house) == []


def test_nothing_is_run_while_nothing_has_several_paths(
    house: StorageHouse, san: FakePaths, watcher: PathWatcher
) -> None:
    made(house)
    house.client.host.set_multipathing(house.host, True)
    unplugged = made(house, 1)
    house.client.PBD.unplug(unplugged)
    san.calls.clear()
    watcher.turn()
    assert san.calls == []


def test_a_daemon_that_ends_leaves_what_was_told(
    house: StorageHouse, san: FakePaths, watcher: PathWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    house.client.host.set_multipathing(house.host, True)
    pbd = made(house)
    san.daemon = False
    watcher.turn()
    assert counts(house, pbd) == "[2, 2]"
    assert "multipathd" in caplog.text
    san.daemon, san.dead = True, {PORTALS[0]}
    watcher.turn()
    assert counts(house, pbd) == "[1, 2]"


def test_it_starts_and_stops(watcher: PathWatcher) -> None:
    watcher.start()
    watcher.stop()
