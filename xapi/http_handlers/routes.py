"""The doors of the server: which handler serves a method and a path.

Paths match by longest prefix, as clients put slashes at the end. A POST to any path that has no door of its own is
XML-RPC (that is how the public interface has always been).
"""

from __future__ import annotations

from collections.abc import Mapping

from xapi.dispatch.toolstack import Toolstack
from xapi.http_handlers import (
    backup,
    blobs,
    console,
    database_dump,
    database_restore,
    export,
    import_,
    import_url,
    logs,
    messages,
    performance,
    raw_vdi,
    refusals,
    services,
    system_status,
)
from xapi.http_handlers.admission import Handled, open_door
from xapi.http_handlers.http_actions import ACTIONS
from xapi.http_handlers.root_page import root_door
from xapi.rpc.endpoint import OPTIONS_ANSWER, Endpoint
from xapi.rpc.http import Simple, Streaming
from xapi.rpc.http_message import Response, error_page

Door = Simple | Streaming | Response
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "OPTIONS", "CONNECT"})

HANDLERS: Mapping[str, Handled] = {
    **performance.HANDLERS,
    "connect_console": Handled(console.connect, "Connection to VM console", brief=True),
    "connect_console_ws": Handled(console.connect_websocket, "Connection to VM console", brief=True),
    "get_vncsnapshot": Handled(console.snapshot, "VM screen snapshot", brief=True),
    "get_export": Handled(export.export, "VM.export"),
    "get_export_metadata": Handled(export.export_metadata, "VM.export_metadata"),
    "put_import": Handled(import_url.receive, "VM.import"),
    "put_import_metadata": Handled(import_.import_metadata, "VM.metadata_import"),
    "get_export_raw_vdi": Handled(raw_vdi.export, "Exporting raw VDI"),
    "put_import_raw_vdi": Handled(raw_vdi.import_, "Importing raw VDI"),
    "get_blob": Handled(blobs.send, "get_blob", brief=True),
    "put_blob": Handled(blobs.receive, "Blob handler", brief=True),
    "put_messages": Handled(messages.receive, "Message handler", brief=True),
    "get_host_backup": Handled(backup.send, "Download host backup"),
    "put_host_restore": Handled(backup.receive, "Upload host backup"),
    "get_pool_xml_db_sync": Handled(database_dump.send, "Dumping database as XML"),
    "put_pool_xml_db_sync": Handled(database_restore.receive, "Reading database as XML"),
    "get_system_status": Handled(system_status.send, "Retrieving system status"),
    "get_audit_log": Handled(logs.send_audit_log, "audit_log_get request"),
    "get_host_logs_download": Handled(logs.download, "Downloading host logs"),
    "get_services": Handled(services.show, "Querying services", brief=True),
    "get_services_sm": Handled(services.show_storage, "Querying services", brief=True),
    **dict.fromkeys(
        (
            "post_services",
            "put_services",
            "get_services_xenops",
            "post_services_xenops",
            "put_services_xenops",
            "post_services_sm",
            "put_services_sm",
        ),
        Handled(services.refuse, "Querying services", brief=True),
    ),
    "get_wlb_report": Handled(refusals.balancing_report, "WLB report request", brief=True),
    "get_wlb_diagnostics": Handled(refusals.balancing_diagnostics, "WLB diagnostics request", brief=True),
    "put_pool_patch_upload": Handled(refusals.patch_upload, "Uploading update", brief=True),
    "get_pool_update_download": Handled(refusals.update_file, "Downloading update", brief=True),
    "get_repository": Handled(refusals.repository_file, "Reading a repository", brief=True),
    "get_enabled_repository": Handled(refusals.repository_file, "Reading a repository", brief=True),
    "get_host_updates": Handled(refusals.host_updates, "Listing a host's updates", brief=True),
    "get_updates": Handled(refusals.updates, "Listing updates", brief=True),
    "put_bundle": Handled(refusals.bundle, "Sync bundle", brief=True),
    **dict.fromkeys(
        ("get_config_sync", "connect_remotecmd", "post_remote_db_access", "post_remote_db_access_v2", "post_cli"),
        Handled(refusals.unknown, "unknown protocol", brief=True),
    ),
}
"""What stands behind the doors, by the names of the actions."""

NOT_DOORS = frozenset({"post_root", "post_RPC2", "post_json", "post_jsonrpc"})
"""Actions that are calls; the endpoint serves them."""


def make_doors(toolstack: Toolstack) -> Mapping[tuple[str, str], Door]:
    """A door for every HTTP action of the contract but the calls, by method and path."""
    doors: dict[tuple[str, str], Door] = {
        (action.method, action.path.rstrip("/")): open_door(toolstack, action, HANDLERS[action.name])
        for action in ACTIONS
        if action.name in HANDLERS
    }
    blob = doors[("GET", "/blob")]
    assert isinstance(blob, Streaming)
    doors[("GET", "/blob")] = blobs.public_door(toolstack, blob)
    doors[("GET", "/")] = doors[("HEAD", "/")] = root_door(toolstack)
    return doors


class Routes:
    """The list of doors."""

    def __init__(self, endpoint: Endpoint, doors: Mapping[tuple[str, str], Door]) -> None:
        xml, json = Simple(endpoint.xml), Simple(endpoint.json)
        self._xml = xml
        self._doors: dict[tuple[str, str], Door] = {
            ("POST", "/jsonrpc"): json,
            ("POST", "/json"): json,
            ("OPTIONS", "/"): OPTIONS_ANSWER,
            **doors,
        }
        self._prefixes = sorted({path for _, path in self._doors}, key=len, reverse=True)

    def __call__(self, method: str, path: str) -> Door:
        """The door for a request; a page that says no when there is none."""
        door = self._doors.get((method, path))
        if door is not None:
            return door
        for prefix in self._prefixes:
            if (path == prefix or path.startswith(prefix.rstrip("/") + "/")) and (prefix != "/" or path == "/"):
                door = self._doors.get((method, prefix))
                if door is not None:
                    return door
        if method == "POST":
            return self._xml
        if method == "OPTIONS":
            return OPTIONS_ANSWER
        if method not in METHODS:
            return error_page(501, f"the method {method} is not supported")
        return error_page(403, "access to the requested resource is forbidden")
