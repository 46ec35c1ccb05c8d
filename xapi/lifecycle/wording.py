"""How states and operations are called in the parameters of errors, where that differs from the wire.

The names come from the public service; clients show them, and some compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from xapi.datamodel.classes.host import HostAllowedOperations
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.types import WireEnum

NAMELESS: Final = "(unknown operation)"

_OPERATIONS: Final[Mapping[str, str]] = {
    VmOperations.ASSERT_OPERATION_VALID: "assertoperationvalid",
    VmOperations.DATA_SOURCE_OP: "data_sources_op",
    VmOperations.CHANGING_VCPUS: NAMELESS,
    VmOperations.CHANGING_MEMORY_LIMITS: NAMELESS,
    VmOperations.CREATE_TEMPLATE: NAMELESS,
    VmOperations.QUERY_SERVICES: NAMELESS,
    VmOperations.SYSPREP: NAMELESS,
    HostAllowedOperations.VM_START: "VM.start",
    HostAllowedOperations.VM_RESUME: "VM.resume",
    HostAllowedOperations.VM_MIGRATE: "VM.migrate",
}
_VDI_TYPES: Final[Mapping[VdiType, str]] = {
    VdiType.HA_STATEFILE: "HA statefile",
    VdiType.REDO_LOG: "Redo log",
    VdiType.RRD: "rrd",
    VdiType.PVS_CACHE: "PVS cache",
    VdiType.CBT_METADATA: "CBT metadata",
}


def operation_text(operation: WireEnum) -> str:
    """The name of an operation inside an error; the wire name unless the service has another one."""
    return _OPERATIONS.get(operation, str(operation))


def storage_operation_text(operation: WireEnum) -> str:
    """The name of an SR's operation inside an error: `vdi_create` is `VDI.create`."""
    kind, _, rest = operation.partition("_")
    return f"{kind.upper()}.{rest}" if kind in ("vdi", "pbd") and rest else str(operation)


def vdi_type_text(kind: VdiType) -> str:
    """The name of a kind of VDI inside an error."""
    return _VDI_TYPES.get(kind, kind.capitalize())


def power_text(state: VmPowerState) -> str:
    """The name of a power state inside an error."""
    return state.lower()


def power_texts(states: Iterable[VmPowerState]) -> str:
    """Several power states inside an error, separated by a comma and a space."""
    return ", ".join(power_text(state) for state in states)
