"""What roles permit (XenAPI's class role). A permission is itself a role, one without subroles."""

from __future__ import annotations

from typing import Final

from xapi.datamodel.classes import Role
from xapi.datamodel.classes import role as api
from xapi.datamodel.model import Ref
from xapi.db import query
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements, overrides

# Two texts that stand for themselves, though they are no queries: GUIs fetch roles and permissions apart by them.
ONLY_ROLES: Final = "subroles<>[]"
ONLY_PERMISSIONS: Final = "subroles=[]"


def permissions_of(ctx: Context, ref: str) -> tuple[Role, ...]:
    """The single permissions in a role at any depth, each once; a permission is its own only one."""
    found: dict[str, Role] = {}
    seen: set[str] = set()
    waiting = [ref]
    while waiting:
        role = ctx.db.find(Role, waiting.pop())
        if role is None or role.ref in seen:
            continue
        seen.add(role.ref)
        if role.subroles:
            waiting.extend(reversed(role.subroles))
        else:
            found[role.ref] = role
    return tuple(found.values())


@implements(api.get_permissions)
def get_permissions(ctx: Context, self: Ref[Role]) -> tuple[Ref[Role], ...]:
    """All single permissions in a role."""
    return tuple(role.ref for role in permissions_of(ctx, self))


@implements(api.get_permissions_name_label)
def get_permissions_name_label(ctx: Context, self: Ref[Role]) -> tuple[str, ...]:
    """The names of all single permissions in a role."""
    return tuple(role.name_label for role in permissions_of(ctx, self))


def _holders(ctx: Context, permission: str) -> tuple[Ref[Role], ...]:
    """The roles that contain a permission; the permission itself does not count."""
    return tuple(
        role.ref
        for role in ctx.db.all(Role)
        if role.subroles and any(held.ref == permission for held in permissions_of(ctx, role.ref))
    )


@implements(api.get_by_permission, checks_first=False)
def get_by_permission(ctx: Context, permission: Ref[Role]) -> tuple[Ref[Role], ...]:
    """The roles that contain a permission; none when there is no such permission."""
    return _holders(ctx, permission)


@implements(api.get_by_permission_name_label)
def get_by_permission_name_label(ctx: Context, label: str) -> tuple[Ref[Role], ...]:
    """The roles that contain the permission of a name; none when there is no such permission."""
    named = next((role for role in ctx.db.all(Role) if role.name_label == label), None)
    return () if named is None else _holders(ctx, named.ref)


@overrides("role.get_all_records_where")
def get_all_records_where(ctx: Context, expr: str) -> dict[Ref[Role], Role]:
    """The roles that a query picks, or one of the two halves that GUIs ask for."""
    roles = ctx.db.all(Role)
    if expr in (ONLY_ROLES, ONLY_PERMISSIONS):
        return {role.ref: role for role in roles if bool(role.subroles) == (expr == ONLY_ROLES)}
    picks = query.compile(expr, Role)
    return {role.ref: role for role in roles if picks(role)}
