"""Roles as objects: the seven roles, and one for each permission, made anew at every start and never stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cache

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import Role as RoleRow
from xapi.datamodel.roles import ROLES, Role, allowed_roles
from xapi.db.database import Transaction

_PERMISSIONS = uuid.UUID("5a0a5f35-9e75-4f55-8f0b-6a4f1c3a7d10")  # the namespace of permissions' UUIDs


@cache
def permissions() -> Mapping[str, tuple[Role, ...]]:
    """Every permission by name, with the roles that hold it; names are those that sessions carry.

    A permission is a message, or a key of a map with a rule of its own: `vm.start`, `vm.add_to_tags/key:folder`.
    """
    allowed = cache(lambda least, certificate: allowed_roles(least, client_certificate=certificate))
    found: dict[str, tuple[Role, ...]] = {}
    for method in CATALOG.methods.values():
        name = method.wire_name.lower()
        found[name] = allowed(method.role, method.client_certificate)
        for key, least in method.map_key_roles.items():
            found[f"{name}/key:{key}".lower()] = allowed(least, False)
    return found


@cache
def permission_uuid(name: str) -> str:
    """The UUID of a permission: the same in every pool."""
    return str(uuid.uuid5(_PERMISSIONS, name))


def make_roles(transaction: Transaction) -> None:
    """Make the objects of all roles and permissions. The rows live in memory only."""
    held: dict[Role, list[str]] = {role: [] for role in ROLES}
    for name, roles in permissions().items():
        identifier = permission_uuid(name)
        ref = transaction.create(
            RoleRow,
            f"OpaqueRef:{identifier}",
            kept=False,
            uuid=identifier,
            name_label=name,
            name_description="A basic permission",
        )
        for role in roles:
            held[role].append(ref)
    for role in ROLES:
        transaction.create(
            RoleRow,
            role.ref,
            kept=False,
            uuid=role.uuid,
            name_label=role.name,
            name_description=role.about,
            is_internal=role.internal,
        )
        # Set past the relation: `subroles` mirrors itself in the contract, and a permission must have none.
        transaction.refill(RoleRow, role.ref, subroles=tuple(held[role]))
