"""XenAPI's class VBD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import (
    DEVICE_ALREADY_DETACHED,
    DEVICE_DETACH_REJECTED,
    VBD_IS_EMPTY,
    VBD_NOT_EMPTY,
    VBD_NOT_REMOVABLE_MEDIA,
)
from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import VM_ADMIN, VM_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.vbd_metrics import VBDMetrics
    from xapi.datamodel.classes.vdi import VDI


class VbdMode(WireEnum):
    """Whether a disk is attached read-only or for writing too."""

    RO = "RO"
    RW = "RW"


class VbdOperations(WireEnum):
    """Things that can be done to the attachment of a disk or drive."""

    ATTACH = "attach"
    EJECT = "eject"
    INSERT = "insert"
    PLUG = "plug"
    UNPLUG = "unplug"
    UNPLUG_FORCE = "unplug_force"
    PAUSE = "pause"
    UNPAUSE = "unpause"


class VbdType(WireEnum):
    """Whether the guest sees a CD drive, a disk or a floppy drive."""

    CD = "CD"
    DISK = "Disk"
    FLOPPY = "Floppy"


class VBD(Entity, role=VM_ADMIN, constructor=True):
    """An attachment of a disk image or CD drive to a VM."""

    uuid: DynamicRO[str] = identity()
    allowed_operations: DynamicRO[SetOf[VbdOperations]] = field(
        "operations that may be started on the VBD in its present state", default=(), persistent=False
    )
    current_operations: DynamicRO[Map[str, VbdOperations]] = field(
        "operations in progress on the VBD, each under the reference of its task", default={}, persistent=False
    )
    VM: StaticRO[Ref[classes.VM]] = field("virtual machine that has the disk or drive")
    VDI: StaticRO[Ref[classes.VDI]] = field("disk image behind the device; null for an empty drive")
    device: StaticRO[str] = field(
        "name the guest sees the device under, such as xvda; known once it has been attached",
        default="",
        since="published rio, changed 1.257.0",
    )
    userdevice: RW[str] = field("position of the device, as a decimal number or a name such as xvda")
    bootable: RW[bool] = field("true if the guest may boot from this disk")
    mode: StaticRO[VbdMode] = field("whether the guest may write to the disk")
    type: RW[VbdType] = field("whether the guest sees a disk, a CD drive or a floppy drive")
    unpluggable: RW[bool] = field("true if the device may be taken out while the VM runs", default=True, since="miami")
    storage_lock: DynamicRO[bool] = field("true while the storage is locked for this device")
    empty: StaticRO[bool] = field("true for a drive with no disk in it")
    reserved: DynamicRO[bool] = field(
        "true while the VBD is held for an operation on its VM", default=False, internal=True
    )
    other_config: RW[Map[str, str]] = field("keys and values that clients attach to the VBD")
    currently_attached: StaticRO[bool] = field(
        "true while the VBD is plugged into a domain, or is to be again on resume",
        default=False,
        since="published rio, changed 1.257.0",
    )
    status_code: DynamicRO[int] = field("result of the last attempt to attach the device; 0 if there was no error")
    status_detail: DynamicRO[str] = field("text that goes with the result of the last attempt to attach the device")
    runtime_properties: DynamicRO[Map[str, str]] = field("values of the device while it is attached")
    qos_algorithm_type: RW[str] = field("way disk access is ranked: 'ionice', or empty for no ranking", group="qos")
    qos_algorithm_params: RW[Map[str, str]] = field(
        "settings for the ranking: 'sched' (rt, idle) and 'class' (priority)", group="qos"
    )
    qos_supported_algorithms: DynamicRO[SetOf[str]] = field(
        "ways of ranking disk access that this device can use", group="qos"
    )
    metrics: DynamicRO[Ref[VBDMetrics]] = field(
        "transfer figures; removed, read the RRDs instead",
        default=NULL,
        since="published rio, deprecated tampa, removed tampa",
    )


@message(VBD, role=VM_OPERATOR, errors=(VBD_NOT_REMOVABLE_MEDIA, VBD_IS_EMPTY))
def eject(vbd: Ref[VBD]) -> None:
    """Take the disk out of a CD drive and leave the drive empty.

    Refused for devices that are not removable and for empty drives.
    """


@message(VBD, role=VM_OPERATOR, errors=(VBD_NOT_REMOVABLE_MEDIA, VBD_NOT_EMPTY))
def insert(vbd: Ref[VBD], vdi: Ref[VDI]) -> None:
    """Put a disk into an empty CD drive.

    Refused if the drive already holds one.
    """


@message(VBD)
def plug(self: Ref[VBD]) -> None:
    """Hot-plug the disk or drive into its running VM."""


@message(VBD, errors=(DEVICE_DETACH_REJECTED, DEVICE_ALREADY_DETACHED))
def unplug(self: Ref[VBD]) -> None:
    """Hot-unplug the disk from its running VM with the guest's consent.

    Refused by a guest that has the disk in use.
    """


@message(VBD)
def unplug_force(self: Ref[VBD]) -> None:
    """Take the disk away from its running VM without asking the guest.

    The guest may lose data.
    """


@message(VBD, since="published symc, deprecated ely", hidden=True)
def unplug_force_no_safety_check(self: Ref[VBD]) -> None:
    """Took the disk away without any check; deprecated, use unplug_force."""


@message(VBD)
def assert_attachable(self: Ref[VBD]) -> None:
    """Check that the disk could be attached to its VM now.

    Returns nothing; raises what stands in the way, such as a second writer.
    """


@message(VBD, since="symc", hidden=True)
def pause(self: Ref[VBD]) -> str:
    """Hold back the guest's requests to the disk and return a token for unpause."""


@message(VBD, since="symc", hidden=True, param_since={"token": "orlando"})
def unpause(self: Ref[VBD], token: str = "") -> None:
    """Let the guest's held-back requests to the disk go on; the token is that of pause."""


@message(VBD)
def set_mode(self: Ref[VBD], value: VbdMode) -> None:
    """Choose whether the guest may write to the disk; takes effect when it is next attached.

    Refused unless the VM is halted.
    """
