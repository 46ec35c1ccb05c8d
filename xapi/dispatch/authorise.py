"""Whether a session may make a call."""

from __future__ import annotations

import fnmatch
import logging

from xapi.datamodel.catalog import Kind, Method
from xapi.datamodel.errors import INTERNAL_ERROR, RBAC_PERMISSION_DENIED
from xapi.datamodel.roles import Role, allowed_roles
from xapi.dispatch.sessions import Session

AUDIT = logging.getLogger("audit")
READING = frozenset(
    {
        Kind.GET,
        Kind.GET_RECORD,
        Kind.GET_BY_UUID,
        Kind.GET_BY_NAME_LABEL,
        Kind.GET_ALL,
        Kind.GET_ALL_WHERE,
        Kind.GET_ALL_RECORDS,
        Kind.GET_ALL_RECORDS_WHERE,
    }
)


WAITING = frozenset({"event.from", "event.next"})  # they change nothing, and come again and again


def key_role(method: Method, params: list[object]) -> Role | None:
    """The role that a key of a map asks for, where some keys have a rule of their own."""
    if not method.map_key_roles or len(params) < 2 or not isinstance(params[1], str):
        return None
    for pattern, role in method.map_key_roles.items():
        if fnmatch.fnmatchcase(params[1], pattern):
            return role
    return None


def authorise(session: Session, method: Method, params: list[object]) -> None:
    """Let the call pass, or raise RBAC_PERMISSION_DENIED; a call that changes something leaves a line in the audit.

    `params` are the wire values after the session.
    """
    if method.pool_internal and not session.pool:
        raise INTERNAL_ERROR(f'Internal API "{method.wire_name}" call attempted with non-pool (external) session')
    if not (session.superuser or session.pool):
        special = key_role(method, params)
        allowed = method.roles if special is None else allowed_roles(special)
        if not session.may(allowed):
            AUDIT.info("denied %s to %s (%s)", method.wire_name, session.user or "root", session.originator)
            permission = method.wire_name if special is None else f"{method.wire_name}/key:{params[1]}"
            raise RBAC_PERMISSION_DENIED(permission, "No permission in user session")
    if method.kind not in READING and method.name[:4] != "get_" and method.wire_name not in WAITING:
        AUDIT.info("%s by %s", method.wire_name, session.user or "root")
