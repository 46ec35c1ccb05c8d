"""The doors to consoles: CONNECT /console, GET /console as a WebSocket, and /vncsnapshot for a picture.

After its handshake a connection belongs to the relays (see `console_relay`); no worker waits for it.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from xapi.datamodel.classes import VM, Console, Host
from xapi.datamodel.classes.console import ConsoleProtocol
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.errors import (
    HANDLE_INVALID,
    INVALID_VALUE,
    RBAC_PERMISSION_DENIED,
    UUID_INVALID,
    VALUE_NOT_SUPPORTED,
    VM_BAD_POWER_STATE,
    VM_NOT_RESIDENT_HERE,
)
from xapi.datamodel.roles import POOL_ADMIN, allowed_roles
from xapi.dispatch.context import Context
from xapi.dispatch.toolstack import Toolstack
from xapi.http_handlers.admission import Ending, given
from xapi.http_handlers.console_relay import ConsoleRelays, ConsoleTaken, TooManyConsoles
from xapi.http_handlers.http_actions import PERMISSION_PREFIX
from xapi.hypervisor import interface as hypervisor
from xapi.hypervisor.rfb.errors import ProtocolError
from xapi.hypervisor.rfb.messages import Activity
from xapi.hypervisor.rfb.service import CONTROL_DOMAIN
from xapi.hypervisor.rfb.snapshot import Snapshot
from xapi.rpc.http import Exchange, MessageError
from xapi.rpc.http_message import Request, Response, error_page
from xapi.rpc.websocket import VERSION, WebSocket, agree, wants_upgrade

LOG = logging.getLogger(__name__)
AUDIT = logging.getLogger("audit")
CONNECT_SECONDS = 5.0
SNAPSHOT_SECONDS = 15.0
NO_CACHE = ("Cache-Control", "no-cache, no-store")
SHOWN = frozenset({VmPowerState.RUNNING, VmPowerState.PAUSED})
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Found:
    """The console that a request means, and whose it is."""

    console: Console
    vm: VM


def relays_of(toolstack: Toolstack) -> ConsoleRelays:
    """The toolstack's relays; made here when the server has not done so."""
    with _making:
        relays: ConsoleRelays = toolstack.parts.setdefault(
            ConsoleRelays, toolstack.parts.get(ConsoleRelays) or ConsoleRelays(toolstack.clock.monotonic)
        )
    return relays


# Which console is meant


def find_console(ctx: Context, request: Request, permission: str) -> Found:
    """The console that `ref` or `uuid` names, its own or its VM's, as far as it may be looked at.

    INVALID_VALUE without a name, HANDLE_INVALID and UUID_INVALID for one that nobody has, VM_BAD_POWER_STATE for a VM
    without a domain, VM_NOT_RESIDENT_HERE, VALUE_NOT_SUPPORTED for RDP, RBAC_PERMISSION_DENIED for a host's console.
    """
    names = given(request)
    if "uuid" in names:
        name = names["uuid"]
        row = ctx.db.by_uuid(VM, name) or ctx.db.by_uuid(Console, name)
        if row is None:
            raise UUID_INVALID(Console.wire_name, name)
    elif "ref" in names:
        name = names["ref"]
        row = ctx.db.find(VM, name) or ctx.db.find(Console, name)
        if row is None:
            raise HANDLE_INVALID(Console.wire_name, name)
    else:
        raise INVALID_VALUE("ref", "")
    vm = row if isinstance(row, VM) else ctx.db.get(VM, row.VM)
    if vm.is_control_domain:
        _authorise_host_console(ctx, permission)
    if vm.power_state not in SHOWN:
        raise VM_BAD_POWER_STATE(vm.ref, VmPowerState.RUNNING, vm.power_state)
    if vm.resident_on != ctx.this_host:
        raise VM_NOT_RESIDENT_HERE(vm.ref, ctx.this_host)
    console = row if isinstance(row, Console) else _graphical(ctx, vm)
    if console.protocol is ConsoleProtocol.RDP:
        raise VALUE_NOT_SUPPORTED("protocol", console.protocol, "RDP is reached at the guest itself")
    return Found(console, vm)


def _graphical(ctx: Context, vm: VM) -> Console:
    for ref in vm.consoles:
        console = ctx.db.find(Console, ref)
        if console is not None and console.protocol is ConsoleProtocol.RFB:
            return console
    raise INVALID_VALUE("ref", "the VM has no graphical console; name one of its others")


def _authorise_host_console(ctx: Context, permission: str) -> None:
    """Let only those to the host's own console who may do everything with it."""
    name = f"{PERMISSION_PREFIX}{permission}"
    if not ctx.session.may(allowed_roles(POOL_ADMIN)):
        AUDIT.info("denied %s to %s (%s)", name, ctx.session.user or "root", ctx.session.originator)
        raise RBAC_PERMISSION_DENIED(name, "No permission in user session")
    AUDIT.info("%s by %s", name, ctx.session.user or "root")


def _dial(ctx: Context, found: Found, stack: ExitStack) -> socket.socket:
    """Connect to where the console listens; OSError where nothing does. The stack closes the socket."""
    uuid = CONTROL_DOMAIN if found.vm.is_control_domain else found.vm.uuid
    protocol = hypervisor.ConsoleProtocol(str(found.console.protocol))
    endpoint = ctx.toolstack.hypervisor.consoles.endpoint(uuid, protocol)
    guest = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    guest.settimeout(CONNECT_SECONDS)
    guest.connect(str(endpoint.path))
    return guest


# Connections


def connect(ctx: Context, exchange: Exchange) -> Ending:
    """CONNECT /console: after the head of the answer, the connection is the console's."""
    return _join(ctx, exchange, "connect_console/host_console", None, 200, (NO_CACHE,))


def connect_websocket(ctx: Context, exchange: Exchange) -> Ending:
    """GET /console: the same as a WebSocket, as browsers have it."""
    request = exchange.request
    if not wants_upgrade(request):
        return _upgrade_required("This door is for WebSockets.")
    if _foreign_origin(request):
        return Ending(response=error_page(403, "A page of another site may not use credentials that were not its own."))
    try:
        upgrade = agree(request)
    except MessageError as problem:
        if problem.status == 426:
            return _upgrade_required(str(problem))
        return Ending(response=error_page(problem.status, str(problem)))
    codec = WebSocket(upgrade.subprotocol)
    return _join(ctx, exchange, "connect_console_ws/host_console_ws", codec, 101, upgrade.headers)


def _upgrade_required(why: str) -> Ending:
    page = error_page(426, why)
    headers = (*page.headers, ("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION))
    return Ending(response=Response(426, headers, page.body))


def _foreign_origin(request: Request) -> bool:
    """Whether a page of another site rides on credentials that a browser sends by itself."""
    origin = request.headers.get("origin")
    if origin is None or ("session_id" in request.query and "session_id" not in request.cookies):
        return False
    return urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()


def _join(
    ctx: Context,
    exchange: Exchange,
    permission: str,
    codec: WebSocket | None,
    status: int,
    headers: tuple[tuple[str, str], ...],
) -> Ending:
    found = find_console(ctx, exchange.request, permission)
    relays = relays_of(ctx.toolstack)
    idle_limit = float(_idle_limit(ctx, host_console=found.vm.is_control_domain))
    with ExitStack() as stack:
        try:
            alone = ctx.pool.limit_console_sessions
            seat = relays.take_seat(found.vm.ref, ctx.session.user or "root", alone=alone)
        except ConsoleTaken as taken:
            return _unavailable(f"Connected to this console: {', '.join(taken.users)}. Only one may be at a time.")
        except TooManyConsoles as full:
            return _unavailable(f"There is no room for another console: {full}.")
        stack.callback(relays.leave, seat)
        try:
            guest = _dial(ctx, found, stack)
        except OSError as error:
            LOG.warning("the console of %s does not answer: %s", found.vm.uuid, error)
            return _unavailable("The console does not answer.")
        exchange.start(status, headers)
        viewer, ahead = exchange.take_over()
        stack.pop_all()  # the relays own them all from here
        relays.carry(
            seat,
            viewer,
            ahead,
            guest,
            codec=codec,
            activity=Activity() if found.console.protocol is ConsoleProtocol.RFB else None,
            idle_limit=idle_limit,
        )
    return Ending()


def _idle_limit(ctx: Context, *, host_console: bool) -> int:
    if host_console:
        return ctx.db.get(Host, ctx.this_host).console_idle_timeout
    return ctx.pool.vm_console_idle_timeout


def _unavailable(why: str) -> Ending:
    return Ending(response=error_page(503, why))


# A picture


def snapshot(ctx: Context, exchange: Exchange) -> Ending:
    """GET /vncsnapshot: what a VM's screen shows now, as a PNG."""
    found = find_console(ctx, exchange.request, "get_vncsnapshot/host_console")
    if found.console.protocol is not ConsoleProtocol.RFB:
        raise VALUE_NOT_SUPPORTED("protocol", found.console.protocol, "only a screen has a picture")
    with ExitStack() as stack:
        try:
            guest = _dial(ctx, found, stack)
            picture = _take_picture(guest)
        except (OSError, ProtocolError) as error:
            LOG.warning("there is no picture of %s: %s", found.vm.uuid, error)
            return _unavailable("The console does not answer.")
    headers = (("Content-Type", "image/png"), NO_CACHE)
    return Ending(response=Response(200, headers, picture))


def _take_picture(guest: socket.socket) -> bytes:
    """Look once; TimeoutError when that takes longer than anybody waits."""
    viewer = Snapshot()
    until = time.monotonic() + SNAPSHOT_SECONDS
    while viewer.picture is None:
        guest.settimeout(max(0.001, until - time.monotonic()))
        data = guest.recv(1 << 18)
        if not data:
            raise ConnectionResetError("the console hung up")
        guest.sendall(viewer.feed(data))
    return viewer.picture
