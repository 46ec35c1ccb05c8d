"""The doors at /services: what the storage side of this host offers, as JSON.

`/services` tells of the whole, `/services/SM` of every storage driver, `/services/SM/<type>` of one. Below
`/services/driver` and `/services/plugin` the original finds programs in other domains, of which there are none here;
nor are there the doors by which its own daemons talk to one another (`/services/xenops`, calls by POST and PUT).
"""

from __future__ import annotations

import json
from typing import Any, Final

from xapi import __version__
from xapi.datamodel.classes import SM
from xapi.datamodel.errors import MESSAGE_METHOD_UNKNOWN, SR_UNKNOWN_DRIVER
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending
from xapi.rpc.http import Exchange
from xapi.rpc.http_message import Response

PATH: Final = "/services"
STORAGE: Final = "/services/SM"
DRIVER_DOMAINS: Final = "/services/driver"
JSON: Final = (("Content-Type", "application/json"),)
SMAPI_VERSION: Final = "SMAPIv1"


def show(ctx: Context, exchange: Exchange) -> Ending:
    """GET /services and what lies below; MESSAGE_METHOD_UNKNOWN for a service that is not there."""
    path = exchange.request.path.rstrip("/")
    if path == PATH:
        return _answer(_multiplexer())
    if path == DRIVER_DOMAINS:
        return _answer([])
    raise no_such_service(exchange)


def show_storage(ctx: Context, exchange: Exchange) -> Ending:
    """GET /services/SM for all drivers, with a driver's type behind it for that one; SR_UNKNOWN_DRIVER."""
    path = exchange.request.path.rstrip("/")
    drivers = {row.type: _driver(row) for row in ctx.db.all(SM)}
    if path == STORAGE:
        return _answer(list(drivers.values()))
    kind, _, rest = path.removeprefix(f"{STORAGE}/").partition("/")
    if rest:
        raise no_such_service(exchange)
    if kind not in drivers:
        raise SR_UNKNOWN_DRIVER(kind)
    return _answer(drivers[kind])


def refuse(ctx: Context, exchange: Exchange) -> Ending:
    """What is asked for by another method: nothing of that kind is served."""
    raise no_such_service(exchange)


def no_such_service(exchange: Exchange) -> Exception:
    """The failure that names the method and the path for which there is nothing."""
    return MESSAGE_METHOD_UNKNOWN(f"{exchange.request.method} {exchange.request.path}")


def _answer(value: object) -> Ending:
    return Ending(response=Response(200, JSON, json.dumps(value).encode() + b"\n"))


def _multiplexer() -> dict[str, Any]:
    return {
        "driver": "mux",
        "name": "xapi",
        "description": "hands calls to the storage driver of the SR that they are about",
        "vendor": "xapi",
        "copyright": "",
        "version": __version__,
        "required_api_version": "2.0",
        "features": [STORAGE],
        "configuration": {},
        "required_cluster_stack": [],
        "smapi_version": "SMAPIv2",
    }


def _driver(row: SM) -> dict[str, Any]:
    return {
        "driver": row.type,
        "name": row.name_label,
        "description": row.name_description,
        "vendor": row.vendor,
        "copyright": row.copyright,
        "version": row.version,
        "required_api_version": row.required_api_version,
        "features": sorted(row.features),
        "configuration": dict(row.configuration),
        "required_cluster_stack": list(row.required_cluster_stack),
        "smapi_version": SMAPI_VERSION,
    }
