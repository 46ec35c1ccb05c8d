"""Messages of the pool that do the same on each of its hosts."""

from __future__ import annotations

from xapi.datamodel.classes import SR, Host, Pool
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.errors import (
    DISABLE_SSH_PARTIALLY_FAILED,
    ENABLE_SSH_PARTIALLY_FAILED,
    HOSTS_FAILED_TO_DISABLE_CACHING,
    HOSTS_FAILED_TO_ENABLE_CACHING,
    SET_CONSOLE_TIMEOUT_PARTIALLY_FAILED,
    SET_SSH_AUTO_MODE_PARTIALLY_FAILED,
    SET_SSH_TIMEOUT_PARTIALLY_FAILED,
)
from xapi.datamodel.failure import ErrorCode, Failure
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message


def _on_each(ctx: Context, partly: ErrorCode, wire_name: str, *params: object) -> None:
    """Call a message for each host; the error names the hosts that refused."""
    refused = [host.ref for host in ctx.db.all(Host) if not _done(ctx, wire_name, host.ref, *params)]
    if refused:
        raise partly(*refused)


def _done(ctx: Context, wire_name: str, *params: object) -> bool:
    try:
        run_message(ctx, wire_name, *params)
    except Failure:
        return False
    return True


@implements(api.enable_ssh, checks_first=False)
def enable_ssh(ctx: Context, self: Ref[Pool]) -> None:
    """Turn SSH on everywhere."""
    _on_each(ctx, ENABLE_SSH_PARTIALLY_FAILED, "host.enable_ssh")


@implements(api.disable_ssh, checks_first=False)
def disable_ssh(ctx: Context, self: Ref[Pool]) -> None:
    """Turn SSH off everywhere."""
    _on_each(ctx, DISABLE_SSH_PARTIALLY_FAILED, "host.disable_ssh")


@implements(api.set_ssh_enabled_timeout, checks_first=False)
def set_ssh_enabled_timeout(ctx: Context, self: Ref[Pool], value: int) -> None:
    """Say for how long SSH stays on, everywhere."""
    _on_each(ctx, SET_SSH_TIMEOUT_PARTIALLY_FAILED, "host.set_ssh_enabled_timeout", value)


@implements(api.set_ssh_auto_mode, checks_first=False)
def set_ssh_auto_mode(ctx: Context, self: Ref[Pool], value: bool) -> None:
    """Say whether SSH is on while the toolstack is not, everywhere."""
    _on_each(ctx, SET_SSH_AUTO_MODE_PARTIALLY_FAILED, "host.set_ssh_auto_mode", value)


@implements(api.set_console_idle_timeout, checks_first=False)
def set_console_idle_timeout(ctx: Context, self: Ref[Pool], value: int) -> None:
    """Say after how many idle seconds shells on consoles end, everywhere."""
    _on_each(ctx, SET_CONSOLE_TIMEOUT_PARTIALLY_FAILED, "host.set_console_idle_timeout", value)


@implements(api.enable_local_storage_caching, checks_first=False)
def enable_local_storage_caching(ctx: Context, self: Ref[Pool]) -> None:
    """Cache shared images on a local SR of every host; HOSTS_FAILED_TO_ENABLE_CACHING with those that have none."""
    refused = []
    for host in ctx.db.all(Host):
        candidates = [
            sr.ref for sr in ctx.db.all(SR) if not sr.shared and len(sr.PBDs) == 1 and sr.PBDs[0] in host.PBDs
        ]
        if not any(_done(ctx, "host.enable_local_storage_caching", host.ref, sr) for sr in candidates):
            refused.append(host.ref)
    if refused:
        raise HOSTS_FAILED_TO_ENABLE_CACHING(*refused)


@implements(api.disable_local_storage_caching, checks_first=False)
def disable_local_storage_caching(ctx: Context, self: Ref[Pool]) -> None:
    """Cache shared images nowhere any longer."""
    _on_each(ctx, HOSTS_FAILED_TO_DISABLE_CACHING, "host.disable_local_storage_caching")
