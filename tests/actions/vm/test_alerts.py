from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.scene import Scene, furnished_scene
from tests.fakes.eventually import eventually
from tests.fakes.guests import running
from xapi.actions import message
from xapi.actions.message import MOST_KEPT


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with furnished_scene() as opened:
        yield opened


def told(scene: Scene, vm: str) -> list[tuple[str, str]]:
    """Names and priorities of what was told of a VM, in any order: they may have the same moment."""
    uuid = scene.client.VM.get_uuid(vm)
    found = scene.client.message.get("VM", uuid, "19700101T00:00:00Z").values()
    assert {record["cls"] for record in found} <= {"VM"}
    return sorted((record["name"], record["priority"]) for record in found)


def test_a_life_is_told(scene):
    client, vm = scene.client, scene.furnished("told of")
    client.VM.start(vm, False, False)
    client.VM.pause(vm)
    client.VM.unpause(vm)
    client.VM.suspend(vm)
    client.VM.resume(vm, False, False)
    client.VM.checkpoint(vm, "c")
    snapshot = client.VM.snapshot(vm, "s")
    client.VM.clean_reboot(vm)
    client.VM.clean_shutdown(vm)
    client.VM.clone(vm, "clone")
    client.VM.revert(snapshot)
    assert told(scene, vm) == [
        (name, "5")
        for name in (
            *("VM_CHECKPOINTED", "VM_CLONED", "VM_PAUSED", "VM_REBOOTED", "VM_RESUMED", "VM_SHUTDOWN"),
            *("VM_SNAPSHOTTED", "VM_SNAPSHOT_REVERTED", "VM_STARTED", "VM_SUSPENDED", "VM_UNPAUSED"),
        )
    ]


def test_the_text_names_the_vm_and_the_host(scene):
    vm = running(scene.client, name_label="a 'quoted' {name}")
    uuid = scene.client.VM.get_uuid(vm)
    (record,) = scene.client.message.get("VM", uuid, "19700101T00:00:00Z").values()
    assert "a 'quoted' {name}" in record["body"]
    assert scene.client.host.get_uuid(scene.host) in record["body"]


@pytest.mark.parametrize(
    ("behaviour", "settings", "alert"),
    [
        ("crash", {"actions_after_crash": "destroy"}, ("VM_CRASHED", "2")),
        ("crash", {"actions_after_crash": "preserve"}, ("VM_CRASHED", "2")),
        ("reboot", {}, ("VM_REBOOTED", "5")),
        ("halt", {}, ("VM_SHUTDOWN", "5")),
    ],
)
def test_what_a_guest_does_by_itself_is_told(scene, behaviour, settings, alert):
    vm = running(scene.client, **settings)
    scene.house.toolstack.hypervisor.configure({f"simulator:guest:{scene.client.VM.get_uuid(vm)}": behaviour})
    wanted = sorted([("VM_STARTED", "5"), alert])
    assert eventually(lambda: told(scene, vm), lambda found: found == wanted) == wanted


def test_a_refused_call_tells_nothing(scene):
    with pytest.raises(Exception, match="VM_BAD_POWER_STATE"):
        scene.client.VM.pause(scene.halted)
    assert ("VM_PAUSED", "5") not in told(scene, scene.halted)


def test_their_number_has_a_bound(scene, monkeypatch):
    assert MOST_KEPT <= 10_000
    monkeypatch.setattr(message, "MOST_KEPT", 20)
    vm = running(scene.client)
    for _ in range(30):
        scene.client.VM.pause(vm)
        scene.client.VM.unpause(vm)
        assert len(scene.client.message.get_all()) <= 20
