from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.actions.scene import Scene
from tests.actions.storage_house import storage_house
from tests.fakes.clock import FakeClock
from tests.fakes.eventually import eventually
from tests.fakes.guests import MEBIBYTE, halted, running
from tests.fakes.house import Caller, House
from xapi.datamodel.classes import VBD, VM, Host, VMMetrics
from xapi.hypervisor.interface import DiskRequests, DomainCounters, HostCounters
from xapi.monitoring.archive import Consolidation
from xapi.monitoring.recorder import Owner, OwnerKind, Recorder
from xapi.monitoring.saved import Folder
from xapi.monitoring.source import Source
from xapi.services.host_figures import Traffic
from xapi.services.metering import BACKUP_SECONDS, Metering
from xapi.services.sampling import Sampler


class Measured:
    """A host whose rounds the test makes itself."""

    def __init__(self, house: House, clock: FakeClock, **options: Any) -> None:
        self.toolstack = house.toolstack
        self.clock = clock
        self.folder = Folder(self.toolstack.state / "measured")
        self.recorder = Recorder(self.folder)
        self.metering = Metering(self.toolstack, self.recorder, **options)
        self.host = Owner(OwnerKind.HOST, self.toolstack.db.get(Host, self.toolstack.this_host).uuid)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(5)
            self.metering.turn()

    def vm(self, ref: str) -> Owner:
        return Owner(OwnerKind.VM, self.toolstack.db.get(VM, ref).uuid)

    def row(self, owner: Owner) -> dict[str, float]:
        return self.recorder.last_row(owner, 1)


@pytest.fixture
def measured(house: House, clock: FakeClock) -> Measured:
    return Measured(house, clock)


def alarms(client: Caller) -> list[dict[str, Any]]:
    return [row for row in client.message.get_all_records().values() if row["name"] == "ALARM"]


def perfmon(*variables: str) -> str:
    return f"<config>{''.join(f'<variable>{variable}</variable>' for variable in variables)}</config>"


def test_a_running_vm_is_measured(measured: Measured, client: Caller) -> None:
    vm = running(client)
    measured.turns(3)
    row = measured.row(measured.vm(vm))
    assert row["memory"] == row["memory_target"] == 128 * MEBIBYTE
    assert 0 < row["cpu0"] < 1
    assert row["cpu_usage"] == pytest.approx(row["cpu0"])


def test_the_host_is_measured(measured: Measured, client: Caller) -> None:
    running(client)
    measured.turns(3)
    row = measured.row(measured.host)
    assert 0 < row["cpu_avg"] < 1
    assert row["memory_total_kib"] > row["memory_free_kib"] > 0
    assert row["running_domains"] == 1
    assert row["pool_session_count"] >= 1
    assert row["xapi_memory_usage_kib"] > 1000
    assert row["xapi_open_fds"] > 3
    assert row["loadavg"] >= 0
    legend = measured.recorder.updates([measured.host], -300, 60, Consolidation.MAX).legend
    assert f"MAX:host:{measured.host.uuid}:memory_free_kib" in legend


def test_a_paused_vm_is_left_out_and_a_stopped_one_kept_on_disk(measured: Measured, client: Caller) -> None:
    vm = running(client)
    measured.turns(4)
    owner = measured.vm(vm)
    client.VM.pause(vm)
    last = measured.recorder.document(owner)
    measured.turns(3)
    assert measured.recorder.document(owner) == last
    client.VM.hard_shutdown(vm)
    measured.turns(1)
    assert owner not in measured.recorder.measured()
    assert owner.uuid in measured.folder.owners()
    assert measured.recorder.document(owner) == last


def test_a_vm_that_starts_again_goes_on_with_its_past(measured: Measured, client: Caller) -> None:
    vm = running(client)
    measured.turns(4)
    client.VM.hard_shutdown(vm)
    measured.turns(2)
    client.VM.start(vm, False, False)
    measured.turns(3)
    rows = [row for _, row in measured.recorder.updates([measured.vm(vm)], -60, 0, None).rows]
    known = [b"NaN" not in row for row in rows]
    assert known[:2] == [True, True]
    assert not all(known[:6])
    assert any(known[4:9])


def test_what_is_destroyed_is_forgotten(measured: Measured, client: Caller) -> None:
    vm = running(client)
    measured.turns(2)
    owner = measured.vm(vm)
    client.VM.hard_shutdown(vm)
    client.VM.destroy(vm)
    measured.turns(13)
    assert owner.uuid not in measured.folder.owners()
    assert measured.recorder.document(owner) is None


def test_a_new_toolstack_goes_on_where_the_old_one_stopped(
    measured: Measured, house: House, clock: FakeClock, client: Caller
) -> None:
    vm = running(client)
    measured.turns(10)
    measured.metering.stop()
    again = Measured(house, clock)
    again.turns(2)
    rows = [row for _, row in again.recorder.updates([again.vm(vm), again.host], -30, 0, None).rows]
    assert b"NaN" not in b"".join(rows)


def test_everything_is_kept_daily(measured: Measured, clock: FakeClock) -> None:
    measured.turns(1)
    assert measured.folder.owners() == frozenset()
    clock.advance(BACKUP_SECONDS)
    measured.turns(1)
    assert measured.host.uuid in measured.folder.owners()


def test_minimum_and_maximum_of_vms_are_kept_when_the_pool_says_so(measured: Measured, client: Caller) -> None:
    (pool,) = client.pool.get_all()
    client.pool.add_to_other_config(pool, "create_min_max_in_new_VM_RRDs", "true")
    vm = running(client)
    measured.turns(2)
    legend = measured.recorder.updates([measured.vm(vm)], -300, 60, Consolidation.MIN).legend
    assert f"MIN:vm:{measured.vm(vm).uuid}:cpu0" in legend


def test_rows_tell_of_memory_and_only_when_it_changed(measured: Measured, client: Caller) -> None:
    vm = running(client)
    measured.turns(1)
    metrics = client.host.get_metrics(client.host.get_all()[0])
    driver = measured.toolstack.hypervisor
    assert int(client.host_metrics.get_record(metrics)["memory_free"]) == driver.host.memory_free()
    figures = client.VM.get_metrics(vm)
    with measured.toolstack.db.transaction() as transaction:
        transaction.update(VMMetrics, figures, memory_actual=1)
    measured.turns(1)
    assert int(client.VM_metrics.get_memory_actual(figures)) == 128 * MEBIBYTE
    generation = measured.toolstack.db.generation
    measured.turns(5)
    assert measured.toolstack.db.generation == generation


def test_an_alarm_of_a_vm_becomes_a_message(measured: Measured, client: Caller) -> None:
    document = perfmon('<name value="cpu_usage"/><alarm_trigger_level value="0"/><alarm_priority value="2"/>')
    vm = running(client, other_config={"perfmon": document})
    measured.turns(30)
    (alarm,) = alarms(client)
    assert (alarm["cls"], alarm["obj_uuid"], alarm["priority"]) == ("VM", measured.vm(vm).uuid, "2")
    value, config = alarm["body"].split("\nconfig:\n")
    assert float(value.removeprefix("value: ")) >= 0
    assert config == (
        '<variable>\n\t<name value="cpu_usage"/>\n\t<alarm_trigger_level value="0"/>\n'
        '\t<alarm_priority value="2"/>\n</variable>\n'
    )


def test_alarms_come_again_only_after_the_inhibit_period(measured: Measured, client: Caller) -> None:
    document = perfmon(
        '<name value="cpu_usage"/><alarm_trigger_level value="0"/><alarm_auto_inhibit_period value="180"/>'
    )
    running(client, other_config={"perfmon": document})
    measured.turns(12 * 8)
    assert len(alarms(client)) == 3


def test_an_alarm_of_the_host_and_one_of_its_control_domain(house: House, clock: FakeClock, client: Caller) -> None:
    measured = Measured(house, clock, probes={"get_percent_fs_usage": lambda: 0.97})
    host = client.host.get_all()[0]
    client.host.add_to_other_config(
        host, "perfmon", perfmon('<name value="memory_free_kib"/><alarm_trigger_level value="1e12"/>')
    )
    dom0 = client.host.get_control_domain(host)
    client.VM.add_to_other_config(dom0, "perfmon", perfmon('<name value="fs_usage"/>'))
    measured.turns(26)
    found = {(alarm["cls"], alarm["obj_uuid"]) for alarm in alarms(client)}
    assert found == {("Host", measured.host.uuid), ("VM", client.VM.get_uuid(dom0))}
    bodies = [alarm["body"] for alarm in alarms(client) if alarm["cls"] == "VM"]
    assert bodies[0].startswith("value: 0.970000\n")


@pytest.mark.parametrize("document", ["<config>", perfmon('<name value="x"/>'), "<config/>", perfmon("")])
def test_a_bad_configuration_raises_nothing(measured: Measured, client: Caller, document: str) -> None:
    running(client, other_config={"perfmon": document})
    measured.turns(14)
    assert alarms(client) == []


@pytest.fixture
def scene(clock: FakeClock) -> Iterator[Scene]:
    with storage_house(clock) as plain:
        plain.__class__ = Scene
        assert isinstance(plain, Scene)
        yield plain


def test_disks_cards_and_storage_are_measured(scene: Scene, clock: FakeClock) -> None:
    client = scene.client
    sr = scene.sr("dummy")
    scene.network = client.network.create(
        {"name_label": "inner", "name_description": "", "MTU": "1500", "other_config": {}}
    )
    vm = halted(client)
    scene.drive(vm, scene.disk(sr), userdevice="0", bootable=True)
    scene.card(vm)
    document = perfmon('<name value="sr_io_throughput_total_per_host"/><alarm_trigger_level value="0"/>')
    client.SR.add_to_other_config(sr, "perfmon", document)
    client.VM.start(vm, False, False)
    measured = Measured(scene.house, clock)
    measured.turns(26)

    def turned() -> dict[str, float]:
        """The guest runs by the real clock: in a quick round it may have moved nothing."""
        measured.turns(1)
        return measured.row(measured.vm(vm))

    row = eventually(turned, lambda found: found["vbd_hda_read"] > 0 and found["vif_0_rx"] > 0)
    assert row["vbd_hda_read"] > 0
    assert row["vif_0_rx"] > 0
    uuid = client.SR.get_uuid(sr)
    host = measured.row(measured.host)
    read, written = host[f"io_throughput_read_{uuid[:8]}"], host[f"io_throughput_write_{uuid[:8]}"]
    assert read == pytest.approx(row["vbd_hda_read"] / MEBIBYTE, rel=0.01)
    assert host[f"io_throughput_total_{uuid[:8]}"] == pytest.approx(read + written)
    assert measured.row(Owner(OwnerKind.SR, uuid))["size"] == float(client.SR.get_physical_size(sr))
    (alarm,) = [one for one in alarms(client) if uuid in one["body"]]
    assert (alarm["cls"], alarm["obj_uuid"]) == ("Host", measured.host.uuid)
    assert f'<name value="sr_io_throughput_total_{uuid[:8]}"/>' in alarm["body"]
    assert f'\t<configured_on class="SR" uuid="{uuid}"/>\n</variable>\n' in alarm["body"]


OF_REQUESTS = {
    "read_latency": "μs",
    "write_latency": "μs",
    "iops_read": "requests/s",
    "iops_write": "requests/s",
    "iops_total": "requests/s",
    "iowait": "s/s",
    "inflight": "requests",
    "latency": "μs",
    "avgqu_sz": "requests",
}


class Counting:
    """A hypervisor whose one domain has two disks, of which the test says what they did."""

    def __init__(self, uuid: str, *, counts: bool = True) -> None:
        self.uuid, self.counts = uuid, counts
        self.disks = {"xvda": [0, 0, 0, 0, 0.0, 0.0, 0], "xvdb": [0, 0, 0, 0, 0.0, 0.0, 0]}
        self.metering = self

    def add(self, device: str, *growth: float) -> None:
        old = self.disks[device]
        self.disks[device] = [*(a + b for a, b in zip(old[:6], growth[:6], strict=True)), growth[6]]

    def domain_counters(self) -> tuple[DomainCounters, ...]:
        requests = {device: DiskRequests(*did[2:]) for device, did in self.disks.items()}  # type: ignore[arg-type]
        return (
            DomainCounters(
                self.uuid,
                1,
                (1.0,),
                128 * MEBIBYTE,
                None,
                {device: int(did[0]) for device, did in self.disks.items()},
                {device: int(did[1]) for device, did in self.disks.items()},
                {},
                {},
                requests if self.counts else {},
            ),
        )

    def host_counters(self) -> HostCounters:
        return HostCounters((1.0,), 1 << 30, 1 << 29)


@pytest.fixture
def stored(scene: Scene, clock: FakeClock) -> tuple[Scene, Measured, Owner, str, Counting]:
    """A VM with two disks on one SR, and the sampler's view of its counters in the test's hand."""
    sr = scene.sr("dummy")
    vm = halted(scene.client)
    for number, device in enumerate(("xvda", "xvdb")):
        vbd = scene.drive(vm, scene.disk(sr), userdevice=str(number), bootable=not number)
        with scene.house.toolstack.db.transaction() as transaction:
            transaction.update(VBD, vbd, device=device)
    measured = Measured(scene.house, clock)
    counting = Counting(scene.client.VM.get_uuid(vm))
    real = scene.house.toolstack
    around = SimpleNamespace(
        db=real.db,
        this_host=real.this_host,
        sessions=real.sessions,
        hypervisor=SimpleNamespace(
            metering=counting, host=SimpleNamespace(facts=lambda: SimpleNamespace(hypervisor="x"))
        ),
    )
    measured.metering = Metering(real, measured.recorder, sampler=Sampler(around))  # type: ignore[arg-type]
    return scene, measured, measured.vm(vm), scene.client.SR.get_uuid(sr)[:8], counting


def test_requests_of_disks_are_measured_for_the_vm_and_its_storage(stored: Any) -> None:
    _, measured, vm, short, counting = stored
    measured.turns(1)
    for _ in range(3):
        counting.add("xvda", 5 * MEBIBYTE, 10 * MEBIBYTE, 100, 50, 0.2, 0.4, 3)
        counting.add("xvdb", 0, 0, 0, 10, 0.0, 0.01, 1)
        measured.turns(1)
    row, host = measured.row(vm), measured.row(measured.host)
    xvda = {name: row[f"vbd_xvda_{name}"] for name in (*OF_REQUESTS, "read", "write", "io_throughput_total")}
    assert xvda == pytest.approx(
        {
            "read": MEBIBYTE,
            "write": 2 * MEBIBYTE,
            "io_throughput_total": 3.0,
            "read_latency": 2000.0,
            "write_latency": 8000.0,
            "iops_read": 20.0,
            "iops_write": 10.0,
            "iops_total": 30.0,
            "iowait": 0.12,
            "inflight": 3.0,
            "latency": 4000.0,
            "avgqu_sz": 0.12,
        }
    )
    assert row["vbd_xvdb_read_latency"] == 0.0 and row["vbd_xvdb_write_latency"] == pytest.approx(1000.0)
    both = {name: host[f"{name}_{short}"] for name in (*OF_REQUESTS, "read", "write", "io_throughput_total")}
    assert both == pytest.approx(
        {
            **xvda,
            "write_latency": 0.41 / 60 * 1e6,
            "iops_write": 12.0,
            "iops_total": 32.0,
            "iowait": 0.122,
            "avgqu_sz": 0.122,
            "inflight": 4.0,
            "latency": 0.61 / 160 * 1e6,
        }
    )


def test_sources_of_requests_have_their_units_and_are_recorded_by_themselves(stored: Any) -> None:
    _, measured, vm, short, counting = stored
    measured.turns(2)
    offered = {one.source.name: one for one in measured.recorder.offered(vm)}
    ours = {one.source.name: one for one in measured.recorder.offered(measured.host)}
    for name, units in OF_REQUESTS.items():
        for found in (offered[f"vbd_xvda_{name}"], offered[f"vbd_xvdb_{name}"], ours[f"{name}_{short}"]):
            assert (found.source.units, found.recorded, found.source.low) == (units, True, 0.0), name
    counting.counts = False
    measured.turns(2)
    assert all(name.rpartition("_")[0] != "vbd_xvda_iops" for name in (one.name for one in measured_now(measured, vm)))


def measured_now(measured: Measured, owner: Owner) -> list[Source]:
    return [one.source for one in measured.recorder.offered(owner) if one.source.units != "unknown"]


def test_a_disk_that_comes_or_begins_again_does_nothing_backwards(stored: Any) -> None:
    """A guest that was started again counts from zero: nothing negative, and no latency of requests that never were."""
    _, measured, vm, short, counting = stored
    counting.add("xvda", 1 << 40, 1 << 40, 1 << 30, 1 << 30, 1e6, 1e6, 0)
    measured.turns(2)
    assert measured.row(measured.host)[f"iops_total_{short}"] == 0.0
    counting.disks["xvda"] = [MEBIBYTE, 0, 10, 0, 0.01, 0.0, 0]
    measured.turns(2)
    host = measured.row(measured.host)
    assert {host[f"{name}_{short}"] for name in (*OF_REQUESTS, "read", "write")} == {0.0}
    assert measured.row(vm)["vbd_xvda_latency"] == 0.0


def test_interfaces_of_a_real_machine_are_those_that_the_kernel_counts(measured: Measured) -> None:
    toolstack = measured.toolstack
    metering = SimpleNamespace(domain_counters=lambda: (), host_counters=lambda: HostCounters((1.0,), 1 << 30, 1 << 29))
    facts = SimpleNamespace(hypervisor="kvm")
    machine = SimpleNamespace(metering=metering, host=SimpleNamespace(facts=lambda: facts))
    around = SimpleNamespace(
        db=toolstack.db, this_host=toolstack.this_host, sessions=toolstack.sessions, hypervisor=machine
    )
    sampler = Sampler(around, lambda: {"eth0": Traffic(100, 50, 3, 2), "lo": Traffic(1, 1)})  # type: ignore[arg-type]
    sample = sampler.round().samples[-1]
    values = dict(zip((source.name for source in sample.layout), sample.values, strict=True))
    assert (values["pif_eth0_rx"], values["pif_eth0_tx"]) == (100.0, 50.0)
    assert (values["pif_eth0_rx_errors"], values["pif_eth0_tx_errors"]) == (3.0, 2.0)
    assert (values["pif_aggr_rx"], values["pif_aggr_tx"]) == (100.0, 50.0)
    assert "pif_lo_rx" not in values


def test_the_service_starts_and_stops_by_itself(measured: Measured) -> None:
    measured.metering.start()
    measured.metering.stop()
    assert measured.host in measured.recorder.measured()
    assert measured.host.uuid in measured.folder.owners()
