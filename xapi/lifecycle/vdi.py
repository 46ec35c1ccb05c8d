"""What may be done with a VDI: what its driver can do, who uses it, and what kind of disk it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from xapi.datamodel.classes.pool import PoolAllowedOperations
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.vbd import VBD, VbdMode
from xapi.datamodel.classes.vdi import VDI, OnBoot, VdiType
from xapi.datamodel.classes.vdi import VdiOperations as Op
from xapi.datamodel.classes.vm import VM
from xapi.datamodel.errors import (
    HA_DISABLE_IN_PROGRESS,
    HA_ENABLE_IN_PROGRESS,
    HA_IS_ENABLED,
    NOT_SUPPORTED_DURING_UPGRADE,
    OPERATION_NOT_ALLOWED,
    SR_HAS_NO_PBDS,
    SR_OPERATION_NOT_SUPPORTED,
    VDI_CBT_ENABLED,
    VDI_HAS_RRDS,
    VDI_IN_USE,
    VDI_INCOMPATIBLE_TYPE,
    VDI_IS_A_PHYSICAL_DEVICE,
    VDI_IS_SHARABLE,
    VDI_NO_CBT_METADATA,
    VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION,
)
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.surroundings import driver_features, ha_enabled, is_plugged, rolling_upgrade, the_pool
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import operation_text, vdi_type_text

Refusal = tuple[frozenset[Op], Failure]

# Clients of older releases choke on the operations that came later, so that these are never listed.
LISTED: Final = (
    Op.GENERATE_CONFIG,
    Op.FORCE_UNLOCK,
    Op.UPDATE,
    Op.FORGET,
    Op.DESTROY,
    Op.SNAPSHOT,
    Op.RESIZE_ONLINE,
    Op.RESIZE,
    Op.COPY,
    Op.CLONE,
)
EVERYTHING: Final = frozenset(Op)

# What the driver of the SR must announce.
FEATURES: Final[Mapping[Op, str]] = {
    Op.SNAPSHOT: "VDI_SNAPSHOT",
    Op.DESTROY: "VDI_DELETE",
    Op.RESIZE: "VDI_RESIZE",
    Op.RESIZE_ONLINE: "VDI_RESIZE_ONLINE",
    Op.UPDATE: "VDI_UPDATE",
    Op.GENERATE_CONFIG: "VDI_GENERATE_CONFIG",
    Op.CLONE: "VDI_CLONE",
    Op.MIRROR: "VDI_MIRROR",
    Op.ENABLE_CBT: "VDI_CONFIG_CBT",
    Op.DISABLE_CBT: "VDI_CONFIG_CBT",
    Op.DATA_DESTROY: "VDI_CONFIG_CBT",
    Op.LIST_CHANGED_BLOCKS: "VDI_CONFIG_CBT",
    Op.SET_ON_BOOT: "VDI_RESET_ON_BOOT",
    Op.REVERT_TO: "VDI_REVERT",
    Op.REVERT_FROM: "VDI_REVERT",
}
# What may be done while somebody uses the disk; while somebody only reads it.
WHILE_IN_USE: Final = frozenset(
    {
        Op.SNAPSHOT,
        Op.RESIZE_ONLINE,
        Op.BLOCKED,
        Op.CLONE,
        Op.MIRROR,
        Op.ENABLE_CBT,
        Op.DISABLE_CBT,
        Op.DATA_DESTROY,  # waits by itself until the disk is free
    }
)
WHILE_READ: Final = WHILE_IN_USE | {Op.COPY}
OF_CBT_METADATA: Final = frozenset(
    {
        Op.BLOCKED,
        Op.DATA_DESTROY,
        Op.DESTROY,
        Op.LIST_CHANGED_BLOCKS,
        Op.FORCE_UNLOCK,
        Op.FORGET,
        Op.GENERATE_CONFIG,
        Op.UPDATE,
    }
)
NOT_WITH_CBT: Final = frozenset({Op.MIRROR, Op.SET_ON_BOOT})
WHILE_UPGRADING: Final = frozenset(LISTED) | {Op.BLOCKED}
DESTROYING: Final = frozenset({Op.DESTROY, Op.DATA_DESTROY})
SETTING_CBT: Final = frozenset({Op.ENABLE_CBT, Op.DISABLE_CBT})
HA_DISKS: Final = frozenset({VdiType.HA_STATEFILE, VdiType.REDO_LOG})


def _by_current(vdi: VDI, ignoring: str) -> Iterator[Refusal]:
    """A copy lets others begin (their own checks stop them where they must); a mirror lets its disk be destroyed."""
    current = tuple(
        (task, operation) for task, operation in others(vdi.current_operations, ignoring) if operation != Op.COPY
    )
    if current:
        mirrored = any(operation == Op.MIRROR for _, operation in current)
        yield EVERYTHING - {Op.DESTROY} if mirrored else EVERYTHING, in_progress("VDI", vdi.ref, current[:1])


def _by_users(view: View, vdi: VDI, ignoring: str) -> Iterator[tuple[frozenset[Op], Failure | None]]:
    """What the VBDs stand against; None for a failure that names the operation itself."""
    vbds = [vbd for vbd in (view.find(VBD, ref) for ref in vdi.VBDs) if vbd is not None]
    active = [vbd for vbd in vbds if vbd.currently_attached or vbd.reserved]
    if active:
        refused = EVERYTHING - (WHILE_IN_USE if any(vbd.mode == VbdMode.RW for vbd in active) else WHILE_READ)
        yield (refused - {Op.LIST_CHANGED_BLOCKS} if _only_checkpoints(view, active) else refused), None
    for vbd in vbds:
        current = others(vbd.current_operations, ignoring)
        if current:
            yield EVERYTHING - {Op.DATA_DESTROY}, in_progress("VDI", vdi.ref, current[:1])
            return


def _only_checkpoints(view: View, active: list[VBD]) -> bool:
    """Whether all users are checkpoints, whose disks seem attached for ever."""
    vms = (view.find(VM, vbd.VM) for vbd in active)
    return all(vm is not None and vm.is_a_snapshot for vm in vms)


def _by_driver(view: View, vdi: VDI, sr: SR | None) -> Iterator[Refusal]:
    features = driver_features(view, sr.type) if sr is not None else {}
    missing = frozenset(operation for operation, feature in FEATURES.items() if feature not in features)
    if missing:
        yield missing, SR_OPERATION_NOT_SUPPORTED(vdi.SR)


def _by_kind(view: View, vdi: VDI, sr: SR | None) -> Iterator[Refusal]:
    kind = vdi.type
    if kind == VdiType.CBT_METADATA:
        yield EVERYTHING - OF_CBT_METADATA, VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi_type_text(kind))
    if vdi.cbt_enabled:
        yield NOT_WITH_CBT, VDI_CBT_ENABLED(vdi.ref)
    if not vdi.is_a_snapshot:
        yield frozenset({Op.DATA_DESTROY}), OPERATION_NOT_ALLOWED(f"VDI is not a snapshot: {vdi.ref}")
    elif not vdi.cbt_enabled:
        yield frozenset({Op.DATA_DESTROY}), VDI_NO_CBT_METADATA(vdi.ref)
    if sr is not None and sr.type == "udev":
        yield DESTROYING, VDI_IS_A_PHYSICAL_DEVICE(vdi.ref)
    if sr is not None and sr.is_tools_sr:
        yield DESTROYING, SR_OPERATION_NOT_SUPPORTED(vdi.SR)
    if kind in HA_DISKS or kind == VdiType.METADATA:
        yield from _by_availability(view, kind)
    if kind == VdiType.RRD:
        yield DESTROYING | {Op.FORGET}, VDI_HAS_RRDS(vdi.ref)
    if vdi.sharable:
        yield frozenset({Op.SNAPSHOT}), VDI_IS_SHARABLE(vdi.ref)
    if vdi.is_a_snapshot:
        yield SETTING_CBT, OPERATION_NOT_ALLOWED(f"VDI is a snapshot: {vdi.ref}")
    if kind not in (VdiType.USER, VdiType.SYSTEM):
        yield SETTING_CBT, VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi_type_text(kind))
    if vdi.on_boot == OnBoot.RESET:
        yield SETTING_CBT | {Op.SNAPSHOT}, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION()


def _by_availability(view: View, kind: VdiType) -> Iterator[Refusal]:
    """The disks on which high availability lives."""
    if kind in HA_DISKS:
        if ha_enabled(view):
            yield DESTROYING | {Op.FORGET, Op.RESIZE, Op.RESIZE_ONLINE}, HA_IS_ENABLED()
        reason = "VDI containing HA statefile or redo log cannot be copied (check the VDI's allowed operations)."
        yield frozenset({Op.COPY}), OPERATION_NOT_ALLOWED(reason)
    if kind == VdiType.REDO_LOG:
        return
    pool = the_pool(view)
    going_on = frozenset(pool.current_operations.values()) if pool is not None else frozenset()
    if PoolAllowedOperations.HA_ENABLE in going_on:
        yield DESTROYING, HA_ENABLE_IN_PROGRESS()
    if PoolAllowedOperations.HA_DISABLE in going_on:
        yield DESTROYING, HA_DISABLE_IN_PROGRESS()


def refusals(view: View, vdi: VDI, ignoring: str = "") -> Iterator[tuple[frozenset[Op], Failure | None]]:
    """What stands against operations on a VDI; the first counts, None being VDI_IN_USE with the operation's name."""
    yield from _by_current(vdi, ignoring)
    sr = view.find(SR, vdi.SR)
    if sr is None or not is_plugged(view, sr):
        yield frozenset({Op.RESIZE}), SR_HAS_NO_PBDS(vdi.SR)
    yield from _by_users(view, vdi, ignoring)
    yield from _by_driver(view, vdi, sr)
    yield from _by_kind(view, vdi, sr)
    if any(operation == Op.COPY for _, operation in others(vdi.current_operations, ignoring)):
        yield frozenset({Op.SNAPSHOT}), OPERATION_NOT_ALLOWED("Snapshot operation not allowed during copy.")


def why_not(view: View, vdi: VDI, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the VDI may not be asked for the operation now, or None."""
    # What is listed is old enough for any upgrade, so that `allowed_operations` needs no such question.
    if operation not in WHILE_UPGRADING and rolling_upgrade(view):
        return NOT_SUPPORTED_DURING_UPGRADE()
    for refused, failure in refusals(view, vdi, ignoring):
        if operation in refused:
            return failure if failure is not None else VDI_IN_USE(vdi.ref, operation_text(operation))
    return None


def allowed_operations(view: View, vdi: VDI) -> tuple[Op, ...]:
    """What the VDI may be asked for now, of what is listed, in the order of the list."""
    left = set(LISTED)
    for refused, _ in refusals(view, vdi):
        left -= refused
        if not left:
            return ()
    return tuple(operation for operation in LISTED if operation in left)
