"""Look-ups of users and groups in the directory that the pool checks passwords against (XenAPI's class auth).

The one directory there is, PAM, is the operating system's own: `u` and `g` with a number identify users and groups.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Mapping
from typing import Final

from xapi.datamodel.classes import Host, Pool
from xapi.datamodel.classes import Session as SessionRow
from xapi.datamodel.classes import auth as api
from xapi.datamodel.classes import host_messages as host_api
from xapi.datamodel.classes import pool_messages as pool_api
from xapi.datamodel.errors import (
    AUTH_ALREADY_ENABLED,
    AUTH_ENABLE_FAILED,
    AUTH_IS_DISABLED,
    AUTH_SET_LDAPS_FAILED,
    AUTH_UNKNOWN_TYPE,
    POOL_AUTH_ALREADY_ENABLED,
    POOL_AUTH_ENABLE_FAILED,
    SUBJECT_CANNOT_BE_RESOLVED,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NOTHING, NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.logins import LogIns
from xapi.dispatch.perform import run_message
from xapi.system.passwords import Pam

PAM: Final = "PAM"


def _assert_enabled(ctx: Context) -> None:
    if not ctx.db.get(Host, ctx.this_host).external_auth_type:
        raise AUTH_IS_DISABLED()


def _user(identifier: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(_number(identifier, "u"))
    except (KeyError, OverflowError):
        raise SUBJECT_CANNOT_BE_RESOLVED() from None


def _number(identifier: str, letter: str) -> int:
    if re.fullmatch(rf"{letter}[0-9]{{1,10}}", identifier) is None:
        raise SUBJECT_CANNOT_BE_RESOLVED()
    return int(identifier[1:])


@implements(api.get_subject_identifier)
def get_subject_identifier(ctx: Context, subject_name: str) -> str:
    """The identifier of a user, or else of a group, with this name; SUBJECT_CANNOT_BE_RESOLVED for neither."""
    _assert_enabled(ctx)
    try:
        return f"u{pwd.getpwnam(subject_name).pw_uid}"
    except (KeyError, ValueError):
        pass
    try:
        return f"g{grp.getgrnam(subject_name).gr_gid}"
    except (KeyError, ValueError):
        raise SUBJECT_CANNOT_BE_RESOLVED() from None


@implements(api.get_subject_information_from_identifier)
def get_subject_information_from_identifier(ctx: Context, subject_identifier: str) -> Mapping[str, str]:
    """What the operating system knows of a user or a group."""
    _assert_enabled(ctx)
    if subject_identifier.startswith("g"):
        try:
            group = grp.getgrgid(_number(subject_identifier, "g"))
        except (KeyError, OverflowError):
            raise SUBJECT_CANNOT_BE_RESOLVED() from None
        return {"subject-name": group.gr_name, "subject-gid": f"g{group.gr_gid}", "subject-is-group": "true"}
    user = _user(subject_identifier)
    return {
        "subject-name": user.pw_name,
        "subject-uid": f"u{user.pw_uid}",
        "subject-gid": f"g{user.pw_gid}",
        "subject-gecos": user.pw_gecos,
        "subject-displayname": user.pw_gecos.partition(",")[0] or user.pw_name,
        "subject-is-group": "false",
        "subject-account-disabled": "false",
        "subject-account-expired": "false",
        "subject-account-locked": "false",
        "subject-password-expired": "false",
    }


@implements(api.get_group_membership)
def get_group_membership(ctx: Context, subject_identifier: str) -> tuple[str, ...]:
    """The identifiers of all groups of a user; a group belongs to none."""
    _assert_enabled(ctx)
    if subject_identifier.startswith("g"):
        get_subject_information_from_identifier(ctx, subject_identifier)
        return ()
    user = _user(subject_identifier)
    return tuple(f"g{gid}" for gid in os.getgrouplist(user.pw_name, user.pw_gid))


@implements(host_api.enable_external_auth, runs_on="host")
def host_enable_external_auth(
    ctx: Context, host: Ref[Host], config: Mapping[str, str], service_name: str, auth_type: str
) -> None:
    """Let users of the operating system in, of those that are subjects; other directories are not known."""
    row = ctx.db.get(Host, host)
    if row.external_auth_type:
        raise AUTH_ALREADY_ENABLED(row.external_auth_type, row.external_auth_service_name)
    if auth_type != PAM:
        raise AUTH_UNKNOWN_TYPE(auth_type)
    logins: LogIns = ctx.toolstack.part(LogIns)
    if not isinstance(logins.authenticator, Pam):
        raise AUTH_ENABLE_FAILED("this server knows one password only; start it with --auth pam")
    with ctx.transaction() as transaction:
        transaction.update(
            Host,
            host,
            external_auth_type=auth_type,
            external_auth_service_name=service_name,
            external_auth_configuration=config,
        )


@implements(host_api.disable_external_auth, runs_on="host")
def host_disable_external_auth(
    ctx: Context, host: Ref[Host], config: Mapping[str, str] = NOTHING, force: bool = False
) -> None:
    """Let only the superuser in, and end the sessions of everybody else."""
    with ctx.transaction() as transaction:
        transaction.update(
            Host, host, external_auth_type="", external_auth_service_name="", external_auth_configuration={}
        )
    for session in ctx.toolstack.sessions.all():
        row = ctx.db.find(SessionRow, session.ref)
        if row is not None and row.subject != NULL:
            ctx.toolstack.sessions.close(session.ref)


@implements(pool_api.enable_external_auth, checks_first=False)
def pool_enable_external_auth(
    ctx: Context, pool: Ref[Pool], config: Mapping[str, str], service_name: str, auth_type: str
) -> None:
    """Let users of a directory in on every host, or on none when one host refuses."""
    hosts = ctx.db.all(Host)
    for host in hosts:
        if host.external_auth_type:
            raise POOL_AUTH_ALREADY_ENABLED(host.ref)
    done: list[Host] = []
    for host in hosts:
        try:
            run_message(ctx, "host.enable_external_auth", host.ref, config, service_name, auth_type)
        except Failure as failure:
            for other in reversed(done):
                run_message(ctx, "host.disable_external_auth", other.ref, config, True)
            if failure.code == AUTH_UNKNOWN_TYPE.code:
                raise
            raise POOL_AUTH_ENABLE_FAILED(host.ref, ": ".join(failure.description)) from None
        done.append(host)


@implements(pool_api.disable_external_auth, checks_first=False)
def pool_disable_external_auth(ctx: Context, pool: Ref[Pool], config: Mapping[str, str] = NOTHING) -> None:
    """Let only the superuser in, on every host."""
    for host in ctx.db.all(Host):
        run_message(ctx, "host.disable_external_auth", host.ref, config, False)


@implements(pool_api.detect_nonhomogeneous_external_auth, checks_first=False)
def detect_nonhomogeneous_external_auth(ctx: Context, pool: Ref[Pool]) -> None:
    """Compare each member with the coordinator, which is the pool's only host and so agrees with itself."""


@implements(host_api.external_auth_set_ldaps, runs_on="host")
def host_external_auth_set_ldaps(ctx: Context, host: Ref[Host], ldaps: bool, force: bool = False) -> None:
    """Refuse: no directory that can be enabled is reached over LDAP."""
    if not ctx.db.get(Host, host).external_auth_type:
        raise AUTH_IS_DISABLED()
    raise AUTH_SET_LDAPS_FAILED(host, "the users of the operating system are not looked up over LDAP")


@implements(pool_api.external_auth_set_ldaps, checks_first=False)
def pool_external_auth_set_ldaps(ctx: Context, pool: Ref[Pool], ldaps: bool, force: bool = False) -> None:
    """Refuse, as each host does."""
    for host in ctx.db.all(Host):
        run_message(ctx, "host.external_auth_set_ldaps", host.ref, ldaps, force)
