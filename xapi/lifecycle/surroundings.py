"""What the tables need to know of the objects around a row: the pool, the guest inside a VM, the driver of an SR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.pbd import PBD
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.sm import SM
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.vm import VM, DomainType
from xapi.datamodel.classes.vm_guest_metrics import TristateType, VMGuestMetrics
from xapi.datamodel.classes.vm_metrics import VMMetrics
from xapi.datamodel.model import NULL
from xapi.lifecycle.view import View

NO_FEATURES: Final[Mapping[str, int]] = {}


def is_true(settings: Mapping[str, str], key: str) -> bool:
    """Whether a map says yes to a key: "1" or "true" in any case."""
    return settings.get(key, "").lower() in ("1", "true")


def the_pool(view: View) -> Pool | None:
    """The pool, of which there is one once the server is set up."""
    return next(iter(view.all(Pool)), None)


def rolling_upgrade(view: View) -> bool:
    """Whether the hosts of the pool are being upgraded one after the other."""
    pool = the_pool(view)
    return pool is not None and "rolling_upgrade_in_progress" in pool.other_config


def ha_enabled(view: View) -> bool:
    """Whether high availability is on."""
    pool = the_pool(view)
    return pool is not None and pool.ha_enabled


def clones_suspended(view: View) -> bool:
    """Whether the pool lets suspended VMs be cloned (`allow_clone_suspended_vm` in its other_config)."""
    pool = the_pool(view)
    return pool is not None and is_true(pool.other_config, "allow_clone_suspended_vm")


def metrics_of(view: View, vm: VM) -> VMMetrics | None:
    """The figures that the host keeps of a VM."""
    return view.find(VMMetrics, vm.metrics) if vm.metrics != NULL else None


def guest_metrics_of(view: View, vm: VM) -> VMGuestMetrics | None:
    """What the agent in the guest has said; None until it has said anything."""
    return view.find(VMGuestMetrics, vm.guest_metrics) if vm.guest_metrics != NULL else None


def has_pv_drivers(guest: VMGuestMetrics | None) -> bool:
    """Whether paravirtual drivers were seen in the guest, by their version or by the host."""
    return guest is not None and (guest.PV_drivers_detected or "major" in guest.PV_drivers_version)


def feature_missing(guest: VMGuestMetrics | None, *features: str) -> bool:
    """Whether the guest's agent has announced none of the features."""
    return guest is None or all(guest.other.get(feature) != "1" for feature in features)


def needs_guest_support(view: View, vm: VM) -> bool:
    """Whether a running guest must have announced what it can do: fully virtualised, and without PV drivers.

    A VM whose metrics do not say that it is fully virtualised is taken as paravirtual, which can do everything.
    """
    metrics = metrics_of(view, vm)
    if metrics is not None and not metrics.hvm and metrics.current_domain_type != DomainType.HVM:
        return False
    return not has_pv_drivers(guest_metrics_of(view, vm))


def runs_fully_virtualised(view: View, vm: VM) -> bool:
    """Whether the domain of a running VM is fully virtualised."""
    metrics = metrics_of(view, vm)
    kind = DomainType.UNSPECIFIED if metrics is None else metrics.current_domain_type
    if kind == DomainType.UNSPECIFIED:
        kind = vm.domain_type
    if kind == DomainType.UNSPECIFIED:
        return vm.HVM_boot_policy != ""
    return kind == DomainType.HVM


def hotplug(view: View, vm: VM, *, of_disks: bool) -> TristateType:
    """What is known of a running VM's ability to take devices: yes, no, or unspecified when drivers are missing."""
    if not runs_fully_virtualised(view, vm):
        return TristateType.YES
    guest = guest_metrics_of(view, vm)
    claim = TristateType.UNSPECIFIED
    if guest is not None:
        claim = guest.can_use_hotplug_vbd if of_disks else guest.can_use_hotplug_vif
    if claim == TristateType.UNSPECIFIED and has_pv_drivers(guest):
        return TristateType.YES
    return claim


def is_system_domain(vm: VM) -> bool:
    """Whether a VM serves the host: a control domain, or marked `is_system_domain`."""
    return vm.is_control_domain or is_true(vm.other_config, "is_system_domain")


def is_domain_zero(view: View, vm: VM) -> bool:
    """Whether a VM is the first domain of its host."""
    if not vm.is_control_domain:
        return False
    host = view.find(Host, vm.resident_on)
    return vm.domid == 0 if host is None or host.control_domain == NULL else host.control_domain == vm.ref


def driver_features(view: View, kind: str) -> Mapping[str, int]:
    """The features that the driver of an SR type announces; none when there is no such driver."""
    return next((driver.features for driver in view.all(SM) if driver.type == kind), NO_FEATURES)


def is_plugged(view: View, sr: SR) -> bool:
    """Whether any host has the SR attached."""
    return any(pbd is not None and pbd.currently_attached for pbd in (view.find(PBD, ref) for ref in sr.PBDs))
