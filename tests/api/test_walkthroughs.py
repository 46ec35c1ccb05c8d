"""Whole flows as programs play them: the SDK guide's first one, and a cloud controller's start of an instance."""

from __future__ import annotations

import time
from typing import Any

import pytest
import XenAPI

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@pytest.fixture
def api(running) -> Any:
    """The PyPI client over TLS."""
    session = running.over_tls()
    session.login_with_password("root", running.password, "1.0", "walkthrough")
    yield session.xenapi
    session.xenapi.session.logout()
    running.close_clients()


def done(api: Any, task: str) -> str:
    """The result of a task, polled as clients do."""
    deadline = time.monotonic() + 60
    while (status := api.task.get_status(task)) == "pending":
        assert time.monotonic() < deadline, "the task does not end"
        time.sleep(0.005)
    assert status == "success", api.task.get_error_info(task)
    result: str = api.task.get_result(task)
    api.task.destroy(task)
    return result


def removed_with_disks(api: Any, vm: str) -> None:
    disks = [
        api.VBD.get_VDI(vbd)
        for vbd in api.VM.get_VBDs(vm)
        if api.VBD.get_type(vbd) == "Disk" and not api.VBD.get_empty(vbd)
    ]
    api.VM.destroy(vm)
    for disk in disks:
        api.VDI.destroy(disk)


def test_the_first_flow_of_the_sdk_guide(api):
    templates = {
        ref: record
        for ref, record in api.VM.get_all_records().items()
        if record["is_a_template"] and not record["is_a_snapshot"]
    }
    template = next(ref for ref, record in templates.items() if record["name_label"].startswith("Debian"))
    vm = api.VM.clone(template, "from the guide")
    pool = api.pool.get_all()[0]
    default_sr = api.pool.get_default_SR(pool)
    sr_uuid = api.SR.get_uuid(default_sr)
    disks = api.VM.get_other_config(vm)["disks"].replace('sr=""', f'sr="{sr_uuid}"')
    api.VM.remove_from_other_config(vm, "disks")
    api.VM.add_to_other_config(vm, "disks", disks)
    network = api.network.get_all()[0]
    api.VIF.create(
        {
            "device": "0",
            "network": network,
            "VM": vm,
            "MAC": "",
            "MTU": "1500",
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )
    done(api, api.Async.VM.provision(vm))
    assert api.VM.get_is_a_template(vm) is False
    (vbd,) = [vbd for vbd in api.VM.get_VBDs(vm) if api.VBD.get_type(vbd) == "Disk"]
    assert api.VBD.get_bootable(vbd)
    assert api.VDI.get_SR(api.VBD.get_VDI(vbd)) == default_sr
    done(api, api.Async.VM.start(vm, False, False))
    assert api.VM.get_power_state(vm) == "Running"
    assert api.VBD.get_currently_attached(vbd)
    assert api.VBD.get_device(vbd) in ("xvda", "hda")
    done(api, api.Async.VM.suspend(vm))
    assert api.VM.get_power_state(vm) == "Suspended"
    assert api.VM.get_suspend_VDI(vm) != "OpaqueRef:NULL"
    done(api, api.Async.VM.resume(vm, False, True))
    assert api.VM.get_power_state(vm) == "Running"
    done(api, api.Async.VM.clean_shutdown(vm))
    assert api.VM.get_power_state(vm) == "Halted"
    removed_with_disks(api, vm)


def test_a_cloud_controllers_instance(api):
    (host,) = api.host.get_all()
    template = api.VM.get_by_name_label("Other install media")[0]
    vm = api.VM.clone(template, "i-2-3-VM")
    api.VM.set_is_a_template(vm, False)
    api.VM.set_affinity(vm, host)
    other_config = api.VM.get_other_config(vm)
    other_config.pop("disks", None)
    other_config["vm_uuid"] = "12345"
    api.VM.set_other_config(vm, other_config)
    api.VM.set_memory_limits(vm, *(str(512 * MEBIBYTE),) * 4)
    api.VM.set_VCPUs_max(vm, "2")
    api.VM.set_VCPUs_at_startup(vm, "2")
    api.VM.set_VCPUs_params(vm, {"weight": "512", "cap": "0"})
    api.VM.set_actions_after_crash(vm, "destroy")
    api.VM.set_actions_after_shutdown(vm, "destroy")
    api.VM.set_PV_args(vm, "-- quiet console=hvc0")
    sr = api.pool.get_default_SR(api.pool.get_all()[0])
    for number in range(2):
        volume = api.VDI.create(
            {
                "name_label": f"volume {number}",
                "name_description": "",
                "SR": sr,
                "virtual_size": str(GIBIBYTE),
                "type": "user",
                "sharable": False,
                "read_only": False,
                "other_config": {},
                "sm_config": {},
            }
        )
        api.VBD.create(
            {
                "VM": vm,
                "VDI": volume,
                "userdevice": str(number),
                "bootable": number == 0,
                "mode": "RW",
                "type": "Disk",
                "unpluggable": number > 0,
                "empty": False,
                "other_config": {},
                "qos_algorithm_type": "",
                "qos_algorithm_params": {},
            }
        )
    api.VBD.create(
        {
            "VM": vm,
            "VDI": "OpaqueRef:NULL",
            "userdevice": "3",
            "bootable": False,
            "mode": "RO",
            "type": "CD",
            "unpluggable": True,
            "empty": True,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )
    network = api.network.create({"name_label": "VLAN100", "name_description": "", "MTU": "1500", "other_config": {}})
    card = next(ref for ref, record in api.PIF.get_all_records().items() if record["physical"])
    vlan = api.VLAN.create(card, "100", network)
    vif = api.VIF.create(
        {
            "device": "0",
            "network": network,
            "VM": vm,
            "MAC": "06:ca:de:00:00:12",
            "MTU": "1500",
            "other_config": {"nicira-iface-id": "x"},
            "qos_algorithm_type": "ratelimit",
            "qos_algorithm_params": {"kbps": "25600"},
        }
    )
    task = api.Async.VM.start_on(vm, host, False, False)
    assert done(api, task) == "<value></value>"
    assert api.VM.get_resident_on(vm) == host
    assert api.VIF.get_currently_attached(vif)
    assert [api.VIF.get_MAC(ref) for ref in api.VM.get_VIFs(vm)] == ["06:ca:de:00:00:12"]
    api.VM.hard_shutdown(vm)
    removed_with_disks(api, vm)
    api.VLAN.destroy(vlan)
    api.network.destroy(network)


def test_a_card_of_the_control_domain_makes_a_bridge(api):
    """A controller plugs and unplugs a VIF of the control domain so that a network has its bridge."""
    network = api.network.create(
        {"name_label": "OVSTunnel7", "name_description": "", "MTU": "1500", "other_config": {}}
    )
    dom0 = next(ref for ref, record in api.VM.get_all_records().items() if record["is_control_domain"])
    vif = api.VIF.create(
        {
            "device": "0",
            "network": network,
            "VM": dom0,
            "MAC": "",
            "MTU": "0",
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
            "locking_mode": "network_default",
            "ipv4_allowed": [],
            "ipv6_allowed": [],
        }
    )
    api.VIF.plug(vif)
    assert api.VIF.get_currently_attached(vif)
    api.VIF.unplug(vif)
    api.VIF.destroy(vif)
    assert api.network.get_bridge(network)
    api.network.destroy(network)


def test_a_failed_start_leaves_nothing(api):
    """A controller that meets an error cancels, looks at the state, and cleans up."""
    template = api.VM.get_by_name_label("Other install media")[0]
    vm = api.VM.clone(template, "too big")
    api.VM.set_is_a_template(vm, False)
    huge = str(1 << 50)
    api.VM.set_memory_limits(vm, huge, huge, huge, huge)
    task = api.Async.VM.start(vm, False, False)
    deadline = time.monotonic() + 60
    while api.task.get_status(task) == "pending" and time.monotonic() < deadline:
        time.sleep(0.005)
    assert api.task.get_error_info(task)[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert api.VM.get_power_state(vm) == "Halted"
    assert api.VM.get_current_operations(vm) == {}
    api.VM.destroy(vm)
    with pytest.raises(XenAPI.Failure) as caught:
        api.VM.get_record(vm)
    assert caught.value.details == ["HANDLE_INVALID", "VM", vm]
