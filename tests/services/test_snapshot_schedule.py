from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actions.refusal import make_vm
from xapi.actions.host.machine import Machine, SimulatedMachine
from xapi.actions.vmss import DAYS, HOURS, MINUTES
from xapi.datamodel.classes.vmss import VmssFrequency
from xapi.services.snapshot_schedule import QUARTER, SnapshotSchedules, is_due_at, latest_due

SCHEDULES = st.fixed_dictionaries(
    {
        "min": st.sampled_from(MINUTES),
        "hour": st.sampled_from(HOURS),
        "days": st.sets(st.sampled_from(DAYS), min_size=1).map(lambda days: ",".join(sorted(days))),
    }
)
MOMENTS = st.datetimes(datetime(2023, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
PERIODS = {
    VmssFrequency.HOURLY: timedelta(hours=1),
    VmssFrequency.DAILY: timedelta(days=1),
    VmssFrequency.WEEKLY: timedelta(days=7),
}


@given(st.sampled_from(VmssFrequency), SCHEDULES, MOMENTS)
def test_within_a_period_every_schedule_is_due(frequency, schedule, until):
    due = latest_due(frequency, schedule, until - PERIODS[frequency], until, UTC)
    assert due is not None
    assert until - PERIODS[frequency] < due <= until
    assert is_due_at(frequency, schedule, due)
    between = due + QUARTER
    while between <= until:
        assert not is_due_at(frequency, schedule, between)
        between += QUARTER


@given(st.sampled_from(VmssFrequency), SCHEDULES, MOMENTS)
def test_what_was_due_is_not_due_again(frequency, schedule, moment):
    due = latest_due(frequency, schedule, moment - timedelta(days=8), moment, UTC)
    assert latest_due(frequency, schedule, due, due + timedelta(minutes=59), UTC) is None


def test_times_are_the_hosts_own():
    schedule = {"hour": "3", "min": "30"}
    until = datetime(2024, 7, 1, 12, tzinfo=UTC)
    since = until - timedelta(days=1)
    due = latest_due(VmssFrequency.DAILY, schedule, since, until, ZoneInfo("Europe/Berlin"))
    assert due == datetime(2024, 7, 1, 1, 30, tzinfo=UTC)


@pytest.fixture
def service(toolstack):
    toolstack.parts[Machine] = SimulatedMachine(toolstack.db, toolstack.clock, toolstack.this_host)
    return SnapshotSchedules(toolstack)


@pytest.fixture
def vm(client):
    schedule = client.VMSS.create(
        {
            "name_label": "s",
            "type": "snapshot",
            "frequency": "hourly",
            "schedule": {"min": "15"},
            "retained_snapshots": "1",
        }
    )
    made = make_vm(client, "box", 0)
    client.VM.set_snapshot_schedule(made, schedule)
    return made


def minutes(clock, service, count):
    for _ in range(count):
        clock.advance(60)
        service.turn()


def test_snapshots_come_when_they_are_due_and_the_old_ones_go(client, clock, service, vm):
    minutes(clock, service, 14)
    assert client.VM.get_snapshots(vm) == []
    minutes(clock, service, 1)
    (first,) = client.VM.get_snapshots(vm)
    minutes(clock, service, 59)
    assert client.VM.get_snapshots(vm) == [first]
    minutes(clock, service, 1)
    (second,) = client.VM.get_snapshots(vm)
    assert second != first
    assert client.task.get_all() == []


def test_a_schedule_that_is_off_or_has_no_vms_does_nothing(client, clock, service, vm):
    (schedule,) = client.VMSS.get_all()
    client.VMSS.set_enabled(schedule, False)
    minutes(clock, service, 20)
    client.VMSS.set_enabled(schedule, True)
    minutes(clock, service, 20)
    assert client.VM.get_snapshots(vm) == []


def test_what_was_due_long_ago_is_only_told_of(client, clock, service, vm):
    clock.advance(45 * 60)
    service.turn()
    assert client.VM.get_snapshots(vm) == []
    (alert,) = client.message.get_all_records_where('field "cls" = "VMSS"').values()
    assert alert["name"] == "VMSS_SNAPSHOT_MISSED_EVENT"
    assert "2024-01-01 00:15 UTC" in alert["body"]


def test_it_starts_and_stops(service):
    service.start()
    service.stop()
