"""Doors that are there and lead nowhere on this server: each says by the XenAPI's own error why not.

Updates: this host neither fetches nor installs any, so its pool never has the files that these doors would give out.
Workload balancing: no appliance can be connected to the pool. The doors between hosts of one pool (`/remotecmd`,
`/remote_db_access`, `/sync_config_files`) and the one of the original's own command line (`/cli`) speak protocols of
its daemons, among them the password of root and commands to be run: they are not spoken here.
"""

from __future__ import annotations

from typing import Final

from xapi.datamodel.classes import PoolUpdate, Repository
from xapi.datamodel.classes.repository import Origin
from xapi.datamodel.errors import (
    BUNDLE_REPO_NOT_ENABLED,
    BUNDLE_SYNC_FAILED,
    CANNOT_FIND_UPDATE,
    GET_HOST_UPDATES_FAILED,
    GET_UPDATES_FAILED,
    INVALID_VALUE,
    MESSAGE_METHOD_UNKNOWN,
    MESSAGE_REMOVED,
    NO_REPOSITORY_ENABLED,
    REPOSYNC_FAILED,
    UUID_INVALID,
    WLB_NOT_INITIALIZED,
)
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending, given
from xapi.rpc.http import Exchange

UPDATE: Final = "/update/"


def unknown(ctx: Context, exchange: Exchange) -> Ending:
    """A protocol that is not spoken here: MESSAGE_METHOD_UNKNOWN, with the method and the path."""
    raise MESSAGE_METHOD_UNKNOWN(f"{exchange.request.method} {exchange.request.path}")


def patch_upload(ctx: Context, exchange: Exchange) -> Ending:
    """PUT /pool_patch_upload: hotfixes of this kind have given way to repositories; MESSAGE_REMOVED."""
    raise MESSAGE_REMOVED()


def balancing_report(ctx: Context, exchange: Exchange) -> Ending:
    """GET /wlb_report: INVALID_VALUE without the name of a report, else WLB_NOT_INITIALIZED."""
    if not given(exchange.request).get("report"):
        raise INVALID_VALUE("report", "")
    raise WLB_NOT_INITIALIZED()


def balancing_diagnostics(ctx: Context, exchange: Exchange) -> Ending:
    """GET /wlb_diagnostics: WLB_NOT_INITIALIZED."""
    raise WLB_NOT_INITIALIZED()


def update_file(ctx: Context, exchange: Exchange) -> Ending:
    """GET /update/<uuid>/…: UUID_INVALID for an update that nobody has, else CANNOT_FIND_UPDATE."""
    identity = exchange.request.path.removeprefix(UPDATE.rstrip("/")).strip("/").partition("/")[0]
    if ctx.db.by_uuid(PoolUpdate, identity) is None:
        raise UUID_INVALID(PoolUpdate.wire_name, identity)
    raise CANNOT_FIND_UPDATE()


def repository_file(ctx: Context, exchange: Exchange) -> Ending:
    """GET /repository/… and /repository/enabled/…: NO_REPOSITORY_ENABLED, or REPOSYNC_FAILED as none is ever filled."""
    _enabled(ctx)
    raise REPOSYNC_FAILED()


def updates(ctx: Context, exchange: Exchange) -> Ending:
    """GET /updates: NO_REPOSITORY_ENABLED, or GET_UPDATES_FAILED."""
    _enabled(ctx)
    raise GET_UPDATES_FAILED()


def host_updates(ctx: Context, exchange: Exchange) -> Ending:
    """GET /host_updates: NO_REPOSITORY_ENABLED, or GET_HOST_UPDATES_FAILED."""
    _enabled(ctx)
    raise GET_HOST_UPDATES_FAILED(ctx.this_host)


def bundle(ctx: Context, exchange: Exchange) -> Ending:
    """PUT /bundle: BUNDLE_REPO_NOT_ENABLED, or BUNDLE_SYNC_FAILED. Nothing of the upload is read."""
    if not any(row.origin is Origin.BUNDLE for row in _repositories(ctx)):
        raise BUNDLE_REPO_NOT_ENABLED()
    raise BUNDLE_SYNC_FAILED()


def _repositories(ctx: Context) -> list[Repository]:
    found = (ctx.db.find(Repository, ref) for ref in ctx.pool.repositories)
    return [row for row in found if row is not None]


def _enabled(ctx: Context) -> None:
    if not _repositories(ctx):
        raise NO_REPOSITORY_ENABLED()
