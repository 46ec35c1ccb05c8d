from __future__ import annotations

import base64

import pytest

from tests.actions.storage_house import NULL, refusal
from tests.fakes.eventually import eventually
from tests.fakes.guests import halted, running
from xapi.datamodel.classes import VTPM, Blob, Pool, Secret

UNKNOWN = 'The requested fn "nosuch" could not be found in plugin "guest-agent-operation".'


def reporting(client, **values) -> str:
    vm = running(client, **values)
    eventually(lambda: client.VM.get_guest_metrics(vm), lambda ref: ref != NULL)
    return vm


def test_a_plugin_of_the_guest(client, clock):
    vm = reporting(client)
    assert client.VM.call_plugin(vm, "guest-agent-operation", "ping", {}) == "pong"
    clock.advance(4)
    limited = refusal(client.VM.call_plugin, vm, "guest-agent-operation", "ping", {})
    assert limited == ["VM_CALL_PLUGIN_RATE_LIMIT", vm, "10.0", "6.0"]
    clock.advance(6.1)
    failed = refusal(client.VM.call_plugin, vm, "guest-agent-operation", "nosuch", {})
    assert failed == ["XENAPI_PLUGIN_FAILURE", "failed to find fn", UNKNOWN, UNKNOWN]
    assert refusal(client.VM.call_plugin, vm, "another", "x", {}) == ["XENAPI_MISSING_PLUGIN", "another"]
    assert client.VM.get_current_operations(vm) == {}


def test_a_plugin_of_the_host(client):
    vm = halted(client)
    assert refusal(client.VM.call_host_plugin, vm, "x", "y", {})[0] == "VM_BAD_POWER_STATE"
    client.VM.start(vm, False, False)
    assert refusal(client.VM.call_host_plugin, vm, "nosuch", "y", {}) == ["XENAPI_MISSING_PLUGIN", "nosuch"]


def test_sleep(client):
    vm = halted(client)
    assert refusal(client.VM.s3_suspend, vm)[0] == "VM_BAD_POWER_STATE"
    client.VM.start(vm, False, False)
    client.VM.s3_suspend(vm)
    client.VM.s3_resume(vm)
    assert client.VM.get_power_state(vm) == "Running"
    assert client.VM.get_current_operations(vm) == {}


def test_device_models_are_restarted(client):
    vm = halted(client)
    assert refusal(client.VM.restart_device_models, vm) == ["VM_BAD_POWER_STATE", vm, "running", "halted"]
    client.VM.start(vm, False, False)
    eventually(lambda: client.VM.get_guest_metrics(vm), lambda ref: ref != NULL)
    domid = client.VM.get_domid(vm)
    client.VM.restart_device_models(vm)
    assert client.VM.get_power_state(vm) == "Running"
    assert client.VM.get_domid(vm) != domid


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, "first_boot"),
        ((), "setup_mode"),
        (("PK",), "certs_incomplete"),
        (("PK", "KEK", "db"), "ready_no_dbx"),
        (("PK", "KEK", "db", "dbx"), "ready"),
    ],
)
def test_readiness_for_secure_boot(client, names, expected):
    vm = halted(client, HVM_boot_params={"firmware": "uefi"}, platform={"secureboot": "true"})
    if names is not None:
        texts = (name.encode("utf-16-le") for name in names)
        content = b"".join(len(text).to_bytes(8, "little") + text + b"data" for text in texts)
        client.VM.set_NVRAM_EFI_variables(vm, base64.b64encode(content).decode(), "yes")
    assert client.VM.get_secureboot_readiness(vm) == expected


def test_readiness_for_secure_boot_of_others(client):
    assert client.VM.get_secureboot_readiness(halted(client)) == "not_supported"
    vm = halted(client, HVM_boot_params={"firmware": "uefi"})
    assert client.VM.get_secureboot_readiness(vm) == "disabled"


def test_firmware_keeps_its_variables_while_the_guest_runs(client):
    vm = running(client, NVRAM={"kept": "x"})
    client.VM.set_NVRAM_EFI_variables(vm, "AAAA", "unspecified")
    assert client.VM.get_NVRAM(vm) == {"kept": "x", "EFI-variables": "AAAA"}
    assert refusal(client.VM.set_NVRAM_EFI_variables, vm, "A" * ((1 << 20) + 1), "no")[0] == "INVALID_VALUE"


def test_what_a_start_notes(client):
    vm = running(client, platform={"nested-virt": "true"})
    host = client.host.get_cpu_info(client.host.get_all()[0])
    assert client.VM.get_last_boot_CPU_flags(vm)["vendor"] == host["vendor"]
    metrics = client.VM.get_metrics(vm)
    assert client.VM_metrics.get_nested_virt(metrics) is True
    assert "suspend" not in client.VM.get_allowed_operations(vm)
    assert refusal(client.VM.pool_migrate, vm, client.host.get_all()[0], {}) == ["VM_IS_IMMOBILE", vm]
    client.VM.hard_shutdown(vm)
    assert client.VM_metrics.get_nested_virt(metrics) is False


def test_protection_begins_with_the_start_and_ends_with_the_shutdown(client):
    vm = halted(client)
    client.VM.set_ha_restart_priority(vm, "restart")
    assert client.VM.get_ha_always_run(vm) is False
    client.VM.start(vm, False, False)
    assert client.VM.get_ha_always_run(vm) is True
    client.VM.clean_reboot(vm)
    assert client.VM.get_ha_always_run(vm) is True
    client.VM.hard_shutdown(vm)
    assert client.VM.get_ha_always_run(vm) is False


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"VCPUs_max": "0", "VCPUs_at_startup": "0"}, "INVALID_VALUE"),
        ({"VCPUs_at_startup": "3"}, "INVALID_VALUE"),
        ({"memory_static_min": str(1 << 30)}, "MEMORY_CONSTRAINT_VIOLATION"),
    ],
)
def test_settings_that_contradict_one_another_do_not_start(client, settings, code):
    vm = halted(client, **settings)
    assert refusal(client.VM.start, vm, False, False)[0] == code
    assert client.VM.get_power_state(vm) == "Halted"


def test_a_destroyed_vm_takes_its_secrets_and_blobs_along(client, toolstack):
    vm = halted(client)
    restrictions = {**toolstack.pool.restrictions, "restrict_vtpm": "false"}
    with toolstack.db.transaction() as transaction:
        transaction.update(Pool, toolstack.pool.ref, restrictions=restrictions)
    client.VTPM.create(vm, False)
    client.VM.create_new_blob(vm, "notes", "text/plain", False)
    copy = client.VM.clone(vm, "copy")
    tpms = {one: toolstack.db.get(VTPM, client.VM.get_VTPMs(one)[0]) for one in (vm, copy)}
    assert tpms[vm].contents != tpms[copy].contents
    assert len(toolstack.db.all(Secret)) == 2
    client.VM.destroy(vm)
    assert [row.ref for row in toolstack.db.all(Secret)] == [tpms[copy].contents]
    assert toolstack.db.all(Blob) == []
    assert client.VTPM.get_contents(client.VM.get_VTPMs(copy)[0]) == ""
