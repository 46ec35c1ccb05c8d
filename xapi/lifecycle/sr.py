"""What may be done with an SR: what its driver can do, and one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.sr import StorageOperations as Op
from xapi.datamodel.classes.vdi import VDI, VdiType
from xapi.datamodel.errors import SR_HAS_NO_PBDS, SR_HAS_PBD, SR_NOT_EMPTY, SR_OPERATION_NOT_SUPPORTED
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.surroundings import driver_features, is_plugged
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import storage_operation_text

# The other VDI operations are recorded as current ones only: strict clients do not know their names.
LISTED: Final = (
    Op.SCAN,
    Op.DESTROY,
    Op.FORGET,
    Op.PLUG,
    Op.UNPLUG,
    Op.VDI_CREATE,
    Op.VDI_DESTROY,
    Op.VDI_RESIZE,
    Op.VDI_CLONE,
    Op.VDI_SNAPSHOT,
    Op.VDI_MIRROR,
    Op.VDI_ENABLE_CBT,
    Op.VDI_DISABLE_CBT,
    Op.VDI_DATA_DESTROY,
    Op.VDI_LIST_CHANGED_BLOCKS,
    Op.VDI_SET_ON_BOOT,
    Op.VDI_INTRODUCE,
    Op.UPDATE,
    Op.PBD_CREATE,
    Op.PBD_DESTROY,
)
EVERYTHING: Final = frozenset(Op)

# What the driver must announce. A clone that it cannot do is a copy.
FEATURES: Final[Mapping[Op, str]] = {
    Op.VDI_CREATE: "VDI_CREATE",
    Op.VDI_DESTROY: "VDI_DELETE",
    Op.VDI_RESIZE: "VDI_RESIZE",
    Op.VDI_INTRODUCE: "VDI_INTRODUCE",
    Op.VDI_MIRROR: "VDI_MIRROR",
    Op.VDI_ENABLE_CBT: "VDI_CONFIG_CBT",
    Op.VDI_DISABLE_CBT: "VDI_CONFIG_CBT",
    Op.VDI_DATA_DESTROY: "VDI_CONFIG_CBT",
    Op.VDI_LIST_CHANGED_BLOCKS: "VDI_CONFIG_CBT",
    Op.VDI_SET_ON_BOOT: "VDI_RESET_ON_BOOT",
    Op.UPDATE: "SR_UPDATE",
    Op.VDI_SNAPSHOT: "VDI_SNAPSHOT",
}
# Each host plugs and unplugs for itself.
TOGETHER: Final = frozenset({Op.PLUG, Op.UNPLUG})
LEAVING: Final = frozenset({Op.DESTROY, Op.FORGET})


def _holds_disks(view: View, sr: SR) -> bool:
    """Whether the SR has a disk that somebody manages; looks no further than the first."""
    found = (view.find(VDI, ref) for ref in sr.VDIs)
    return any(vdi is not None and vdi.managed and vdi.type != VdiType.RRD for vdi in found)


def refusals(view: View, sr: SR, ignoring: str = "") -> Iterator[tuple[frozenset[Op], Failure]]:
    """What stands against operations on an SR; of several against one operation, the first counts."""
    features = driver_features(view, sr.type)
    missing = {operation for operation, feature in FEATURES.items() if feature not in features}
    if sr.is_tools_sr:
        missing |= {Op.VDI_CREATE, Op.VDI_DESTROY}
    if missing:
        yield frozenset(missing), SR_OPERATION_NOT_SUPPORTED(sr.ref)
    if is_plugged(view, sr):
        yield LEAVING, SR_HAS_PBD(sr.ref)
    elif not sr.PBDs:
        yield frozenset({Op.DESTROY}), SR_HAS_NO_PBDS(sr.ref)
    elif _holds_disks(view, sr):
        yield frozenset({Op.DESTROY}), SR_NOT_EMPTY()
    current = others(sr.current_operations, ignoring)
    if current:
        together = all(operation in TOGETHER for _, operation in current)
        failure = in_progress("SR", sr.ref, current[:1], storage_operation_text)
        yield EVERYTHING - TOGETHER if together else EVERYTHING, failure


def why_not(view: View, sr: SR, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the SR may not be asked for the operation now, or None."""
    return next((failure for refused, failure in refusals(view, sr, ignoring) if operation in refused), None)


def allowed_operations(view: View, sr: SR) -> tuple[Op, ...]:
    """What the SR may be asked for now, of what is listed, in the order of the list."""
    left = set(LISTED)
    for refused, _ in refusals(view, sr):
        left -= refused
    return tuple(operation for operation in LISTED if operation in left)
