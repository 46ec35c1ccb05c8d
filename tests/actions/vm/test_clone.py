from __future__ import annotations

import pytest

from tests.fakes.guests import halted, running
from xapi.datamodel.failure import Failure

NULL = "OpaqueRef:NULL"


def test_a_clone_is_another_vm(client):
    vm = halted(client, other_config={"folder": "x"})
    clone = client.VM.clone(vm, "copy")
    ours, theirs = client.VM.get_record(vm), client.VM.get_record(clone)
    assert theirs["name_label"] == "copy"
    assert theirs["uuid"] != ours["uuid"]
    assert theirs["metrics"] != ours["metrics"]
    assert theirs["other_config"]["mac_seed"] != ours["other_config"]["mac_seed"]
    assert theirs["other_config"]["folder"] == "x"
    assert theirs["power_state"] == "Halted"


def test_a_clone_of_a_default_template_is_an_ordinary_template(client):
    template = client.VM.get_by_name_label("Other install media")[0]
    clone = client.VM.clone(template, "mine")
    record = client.VM.get_record(clone)
    assert (record["is_a_template"], record["is_default_template"]) == (True, False)
    assert "default_template" not in record["other_config"]
    client.VM.provision(clone)
    assert client.VM.get_is_a_template(clone) is False


def test_snapshots_remember_where_they_come_from(client):
    vm = running(client)
    first = client.VM.snapshot(vm, "first")
    second = client.VM.snapshot(vm, "second")
    record = client.VM.get_record(second)
    assert (record["is_a_snapshot"], record["is_a_template"], record["snapshot_of"]) == (True, True, vm)
    assert record["parent"] == first
    assert client.VM.get_parent(vm) == second
    assert sorted(client.VM.get_snapshots(vm)) == sorted([first, second])
    client.VM.destroy(first)
    assert client.VM.get_snapshots(vm) == [second]
    assert client.VM.get_parent(second) == NULL


def test_going_back(client):
    vm = halted(client)
    snapshot = client.VM.snapshot(vm, "before")
    client.VM.set_VCPUs_max(vm, "7")
    client.VM.start(vm, False, False)
    client.VM.revert(snapshot)
    record = client.VM.get_record(vm)
    assert (record["VCPUs_max"], record["power_state"], record["name_label"]) == ("2", "Halted", "guest")
    assert record["parent"] == snapshot
    assert record["current_operations"] == {}


def test_only_snapshots_can_be_gone_back_to(client):
    vm = halted(client)
    with pytest.raises(Failure) as caught:
        client.VM.revert(vm)
    assert caught.value.description == ["VM_REVERT_FAILED", vm, NULL]


def test_a_snapshot_of_a_snapshot_is_refused(client):
    snapshot = client.VM.snapshot(halted(client), "one")
    with pytest.raises(Failure):
        client.VM.snapshot(snapshot, "two")
    assert client.VM.get_current_operations(snapshot) == {}


def test_a_snapshot_with_an_unknown_disk_to_leave_out(client):
    vm = halted(client)
    with pytest.raises(Failure) as caught:
        client.VM.snapshot(vm, "s", ["OpaqueRef:nosuch"])
    assert caught.value.description == ["VDI_NOT_IN_MAP", "OpaqueRef:nosuch"]
