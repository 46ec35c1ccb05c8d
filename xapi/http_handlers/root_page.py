"""The page at the root of the server: what this is, and where to go on from here."""

from __future__ import annotations

from html import escape

from xapi import __version__
from xapi.datamodel.classes import Certificate, Host
from xapi.datamodel.classes.certificate import CertificateType
from xapi.dispatch.toolstack import Toolstack
from xapi.rpc.http import Simple
from xapi.rpc.http_message import Request, Response

DOCUMENTATION = "https://docs.xenserver.com/en-us/xenserver/8/developer/management-api/"
HEADERS = (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-cache"))


def root_door(toolstack: Toolstack) -> Simple:
    """The door for GET /, which is open to everybody."""
    return Simple(lambda request: answer(toolstack, request))


def answer(toolstack: Toolstack, request: Request) -> Response:
    """Return a small page of HTML that names the server, its version and the fingerprint of its certificate."""
    host = toolstack.db.find(Host, toolstack.this_host)
    name = host.name_label if host is not None else ""
    fingerprints = [
        certificate.fingerprint_sha256 or certificate.fingerprint
        for certificate in toolstack.db.all(Certificate)
        if certificate.host == toolstack.this_host and certificate.type is CertificateType.HOST
    ]
    facts = [("Version", f"xapi {__version__}")]
    if host is not None:
        product = host.software_version
        facts.append(("Serves", f"{product.get('product_brand', '')} {product.get('product_version', '')}".strip()))
        facts.append(("Host", host.uuid))
    facts += [("Certificate (SHA-256)", text) for text in fingerprints]
    rows = "".join(f"<tr><th align=left>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in facts)
    page = (
        f"<!DOCTYPE html><html><head><title>{escape(name)}: xapi</title></head><body><h1>{escape(name)}</h1>"
        f"<p>This is a XenAPI toolstack: XML-RPC by POST to /, JSON-RPC by POST to /jsonrpc.</p>"
        f"<table>{rows}</table>"
        f'<p>The interface is described in the <a href="{DOCUMENTATION}">documentation of the management API</a>.</p>'
        f"</body></html>\n"
    )
    return Response(200, HEADERS, page.encode())
