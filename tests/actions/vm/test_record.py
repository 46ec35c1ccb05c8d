from __future__ import annotations

import pytest

from tests.fakes.guests import halted, running
from xapi.datamodel.failure import Failure

ORDER = "VCPU values must satisfy: 0 < VCPUs_at_startup \u2264 VCPUs_max"


def refusal(call, *params) -> list[str]:
    with pytest.raises(Failure) as caught:
        call(*params)
    return caught.value.description


def test_what_create_fills_in(client):
    record = client.VM.get_record(halted(client, has_vendor_device=True))
    assert record["power_state"] == "Halted"
    assert record["domain_type"] == "hvm"
    assert record["other_config"]["mac_seed"]
    assert record["hardware_platform_version"] == "2"
    assert record["metrics"] != "OpaqueRef:NULL"
    assert record["memory_target"] == record["memory_dynamic_max"]


def test_members_left_out_and_unknown_ones(client):
    vm = client.VM.create({"name_label": "bare", "no_such_member": {"x": []}})
    assert client.VM.get_name_label(vm) == "bare"
    assert client.VM.get_domain_type(vm) == "pv"


def test_dead_references_in_create(client):
    with pytest.raises(Failure) as caught:
        halted(client, affinity="OpaqueRef:dead")
    assert caught.value.description == ["HANDLE_INVALID", "host", "OpaqueRef:dead"]


def test_a_restored_vm_is_suspended_and_goes_on(client):
    vm = running(client)
    client.VM.suspend(vm)
    image = client.VM.get_suspend_VDI(vm)
    copied = client.VDI.copy(image, client.VDI.get_SR(image))
    values = {**client.VM.get_record(vm), "name_label": "restored", "suspend_VDI": copied}
    restored = client.VM.create(values)
    record = client.VM.get_record(restored)
    assert (record["power_state"], record["suspend_VDI"]) == ("Suspended", copied)
    client.VM.resume(restored, False, False)
    assert client.VM.get_power_state(restored) == "Running"
    assert client.VM.get_record(vm)["suspend_VDI"] == image


def test_two_vms_do_not_share_one_memory_image(client):
    vm = running(client)
    client.VM.suspend(vm)
    image = client.VM.get_suspend_VDI(vm)
    assert refusal(client.VM.create, client.VM.get_record(vm)) == ["VDI_IN_USE", image, "create"]
    client.VM.resume(vm, False, False)


@pytest.mark.parametrize("state", ["Running", "Paused", "Suspended"])
def test_a_record_of_a_live_vm_makes_a_halted_one(client, state):
    vm = halted(client, power_state=state, suspend_VDI="OpaqueRef:NULL")
    assert client.VM.get_power_state(vm) == "Halted"


def test_destroy_takes_everything_along(client, toolstack):
    before = {entity: len(table) for entity, table in toolstack.db.tables.items() if entity.wire_name != "session"}
    vm = halted(client)
    client.VM.destroy(vm)
    after = {entity: len(table) for entity, table in toolstack.db.tables.items() if entity.wire_name != "session"}
    assert after == before
    assert refusal(client.VM.destroy, vm) == ["HANDLE_INVALID", "VM", vm]


def test_a_running_vm_is_not_destroyed(client):
    vm = running(client)
    assert refusal(client.VM.destroy, vm) == ["VM_BAD_POWER_STATE", vm, "halted, suspended", "running"]


@pytest.mark.parametrize(
    ("message", "value", "error"),
    [
        ("set_VCPUs_max", "0", ["INVALID_VALUE", ORDER, "0"]),
        ("set_VCPUs_at_startup", "9", ["INVALID_VALUE", ORDER, "9"]),
        ("set_memory_static_max", "-1", ["MEMORY_CONSTRAINT_VIOLATION_ORDER"]),
        ("set_ha_restart_priority", "nosuch", ["INVALID_VALUE", "ha_restart_priority", "nosuch"]),
        ("set_start_delay", "-1", ["INVALID_VALUE", "start_delay must be non-negative", "-1"]),
    ],
)
def test_values_that_are_refused(client, message, value, error):
    vm = halted(client)
    before = client.VM.get_record(vm)
    assert refusal(getattr(client.VM, message), vm, value) == error
    assert client.VM.get_record(vm) == before


def test_memory_limits(client):
    vm = halted(client)
    mib = 1 << 20
    client.VM.set_memory_limits(vm, str(64 * mib), str(512 * mib), str(128 * mib), str(256 * mib))
    record = client.VM.get_record(vm)
    assert [record[f"memory_{name}"] for name in ("static_min", "dynamic_min", "dynamic_max", "static_max")] == [
        str(amount * mib) for amount in (64, 128, 256, 512)
    ]
    assert int(record["memory_overhead"]) > 0
    assert refusal(client.VM.set_memory_dynamic_range, vm, str(600 * mib), str(700 * mib))[0].startswith("MEMORY_")
    client.VM.set_memory_dynamic_range(vm, str(100 * mib), str(200 * mib))
    client.VM.start(vm, False, False)
    client.VM.set_memory_dynamic_range(vm, str(100 * mib), str(150 * mib))
    client.VM.wait_memory_target_live(vm)
    assert int(client.VM.maximise_memory(vm, str(1024 * mib), False)) < 1024 * mib


def test_only_vm_data_reaches_the_guest(client, toolstack):
    vm = running(client)
    client.VM.set_xenstore_data(vm, {"vm-data/hello": "world", "device/vbd": "not for the guest"})
    assert toolstack.hypervisor.domains.get(client.VM.get_uuid(vm)).vm_data == {"vm-data/hello": "world"}
    assert client.VM.get_xenstore_data(vm)["device/vbd"] == "not for the guest"


def test_templates_and_vms(client):
    vm = halted(client)
    client.VM.set_is_a_template(vm, True)
    assert "start" not in client.VM.get_allowed_operations(vm)
    client.VM.set_is_a_template(vm, False)
    assert "start" in client.VM.get_allowed_operations(vm)
    other = running(client)
    assert refusal(client.VM.set_is_a_template, other, True)[0] == "VM_BAD_POWER_STATE"


def test_domain_type_follows_the_boot_policy(client):
    vm = halted(client)
    client.VM.set_HVM_boot_policy(vm, "")
    assert client.VM.get_domain_type(vm) == "pv"
    client.VM.set_domain_type(vm, "hvm")
    assert client.VM.get_HVM_boot_policy(vm) == "BIOS order"


def test_bios_strings_are_set_once(client):
    vm = halted(client)
    assert refusal(client.VM.set_bios_strings, vm, {"nosuch": "x"})[0] == "INVALID_VALUE"
    client.VM.set_bios_strings(vm, {"bios-vendor": "somebody"})
    assert client.VM.get_bios_strings(vm)["bios-vendor"] == "somebody"
    assert refusal(client.VM.set_bios_strings, vm, {"bios-vendor": "else"}) == ["VM_BIOS_STRINGS_ALREADY_SET"]


def test_maps_with_messages_of_their_own(client):
    vm = halted(client)
    client.VM.add_to_other_config(vm, "a", "1")
    with pytest.raises(Failure) as caught:
        client.VM.add_to_other_config(vm, "a", "2")
    assert caught.value.description == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "a"]
    client.VM.remove_from_other_config(vm, "a")
    client.VM.remove_from_other_config(vm, "a")
    client.VM.set_platform(vm, {"nx": "true"})
    assert client.VM.get_platform(vm) == {"nx": "true"}
