"""XenAPI's class subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import READ_ONLY

if TYPE_CHECKING:
    from xapi.datamodel.classes.role import Role


class Subject(Entity, name="subject", since="george", constructor=True):
    """A user or group of the external directory that has been granted access to the pool."""

    uuid: DynamicRO[str] = identity(since="rio")
    subject_identifier: StaticRO[str] = field(
        "identifier of the user or group in the directory, such as its SID", default=""
    )
    other_config: StaticRO[Map[str, str]] = field(
        "details copied from the directory, such as names and account state", default={}
    )
    roles: DynamicRO[SetOf[Ref[Role]]] = field(
        "roles granted directly to the user or group",
        default=("OpaqueRef:0165f154-ba3e-034e-6b27-5d271af109ba",),
        since="midnight-ride",
        dangling=True,
    )


@message(Subject, since="midnight-ride", asynchronous=False)
def add_to_roles(self: Ref[Subject], role: Ref[Role]) -> None:
    """Grant a role to the user or group.

    Refused if it already has the role or the role is unknown.
    """


@message(Subject, since="midnight-ride", asynchronous=False)
def remove_from_roles(self: Ref[Subject], role: Ref[Role]) -> None:
    """Take a role away from the user or group."""


@message(Subject, role=READ_ONLY, since="midnight-ride", asynchronous=False)
def get_permissions_name_label(self: Ref[Subject]) -> SetOf[str]:
    """List the names of all permissions the user or group holds through its roles."""
