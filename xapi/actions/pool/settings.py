"""Settings of the pool that have rules of their own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from xapi.actions.secret import drop_secret
from xapi.datamodel.classes import Host, Pool, Secret
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.classes.pool import TelemetryFrequency
from xapi.datamodel.errors import (
    INVALID_VALUE,
    MAP_DUPLICATE_KEY,
    MESSAGE_REMOVED,
    TELEMETRY_NEXT_COLLECTION_TOO_LATE,
)
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message
from xapi.system.certificate_checks import as_time

FARTHEST_COLLECTION: Final[Mapping[TelemetryFrequency, timedelta]] = {
    TelemetryFrequency.DAILY: timedelta(days=2),
    TelemetryFrequency.WEEKLY: timedelta(days=14),
    TelemetryFrequency.MONTHLY: timedelta(days=62),
}


def _is_agent_setting(key: str, value: str) -> bool:
    """Whether guest agents know a setting, and may have this value for it."""
    if key == "auto_update_enabled":
        return value in ("true", "false")
    return key == "auto_update_url" and value.startswith(("http://", "https://"))


@implements(api.add_to_guest_agent_config, checks_first=False)
def add_to_guest_agent_config(ctx: Context, self: Ref[Pool], key: str, value: str) -> None:
    """Add a setting for guest agents; INVALID_VALUE for one that they do not know."""
    if not _is_agent_setting(key, value):
        raise INVALID_VALUE("guest_agent_config", f"{key} = {value}")
    with ctx.transaction() as transaction:
        present = transaction.get(Pool, self).guest_agent_config
        if key in present:
            raise MAP_DUPLICATE_KEY(Pool.wire_name, "guest_agent_config", self, key)
        transaction.update(Pool, self, guest_agent_config={**present, key: value})


@implements(api.remove_from_guest_agent_config)
def remove_from_guest_agent_config(ctx: Context, self: Ref[Pool], key: str) -> None:
    """Drop a setting for guest agents; one that is not there is as good as dropped."""
    with ctx.transaction() as transaction:
        present = transaction.get(Pool, self).guest_agent_config
        rest = {name: value for name, value in present.items() if name != key}
        transaction.update(Pool, self, guest_agent_config=rest)


@implements(api.set_telemetry_next_collection)
def set_telemetry_next_collection(ctx: Context, self: Ref[Pool], value: datetime) -> None:
    """Say when telemetry is collected next; a date beyond what the frequency permits is refused."""
    with ctx.transaction() as transaction:
        farthest = FARTHEST_COLLECTION[transaction.get(Pool, self).telemetry_frequency]
        if value > ctx.now() + farthest:
            raise TELEMETRY_NEXT_COLLECTION_TOO_LATE(as_time(value))
        transaction.update(Pool, self, telemetry_next_collection=value)


@implements(api.reset_telemetry_uuid)
def reset_telemetry_uuid(ctx: Context, self: Ref[Pool]) -> None:
    """Give the pool a new identifier for telemetry, and forget the old one."""
    with ctx.transaction() as transaction:
        old = transaction.get(Pool, self).telemetry_uuid
        fresh = transaction.create(Secret, value=str(uuid.uuid4()))
        transaction.update(Pool, self, telemetry_uuid=fresh)
        drop_secret(transaction, old)


def _set_threads(ctx: Context, field: str, value: int) -> None:
    if value < 1:
        raise INVALID_VALUE(field, value)
    with ctx.transaction() as transaction:
        transaction.update(Pool, ctx.pool.ref, **{field: value})


@implements(api.set_local_auth_max_threads, checks_first=False)
def set_local_auth_max_threads(ctx: Context, self: Ref[Pool], value: int) -> None:
    """Say how many passwords of local users may be checked at the same time."""
    _set_threads(ctx, "local_auth_max_threads", value)


@implements(api.set_ext_auth_max_threads, checks_first=False)
def set_ext_auth_max_threads(ctx: Context, self: Ref[Pool], value: int) -> None:
    """Say how many users of a directory may be checked at the same time."""
    _set_threads(ctx, "ext_auth_max_threads", value)


@implements(api.set_ext_auth_cache_enabled)
def set_ext_auth_cache_enabled(ctx: Context, self: Ref[Pool], value: bool) -> None:
    """Say whether a directory's answers may be remembered for a while."""
    with ctx.transaction() as transaction:
        transaction.update(Pool, self, ext_auth_cache_enabled=value)


@implements(api.set_ext_auth_cache_size)
def set_ext_auth_cache_size(ctx: Context, self: Ref[Pool], value: int) -> None:
    """Say how many of a directory's users may be remembered."""
    if value < 0:
        raise INVALID_VALUE("size", value)
    with ctx.transaction() as transaction:
        transaction.update(Pool, self, ext_auth_cache_size=value)


@implements(api.set_ext_auth_cache_expiry)
def set_ext_auth_cache_expiry(ctx: Context, self: Ref[Pool], value: int) -> None:
    """Say for how many seconds a directory's answer may be remembered."""
    if value <= 0:
        raise INVALID_VALUE("expiry", value)
    with ctx.transaction() as transaction:
        transaction.update(Pool, self, ext_auth_cache_expiry=value)


@implements(api.has_extension, checks_first=False)
def has_extension(ctx: Context, self: Ref[Pool], name: str) -> bool:
    """Say whether every host has the extension."""
    return all(run_message(ctx, "host.has_extension", host.ref, name) for host in ctx.db.all(Host))


@implements(api.get_license_state, checks_first=False)
def get_license_state(ctx: Context, self: Ref[Pool]) -> Mapping[str, str]:
    """The edition of the pool, and when it ends."""
    host = ctx.db.get(Host, ctx.pool.master)
    return {"edition": host.edition, "expiry": host.license_params.get("expiry", "never")}


@implements(api.apply_edition, checks_first=False)
def apply_edition(ctx: Context, self: Ref[Pool], edition: str) -> None:
    """Switch every host to another edition."""
    for host in ctx.db.all(Host):
        run_message(ctx, "host.apply_edition", host.ref, edition, False)


@implements(api.test_archive_target, checks_first=False)
def test_archive_target(ctx: Context, self: Ref[Pool], config: Mapping[str, str]) -> str:
    """Refuse: protection policies are gone, and with them their archives."""
    raise MESSAGE_REMOVED()


@implements(api.disable_ssl_legacy, checks_first=False)
def disable_ssl_legacy(ctx: Context, self: Ref[Pool]) -> None:
    """Nothing: outdated TLS is off for good."""
