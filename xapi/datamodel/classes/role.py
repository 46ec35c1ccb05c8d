"""XenAPI's class role."""

from __future__ import annotations

from xapi.datamodel.model import DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import READ_ONLY


class Role(Entity, name="role", since="midnight-ride"):
    """A named set of permissions for users; a single permission is itself a role without subroles."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: StaticRO[str] = field(
        "name of the role, such as 'pool-admin', or of the API call it permits", default="", group="name"
    )
    name_description: StaticRO[str] = field("what holders of the role are meant to do", default="", group="name")
    subroles: StaticRO[SetOf[Ref[Role]]] = field(
        "roles contained in this one; empty for a single permission", default=(), dangling=True, inverse="role.subroles"
    )
    is_internal: DynamicRO[bool] = field(
        "true if the role exists only for the toolstack's own use", default=False, since="22.5.0"
    )


@message(Role, role=READ_ONLY, asynchronous=False)
def get_permissions(self: Ref[Role]) -> SetOf[Ref[Role]]:
    """Return all single permissions contained in the role, at any depth."""


@message(Role, role=READ_ONLY, asynchronous=False)
def get_permissions_name_label(self: Ref[Role]) -> SetOf[str]:
    """Return the names of all single permissions contained in the role."""


@message(Role, role=READ_ONLY, asynchronous=False)
def get_by_permission(permission: Ref[Role]) -> SetOf[Ref[Role]]:
    """Return all roles that contain the given permission."""


@message(Role, role=READ_ONLY, asynchronous=False)
def get_by_permission_name_label(label: str) -> SetOf[Ref[Role]]:
    """Return all roles that contain the permission of the given name."""
