"""XenAPI's class Certificate."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import EPOCH, NULL, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity
from xapi.datamodel.roles import READ_ONLY
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class CertificatePurpose(WireEnum):
    """What a trusted certificate is used for: license servers or LDAPS connections."""

    LICENSING = "licensing"
    LDAPS = "ldaps"


class CertificateType(WireEnum):
    """Whether a certificate is a CA's, a host's for clients, a host's for the pool, or a pinned peer's."""

    CA = "ca"
    HOST = "host"
    HOST_INTERNAL = "host_internal"
    PINNED = "pinned"


class Certificate(Entity, since="stockholm", role=READ_ONLY):
    """A TLS certificate that a host shows to others or by which it trusts others."""

    uuid: DynamicRO[str] = identity()
    name: DynamicRO[str] = field("file name of a CA certificate; empty for a host's own", default="", since="1.294.0")
    type: DynamicRO[CertificateType] = field(
        "what the certificate serves as: a CA, a host's own, or a pinned peer",
        default=CertificateType.HOST,
        since="1.294.0",
    )
    host: StaticRO[Ref[Host]] = field("host the certificate belongs to; null for one of the whole pool", default=NULL)
    not_before: StaticRO[datetime] = field("first moment of validity", default=EPOCH)
    not_after: StaticRO[datetime] = field("last moment of validity", default=EPOCH)
    fingerprint: StaticRO[str] = field(
        "SHA-256 digest; superseded by fingerprint_sha256", default="", since="published stockholm, deprecated 24.19.0"
    )
    fingerprint_sha256: StaticRO[str] = field(
        "SHA-256 digest of the certificate, in hexadecimal", default="", since="prototyped 24.20.0"
    )
    fingerprint_sha1: StaticRO[str] = field(
        "SHA-1 digest of the certificate, in hexadecimal", default="", since="prototyped 24.20.0"
    )
    purpose: StaticRO[SetOf[CertificatePurpose]] = field(
        "uses a trusted certificate is restricted to; empty for general use", default=(), since="prototyped 26.13.0"
    )
