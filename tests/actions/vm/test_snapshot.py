from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.scene import Scene, furnished_scene
from tests.actions.storage_house import MEBIBYTE, NULL, refusal


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with furnished_scene() as opened:
        yield opened


def disks_of(scene: Scene, vm: str) -> list[str]:
    vbds = scene.client.VM.get_VBDs(vm)
    return [scene.client.VBD.get_VDI(vbd) for vbd in vbds if scene.client.VBD.get_type(vbd) == "Disk"]


def other_userdevices(scene: Scene, vm: str) -> dict[str, str]:
    return {scene.client.VBD.get_userdevice(vbd): vbd for vbd in scene.client.VM.get_VBDs(vm)}


def test_a_snapshot_shares_nothing_that_can_be_written(scene):
    record = scene.client.VM.get_record(scene.snapshot)
    assert record["power_state"] == "Halted"
    assert record["snapshot_info"] == {
        "power-state-at-snapshot": "Running",
        "disk-snapshot-type": "crash_consistent",
    }
    ours, theirs = disks_of(scene, scene.vm), disks_of(scene, scene.snapshot)
    assert len(ours) == len(theirs) == 2
    assert [scene.client.VDI.get_snapshot_of(vdi) for vdi in theirs] == ours
    assert sorted(other_userdevices(scene, scene.snapshot)) == ["0", "1", "3"]
    assert scene.client.VBD.get_VDI(other_userdevices(scene, scene.snapshot)["3"]) == scene.iso
    ours_card, theirs_card = (scene.client.VM.get_VIFs(vm)[0] for vm in (scene.vm, scene.snapshot))
    assert scene.client.VIF.get_MAC(ours_card) == scene.client.VIF.get_MAC(theirs_card)
    guest = scene.client.VM_guest_metrics.get_record(record["guest_metrics"])
    assert guest["os_version"] == scene.client.VM_guest_metrics.get_os_version(
        scene.client.VM.get_guest_metrics(scene.vm)
    )


def test_going_back_gives_back_fields_disks_and_devices(scene):
    client, vm = scene.client, scene.furnished("first name", blocked_operations={})
    client.VM.add_to_blocked_operations(vm, "destroy", "kept")
    client.VM.set_order(vm, "7")
    (disk,) = disks_of(scene, vm)
    scene.write(disk, 0, b"before".ljust(512, b"\0"))
    snapshot = client.VM.snapshot(vm, "kept")
    assert client.VM.get_blocked_operations(snapshot) == {}
    scene.write(disk, 0, b"after".ljust(512, b"\0"))
    later = scene.disk(scene.dummy)
    scene.drive(vm, later, userdevice="1")
    client.VIF.destroy(client.VM.get_VIFs(vm)[0])
    client.VM.set_name_label(vm, "second name")
    client.VM.set_VCPUs_max(vm, "4")
    client.VM.remove_from_blocked_operations(vm, "destroy")
    client.VM.set_tags(vm, ["mine"])

    client.VM.revert(snapshot)

    record = client.VM.get_record(vm)
    assert (record["name_label"], record["VCPUs_max"], record["order"]) == ("first name", "2", "7")
    assert record["blocked_operations"] == {"destroy": "kept"}
    assert record["tags"] == ["mine"]
    assert (record["is_a_template"], record["is_a_snapshot"], record["parent"]) == (False, False, snapshot)
    assert len(record["VIFs"]) == 1
    (now,) = disks_of(scene, vm)
    assert scene.read(now, 0, 512).startswith(b"before")
    assert client.VDI.get_record(later)["VBDs"] == []  # it came after the snapshot: unplugged, and not lost
    assert refusal(client.VDI.get_uuid, disk)[0] == "HANDLE_INVALID"
    (kept,) = disks_of(scene, snapshot)
    assert client.VDI.get_snapshot_of(kept) == now


def test_a_checkpoint_can_be_gone_back_to_as_a_suspended_vm(scene):
    client, vm = scene.client, scene.furnished("with memory")
    client.VM.start(vm, False, False)
    client.VM.set_PV_args(vm, "mark")
    checkpoint = client.VM.checkpoint(vm, "checkpoint")
    assert client.VM.get_power_state(vm) == "Running"
    record = client.VM.get_record(checkpoint)
    assert record["power_state"] == "Suspended"
    assert client.VDI.get_type(record["suspend_VDI"]) == "suspend"
    client.VM.set_PV_args(vm, "")
    client.VM.revert(checkpoint)
    reverted = client.VM.get_record(vm)
    assert (reverted["power_state"], reverted["PV_args"]) == ("Suspended", "mark")
    assert reverted["suspend_VDI"] not in (NULL, record["suspend_VDI"])
    client.VM.resume(vm, False, False)
    assert client.VM.get_power_state(vm) == "Running"
    client.VM.revert(checkpoint)
    assert client.VM.get_power_state(vm) == "Suspended"
    client.VM.hard_shutdown(vm)
    client.VM.destroy(checkpoint)


def test_a_suspended_vm_with_a_cd_is_copied_and_resumed(scene):
    client = scene.client
    copy = client.VM.csvm(scene.suspended)
    record = client.VM.get_record(copy)
    assert (record["power_state"], record["parent"]) == ("Suspended", NULL)
    assert record["suspend_VDI"] not in (NULL, client.VM.get_suspend_VDI(scene.suspended))
    client.VM.resume(copy, True, False)
    assert client.VM.get_power_state(copy) == "Paused"
    client.VM.hard_shutdown(copy)


def test_trees_of_snapshots(scene):
    client, vm = scene.client, scene.furnished("tree")
    first = client.VM.snapshot(vm, "first")
    second = client.VM.snapshot(vm, "second")
    client.VM.revert(first)
    third = client.VM.snapshot(vm, "third")
    assert client.VM.get_parent(second) == first
    assert client.VM.get_parent(third) == first
    assert sorted(client.VM.get_children(first)) == sorted([second, third])
    assert client.VM.get_children(third) == [vm]
    assert sorted(client.VM.get_snapshots(vm)) == sorted([first, second, third])
    (disk,) = disks_of(scene, vm)
    assert len(client.VDI.get_snapshots(disk)) == 3
    clone = client.VM.clone(vm, "clone")
    assert (client.VM.get_parent(clone), client.VM.get_snapshots(clone)) == (NULL, [])
    client.VM.destroy(first)
    assert client.VM.get_parent(second) == NULL
    assert client.VM.get_snapshots(vm) == sorted([second, third], key=client.VM.get_snapshots(vm).index)


def test_disks_left_out_of_a_snapshot(scene):
    client, vm = scene.client, scene.furnished("partly", userdevices=("0", "1"))
    first, second = disks_of(scene, vm)
    snapshot = client.VM.snapshot(vm, "partly", [second])
    assert [client.VDI.get_snapshot_of(vdi) for vdi in disks_of(scene, snapshot)] == [first]
    client.VM.revert(snapshot)
    assert len(disks_of(scene, vm)) == 1
    assert client.VDI.get_VBDs(second) == []


def test_backup_programs_make_a_vm_of_a_snapshot(scene):
    client = scene.client
    snapshot = client.VM.snapshot(scene.halted, "to export")
    client.VM.set_is_a_template(snapshot, False)
    assert client.VM.get_is_a_template(snapshot) is False
    assert client.VM.get_is_a_snapshot(snapshot) is True
    assert "export" in client.VM.get_allowed_operations(snapshot)
    client.VM.destroy(snapshot)


def test_a_copy_on_another_sr(scene):
    client = scene.client
    copy = client.VM.copy(scene.halted, "elsewhere", scene.other_sr)
    assert {client.VDI.get_SR(vdi) for vdi in disks_of(scene, copy)} == {scene.other_sr}
    assert client.VDI.get_virtual_size(disks_of(scene, copy)[0]) == str(10 * MEBIBYTE)


def test_a_clone_of_a_template_remembers_its_name(scene):
    clone = scene.client.VM.clone(scene.template, "again")
    assert scene.client.VM.get_other_config(clone)["base_template_name"] == "Other install media"


def test_metadata_that_came_from_elsewhere_is_passed_over(scene):
    client, vm = scene.client, scene.furnished("imported")
    snapshot = client.VM.snapshot(vm, "snapshot of it")
    with scene.db.transaction() as transaction:
        from xapi.datamodel.classes import VM

        transaction.update(VM, snapshot, snapshot_metadata="(('uuid' 'x') ('name__label' 'y'))")
    client.VM.set_VCPUs_max(vm, "3")
    client.VM.revert(snapshot)
    assert (client.VM.get_VCPUs_max(vm), client.VM.get_name_label(vm)) == ("2", "imported")


def test_update_snapshot_metadata(scene):
    client = scene.client
    vm = client.VM.clone(scene.halted, "made by hand")
    client.VM.update_snapshot_metadata(vm, scene.halted, "20240101T00:00:00Z", "token")
    record = client.VM.get_record(vm)
    assert (record["is_a_snapshot"], record["snapshot_of"]) == (True, scene.halted)
    assert record["transportable_snapshot_id"] == "token"
    client.VM.destroy(vm)
