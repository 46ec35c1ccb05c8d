from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.storage_house import storage_house
from tests.fakes.clock import FakeClock
from tests.fakes.guests import MEBIBYTE, halted, running
from tests.fakes.house import Caller, House
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import READ_ONLY
from xapi.monitoring.recorder import Recorder
from xapi.monitoring.saved import Folder
from xapi.services.metering import Metering


class Rounds:
    def __init__(self, house: House, clock: FakeClock) -> None:
        self.clock = clock
        self.folder = Folder(house.toolstack.state / "measured")
        recorder = house.toolstack.parts[Recorder] = Recorder(self.folder)
        self.metering = Metering(house.toolstack, recorder)

    def __call__(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(5)
            self.metering.turn()


@pytest.fixture
def rounds(house: House, clock: FakeClock) -> Iterator[Rounds]:
    return Rounds(house, clock)


def refusal(call, *params) -> list[str]:
    with pytest.raises(Failure) as caught:
        call(*params)
    return caught.value.description


def test_the_sources_of_a_running_vm_are_listed(client: Caller, rounds: Rounds) -> None:
    vm = running(client)
    rounds(3)
    sources = {one["name_label"]: one for one in client.VM.get_data_sources(vm)}
    memory = sources["memory"]
    assert memory["value"] == 128.0 * MEBIBYTE
    assert (memory["enabled"], memory["standard"], memory["units"], memory["min"]) == (True, True, "B", 0.0)
    assert memory["max"] == float("inf")
    assert memory["name_description"]
    assert (sources["cpu0"]["max"], sources["cpu0"]["units"]) == (1.0, "(fraction)")


def test_values_are_asked_for_one_by_one(client: Caller, rounds: Rounds) -> None:
    vm = running(client)
    rounds(3)
    assert client.VM.query_data_source(vm, "memory") == 128.0 * MEBIBYTE
    client.VM.pause(vm)
    assert client.VM.query_data_source(vm, "memory") == 128.0 * MEBIBYTE
    (host,) = client.host.get_all()
    assert client.host.query_data_source(host, "running_domains") == 1.0


def test_a_vm_that_does_not_run_is_not_measured(client: Caller, rounds: Rounds) -> None:
    vm = halted(client)
    wanted = ["VM_BAD_POWER_STATE", vm, "running", "halted"]
    assert refusal(client.VM.get_data_sources, vm) == wanted
    assert refusal(client.VM.record_data_source, vm, "cpu0") == wanted
    assert refusal(client.VM.forget_data_source_archives, vm, "cpu0") == wanted
    assert refusal(client.VM.query_data_source, vm, "cpu0") == ["VM_BAD_POWER_STATE", vm, "running, paused", "halted"]


@pytest.mark.parametrize("message", ["record_data_source", "query_data_source", "forget_data_source_archives"])
def test_a_source_that_nobody_has_is_an_invalid_value(client: Caller, rounds: Rounds, message: str) -> None:
    vm = running(client)
    rounds(2)
    objects = {"VM": vm, "host": client.host.get_all()[0], "SR": client.SR.get_all()[0]}
    for name, ref in objects.items():
        wanted = ["INVALID_VALUE", "data_source", "no_such"]
        assert refusal(getattr(getattr(client, name), message), ref, "no_such") == wanted


def test_a_forgotten_source_begins_anew(client: Caller, rounds: Rounds) -> None:
    (host,) = client.host.get_all()
    rounds(3)
    client.host.forget_data_source_archives(host, "loadavg")
    assert refusal(client.host.query_data_source, host, "loadavg")[0] == "INVALID_VALUE"
    listed = {one["name_label"]: one["enabled"] for one in client.host.get_data_sources(host)}
    assert listed.get("loadavg", False) is False
    rounds(2)
    assert client.host.query_data_source(host, "loadavg") >= 0
    client.host.record_data_source(host, "loadavg")


def test_reading_tells_nobody(client: Caller, rounds: Rounds, house: House) -> None:
    vm = running(client)
    rounds(2)
    (host,) = client.host.get_all()
    generation = house.toolstack.db.generation
    house.caller(READ_ONLY).VM.get_data_sources(vm)
    client.VM.query_data_source(vm, "memory")
    client.host.get_data_sources(host)
    changed = house.toolstack.db.generation - generation
    session_opened = 1
    assert changed <= session_opened


def test_an_sr_that_is_not_plugged_has_no_sources(client: Caller, rounds: Rounds) -> None:
    unplugged = [sr for sr in client.SR.get_all() if not client.SR.get_PBDs(sr)]
    rounds(2)
    for sr in unplugged:
        assert client.SR.get_data_sources(sr) == []


def test_archives_are_kept_when_asked(client: Caller, rounds: Rounds) -> None:
    (host,) = client.host.get_all()
    rounds(2)
    client.host.backup_rrds(host, 0.0)
    assert client.host.get_uuid(host) in rounds.folder.owners()
    for delay in (-1.0, float("nan"), float("inf"), 1e9):
        assert refusal(client.host.backup_rrds, host, delay)[:2] == ["INVALID_VALUE", "delay"]


def test_a_plugged_sr_has_its_size_and_its_use(clock: FakeClock) -> None:
    with storage_house(clock) as storage:
        client, sr = storage.client, storage.sr("dummy")
        rounds = Rounds(storage.house, clock)
        rounds(3)
        listed = {one["name_label"]: one for one in client.SR.get_data_sources(sr)}
        assert set(listed) == {"size", "physical_utilisation"}
        assert client.SR.query_data_source(sr, "size") == float(client.SR.get_physical_size(sr))
        client.SR.record_data_source(sr, "size")
        client.SR.forget_data_source_archives(sr, "size")
        assert refusal(client.SR.query_data_source, sr, "size") == ["INVALID_VALUE", "data_source", "size"]
        rounds(2)
        assert client.SR.query_data_source(sr, "size") == float(client.SR.get_physical_size(sr))
