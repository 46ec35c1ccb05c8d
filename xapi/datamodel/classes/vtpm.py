"""XenAPI's class VTPM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import LOCAL_ROOT, VM_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.secret import Secret
    from xapi.datamodel.classes.vm import VM


class PersistenceBackend(WireEnum):
    """Where a virtual TPM's content is kept; so far only the pool database."""

    XAPI = "xapi"


class VtpmOperations(WireEnum):
    """Things that can be done to a virtual TPM."""

    DESTROY = "destroy"


class VTPM(Entity, since="prototyped 22.26.0"):
    """A virtual Trusted Platform Module that gives a VM safe storage for keys."""

    uuid: DynamicRO[str] = identity(since="rio")
    allowed_operations: DynamicRO[SetOf[VtpmOperations]] = field(
        "operations that may be started on the VTPM in its present state", default=(), since="rio", persistent=False
    )
    current_operations: DynamicRO[Map[str, VtpmOperations]] = field(
        "operations in progress on the VTPM, each under the reference of its task",
        default={},
        since="rio",
        persistent=False,
    )
    VM: StaticRO[Ref[classes.VM]] = field("virtual machine that has the device", since="rio")
    backend: DynamicRO[Ref[classes.VM]] = field(
        "domain that runs the back end of the device", default=NULL, since="rio"
    )
    persistence_backend: DynamicRO[PersistenceBackend] = field(
        "where the content of the device is kept", default=PersistenceBackend.XAPI
    )
    is_unique: StaticRO[bool] = field("true if the content may never be copied, so that clones get none", default=False)
    is_protected: DynamicRO[bool] = field(
        "true if the content is kept safe to the degree the TPM standard asks for", default=False
    )
    contents: DynamicRO[Ref[Secret]] = field("secret that holds the saved state of the device", internal=True)


@message(VTPM, role=VM_ADMIN)
def create(vM: Ref[VM], is_unique: bool) -> Ref[VTPM]:
    """Give a halted VM a virtual TPM with empty content.

    A second one in the same VM is refused; with is_unique the content is never copied.
    """


@message(VTPM, role=VM_ADMIN)
def destroy(self: Ref[VTPM]) -> None:
    """Delete the virtual TPM of a halted VM with its content.

    Keys kept in it are lost for good.
    """


@message(VTPM, role=LOCAL_ROOT, hidden=True, secret=True)
def get_contents(self: Ref[VTPM]) -> str:
    """Return the saved state of the virtual TPM as base64 text."""


@message(VTPM, role=LOCAL_ROOT, hidden=True, secret=True)
def set_contents(self: Ref[VTPM], contents: str) -> None:
    """Replace the saved state of the virtual TPM; must be base64 text."""
