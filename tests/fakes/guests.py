"""Ready-made VMs for tests."""

from __future__ import annotations

from typing import Any

from tests.fakes.house import Caller

MEBIBYTE = 1 << 20


def vm_record(**values: Any) -> dict[str, Any]:
    """What a client gives VM.create for a small HVM guest without devices."""
    return {
        "name_label": "guest",
        "name_description": "",
        "user_version": "1",
        "is_a_template": False,
        "affinity": "OpaqueRef:NULL",
        "memory_static_max": str(128 * MEBIBYTE),
        "memory_dynamic_max": str(128 * MEBIBYTE),
        "memory_dynamic_min": str(128 * MEBIBYTE),
        "memory_static_min": str(16 * MEBIBYTE),
        "VCPUs_params": {},
        "VCPUs_max": "2",
        "VCPUs_at_startup": "1",
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "restart",
        "actions_after_crash": "restart",
        "PV_bootloader": "",
        "PV_kernel": "",
        "PV_ramdisk": "",
        "PV_args": "",
        "PV_bootloader_args": "",
        "PV_legacy_args": "",
        "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "c"},
        "platform": {"pae": "true"},
        "PCI_bus": "",
        "other_config": {},
        "recommendations": "",
        **values,
    }


def halted(client: Caller, **values: Any) -> str:
    """A halted VM."""
    made: str = client.VM.create(vm_record(**values))
    return made


def running(client: Caller, **values: Any) -> str:
    """A running VM."""
    made = halted(client, **values)
    client.VM.start(made, False, False)
    return made
