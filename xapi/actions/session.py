"""Logging in and out (XenAPI's class session)."""

from __future__ import annotations

from xapi.datamodel.classes import Host, Session
from xapi.datamodel.classes import session as api
from xapi.datamodel.errors import CHANGE_PASSWORD_REJECTED, SESSION_INVALID, USER_IS_NOT_LOCAL_SUPERUSER
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.logins import SUPERUSER, LogIns
from xapi.system.passwords import PasswordNotChanged


def _logins(ctx: Context) -> LogIns:
    logins: LogIns = ctx.toolstack.part(LogIns)
    return logins


@implements(api.login_with_password)
def login_with_password(ctx: Context, uname: str, pwd: str, version: str = "1.1", originator: str = "") -> Ref[Session]:
    """Log in. Whoever reaches the Unix socket is the superuser already, and needs no password."""
    if ctx.peer.local:
        return Ref(_logins(ctx).log_in_locally(uname, originator).ref)
    return Ref(_logins(ctx).log_in(uname, pwd, ctx.peer.address, originator).ref)


@implements(api.slave_local_login_with_password)
def slave_local_login_with_password(ctx: Context, uname: str, pwd: str) -> Ref[Session]:
    """Log in to this host alone, as works also while the coordinator is away; for the superuser only."""
    if uname != SUPERUSER:
        raise USER_IS_NOT_LOCAL_SUPERUSER("only the local superuser can log in to a host by itself")
    return login_with_password(ctx, uname, pwd)


@implements(api.logout)
def logout(ctx: Context) -> None:
    """End this session."""
    ctx.toolstack.sessions.close(ctx.session.ref)


@implements(api.local_logout)
def local_logout(ctx: Context) -> None:
    """End this session with this host alone."""
    ctx.toolstack.sessions.close(ctx.session.ref)


@implements(api.change_password)
def change_password(ctx: Context, old_pwd: str, new_pwd: str) -> None:
    """Change the superuser's password; the superuser need not give the old one."""
    if not ctx.session.superuser:
        raise USER_IS_NOT_LOCAL_SUPERUSER("only the local superuser can change the password")
    if not new_pwd:
        raise CHANGE_PASSWORD_REJECTED("the new password is empty")
    try:
        _logins(ctx).authenticator.change(SUPERUSER, new_pwd)
    except PasswordNotChanged as refused:
        raise CHANGE_PASSWORD_REJECTED(str(refused)) from None


@implements(api.get_all_subject_identifiers)
def get_all_subject_identifiers(ctx: Context) -> tuple[str, ...]:
    """The users from outside who are logged in now."""
    rows = (ctx.db.find(Session, session.ref) for session in ctx.toolstack.sessions.all())
    return tuple(dict.fromkeys(row.auth_user_sid for row in rows if row is not None and row.auth_user_sid))


@implements(api.logout_subject_identifier)
def logout_subject_identifier(ctx: Context, subject_identifier: str) -> None:
    """End every session of a user from outside, save the caller's own."""
    for session in ctx.toolstack.sessions.all():
        row = ctx.db.find(Session, session.ref)
        if row is not None and row.auth_user_sid == subject_identifier and session is not ctx.session:
            ctx.toolstack.sessions.close(session.ref)


def _pool_secret_refused(ctx: Context, psecret: str) -> Ref[Session]:
    """There is one host, and so nobody who could know the pool's secret."""
    raise SESSION_INVALID(psecret and "the pool secret is wrong")


@implements(api.slave_login)
def slave_login(ctx: Context, host: Ref[Host], psecret: str) -> Ref[Session]:
    """Let another host of the pool in."""
    return _pool_secret_refused(ctx, psecret)


@implements(api.slave_local_login)
def slave_local_login(ctx: Context, psecret: str) -> Ref[Session]:
    """Let another host of the pool in while the coordinator is away."""
    return _pool_secret_refused(ctx, psecret)
