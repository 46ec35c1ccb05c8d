"""What storage there is to be found, and what an SR is fit for (XenAPI's class SR)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from xapi.actions.sr.work import repositories_of
from xapi.actions.storage_repositories import SECRET_SUFFIX
from xapi.datamodel.classes import PBD, SM, SR, VDI, Host, HostMetrics, ProbeResult, SrStat
from xapi.datamodel.classes import sr as api
from xapi.datamodel.classes.sr_stat import SrHealth
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.errors import SR_HAS_NO_PBDS, SR_OPERATION_NOT_SUPPORTED, SR_SOURCE_SPACE_INSUFFICIENT
from xapi.datamodel.model import NOTHING, NULL, Map, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.surroundings import driver_features
from xapi.storage import interface as storage

FOR_STATEFILES: Final = ("VDI_GENERATE_CONFIG", "VDI_ATTACH_OFFLINE")
FOR_DATABASES: Final = ("SR_METADATA",)
MEBIBYTE: Final = 1 << 20
STATEFILE_DISKS: Final = {VdiType.HA_STATEFILE: 65 * 4096, VdiType.REDO_LOG: 256 * MEBIBYTE}
"""The smallest disks that will do: 4 KiB for the pool and for each of 64 hosts, and room for the pool's database."""
ROOM_FOR_STATEFILES: Final = 260 * MEBIBYTE
"""What the two take where disks are made in units of 4 MiB."""


@implements(api.get_supported_types)
def get_supported_types(ctx: Context) -> tuple[str, ...]:
    """The types of SR that the pool has a driver for."""
    return tuple(sorted(record.type for record in ctx.db.all(SM)))


@implements(api.probe, runs_on="host")
def probe(
    ctx: Context, host: Ref[Host], device_config: Map[str, str], type: str, sm_config: Map[str, str] = NOTHING
) -> str:
    """What a driver finds with settings that may be incomplete, as its XML."""
    repositories = repositories_of(ctx)
    driver = repositories.driver(type.lower())
    return driver.probe(repositories.settings(ctx.db, driver.type.name, host, device_config), sm_config)


@implements(api.probe_ext, runs_on="host")
def probe_ext(
    ctx: Context, host: Ref[Host], device_config: Map[str, str], type: str, sm_config: Map[str, str] = NOTHING
) -> tuple[ProbeResult, ...]:
    """What a driver finds with settings that may be incomplete, as values."""
    repositories = repositories_of(ctx)
    driver = repositories.driver(type.lower())
    settings = repositories.settings(ctx.db, driver.type.name, host, device_config)
    added = settings.keys() - device_config.keys()
    secrets = {key: value for key, value in device_config.items() if key.endswith(SECRET_SUFFIX)}
    return tuple(_result(found, added, secrets) for found in driver.probe_ext(settings, sm_config))


def _result(found: storage.ProbeResult, added: Set[str], secrets: Mapping[str, str]) -> ProbeResult:
    """A finding with the settings that lead to it, as a client gives them: without what only a driver is told."""
    sr = _stat(found.sr) if found.sr is not None else None
    given = {key: value for key, value in found.configuration.items() if key not in added}
    return ProbeResult((NULL, {**given, **secrets}, found.complete, sr, dict(found.extra_info)))


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
    """Pass an SR that every host has plugged, that can be told how to attach a disk without a toolstack, and has room.

    Room is that for a statefile and a redo log, as long as there is none of either that could be used.
    """
    row = _check_fit(ctx, sr, FOR_STATEFILES)
    present = [vdi for ref in row.VDIs if (vdi := ctx.db.find(VDI, ref)) is not None]
    for kind, size in STATEFILE_DISKS.items():
        usable = any(vdi.type == kind and vdi.virtual_size >= size for vdi in present)
        if not usable and row.physical_size - row.physical_utilisation < ROOM_FOR_STATEFILES:
            raise SR_SOURCE_SPACE_INSUFFICIENT(sr)


@implements(api.assert_supports_database_replication)
def assert_supports_database_replication(ctx: Context, sr: Ref[SR]) -> None:
    """Pass an SR that every host has plugged and whose driver keeps metadata."""
    _check_fit(ctx, sr, FOR_DATABASES)


def _check_fit(ctx: Context, sr: Ref[SR], any_of: tuple[str, ...]) -> SR:
    row = ctx.db.get(SR, sr)
    links = [ctx.db.get(PBD, ref) for ref in row.PBDs]
    if len({link.host for link in links if link.currently_attached}) < len(ctx.db.all(Host)):
        raise SR_HAS_NO_PBDS(sr)
    features = driver_features(ctx.db, row.type)
    if not any(feature in features for feature in any_of):
        raise SR_OPERATION_NOT_SUPPORTED(sr)
    return row


@implements(api.get_live_hosts)
def get_live_hosts(ctx: Context, sr: Ref[SR]) -> tuple[Ref[Host], ...]:
    """The hosts that are enabled and alive and have the SR attached."""
    links = (ctx.db.get(PBD, ref) for ref in ctx.db.get(SR, sr).PBDs)
    hosts = (ctx.db.find(Host, link.host) for link in links if link.currently_attached)
    return tuple(host.ref for host in hosts if host is not None and host.enabled and _is_alive(ctx, host))


def _is_alive(ctx: Context, host: Host) -> bool:
    metrics = ctx.db.find(HostMetrics, host.metrics)
    return metrics is not None and metrics.live
