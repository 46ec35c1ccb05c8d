"""Users and groups from outside, and what they may do (XenAPI's class subject)."""

from __future__ import annotations

from typing import Any

from xapi.actions.auth import get_subject_information_from_identifier
from xapi.actions.role import permissions_of
from xapi.datamodel.classes import Host, Role, Subject
from xapi.datamodel.classes import Session as SessionRow
from xapi.datamodel.classes import subject as api
from xapi.datamodel.errors import ROLE_ALREADY_EXISTS, ROLE_NOT_FOUND, SUBJECT_ALREADY_EXISTS
from xapi.datamodel.model import Ref
from xapi.datamodel.roles import ROLES
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements
from xapi.dispatch.logins import permissions


@creates(Subject)
def create(ctx: Context, values: dict[str, Any]) -> Ref[Subject]:
    """Let a user or group in, without a role yet; SUBJECT_ALREADY_EXISTS when it is in already.

    While a directory is enabled, what it knows of the subject overrules what the client says.
    """
    identifier = values.get("subject_identifier", "")
    known = dict(values.get("other_config", {}))
    if ctx.db.get(Host, ctx.this_host).external_auth_type:
        known |= get_subject_information_from_identifier(ctx, identifier)
    with ctx.transaction() as transaction:
        if any(row.subject_identifier == identifier for row in transaction.all(Subject)):
            raise SUBJECT_ALREADY_EXISTS()
        return transaction.create(Subject, subject_identifier=identifier, other_config=known, roles=())


@destroys(Subject)
def destroy(ctx: Context, self: Ref[Subject]) -> None:
    """Shut a user or group out, and end its sessions."""
    with ctx.transaction() as transaction:
        transaction.delete(Subject, self)
    for session in _sessions_of(ctx, self):
        ctx.toolstack.sessions.close(session.ref)


@implements(api.add_to_roles)
def add_to_roles(ctx: Context, self: Ref[Subject], role: Ref[Role]) -> None:
    """Grant a role; ROLE_NOT_FOUND, or ROLE_ALREADY_EXISTS when it was granted before."""
    with ctx.transaction() as transaction:
        present = transaction.get(Subject, self).roles
        if transaction.find(Role, role) is None:
            raise ROLE_NOT_FOUND()
        if role in present:
            raise ROLE_ALREADY_EXISTS()
        transaction.update(Subject, self, roles=(role, *present))
    _refresh_sessions(ctx, self)


@implements(api.remove_from_roles)
def remove_from_roles(ctx: Context, self: Ref[Subject], role: Ref[Role]) -> None:
    """Take a role away; ROLE_NOT_FOUND when it was not granted."""
    with ctx.transaction() as transaction:
        present = transaction.get(Subject, self).roles
        if role not in present:
            raise ROLE_NOT_FOUND()
        transaction.update(Subject, self, roles=tuple(one for one in present if one != role))
    _refresh_sessions(ctx, self)


@implements(api.get_permissions_name_label)
def get_permissions_name_label(ctx: Context, self: Ref[Subject]) -> tuple[str, ...]:
    """The names of all permissions that the roles of a subject give, each once."""
    names = (role.name_label for ref in ctx.db.get(Subject, self).roles for role in permissions_of(ctx, ref))
    return tuple(dict.fromkeys(names))


def _sessions_of(ctx: Context, subject: str) -> list[SessionRow]:
    return [row for row in ctx.db.all(SessionRow) if row.subject == subject]


def _refresh_sessions(ctx: Context, subject: Ref[Subject]) -> None:
    """Let what a subject may do now hold in its running sessions too, so that a role taken away is gone at once."""
    refs = ctx.db.get(Subject, subject).roles
    roles = frozenset(role for role in ROLES if role.ref in refs)
    affected = {row.ref for row in _sessions_of(ctx, subject)}
    for session in ctx.toolstack.sessions.all():
        if session.ref in affected:
            session.roles = roles
    with ctx.transaction() as transaction:
        for ref in affected:
            if transaction.find(SessionRow, ref) is not None:
                transaction.update(SessionRow, ref, rbac_permissions=permissions(roles))
