"""The doors to performance data: /rrd_updates, /vm_rrd, /vm_rrds, /host_rrd, /host_rrds, /sr_rrd and PUT /rrd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from xapi.actions.performance import recorder_of
from xapi.datamodel.classes import SR, VM, Host
from xapi.datamodel.classes.vm import VmPowerState
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending, Handled, given
from xapi.http_handlers.rrd_document import LONGEST, read_rrd
from xapi.monitoring.archive import Consolidation
from xapi.monitoring.recorder import Owner, OwnerKind
from xapi.rpc.http import Exchange
from xapi.rpc.http_message import Buffer, Request, Response, error_page

XML: Final = ("Content-Type", "text/xml")
JSON: Final = ("Content-Type", "application/json")
ANYWHERE: Final = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Headers", "X-Requested-With"))
NEVER: Final = frozenset({"false", "0"})
ANY: Final = "all"
NONE: Final = "none"
STARTING: Final = "dbsync"
KEPT_HERE: Final = frozenset({"rrd_unarchive", STARTING})
"""Parameters by which hosts of a pool ask the coordinator for an archive that was put there, whatever runs where."""


def _wants_json(request: Request) -> bool:
    """Whether the parameter `json` is there, whatever it says but no."""
    return request.query.get("json", "false").lower() not in NEVER


def _whole(text: str, default: int | None = None) -> int | None:
    try:
        return int(text)
    except ValueError:
        return default


def _answer(pieces: Sequence[Buffer], *, json: bool) -> Response:
    return Response(200, (JSON if json else XML, *ANYWHERE), pieces)


# What happened since


def rrd_updates(ctx: Context, request: Request) -> Response:
    """What was measured since `start`: of all VMs here or the one that `vm_uuid` names; of the host and SRs if asked.

    `start` is in seconds since 1970, or, when it is negative, before the last measurement. `interval` is the least
    time between two rows in seconds, `cf` one consolidation (all without it), `host=true` adds the host,
    `sr_uuid=all` or the UUID of an SR adds SRs, `json` asks for JSON. Without `start` the status is 400.
    """
    query = request.query
    start = _whole(query.get("start", ""))
    if start is None:
        return error_page(400, "the parameter start is missing, or is no number of seconds")
    interval = _whole(query.get("interval", ""), 0) or 0
    try:
        consolidation = Consolidation(query["cf"]) if "cf" in query else None
    except ValueError:
        consolidation = None
    updates = recorder_of(ctx).updates(_owners(ctx, query), start, max(interval, 0), consolidation)
    json = _wants_json(request)
    return _answer(updates.as_json() if json else updates.as_xml(), json=json)


def _owners(ctx: Context, query: Mapping[str, str]) -> list[Owner]:
    """Whom a request is about, in the order of the legend: the host, VMs, SRs."""
    measured = recorder_of(ctx).measured()
    wanted = {
        OwnerKind.HOST: ANY if query.get("host") == "true" else NONE,
        OwnerKind.VM: query.get("vm_uuid") or query.get("uuid") or ANY,
        OwnerKind.SR: query.get("sr_uuid") or NONE,
    }
    found: list[Owner] = []
    for kind, uuid in wanted.items():
        found += sorted(owner for owner in measured if owner.kind is kind and uuid in (ANY, owner.uuid))
    return found


# Whole archives


def vm_rrd(ctx: Context, request: Request) -> Response:
    """The whole archive of a VM (`uuid` or `ref`); 404 when there is none.

    302 to the host where the VM runs, but for a host of the pool that asks for what is kept here (see `KEPT_HERE`).
    """
    name = request.query.get("uuid") or request.query.get("ref")
    if not name:
        return error_page(400, "the parameter uuid is missing")
    row = ctx.db.by_uuid(VM, name) or ctx.db.find(VM, name)
    if row is None:
        return error_page(404, "there is no such VM")
    elsewhere = ctx.db.find(Host, row.resident_on) if row.resident_on != ctx.this_host else None
    wants_kept = not KEPT_HERE.isdisjoint(request.query)
    if elsewhere is not None and row.power_state is not VmPowerState.HALTED and not wants_kept:
        location = f"https://{elsewhere.address}{request.path}?{urlencode(request.query)}"
        return Response(302, (("Location", location),))
    return _document(ctx, request, Owner(OwnerKind.VM, row.uuid))


def host_rrd(ctx: Context, request: Request) -> Response:
    """The whole archive of this host; what is kept here of another one (`uuid`) for a host that starts (`dbsync`)."""
    host = ctx.db.get(Host, ctx.this_host).uuid
    if STARTING in request.query:
        host = request.query.get("uuid", "")
        if not host:
            return error_page(400, "the parameter uuid is missing")
        if ctx.db.by_uuid(Host, host) is None:
            return error_page(404, "there is no such host")
    return _document(ctx, request, Owner(OwnerKind.HOST, host))


def sr_rrd(ctx: Context, request: Request) -> Response:
    """The whole archive of an SR (`uuid`); 404 when there is none."""
    uuid = request.query.get("uuid")
    if not uuid:
        return error_page(400, "the parameter uuid is missing")
    if ctx.db.by_uuid(SR, uuid) is None:
        return error_page(404, "there is no such SR")
    return _document(ctx, request, Owner(OwnerKind.SR, uuid))


def _document(ctx: Context, request: Request, owner: Owner) -> Response:
    """The archive in XML, in JSON with `json`, or with `names=short` in XML that `rrdtool restore` takes."""
    json = _wants_json(request)
    short_names = request.query.get("names") == "short"
    pieces = recorder_of(ctx).document(owner, json=json, short_names=short_names)
    if pieces is None:
        return error_page(404, "nothing has been measured of it")
    return _answer(pieces, json=json)


# From other hosts


def put_rrd(ctx: Context, request: Request, document: bytes) -> Response:
    """Take the archive of a VM (`uuid`): into memory when it runs here, into a file otherwise or with `archive`.

    An archive of a host is taken with `archive` only. 404 when nobody has the UUID, 400 for what is no archive.
    """
    parameters = given(request)
    uuid = parameters.get("uuid")
    if not uuid:
        return error_page(400, "the parameter uuid is missing")
    vm = ctx.db.by_uuid(VM, uuid)
    if vm is None and ctx.db.by_uuid(Host, uuid) is None:
        return error_page(404, "there is no VM and no host of this uuid")
    to_file = "archive" in parameters
    if vm is None and not to_file:
        return error_page(400, "the archive of a host cannot be replaced")
    try:
        archive = read_rrd(document)
    except (ValueError, OverflowError) as problem:
        return error_page(400, f"the archive cannot be read: {problem}")
    running = vm is not None and vm.resident_on == ctx.this_host
    owner = Owner(OwnerKind.VM if vm is not None else OwnerKind.HOST, uuid)
    recorder_of(ctx).receive(owner, archive, running=running and not to_file)
    return Response(200)


def _receive(ctx: Context, exchange: Exchange) -> Ending:
    pieces: list[bytes] = []
    size = 0
    for piece in exchange:
        size += len(piece)
        if size > LONGEST:
            return Ending(response=error_page(413, "the archive is too long"))
        pieces.append(piece)
    if exchange.truncated:
        return Ending(response=error_page(400, "the archive is cut short"))
    return Ending(response=put_rrd(ctx, exchange.request, b"".join(pieces)))


def _simple(handler: Callable[[Context, Request], Response]) -> Callable[[Context, Exchange], Ending]:
    """A handler for a door of one that only needs the request."""
    return lambda ctx, exchange: Ending(response=handler(ctx, exchange.request))


HANDLERS: Final[Mapping[str, Handled]] = {
    "rrd_updates": Handled(_simple(rrd_updates), "Get RRD updates.", brief=True),
    "vm_rrd": Handled(_simple(vm_rrd), "Get VM RRD.", brief=True),
    "get_vm_rrds": Handled(_simple(vm_rrd), "Get VM RRDs.", brief=True),
    "host_rrd": Handled(_simple(host_rrd), "Get Host RRD.", brief=True),
    "get_host_rrds": Handled(_simple(host_rrd), "Get Host RRDs.", brief=True),
    "sr_rrd": Handled(_simple(sr_rrd), "Get SR RRD.", brief=True),
    "rrd": Handled(_receive, "Put VM RRD.", brief=True),
}
"""What stands behind these doors, by the names of the actions."""
