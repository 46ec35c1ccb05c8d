"""What a host tells of itself: its clock, memory, log, management interface and health."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from xapi.actions.host.files import files_of
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import PIF, Host, HostMetrics
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.errors import HANDLE_INVALID, NOT_IMPLEMENTED
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements

LOG_SHOWN: Final = 8 << 20  # bytes of the log that are answered, counted from its end


@implements(api.get_servertime, runs_on="host")
def get_servertime(ctx: Context, host: Ref[Host]) -> datetime:
    """The host's clock in UTC."""
    return ctx.now()


@implements(api.get_server_localtime, runs_on="host")
def get_server_localtime(ctx: Context, host: Ref[Host]) -> datetime:
    """The host's clock in its own time zone; the wire has no zones, so what it shows is the reading itself."""
    try:
        zone = ZoneInfo(ctx.db.get(Host, host).timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return ctx.now()
    return ctx.now().astimezone(zone).replace(tzinfo=UTC)


@cache
def _timezones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


@implements(api.list_timezones, runs_on="self")
def list_timezones(ctx: Context, self: Ref[Host]) -> tuple[str, ...]:
    """The names of the time zones that the host knows."""
    return _timezones()


@implements(api.get_log, runs_on="host")
def get_log(ctx: Context, host: Ref[Host]) -> str:
    """The last 8 MiB of the host's log; NOT_IMPLEMENTED when it goes to standard error and nobody keeps it."""
    path = files_of(ctx.toolstack).log
    if path is None:
        raise NOT_IMPLEMENTED("get_log")
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_SHOWN))
        return file.read().decode("utf-8", "replace")


@implements(api.list_methods)
def list_methods(ctx: Context) -> tuple[str, ...]:
    """The names of all messages that clients may call."""
    return tuple(CATALOG.methods)


@implements(api.get_thread_diagnostics, runs_on="host")
def get_thread_diagnostics(ctx: Context, host: Ref[Host]) -> str:
    """What each thread of the toolstack is doing, for support."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    return "\n".join(parts)


@implements(api.compute_free_memory)
def compute_free_memory(ctx: Context, host: Ref[Host]) -> int:
    """The bytes of memory that new VMs may have."""
    return ctx.toolstack.hypervisor.host.memory_free()


@implements(api.compute_memory_overhead)
def compute_memory_overhead(ctx: Context, host: Ref[Host]) -> int:
    """The bytes of memory that the hypervisor keeps for itself."""
    return ctx.toolstack.hypervisor.host.facts().memory_overhead


@implements(api.get_management_interface)
def get_management_interface(ctx: Context, host: Ref[Host]) -> Ref[PIF]:
    """The PIF that carries the host's management; HANDLE_INVALID with the null reference when there is none."""
    for pif in ctx.db.all(PIF):
        if pif.host == host and pif.management:
            return pif.ref
    raise HANDLE_INVALID(PIF.wire_name, "OpaqueRef:NULL")


@implements(api.is_in_emergency_mode)
def is_in_emergency_mode(ctx: Context) -> bool:
    """No: a coordinator is never cut off from itself."""
    return False


@implements(api.local_assert_healthy)
def local_assert_healthy(ctx: Context) -> None:
    """Answer at all, which is what a coordinator needs for being healthy."""


@implements(api.ha_xapi_healthcheck)
def ha_xapi_healthcheck(ctx: Context) -> bool:
    """Yes: whoever gets this answer has seen a call go the whole way."""
    return True


@implements(api.tickle_heartbeat, checks_first=False)
def tickle_heartbeat(ctx: Context, host: Ref[Host], stuff: Mapping[str, str]) -> Mapping[str, str]:
    """Note that a member lives."""
    with ctx.transaction() as transaction:
        row = transaction.get(Host, host)
        transaction.update(HostMetrics, row.metrics, live=True, last_updated=ctx.now())
    return {}


@implements(api.sync_data)
def sync_data(ctx: Context, host: Ref[Host]) -> None:
    """Nothing: what is kept outside the database lies on the coordinator, which is this host."""


@implements(api.request_backup, runs_on="host")
def request_backup(ctx: Context, host: Ref[Host], generation: int, force: bool) -> None:
    """Nothing: each change is on this host's disk before it is answered."""
