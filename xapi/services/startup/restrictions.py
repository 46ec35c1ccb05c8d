"""What a licence would restrict, were there one: nothing is, and clients look for the keys that say so."""

from __future__ import annotations

EDITION = "free"
NEVER = "20991231T23:59:59Z"

_RESTRICTABLE = (
    "ad",
    "cbt",
    "certificate_verification",
    "checkpoint",
    "cluster_address",
    "connection",
    "corosync",
    "cpu_masking",
    "dmc",
    "dr",
    "email_alerting",
    "equalogic",
    "export_resource_data",
    "gpu",
    "guest_agent_auto_update",
    "guest_ip_setting",
    "health_check",
    "historical_performance",
    "hotfix_apply",
    "igmp_snooping",
    "integrated_gpu_passthrough",
    "intellicache",
    "internal_repo_access",
    "live_patching",
    "marathon",
    "nested_virt",
    "netapp",
    "network_sriov",
    "pci_device_for_auto_update",
    "pool_attached_storage",
    "pool_secret_rotation",
    "pool_size",
    "pooling",
    "pvs_proxy",
    "qos",
    "rbac",
    "rpu",
    "set_vcpus_number_live",
    "ssl_legacy_switch",
    "storage_xen_motion",
    "updates",
    "usb_passthrough",
    "vgpu",
    "vif_locking",
    "vlan",
    "vm_appliance_start",
    "vm_groups",
    "vm_start",
    "vmpr",
    "vmss",
    "vss",
    "vswitch_controller",
    "vtpm",
    "wlb",
    "xen_motion",
    "zstd_export",
)


def restrictions() -> dict[str, str]:
    """The map pool.restrictions: every feature is there to be used, and no dialog is to nag."""
    return {
        **{f"restrict_{name}": "false" for name in _RESTRICTABLE},
        "enable_xha": "true",
        "platform_filter": "false",
        "regular_nag_dialog": "false",
    }


def license_params() -> dict[str, str]:
    """The map host.license_params: a licence for everything that does not end."""
    return {
        "sku_type": EDITION,
        "sku_marketing_name": "LGPL-2.1-or-later",
        "license_type": "",
        "version": "",
        "productcode": "",
        "serialnumber": "",
        "company": "",
        "name": "",
        "address1": "",
        "address2": "",
        "city": "",
        "state": "",
        "postalcode": "",
        "country": "",
        "sockets": "0",
        "grace": "no",
        "expiry": NEVER,
        **restrictions(),
    }
