import pytest

from tests.actions.refusal import make_vm, refused
from xapi.actions.vmss import checked_schedule, complete_schedule
from xapi.datamodel.classes.vmss import VmssFrequency


def create(client, **values):
    record = {
        "name_label": "nightly",
        "type": "snapshot",
        "frequency": "daily",
        "schedule": {"hour": "3", "min": "30"},
        "retained_snapshots": "2",
        "enabled": True,
        **values,
    }
    return client.VMSS.create(record)


@pytest.fixture
def schedule(client):
    return create(client)


@pytest.fixture
def vm(client, schedule):
    made = make_vm(client, "box", 0)
    client.VM.set_snapshot_schedule(made, schedule)
    return made


def test_a_schedule_gets_what_its_frequency_needs(client):
    ref = create(client, frequency="weekly", schedule={"days": "monday, SUNDAY,monday"})
    assert client.VMSS.get_schedule(ref) == {"hour": "0", "min": "0", "days": "Monday,Sunday"}
    client.VMSS.set_frequency(ref, "hourly")
    assert client.VMSS.get_schedule(ref) == {"min": "0"}
    client.VMSS.set_frequency(ref, "weekly")
    assert client.VMSS.get_schedule(ref) == {"hour": "0", "min": "0", "days": "Monday"}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"retained_snapshots": "0"}, ("INVALID_VALUE", "retained_snapshots", "0")),
        ({"retained_snapshots": "11"}, ("INVALID_VALUE", "retained_snapshots", "11")),
        ({"schedule": {"min": "7"}}, ("INVALID_VALUE", "schedule:min", "7")),
        ({"schedule": {"hour": "24"}}, ("INVALID_VALUE", "schedule:hour", "24")),
        ({"schedule": {"hour": "-1"}}, ("INVALID_VALUE", "schedule:hour", "-1")),
        ({"schedule": {"days": "Monday"}}, ("INVALID_VALUE", "schedule:days", "Monday")),
        ({"schedule": {"when": "now"}}, ("INVALID_VALUE", "schedule:when", "now")),
        ({"frequency": "weekly", "schedule": {"days": "Someday"}}, ("INVALID_VALUE", "schedule:days", "Someday")),
    ],
)
def test_schedules_that_make_no_sense(client, values, error):
    assert refused(lambda: create(client, **values)) == error
    assert client.VMSS.get_all() == []


def test_entries_are_changed_one_by_one(client, schedule):
    client.VMSS.remove_from_schedule(schedule, "min")
    client.VMSS.add_to_schedule(schedule, "min", "45")
    assert refused(client.VMSS.add_to_schedule, schedule, "min", "0")[0] == "MAP_DUPLICATE_KEY"
    assert refused(client.VMSS.add_to_schedule, schedule, "x", "0") == ("INVALID_VALUE", "schedule:x", "0")
    client.VMSS.set_schedule(schedule, {"hour": "05", "days": "friday"})
    assert client.VMSS.get_schedule(schedule) == {"hour": "5", "days": "Friday"}
    client.VMSS.set_type(schedule, "checkpoint")
    client.VMSS.set_retained_snapshots(schedule, "10")
    assert refused(client.VMSS.set_retained_snapshots, schedule, "0")[0] == "INVALID_VALUE"
    assert client.VMSS.get_retained_snapshots(schedule) == "10"


def test_a_schedule_with_vms_stays(client, schedule, vm):
    assert refused(client.VMSS.destroy, schedule) == ("VMSS_HAS_VM",)
    client.message.create("X", "1", "VMSS", client.VMSS.get_uuid(schedule), "")
    client.VM.set_snapshot_schedule(vm, "OpaqueRef:NULL")
    client.VMSS.destroy(schedule)
    assert client.VMSS.get_all() == []
    assert client.message.get_all_records_where('field "cls" = "VMSS"') == {}


def test_snapshots_are_taken_and_the_oldest_retired(client, clock, schedule, vm):
    by_hand = client.VM.snapshot(vm, "by hand")
    taken = []
    for _ in range(4):
        clock.advance(3600)
        report = client.VMSS.snapshot_now(schedule)
        taken.append(report.split()[1])
        assert report.split()[0] == client.VM.get_uuid(vm)
    kept = {client.VM.get_uuid(ref) for ref in client.VM.get_snapshots(vm)}
    assert kept == {client.VM.get_uuid(by_hand), *taken[-2:]}
    newest = client.VM.get_by_uuid(taken[-1])
    assert client.VM.get_is_vmss_snapshot(newest) is True
    assert client.VM.get_name_label(newest) == "nightly box 2024-01-01T04:00:00Z"
    assert client.VMSS.get_last_run_time(schedule) == clock.now()
    alerts = client.message.get_all_records_where('field "cls" = "VMSS"').values()
    assert {alert["name"] for alert in alerts} == {"VMSS_SNAPSHOT_SUCCEEDED"}
    assert len(alerts) == 4


def test_a_failure_is_told_and_stops_nobody_else(client, schedule, vm):
    other = make_vm(client, "other", 0)
    client.VM.set_snapshot_schedule(other, schedule)
    client.VM.set_blocked_operations(vm, {"snapshot": "no"})
    report = dict(line.split(" ", 1) for line in client.VMSS.snapshot_now(schedule).splitlines())
    assert report[client.VM.get_uuid(vm)].startswith("failed: OPERATION_BLOCKED")
    assert len(client.VM.get_snapshots(other)) == 1
    names = {alert["name"] for alert in client.message.get_all_records_where('field "cls" = "VMSS"').values()}
    assert names == {"VMSS_SNAPSHOT_SUCCEEDED", "VMSS_SNAPSHOT_FAILED"}


def test_completing_what_is_complete_changes_nothing():
    for frequency in VmssFrequency:
        whole = complete_schedule({}, frequency)
        assert complete_schedule(whole, frequency) == whole
        assert checked_schedule(whole) == whole
