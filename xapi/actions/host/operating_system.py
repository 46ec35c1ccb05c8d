"""Settings of the operating system below a host: time, SSH, consoles, how deeply CPUs sleep."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from zoneinfo import available_timezones

from xapi.actions.host.machine import Machine, Setting, machine_of
from xapi.datamodel.classes import Host
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.classes.host import HostNtpMode
from xapi.datamodel.errors import INVALID_NTP_CONFIG, INVALID_VALUE
from xapi.datamodel.model import EPOCH, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.toolstack import Toolstack

LONGEST_SSH: Final = 2 * 24 * 3600  # seconds


@implements(api.set_timezone, runs_on="self")
def set_timezone(ctx: Context, self: Ref[Host], value: str) -> None:
    """Change the time zone of the host to one that it knows."""
    if value not in available_timezones():
        raise INVALID_VALUE("timezone", value)
    machine_of(ctx, "host.set_timezone").configure(Setting.TIMEZONE, value)
    with ctx.transaction() as transaction:
        transaction.update(Host, self, timezone=value)


@implements(api.set_ntp_mode, runs_on="self")
def set_ntp_mode(ctx: Context, self: Ref[Host], value: HostNtpMode) -> None:
    """Say where the host takes its NTP servers from; Custom needs servers of its own first."""
    servers = ctx.db.get(Host, self).ntp_custom_servers
    if value == HostNtpMode.CUSTOM and not servers:
        raise INVALID_NTP_CONFIG("Can't set ntp_mode to Custom when ntp_custom_servers is empty")
    text = " ".join(servers) if value == HostNtpMode.CUSTOM else str(value)
    machine_of(ctx, "host.set_ntp_mode").configure(Setting.NTP_SERVERS, text)
    with ctx.transaction() as transaction:
        transaction.update(Host, self, ntp_mode=value)


@implements(api.set_ntp_custom_servers, runs_on="self")
def set_ntp_custom_servers(ctx: Context, self: Ref[Host], value: tuple[str, ...]) -> None:
    """Name the NTP servers of the mode Custom; they are used at once if that is the mode."""
    for server in value:
        if re.fullmatch(r"[A-Za-z0-9.:_-]+", server) is None:
            raise INVALID_VALUE("ntp_custom_servers", server)
    if ctx.db.get(Host, self).ntp_mode == HostNtpMode.CUSTOM:
        if not value:
            raise INVALID_NTP_CONFIG("Can't set ntp_custom_servers empty when ntp_mode is Custom")
        machine_of(ctx, "host.set_ntp_custom_servers").configure(Setting.NTP_SERVERS, " ".join(value))
    with ctx.transaction() as transaction:
        transaction.update(Host, self, ntp_custom_servers=value)


@implements(api.set_max_cstate, runs_on="self")
def set_max_cstate(ctx: Context, self: Ref[Host], value: str) -> None:
    """Limit how deeply the CPUs sleep: "N", "N,M", or empty for no limit."""
    if re.fullmatch(r"([0-9]{1,3}(,[0-9]{1,3})?)?", value) is None:
        raise INVALID_VALUE("max_cstate", value)
    machine_of(ctx, "host.set_max_cstate").configure(Setting.CPU_SLEEP, value)
    with ctx.transaction() as transaction:
        transaction.update(Host, self, max_cstate=value)


@implements(api.set_console_idle_timeout, runs_on="self")
def set_console_idle_timeout(ctx: Context, self: Ref[Host], value: int) -> None:
    """Say after how many idle seconds a shell on the host's console ends; 0 for never."""
    if value < 0:
        raise INVALID_VALUE("console_timeout", value)
    machine_of(ctx, "host.set_console_idle_timeout").configure(Setting.CONSOLE_IDLE_TIMEOUT, str(value))
    with ctx.transaction() as transaction:
        transaction.update(Host, self, console_idle_timeout=value)


@implements(api.enable_ssh, runs_on="self")
def enable_ssh(ctx: Context, self: Ref[Host]) -> None:
    """Turn SSH on, for as long as ssh_enabled_timeout says."""
    machine_of(ctx, "host.enable_ssh").configure(Setting.SSH, "on")
    with ctx.transaction() as transaction:
        timeout = transaction.get(Host, self).ssh_enabled_timeout
        expiry = ctx.now() + timedelta(seconds=timeout) if timeout else EPOCH
        transaction.update(Host, self, ssh_enabled=True, ssh_expiry=expiry)


@implements(api.disable_ssh, runs_on="self")
def disable_ssh(ctx: Context, self: Ref[Host]) -> None:
    """Turn SSH off."""
    machine_of(ctx, "host.disable_ssh").configure(Setting.SSH, "off")
    with ctx.transaction() as transaction:
        transaction.update(Host, self, ssh_enabled=False, ssh_expiry=ctx.now())


@implements(api.set_ssh_enabled_timeout, runs_on="self")
def set_ssh_enabled_timeout(ctx: Context, self: Ref[Host], value: int) -> None:
    """Say for how many seconds SSH stays on, at most two days; counted from now if it is on."""
    if not 0 <= value <= LONGEST_SSH:
        raise INVALID_VALUE("ssh_enabled_timeout", value)
    machine_of(ctx, "host.set_ssh_enabled_timeout")
    with ctx.transaction() as transaction:
        row = transaction.get(Host, self)
        expiry = row.ssh_expiry
        if row.ssh_enabled:
            expiry = ctx.now() + timedelta(seconds=value) if value else EPOCH
        transaction.update(Host, self, ssh_enabled_timeout=value, ssh_expiry=expiry)


@implements(api.set_ssh_auto_mode, runs_on="self")
def set_ssh_auto_mode(ctx: Context, self: Ref[Host], value: bool) -> None:
    """Say whether SSH is on while the toolstack is not, and the reverse."""
    machine_of(ctx, "host.set_ssh_auto_mode").configure(Setting.SSH_AUTO_MODE, "on" if value else "off")
    with ctx.transaction() as transaction:
        transaction.update(Host, self, ssh_auto_mode=value)


def turn_off_expired_ssh(toolstack: Toolstack) -> None:
    """Turn SSH off on this host when its time is over; to be called now and then."""
    row = toolstack.db.get(Host, toolstack.this_host)
    machine: Machine | None = toolstack.parts.get(Machine)
    if machine is None or not row.ssh_enabled or row.ssh_expiry == EPOCH or row.ssh_expiry > toolstack.clock.now():
        return
    machine.configure(Setting.SSH, "off")
    with toolstack.db.transaction() as transaction:
        transaction.update(Host, row.ref, ssh_enabled=False)
