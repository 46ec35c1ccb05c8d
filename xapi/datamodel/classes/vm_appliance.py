"""XenAPI's class VM_appliance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import OPERATION_PARTIALLY_FAILED, VM_REQUIRES_SR
from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, SetOf, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.session import Session
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vm import VM


class VmApplianceOperation(WireEnum):
    """Things that can be done to an appliance as a whole."""

    START = "start"
    CLEAN_SHUTDOWN = "clean_shutdown"
    HARD_SHUTDOWN = "hard_shutdown"
    SHUTDOWN = "shutdown"


class VMAppliance(Entity, name="VM_appliance", since="boston", role=POOL_OPERATOR, constructor=True):
    """A set of VMs that are started, stopped and recovered together, in a set order."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: RW[str] = field("name of the appliance shown to people", default="", group="name", since="rio")
    name_description: RW[str] = field("free text notes about the appliance", default="", group="name", since="rio")
    allowed_operations: DynamicRO[SetOf[VmApplianceOperation]] = field(
        "operations that may be started on the appliance, given the states of its VMs",
        default=(),
        since="rio",
        persistent=False,
    )
    current_operations: DynamicRO[Map[str, VmApplianceOperation]] = field(
        "operations in progress on the appliance, each under the reference of its task",
        default={},
        since="rio",
        persistent=False,
    )
    VMs: DynamicRO[SetOf[Ref[VM]]] = many("VM.appliance", "VMs that belong to the appliance", since="rio")


@message(VMAppliance, errors=(OPERATION_PARTIALLY_FAILED,))
def start(self: Ref[VMAppliance], paused: bool) -> None:
    """Start all VMs of the appliance by ascending VM.order, waiting each VM's start_delay.

    With paused the guests wait for unpause.
    """


@message(VMAppliance, errors=(OPERATION_PARTIALLY_FAILED,))
def clean_shutdown(self: Ref[VMAppliance]) -> None:
    """Ask all guests of the appliance to power off, by descending VM.order."""


@message(VMAppliance, errors=(OPERATION_PARTIALLY_FAILED,))
def hard_shutdown(self: Ref[VMAppliance]) -> None:
    """Pull the plug on all VMs of the appliance, by descending VM.order.

    Unsaved data is lost.
    """


@message(VMAppliance, errors=(OPERATION_PARTIALLY_FAILED,))
def shutdown(self: Ref[VMAppliance]) -> None:
    """Ask each guest of the appliance to power off, and pull the plug where that fails."""


@message(VMAppliance, role=READ_ONLY, errors=(VM_REQUIRES_SR,))
def assert_can_be_recovered(self: Ref[VMAppliance], session_to: Ref[Session]) -> None:
    """Check that the pool of session_to has every SR the appliance's VMs need.

    Returns nothing; raises what is missing.
    """


@message(VMAppliance, role=READ_ONLY, since="creedence")
def get_SRs_required_for_recovery(self: Ref[VMAppliance], session_to: Ref[Session]) -> SetOf[Ref[SR]]:
    """List the SRs that session_to's pool must have to recover the appliance."""


@message(VMAppliance, role=READ_ONLY, errors=(VM_REQUIRES_SR,))
def recover(self: Ref[VMAppliance], session_to: Ref[Session], force: bool) -> None:
    """Recreate the appliance and its VMs in the pool of session_to.

    With force, newer or equal copies of its VMs that exist there are replaced.
    """
