"""XenAPI's class vdi_nbd_server_info."""

from __future__ import annotations

from xapi.datamodel.model import DynamicRO, Entity, field
from xapi.datamodel.roles import LOCAL_ROOT


class VDINbdServerInfo(
    Entity,
    name="vdi_nbd_server_info",
    since="inverness",
    role=LOCAL_ROOT,
    listed=False,
    stored=False,
    persistent=False,
    events=False,
):
    """Everything a client needs to read one disk from one host over NBD with TLS."""

    exportname: DynamicRO[str] = field("export name to ask for; secret, since it carries the session")
    address: DynamicRO[str] = field("IP address of the server")
    port: DynamicRO[int] = field("TCP port of the server")
    cert: DynamicRO[str] = field("certificate of the server, as PEM text")
    subject: DynamicRO[str] = field("host name the certificate was issued for, to be checked by the client")
