"""Where disks can be read by NBD: what VDI.get_nbd_info answers, and where the server of exports listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from xapi.actions.host.files import files_of
from xapi.actions.sr.work import repositories_of
from xapi.datamodel.classes import PIF, SR, VDI, Host, Network, VDINbdServerInfo
from xapi.datamodel.classes import vdi as api
from xapi.datamodel.classes.network import NetworkPurpose
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.errors import VDI_INCOMPATIBLE_TYPE
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.toolstack import Toolstack
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import vdi_type_text
from xapi.storage.datapath.front import PORT, export_name
from xapi.system.certificate_checks import as_pem
from xapi.system.certificates import load_server_certificate

PURPOSES: Final = frozenset({NetworkPurpose.NBD, NetworkPurpose.INSECURE_NBD})


class NbdPlace(NamedTuple):
    """An address of this host at which disks are offered, and whether everything is said by TLS there."""

    address: str
    secure: bool


@dataclass(slots=True)
class NbdPorts:
    """The TCP ports of the server of exports, which registers itself as this part of the toolstack.

    `wanted` is what the settings say, 0 for any that is free; `bound` has those that were taken, by address.
    """

    wanted: int = PORT
    bound: dict[str, int] = field(default_factory=dict)

    def at(self, address: str) -> int:
        """The port at an address."""
        return self.bound.get(address, self.wanted)


def ports_of(toolstack: Toolstack) -> NbdPorts:
    """The ports of the server of exports, the usual ones where none has registered itself."""
    found: NbdPorts | None = toolstack.parts.get(NbdPorts)
    return found or NbdPorts()


def nbd_places(view: View, host: Ref[Host]) -> tuple[NbdPlace, ...]:
    """The addresses of a host in networks that are open to NBD, with and without TLS, in a fixed order."""
    found: set[NbdPlace] = set()
    for network in view.all(Network):
        purposes = PURPOSES.intersection(network.purpose)
        if not purposes:
            continue
        secure = NetworkPurpose.INSECURE_NBD not in purposes
        for ref in network.PIFs:
            pif = view.find(PIF, ref)
            if pif is not None and pif.host == host and pif.currently_attached:
                found |= {NbdPlace(address, secure) for address in addresses_of(pif)}
    return tuple(sorted(found))


def addresses_of(pif: PIF) -> tuple[str, ...]:
    """The addresses that a PIF has now, IPv4 first; those of IPv6 come without the length of their prefix.

    Link-local addresses are left out: without the name of the client's own interface they lead nowhere.
    """
    six = (text.partition("/")[0] for text in pif.IPv6)
    found = (pif.IP, *(text for text in six if not text.lower().startswith("fe80:")))
    return tuple(address for address in found if address)


def subject_of(certificate: x509.Certificate) -> str:
    """The host name that a client is to check the certificate for: its first DNS name, else its common name."""
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = extension.value.get_values_for_type(x509.DNSName)
            if names:
                return str(names[0])
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else ""


@implements(api.get_nbd_info)
def get_nbd_info(ctx: Context, self: Ref[VDI]) -> tuple[VDINbdServerInfo, ...]:
    """Where the disk can be read by NBD in this session: nowhere if its SR or no fitting network is reached here."""
    row = ctx.db.get(VDI, self)
    if row.type is VdiType.CBT_METADATA:
        raise VDI_INCOMPATIBLE_TYPE(self, vdi_type_text(row.type))
    sr = ctx.db.find(SR, row.SR)
    places = nbd_places(ctx.db, ctx.this_host)
    if sr is None or not places or repositories_of(ctx).reach(sr) is None:
        return ()
    certificate = load_server_certificate(files_of(ctx.toolstack).server_certificate).certificate
    pem, subject, name = as_pem(certificate), subject_of(certificate), export_name(row.uuid, ctx.session.ref)
    ports = ports_of(ctx.toolstack)
    return tuple(
        VDINbdServerInfo((NULL, name, place.address, ports.at(place.address), pem, subject)) for place in places
    )
