"""Memory images of simulated domains: in files, and as streams between simulators.

An image is a header (magic, length and CRC-32 of the body, big-endian) and a JSON body. What follows the body is not
read: a block device is longer than what is written on it.
"""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from xapi.hypervisor.interface import (
    ByteSink,
    ByteSource,
    ChangeKind,
    DomainConfig,
    DomainKind,
    DomainState,
    ImageDamaged,
    OperationCancelled,
    Power,
    ShutdownReason,
    StateUnusable,
    never_cancelled,
)
from xapi.hypervisor.simulator.codec import decode, decoder, encode
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.domains import SimulatedDomains, blank_domain
from xapi.hypervisor.simulator.guests import Guests
from xapi.hypervisor.simulator.machine import Machine

MAGIC = b"SIMULATED-DOMAIN\n"
_HEADER = struct.Struct(">QI")
_LARGEST = 64 * 1024 * 1024  # no honest body comes near
_POWERS = (Power.SUSPENDED,)


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest's memory holds, as far as the simulation goes."""

    uuid: str
    kind: DomainKind
    static_max: int
    actual: int
    online: int
    booted: bool
    ran: float


class SimulatedSuspending:
    """The Suspending protocol."""

    def __init__(self, machine: Machine, guests: Guests, domains: SimulatedDomains) -> None:
        self._machine = machine
        self._guests = guests
        self._domains = domains

    def save(self, uuid: str, sink: Path) -> int:
        """Write the image of a SUSPENDED domain to a file or block device; answers the number of bytes written."""
        self._machine.strike("save", uuid)
        data = pack(self._machine.domain_in(uuid, *_POWERS))
        self._machine.spend(self._machine.config.migrate_seconds)
        self._machine.strike("save.write", uuid)
        try:
            opened = os.open(sink, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(opened, "wb") as file:
                file.write(data)
        except OSError as error:
            raise StateUnusable(str(sink), error.strerror or "cannot be written") from error
        return len(data)

    def restore(self, config: DomainConfig, source: Path) -> DomainState:
        """Build a domain from an image, paused; raises ImageDamaged."""
        self._machine.strike("restore", config.uuid)
        try:
            with open(source, "rb") as file:
                image = unpack(file)
        except OSError as error:
            raise ImageDamaged(f"{source}: {error.strerror}") from error
        return self._domains.build("restore", config, thawed(config, image, self._machine.now()))

    def resume_in_place(self, uuid: str) -> None:
        """Let a SUSPENDED domain that was not destroyed go on."""
        self._machine.strike("resume_in_place", uuid)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_POWERS)
            self._machine.commit(
                domain, ChangeKind.POWER, power=Power.RUNNING, reason=None, running_since=self._machine.now()
            )


class SimulatedMigrating:
    """The Migrating protocol."""

    def __init__(self, machine: Machine, guests: Guests, domains: SimulatedDomains) -> None:
        self._machine = machine
        self._guests = guests
        self._domains = domains

    def send(self, uuid: str, sink: ByteSink, cancelled: Callable[[], bool] = never_cancelled) -> None:
        """Stream the domain's memory while it runs, then suspend it and stream the rest: it ends SUSPENDED."""
        self._machine.strike("send", uuid)
        domain = self._machine.domain_in(uuid, Power.RUNNING)
        if domain.booted:
            self._guests.require(domain, "feature-suspend")
        sink.write(MAGIC)
        if not self._machine.spend(self._machine.config.migrate_seconds, cancelled):
            raise OperationCancelled
        with self._machine.changing():
            domain = self._machine.stop(self._machine.domain_in(uuid, Power.RUNNING), ShutdownReason.SUSPEND)
        self._machine.strike("send.suspended", uuid)
        sink.write(pack(domain)[len(MAGIC) :])

    def receive(self, config: DomainConfig, source: ByteSource) -> DomainState:
        """Build a domain from a stream, paused, reading exactly to the stream's end; raises ImageDamaged."""
        self._machine.strike("receive", config.uuid)
        image = unpack(source)
        return self._domains.build("receive", config, thawed(config, image, self._machine.now()))


def pack(domain: Domain) -> bytes:
    """The image of a domain."""
    image = Image(
        uuid=domain.uuid,
        kind=domain.config.kind,
        static_max=domain.memory.static_max,
        actual=domain.actual,
        online=domain.online,
        booted=domain.booted,
        ran=domain.ran,
    )
    body = encode(image)
    return MAGIC + _HEADER.pack(len(body), zlib.crc32(body)) + body


def unpack(source: ByteSource) -> Image:
    """The image at the beginning of a stream; raises ImageDamaged."""
    if _exactly(source, len(MAGIC)) != MAGIC:
        raise ImageDamaged("it does not begin like an image of this simulator")
    length, checksum = _HEADER.unpack(_exactly(source, _HEADER.size))
    if length > _LARGEST:
        raise ImageDamaged(f"it claims a body of {length} bytes")
    body = _exactly(source, length)
    if zlib.crc32(body) != checksum:
        raise ImageDamaged("its checksum is wrong")
    try:
        image: Image = decoder(Image)(decode(body))
    except ValueError as error:
        raise ImageDamaged(str(error)) from error
    return image


def thawed(config: DomainConfig, image: Image, now: float) -> Domain:
    """The domain that goes on where an image was taken; raises ImageDamaged when it is an image of something else."""
    if image.kind is not config.kind:
        raise ImageDamaged(f"it is the image of a {image.kind} guest, not of a {config.kind} one")
    if image.static_max != config.memory.static_max:
        raise ImageDamaged(f"its guest had {image.static_max} bytes of memory, not {config.memory.static_max}")
    if image.online > config.processors.maximum:
        raise ImageDamaged(f"its guest had {image.online} virtual CPUs")
    return replace(blank_domain(config), started=now, online=image.online, booted=image.booted, ran=image.ran)


def _exactly(source: ByteSource, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.read(size - len(data))
        if not more:
            raise ImageDamaged(f"it ends after {len(data)} of {size} bytes")
        data += more
    return data
