"""The built-in templates as VM rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from xapi.datamodel.classes import VM, Pool, VMMetrics
from xapi.datamodel.classes.vm import DomainType, OnCrashBehaviour, OnNormalExit
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.services.startup.template_catalog import CATALOG_VERSION, TEMPLATES, Template

MOST_VBDS = 255
MOST_VIFS = 7


def prepare_templates(
    transaction: Transaction, pool: Ref[Pool], now: datetime, templates: Iterable[Template] = TEMPLATES
) -> None:
    """Make the built-in templates that are missing, and renew those that an older catalogue made.

    A template is known by its reference_label, so that its name may be changed.
    """
    namespace = uuid.UUID(transaction.get(Pool, pool).uuid)
    known = {vm.reference_label: vm for vm in transaction.all(VM) if vm.is_default_template}
    for template in templates:
        vm = known.get(template.label)
        if vm is None:
            _make(transaction, template, str(uuid.uuid5(namespace, template.label)), now)
        elif vm.user_version < CATALOG_VERSION:
            values = conduct(template)
            values["other_config"] = {**vm.other_config, **values["other_config"]}
            transaction.update(VM, vm.ref, **values)


def _make(transaction: Transaction, template: Template, identifier: str, now: datetime) -> None:
    values = conduct(template)
    # The seed from which a clone that gets no seed of its own would make its MACs.
    values["other_config"]["mac_seed"] = str(uuid.uuid5(uuid.UUID(identifier), "mac_seed"))
    transaction.create(
        VM,
        uuid=identifier,
        name_label=template.name,
        name_description=template.about,
        reference_label=template.label,
        is_a_template=True,
        is_default_template=True,
        domid=-1,
        domain_type=DomainType.HVM,
        HVM_boot_policy="BIOS order",
        actions_after_shutdown=OnNormalExit.DESTROY,
        actions_after_reboot=OnNormalExit.RESTART,
        actions_after_crash=OnCrashBehaviour.RESTART,
        has_vendor_device=False,
        metrics=transaction.create(VMMetrics, install_time=now),
        **values,
    )


def conduct(template: Template) -> dict[str, Any]:
    """The fields that the catalogue decides, and that clones take over."""
    memory = 2 * template.memory_min
    return {
        "user_version": CATALOG_VERSION,
        "memory_static_min": template.memory_min,
        "memory_static_max": memory,
        "memory_dynamic_min": memory,
        "memory_dynamic_max": memory,
        "memory_target": memory,
        "VCPUs_max": template.vcpus,
        "VCPUs_at_startup": template.vcpus,
        "HVM_boot_params": dict(template.boot),
        "platform": dict(template.platform),
        "other_config": other_config(template),
        "recommendations": recommendations(template),
    }


def other_config(template: Template) -> dict[str, str]:
    """The keys by which installers and clients treat a VM made of the template; `mac_seed` comes with the row."""
    keys = {"default_template": "true", "install-methods": template.install_methods}
    if template.linux:
        keys["linux_template"] = "true"
    if template.distro:
        keys["install-distro"] = template.distro
    if template.disk:
        keys["disks"] = provision(template)
    return keys


def provision(template: Template) -> str:
    """The XML that says which disks VM.provision makes; the empty `sr` means the pool's default SR."""
    bootable = "true" if template.disk_bootable else "false"
    disk = f'<disk device="0" size="{template.disk}" sr="" bootable="{bootable}" type="system"/>'
    return f"<provision>{disk}</provision>"


def recommendations(template: Template) -> str:
    """The XML that says which limits are sensible for the guest."""
    rows = [_field("memory-static-max", "max", str(template.memory_max))]
    if template.vcpus_min:
        rows.append(_field("vcpus-min", "min", str(template.vcpus_min)))
    rows += [
        _field("vcpus-max", "max", str(template.vcpus_max)),
        _field("has-vendor-device", "value", "true" if template.vendor_device else "false"),
        _field("allow-gpu-passthrough", "value", str(int(template.gpu))),
        _field("allow-vgpu", "value", str(int(template.gpu))),
        _field("allow-network-sriov", "value", str(int(template.sriov))),
        _field("supports-bios", "value", _yes(template.supports_bios)),
        _field("supports-uefi", "value", _yes(template.supports_uefi)),
        _field("supports-secure-boot", "value", _yes(template.supports_secure_boot)),
        f'<restriction property="number-of-vbds" max="{MOST_VBDS}"/>',
        f'<restriction property="number-of-vifs" max="{MOST_VIFS}"/>',
    ]
    return f"<restrictions>{''.join(rows)}</restrictions>"


def _field(name: str, limit: str, value: str) -> str:
    return f'<restriction field="{name}" {limit}="{value}"/>'


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"
