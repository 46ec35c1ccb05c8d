"""What storage there is to be found, and what an SR is fit for (XenAPI's class SR)."""

from __future__ import annotations

from typing import Final

from xapi.actions.sr.work import repositories_of
from xapi.actions.storage_repositories import revealed
from xapi.datamodel.classes import PBD, SM, SR, Host, HostMetrics, ProbeResult, SrStat
from xapi.datamodel.classes import sr as api
from xapi.datamodel.classes.sr_stat import SrHealth
from xapi.datamodel.errors import SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED
from xapi.datamodel.model import NOTHING, NULL, Map, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.surroundings import driver_features
from xapi.storage import interface as storage

FOR_STATEFILES: Final = ("VDI_GENERATE_CONFIG", "VDI_ATTACH_OFFLINE")
FOR_DATABASES: Final = ("SR_METADATA",)


@implements(api.get_supported_types)
def get_supported_types(ctx: Context) -> tuple[str, ...]:
    """The types of SR that the pool has a driver for."""
    return tuple(sorted(record.type for record in ctx.db.all(SM)))


@implements(api.probe, runs_on="host")
def probe(
    ctx: Context, host: Ref[Host], device_config: Map[str, str], type: str, sm_config: Map[str, str] = NOTHING
) -> str:
    """What a driver finds with settings that may be incomplete, as its XML."""
    driver = repositories_of(ctx).driver(type.lower())
    return driver.probe(revealed(ctx.db, device_config), sm_config)


@implements(api.probe_ext, runs_on="host")
def probe_ext(
    ctx: Context, host: Ref[Host], device_config: Map[str, str], type: str, sm_config: Map[str, str] = NOTHING
) -> tuple[ProbeResult, ...]:
    """What a driver finds with settings that may be incomplete, as values."""
    driver = repositories_of(ctx).driver(type.lower())
    return tuple(_result(found) for found in driver.probe_ext(revealed(ctx.db, device_config), sm_config))


def _result(found: storage.ProbeResult) -> ProbeResult:
    sr = _stat(found.sr) if found.sr is not None else None
    return ProbeResult((NULL, dict(found.configuration), found.complete, sr, dict(found.extra_info)))


def _stat(found: storage.SrStat) -> SrStat:
    health = SrHealth(found.health)
    return SrStat(
        (
            NULL,
            found.uuid,
            found.name_label,
            found.name_description,
            found.free,
            found.total,
            found.clustered,
            health,
        )
    )


@implements(api.assert_can_host_ha_statefile)
def assert_can_host_ha_statefile(ctx: Context, sr: Ref[SR]) -> None:
    """Pass an SR that every host has plugged and whose driver can attach disks without a toolstack."""
    _check_fit(ctx, sr, FOR_STATEFILES)


@implements(api.assert_supports_database_replication)
def assert_supports_database_replication(ctx: Context, sr: Ref[SR]) -> None:
    """Pass an SR that every host has plugged and whose driver keeps metadata."""
    _check_fit(ctx, sr, FOR_DATABASES)


def _check_fit(ctx: Context, sr: Ref[SR], wanted: tuple[str, ...]) -> None:
    row = ctx.db.get(SR, sr)
    links = [ctx.db.get(PBD, ref) for ref in row.PBDs]
    if len({link.host for link in links}) < len(ctx.db.all(Host)):
        raise SR_HAS_NO_PBDS(sr)
    if not all(link.currently_attached for link in links):
        raise SR_NOT_ATTACHED(sr)
    features = driver_features(ctx.db, row.type)
    if any(feature not in features for feature in wanted):
        raise SR_OPERATION_NOT_SUPPORTED(sr)


@implements(api.get_live_hosts)
def get_live_hosts(ctx: Context, sr: Ref[SR]) -> tuple[Ref[Host], ...]:
    """The hosts that are enabled and alive and have the SR attached."""
    links = (ctx.db.get(PBD, ref) for ref in ctx.db.get(SR, sr).PBDs)
    hosts = (ctx.db.find(Host, link.host) for link in links if link.currently_attached)
    return tuple(host.ref for host in hosts if host is not None and host.enabled and _is_alive(ctx, host))


def _is_alive(ctx: Context, host: Host) -> bool:
    metrics = ctx.db.find(HostMetrics, host.metrics)
    return metrics is not None and metrics.live
