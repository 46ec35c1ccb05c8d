"""A toolstack that is killed while it works on VMs comes back with rows, domains and disks that agree."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
import XenAPI

from tests.fakes.guests import vm_record
from tests.fakes.served import ServerProcess

# The PyPI client leaves a socket behind when it cannot connect again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

GIBIBYTE = 1 << 30
NULL = "OpaqueRef:NULL"


def live_a_life(api: Any, name: str) -> None:
    """One VM with a disk from birth to death."""
    sr = api.pool.get_default_SR(api.pool.get_all()[0])
    vm = api.VM.create(vm_record(name_label=name))
    disk = api.VDI.create(
        {
            "name_label": name,
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
            "VDI": disk,
            "userdevice": "0",
            "bootable": True,
            "mode": "RW",
            "type": "Disk",
            "unpluggable": True,
            "empty": False,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )
    api.VM.start(vm, False, False)
    snapshot = api.VM.snapshot(vm, f"{name} snapshot")
    clone = api.VM.clone(snapshot, f"{name} clone")
    api.VM.suspend(vm)
    api.VM.resume(vm, False, False)
    api.VM.hard_shutdown(vm)
    for one in (clone, snapshot, vm):
        disks = [api.VBD.get_VDI(vbd) for vbd in api.VM.get_VBDs(one)]
        api.VM.destroy(one)
        for vdi in disks:
            api.VDI.destroy(vdi)


def work_until_it_dies(server: ServerProcess, number: int, problems: list[Exception]) -> None:
    session = server.logged_in()
    try:
        while True:
            live_a_life(session.xenapi, f"life {number}")
    except XenAPI.Failure as failure:
        problems.append(failure)
    except Exception:  # noqa: BLE001 - however the client notices that its server is gone
        return


def disagreements(api: Any) -> list[str]:
    """What does not fit together after a restart."""
    found: list[str] = []
    vms = api.VM.get_all_records()
    for ref, vm in vms.items():
        alive = vm["power_state"] in ("Running", "Paused")
        if vm["current_operations"]:
            found.append(f"{vm['name_label']} is busy with {vm['current_operations']}")
        if alive != (int(vm["domid"]) >= 0) or alive != (vm["resident_on"] != NULL):
            found.append(f"{vm['name_label']} is {vm['power_state']} with domid {vm['domid']}")
        if (vm["power_state"] == "Suspended") != (vm["suspend_VDI"] != NULL):
            found.append(f"{vm['name_label']} is {vm['power_state']} with the image {vm['suspend_VDI']}")
        for vbd in vm["VBDs"]:
            record = api.VBD.get_record(vbd)
            if record["VM"] != ref or (record["currently_attached"] and not alive):
                found.append(f"a drive of {vm['name_label']} is not as its VM")
    for record in api.VDI.get_all_records().values():
        if record["current_operations"]:
            found.append(f"disk {record['name_label']} is busy with {record['current_operations']}")
    found += [
        f"task {task['name_label']} is pending"
        for task in api.task.get_all_records().values()
        if task["status"] == "pending"
    ]
    return found


def clear(api: Any) -> None:
    """Everything that lives left behind can be removed by ordinary calls."""
    for ref, vm in api.VM.get_all_records().items():
        if not vm["name_label"].startswith("life "):
            continue
        if vm["power_state"] != "Halted" and not vm["is_a_snapshot"]:
            api.VM.hard_shutdown(ref)
        api.VM.destroy(ref)
    for sr in api.SR.get_all():
        if api.SR.get_type(sr) in ("ext", "file"):
            api.SR.scan(sr)
    for ref, vdi in api.VDI.get_all_records().items():
        if vdi["managed"] and api.SR.get_type(vdi["SR"]) in ("ext", "file"):
            api.VDI.destroy(ref)


def killed_and_looked_at(times: int, seed: int) -> None:
    chance = random.Random(seed)
    server = ServerProcess()
    problems: list[Exception] = []
    try:
        for _ in range(times):
            workers = [
                threading.Thread(target=work_until_it_dies, args=(server, number, problems), daemon=True)
                for number in range(3)
            ]
            for worker in workers:
                worker.start()
            time.sleep(chance.uniform(0.05, 0.7))
            server.kill()
            for worker in workers:
                worker.join(30)
            server.close_clients()
            server.start()
            api = server.logged_in().xenapi
            assert disagreements(api) == []
            clear(api)
            server.close_clients()
        assert problems == []
    finally:
        server.close()


def test_some_times():
    killed_and_looked_at(6, seed=1)


@pytest.mark.thorough
def test_many_times():
    killed_and_looked_at(30, seed=2)
