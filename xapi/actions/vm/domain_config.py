"""From a VM's rows to the configuration of its domain. Pure: it looks at rows and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.actions.device_names import device_name, device_number
from xapi.actions.vif import nic_of
from xapi.datamodel.classes import VBD, VDI, VIF, VM, VTPM
from xapi.datamodel.classes.vbd import VbdMode, VbdType
from xapi.datamodel.classes.vdi import OnBoot
from xapi.datamodel.classes.vm import DomainType
from xapi.datamodel.model import NULL
from xapi.hypervisor.interface import (
    ConsoleProtocol,
    Disk,
    DiskKind,
    DiskMode,
    DomainConfig,
    DomainKind,
    EmptyDrive,
    Firmware,
    HvmBoot,
    Memory,
    Processors,
    PvBoot,
    Volume,
    Vtpm,
)
from xapi.lifecycle.view import View

KINDS: Mapping[DomainType, DomainKind] = {
    DomainType.HVM: DomainKind.HVM,
    DomainType.PV: DomainKind.PV,
    DomainType.PVH: DomainKind.PVH,
    DomainType.PV_IN_PVH: DomainKind.PV_IN_PVH,
    DomainType.UNSPECIFIED: DomainKind.HVM,
}
DEFAULT_WEIGHT = 256


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


def guest_data(row: VM) -> dict[str, str]:
    """What the guest may read of the VM's xenstore_data."""
    return {key: value for key, value in row.xenstore_data.items() if key.startswith("vm-data/")}


def processors_of(row: VM, params: Mapping[str, str]) -> Processors:
    """The virtual CPUs and their share of the physical ones."""
    mask = tuple(int(cpu) for cpu in params.get("mask", "").split(",") if cpu.strip().isdecimal())
    return Processors(
        maximum=max(row.VCPUs_max, 1),
        at_startup=max(row.VCPUs_at_startup, 1),
        weight=_number(params.get("weight", ""), DEFAULT_WEIGHT),
        cap=_number(params.get("cap", ""), 0),
        mask=mask,
    )


def boot_of(row: VM, kind: DomainKind) -> HvmBoot | PvBoot:
    """What the guest boots."""
    if kind is DomainKind.HVM:
        params = row.HVM_boot_params
        firmware = Firmware.UEFI if params.get("firmware") == "uefi" else Firmware.BIOS
        return HvmBoot(firmware, params.get("order", "cd"), row.platform.get("secureboot") == "true")
    return PvBoot(
        kernel=row.PV_kernel,
        ramdisk=row.PV_ramdisk,
        arguments=row.PV_args,
        bootloader=row.PV_bootloader,
        bootloader_arguments=row.PV_bootloader_args,
    )


def disk_of(view: View, vbd: VBD, hvm: bool) -> Disk:
    """One drive, by its VBD."""
    number = device_number(vbd.userdevice)
    empty = vbd.empty or vbd.VDI == NULL
    kind = {VbdType.CD: DiskKind.CD, VbdType.FLOPPY: DiskKind.FLOPPY}.get(vbd.type, DiskKind.DISK)
    vdi = view.find(VDI, vbd.VDI)
    read_only = vbd.mode is VbdMode.RO or (vdi is not None and vdi.read_only)
    return Disk(
        device=vbd.device or device_name(number, hvm=hvm),
        number=number,
        source=EmptyDrive() if empty else Volume(vbd.VDI),
        mode=DiskMode.READ_ONLY if read_only else DiskMode.READ_WRITE,
        kind=kind,
        bootable=vbd.bootable,
        unpluggable=vbd.unpluggable,
        qos=dict(vbd.qos_algorithm_params) if vbd.qos_algorithm_type else {},
        fresh=vdi is not None and vdi.on_boot is OnBoot.RESET and not read_only,
    )


def console_of(row: VM, hvm: bool) -> ConsoleProtocol:
    """What the VM's console speaks: text, if a guest without a graphics card shall not have its text shown as one.

    The key `disable_pv_vnc` in `other_config` says so, unless its value is that of a no.
    """
    wish = row.other_config.get("disable_pv_vnc", "0").lower()
    return ConsoleProtocol.RFB if hvm or wish in ("0", "false", "") else ConsoleProtocol.VT100


def domain_config(
    view: View, row: VM, *, static_max: int = 0, vcpu_params: Mapping[str, str] | None = None, devices: bool = False
) -> DomainConfig:
    """The domain that a VM's rows describe; its drives and cards only when asked for."""
    kind = KINDS[row.domain_type]
    hvm = kind is DomainKind.HVM
    most = static_max or row.memory_static_max
    memory = Memory(
        static_max=most,
        dynamic_max=min(row.memory_dynamic_max or most, most),
        dynamic_min=min(row.memory_dynamic_min or most, most),
        target=min(row.memory_dynamic_max or most, most),
    )
    drives = tuple(vbd for ref in row.VBDs if (vbd := view.find(VBD, ref)) is not None) if devices else ()
    cards = tuple(vif for ref in row.VIFs if (vif := view.find(VIF, ref)) is not None) if devices else ()
    tpm = next((found for ref in row.VTPMs if (found := view.find(VTPM, ref)) is not None), None)
    return DomainConfig(
        uuid=row.uuid,
        name=row.name_label,
        kind=kind,
        memory=memory,
        processors=processors_of(row, row.VCPUs_params if vcpu_params is None else vcpu_params),
        boot=boot_of(row, kind),
        platform=dict(row.platform),
        bios_strings=dict(row.bios_strings),
        vm_data=guest_data(row),
        disks=tuple(disk_of(view, vbd, hvm) for vbd in drives),
        nics=tuple(nic_of(view, vif) for vif in cards),
        vtpm=Vtpm(tpm.uuid) if tpm is not None else None,
        consoles=(console_of(row, hvm),),
        os_hint=row.reference_label or row.name_label,
    )
