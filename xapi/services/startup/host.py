"""The host's own objects: host, host_metrics and one host_cpu a CPU."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from xapi.datamodel.classes import Host, HostCpu, HostMetrics
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.hypervisor.interface import HostFacts
from xapi.services.startup import restrictions, versions
from xapi.services.startup.inventory import Installation
from xapi.services.startup.surroundings import Surroundings

BOOT_TIME = "boot_time"
BIOS_KEYS = (
    "bios-vendor",
    "bios-version",
    "system-manufacturer",
    "system-product-name",
    "system-version",
    "system-serial-number",
    "baseboard-manufacturer",
    "baseboard-product-name",
    "baseboard-version",
    "baseboard-serial-number",
    "hp-rombios",
)


def find_host(transaction: Transaction, installation: Installation) -> Host | None:
    """This installation's host, if it has started before."""
    return next((host for host in transaction.all(Host) if host.uuid == installation.uuid), None)


def prepare_host(
    transaction: Transaction,
    installation: Installation,
    surroundings: Surroundings,
    facts: HostFacts,
    memory_free: int,
    now: datetime,
) -> Ref[Host]:
    """Make this host's objects, or bring them up to date; what clients may set is left as they set it."""
    host = find_host(transaction, installation)
    if host is None:
        ref = transaction.create(
            Host,
            uuid=installation.uuid,
            name_label=surroundings.hostname,
            name_description="Default install",
            enabled=True,
            boot_free_mem=memory_free,
            API_version_vendor=versions.API_VENDOR,
            metrics=transaction.create(HostMetrics),
            iscsi_iqn=f"iqn.2026-11.org.xapi:{installation.uuid[:8]}",
            edition=restrictions.EDITION,
            ssl_legacy=False,
            other_config={"multipathing": "false"},
        )
        host = transaction.get(Host, ref)
    rebooted = host.other_config.get(BOOT_TIME) != wire_seconds(facts.boot_time)
    _refresh_host(transaction, host, surroundings, facts, now)
    if rebooted:
        # A host that was disabled stays so until the machine itself has restarted.
        enabled = host.other_config.get("host_auto_enable") != "false"
        transaction.update(Host, host.ref, enabled=enabled, boot_free_mem=memory_free)
    _refresh_metrics(transaction, host, facts, now)
    _refresh_cpus(transaction, host.ref, facts)
    return host.ref


def _refresh_host(
    transaction: Transaction, host: Host, surroundings: Surroundings, facts: HostFacts, now: datetime
) -> None:
    transaction.update(
        Host,
        host.ref,
        API_version_major=versions.API_MAJOR,
        API_version_minor=versions.API_MINOR,
        address=surroundings.address,
        bios_strings={**dict.fromkeys(BIOS_KEYS, ""), **facts.bios_strings},
        capabilities=tuple(facts.capabilities),
        chipset_info={"iommu": "false", **facts.chipset_info},
        cpu_info=dict(facts.cpu_info),
        editions=(restrictions.EDITION,),
        hostname=surroundings.hostname,
        https_only=surroundings.https_only,
        license_params=restrictions.license_params(),
        memory_overhead=facts.memory_overhead,
        other_config={
            **host.other_config,
            BOOT_TIME: wire_seconds(facts.boot_time),
            "agent_start_time": wire_seconds(now),
            "iscsi_iqn": host.iscsi_iqn,
        },
        sched_policy="credit",
        software_version=versions.software_version(
            surroundings.product,
            hostname=surroundings.hostname,
            hypervisor_version=facts.hypervisor_version,
            linux_version=surroundings.linux_version,
            network_backend=surroundings.network_backend,
        ),
        supported_bootloaders=("pygrub", "eliloader"),
        virtual_hardware_platform_versions=(0, 1, 2),
    )


def _refresh_metrics(transaction: Transaction, host: Host, facts: HostFacts, now: datetime) -> None:
    metrics = host.metrics
    if transaction.find(HostMetrics, metrics) is None:
        metrics = transaction.create(HostMetrics)
        transaction.update(Host, host.ref, metrics=metrics)
    transaction.update(HostMetrics, metrics, live=True, memory_total=facts.memory_total, last_updated=now)


def _refresh_cpus(transaction: Transaction, host: Ref[Host], facts: HostFacts) -> None:
    known = {cpu.number: cpu.ref for cpu in transaction.all(HostCpu) if cpu.host == host}
    for cpu in facts.cpus:
        values: dict[str, Any] = {
            "vendor": cpu.vendor,
            "speed": cpu.speed,
            "modelname": cpu.modelname,
            "family": cpu.family,
            "model": cpu.model,
            "stepping": cpu.stepping,
            "flags": cpu.flags,
            "features": cpu.features,
        }
        ref = known.pop(cpu.number, None)
        if ref is None:
            transaction.create(HostCpu, host=host, number=cpu.number, **values)
        else:
            transaction.update(HostCpu, ref, **values)
    for ref in known.values():
        transaction.delete(HostCpu, ref)


def wire_seconds(moment: datetime) -> str:
    """An instant as clients expect it in other_config: whole seconds since 1970 and a full stop."""
    return f"{moment.timestamp():.0f}."
