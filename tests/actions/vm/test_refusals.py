"""What a VM's state does not allow is refused as the real service was seen to refuse it, through the whole journey."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actions.scene import Scene, furnished_scene
from tests.actions.storage_house import NULL
from tests.fakes.eventually import eventually
from tests.fakes.guests import halted, running
from xapi.datamodel.failure import Failure

SAMPLE = Path("/work/shared/facts/observed/lifecycle.json")
OBSERVED: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8")) if SAMPLE.exists() else {}
MEBIBYTE = 1 << 20
CALLS: dict[str, tuple[Any, ...]] = {
    "awaiting_memory_live": ("wait_memory_target_live",),
    "call_plugin": ("call_plugin", "guest-agent-operation", "x", {}),
    "changing_VCPUs": ("set_VCPUs_max", "2"),
    "changing_VCPUs_live": ("set_VCPUs_number_live", "1"),
    "changing_dynamic_range": ("set_memory_dynamic_range", str(128 * MEBIBYTE), str(128 * MEBIBYTE)),
    "changing_shadow_memory": ("set_HVM_shadow_multiplier", 1.0),
    "changing_shadow_memory_live": ("set_shadow_multiplier_live", 1.0),
    "changing_static_range": ("set_memory_static_range", str(16 * MEBIBYTE), str(128 * MEBIBYTE)),
    "checkpoint": ("checkpoint", "x"),
    "clean_reboot": ("clean_reboot",),
    "clean_shutdown": ("clean_shutdown",),
    "clone": ("clone", "x"),
    "copy": ("copy", "x", NULL),
    "destroy": ("destroy",),
    "hard_reboot": ("hard_reboot",),
    "hard_shutdown": ("hard_shutdown",),
    "make_into_template": ("set_is_a_template", True),
    "pause": ("pause",),
    "provision": ("provision",),
    "resume": ("resume", False, False),
    "revert": ("revert",),
    "send_sysrq": ("send_sysrq", "h"),
    "send_trigger": ("send_trigger", "nmi"),
    "snapshot": ("snapshot", "x"),
    "start": ("start", False, False),
    "suspend": ("suspend",),
    "unpause": ("unpause",),
}
# The simulated guest hears these, which the recorded service did not pass on.
DONE_HERE = {("hvm Running", "send_sysrq"), ("hvm Running", "send_trigger")}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with furnished_scene() as opened:
        yield opened


def made(scene: Scene, name: str) -> str:
    client = scene.client
    if name == "hvm Running":
        vm = running(client)
        eventually(lambda: client.VM.get_guest_metrics(vm), lambda ref: ref != NULL)
        return vm
    vm = halted(client)
    if name == "template":
        client.VM.set_is_a_template(vm, True)
    return client.VM.snapshot(vm, "s") if name == "snapshot" else vm


@pytest.mark.parametrize("name", OBSERVED)
def test_calls_are_refused_as_by_the_service(scene: Scene, name: str) -> None:
    compared = 0
    for operation, expected in OBSERVED[name]["refused"].items():
        if operation not in CALLS or (name, operation) in DONE_HERE:
            continue
        vm = made(scene, name)
        message, *params = CALLS[operation]
        try:
            scene.client(f"VM.{message}", vm, *params)
            found = ["ok"]
        except Failure as failure:
            found = failure.description
        found = [text.replace(vm, "<snapshot>" if name == "snapshot" else "<vm>") for text in found]
        assert (operation, found) == (operation, expected)
        compared += 1
    assert compared >= 15
