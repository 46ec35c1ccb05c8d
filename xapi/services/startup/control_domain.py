"""The control domain as a VM: its row, its metrics and its two consoles."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.classes import VM, Console, Host, VMMetrics
from xapi.datamodel.classes.console import ConsoleProtocol
from xapi.datamodel.classes.vm import (
    DomainType,
    OnCrashBehaviour,
    OnNormalExit,
    VmPowerState,
)
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.hypervisor.interface import HostFacts
from xapi.services.startup.inventory import Installation
from xapi.services.startup.surroundings import Surroundings

CONSOLE_PORTS = {ConsoleProtocol.RFB: 5900, ConsoleProtocol.VT100: 9500}


def prepare_control_domain(
    transaction: Transaction,
    installation: Installation,
    surroundings: Surroundings,
    facts: HostFacts,
    host: Ref[Host],
    now: datetime,
) -> Ref[VM]:
    """Make the control domain's objects, or bring them up to date with the machine."""
    known = next((vm for vm in transaction.all(VM) if vm.uuid == installation.control_domain), None)
    ref = known.ref if known is not None else _make(transaction, installation, host, now)
    memory, vcpus = facts.control_domain_memory, facts.control_domain_vcpus
    transaction.update(
        VM,
        ref,
        name_label=f"Control domain on host: {transaction.get(Host, host).name_label}",
        power_state=VmPowerState.RUNNING,
        resident_on=host,
        domid=0,
        domarch="x64",
        domain_type=DomainType.PV,
        memory_static_max=memory,
        memory_static_min=memory,
        memory_dynamic_max=memory,
        memory_dynamic_min=memory,
        memory_target=memory,
        VCPUs_max=vcpus,
        VCPUs_at_startup=vcpus,
    )
    transaction.update(
        VMMetrics,
        transaction.get(VM, ref).metrics,
        memory_actual=memory,
        VCPUs_number=vcpus,
        start_time=facts.boot_time,
        last_updated=now,
        current_domain_type=DomainType.PV,
        hvm=False,
    )
    _prepare_consoles(transaction, ref, surroundings)
    transaction.update(Host, host, control_domain=ref)
    return ref


def _make(transaction: Transaction, installation: Installation, host: Ref[Host], now: datetime) -> Ref[VM]:
    """The row of a control domain that is new: what stays as it is from its first start on."""
    return transaction.create(
        VM,
        uuid=installation.control_domain,
        name_description="Manages this host's devices and its other domains.",
        user_version=1,
        is_control_domain=True,
        affinity=host,
        actions_after_shutdown=OnNormalExit.DESTROY,
        actions_after_reboot=OnNormalExit.DESTROY,
        actions_after_crash=OnCrashBehaviour.DESTROY,
        has_vendor_device=False,
        generation_id="",
        metrics=transaction.create(VMMetrics, install_time=now),
    )


def _prepare_consoles(transaction: Transaction, vm: Ref[VM], surroundings: Surroundings) -> None:
    known = {console.protocol: console for console in transaction.all(Console) if vm == console.VM}
    for protocol, port in CONSOLE_PORTS.items():
        console = known.get(protocol)
        if console is None:
            console = transaction.get(
                Console, transaction.create(Console, protocol=protocol, VM=vm, port=port, other_config={})
            )
        transaction.update(
            Console, console.ref, location=f"https://{surroundings.authority}/console?uuid={console.uuid}"
        )
