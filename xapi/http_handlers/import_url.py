"""VM.import: an archive that this host fetches itself from a web address.

Whoever may call it can make the host ask any address in his name, so only addresses of the public internet are asked,
and those of networks that whoever runs the host has named (`import_networks`). The address that was checked is the one
that is connected to, redirections are not followed, and a certificate that does not fit is refused.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from xapi import __version__
from xapi.datamodel.classes import SR, VM, vm_messages
from xapi.datamodel.errors import IMPORT_ERROR, IMPORT_ERROR_PREMATURE_EOF, INVALID_VALUE
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.http_handlers.admission import Ending, given
from xapi.http_handlers.import_ import VMS, reachable_sr, receive_archive, wanted_options
from xapi.http_handlers.import_ import import_ as receive_upload
from xapi.http_handlers.imported_objects import Options
from xapi.rpc.forms import XML
from xapi.rpc.http import Exchange

LOG = logging.getLogger("xapi.http_handlers")
PORTS: Final = {"http": 80, "https": 443}
SILENCE: Final = 60.0  # seconds
LOOK: Final = 0.5  # seconds between looks whether the task was cancelled
LONGEST: Final = 64 << 40
"""No archive that anybody means to import is longer, in bytes."""
LONGEST_URL: Final = 8192
OK: Final = 200
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_public(address: IpAddress) -> bool:
    return address.is_global and not address.is_multicast


@dataclass(frozen=True, slots=True)
class ImportNetworks:
    """The networks besides the public internet that archives may be fetched from; a part of the toolstack."""

    networks: tuple[IpNetwork, ...] = ()

    def allow(self, address: IpAddress) -> bool:
        """Whether a host at this address may be asked."""
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            return self.allow(mapped)
        tunnelled = getattr(address, "sixtofour", None)
        return (_is_public(address) and (tunnelled is None or _is_public(tunnelled))) or any(
            address in network for network in self.networks if network.version == address.version
        )


@implements(vm_messages.import_)
def import_(ctx: Context, url: str, sr: Ref[SR], full_restore: bool, force: bool) -> tuple[Ref[VM], ...]:
    """Make the VMs of an archive on the web; its disks come on the SR."""
    options = Options(reachable_sr(ctx, ctx.db.get(SR, sr)), restore=full_restore, force=force)
    return tuple(Ref(vm) for vm in fetch_archive(ctx, url, options))


def receive(ctx: Context, exchange: Exchange) -> Ending:
    """PUT /import: an archive that the client uploads, or one at the web address in `url`."""
    url = given(exchange.request).get("url")
    if not url:
        return receive_upload(ctx, exchange)
    vms = fetch_archive(ctx, url, wanted_options(ctx, exchange.request))
    return Ending(result=XML.value(VMS, vms).decode())


def fetch_archive(ctx: Context, url: str, options: Options) -> tuple[str, ...]:
    """Make the VMs of an archive on the web; INVALID_VALUE for an address that may not be asked, IMPORT_ERROR."""
    parts = _checked(url)
    with ExitStack() as stack:
        try:
            body = stack.enter_context(_fetched(ctx, parts))
            return receive_archive(ctx, body, options)
        except (OSError, http.client.HTTPException) as problem:
            ctx.task.check()
            LOG.info("an archive cannot be fetched from %s: %r", parts.hostname, problem)
            raise IMPORT_ERROR(f"the archive cannot be fetched: {_told(problem)}") from problem
        except Failure as failure:
            if failure.code == IMPORT_ERROR_PREMATURE_EOF.code:
                ctx.task.check()
            raise


def _told(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    return type(problem).__name__


def _checked(url: str) -> SplitResult:
    """The parts of a web address; INVALID_VALUE for what is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in PORTS and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or len(url) > LONGEST_URL or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise INVALID_VALUE("url", url[:LONGEST_URL])
    return parts


class _Body:
    """The body of the answer as a source that comes to an end in any case."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._left = LONGEST

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of the buffer; return how many bytes, 0 at the end only."""
        count = self._response.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise IMPORT_ERROR("the archive is longer than any may be")
        return count


@contextmanager
def _fetched(ctx: Context, parts: SplitResult) -> Iterator[_Body]:
    """Ask for the archive; a task that is cancelled meanwhile cuts the connection."""
    host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
    with ExitStack() as stack:
        sock = stack.enter_context(_connected(ctx, host, port))
        stack.enter_context(_cut_when_cancelled(ctx, sock))
        if parts.scheme == "https":
            sock = stack.enter_context(ssl.create_default_context().wrap_socket(sock, server_hostname=host))
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        stack.callback(connection.close)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=_headers(parts))
        response = connection.getresponse()
        stack.callback(response.close)
        if response.status != OK:
            raise IMPORT_ERROR(f"the server answered {response.status}")
        yield _Body(response)


def _headers(parts: SplitResult) -> dict[str, str]:
    headers = {"User-Agent": f"xapi/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers


def _connected(ctx: Context, host: str, port: int) -> socket.socket:
    """A connection to one of the host's addresses, all of which must be allowed; INVALID_VALUE otherwise."""
    networks: ImportNetworks = ctx.toolstack.part(ImportNetworks)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        if not networks.allow(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise INVALID_VALUE("url", f"{host} is not on the public internet, nor in a network of import_networks")
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(SILENCE)
        try:
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    raise problem


@contextmanager
def _cut_when_cancelled(ctx: Context, sock: socket.socket) -> Iterator[None]:
    """Shut the connection down within a moment when somebody cancels the task: a read of it may wait for long."""
    ended = Event()

    def watch() -> None:
        while not ended.is_set() and not ctx.task.cancelled:
            ctx.task.pause(LOOK)
        if not ended.is_set():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    watcher = Thread(target=watch, name="import-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
