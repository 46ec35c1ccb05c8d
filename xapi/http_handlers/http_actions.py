"""The HTTP actions of the contract, as data: what is asked for, where, and by whom it may be.

These are the doors besides XML-RPC and JSON-RPC; those two are among them too, because roles name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from xapi.datamodel.roles import (
    LOCAL_ROOT,
    POOL_ADMIN,
    POOL_OPERATOR,
    READ_ONLY,
    VM_ADMIN,
    VM_OPERATOR,
    VM_POWER_ADMIN,
    Role,
    allowed_roles,
)

PERMISSION_PREFIX: Final = "http/"


@dataclass(frozen=True, slots=True)
class HttpAction:
    """One HTTP action. An action that is not `checked` asks nobody for a role before it begins.

    `client_certificate` lets programs with a client certificate in; `sub_actions` are what a handler checks itself
    for some of its objects, each with its least role.
    """

    name: str
    method: str
    path: str
    role: Role
    client_certificate: bool = False
    checked: bool = True
    sub_actions: Mapping[str, Role] = field(default_factory=dict)

    @property
    def permission(self) -> str:
        """The name of the permission that RBAC_PERMISSION_DENIED tells."""
        return f"{PERMISSION_PREFIX}{self.name}"

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that may do this."""
        return allowed_roles(self.role, client_certificate=self.client_certificate)


ACTIONS: Final[tuple[HttpAction, ...]] = (
    HttpAction("get_services", "GET", "/services", READ_ONLY),
    HttpAction("post_services", "POST", "/services", POOL_ADMIN),
    HttpAction("put_services", "PUT", "/services", POOL_ADMIN),
    HttpAction("post_remote_db_access", "POST", "/remote_db_access", POOL_ADMIN),
    HttpAction("post_remote_db_access_v2", "POST", "/remote_db_access_v2", POOL_ADMIN),
    HttpAction("get_services_xenops", "GET", "/services/xenops", VM_POWER_ADMIN),
    HttpAction("post_services_xenops", "POST", "/services/xenops", VM_POWER_ADMIN, client_certificate=True),
    HttpAction("put_services_xenops", "PUT", "/services/xenops", VM_POWER_ADMIN, client_certificate=True),
    HttpAction("get_services_sm", "GET", "/services/SM", VM_POWER_ADMIN),
    HttpAction("post_services_sm", "POST", "/services/SM", VM_POWER_ADMIN),
    HttpAction("put_services_sm", "PUT", "/services/SM", VM_POWER_ADMIN),
    HttpAction("put_import", "PUT", "/import", VM_ADMIN),
    HttpAction("put_import_metadata", "PUT", "/import_metadata", VM_ADMIN),
    HttpAction("put_import_raw_vdi", "PUT", "/import_raw_vdi", VM_ADMIN),
    HttpAction("get_export", "GET", "/export", VM_ADMIN),
    HttpAction("get_export_metadata", "GET", "/export_metadata", VM_ADMIN),
    HttpAction("get_export_raw_vdi", "GET", "/export_raw_vdi", VM_ADMIN),
    HttpAction("connect_console", "CONNECT", "/console", VM_OPERATOR, sub_actions={"host_console": POOL_ADMIN}),
    HttpAction("connect_console_ws", "GET", "/console", VM_OPERATOR, sub_actions={"host_console_ws": POOL_ADMIN}),
    HttpAction("get_root", "GET", "/", READ_ONLY, checked=False),
    HttpAction("post_cli", "POST", "/cli", READ_ONLY, checked=False),
    HttpAction("get_host_backup", "GET", "/host_backup", POOL_ADMIN),
    HttpAction("put_host_restore", "PUT", "/host_restore", POOL_ADMIN),
    HttpAction("get_host_logs_download", "GET", "/host_logs_download", POOL_OPERATOR),
    HttpAction("put_pool_patch_upload", "PUT", "/pool_patch_upload", POOL_OPERATOR),
    HttpAction("get_vncsnapshot", "GET", "/vncsnapshot", VM_OPERATOR, sub_actions={"host_console": POOL_ADMIN}),
    HttpAction("get_pool_xml_db_sync", "GET", "/pool/xmldbdump", POOL_ADMIN),
    HttpAction("put_pool_xml_db_sync", "PUT", "/pool/xmldbdump", POOL_ADMIN),
    HttpAction("get_config_sync", "GET", "/sync_config_files", POOL_ADMIN),
    HttpAction("get_system_status", "GET", "/system-status", POOL_OPERATOR),
    HttpAction("vm_rrd", "GET", "/vm_rrd", READ_ONLY),
    HttpAction("get_vm_rrds", "GET", "/vm_rrds", READ_ONLY),
    HttpAction("host_rrd", "GET", "/host_rrd", READ_ONLY),
    HttpAction("get_host_rrds", "GET", "/host_rrds", READ_ONLY),
    HttpAction("sr_rrd", "GET", "/sr_rrd", READ_ONLY),
    HttpAction("rrd_updates", "GET", "/rrd_updates", READ_ONLY),
    HttpAction("rrd", "PUT", "/rrd", POOL_ADMIN),
    HttpAction("get_blob", "GET", "/blob", READ_ONLY, checked=False),
    HttpAction("put_blob", "PUT", "/blob", VM_POWER_ADMIN),
    HttpAction("put_messages", "PUT", "/messages", VM_POWER_ADMIN),
    HttpAction("connect_remotecmd", "CONNECT", "/remotecmd", POOL_ADMIN),
    HttpAction("get_wlb_report", "GET", "/wlb_report", READ_ONLY),
    HttpAction("get_wlb_diagnostics", "GET", "/wlb_diagnostics", READ_ONLY),
    HttpAction("get_audit_log", "GET", "/audit_log", READ_ONLY),
    HttpAction("post_root", "POST", "/", READ_ONLY, checked=False),
    HttpAction("post_RPC2", "POST", "/RPC2", READ_ONLY, checked=False),
    HttpAction("post_json", "POST", "/json", READ_ONLY, checked=False),
    HttpAction("post_root_options", "OPTIONS", "/", READ_ONLY, checked=False),
    HttpAction("post_json_options", "OPTIONS", "/json", READ_ONLY, checked=False),
    HttpAction("post_jsonrpc", "POST", "/jsonrpc", READ_ONLY, checked=False),
    HttpAction("post_jsonrpc_options", "OPTIONS", "/jsonrpc", READ_ONLY, checked=False),
    HttpAction("get_pool_update_download", "GET", "/update/", READ_ONLY, checked=False),
    HttpAction("get_repository", "GET", "/repository", LOCAL_ROOT),
    HttpAction("get_enabled_repository", "GET", "/repository/enabled", POOL_OPERATOR, client_certificate=True),
    HttpAction("get_host_updates", "GET", "/host_updates", POOL_OPERATOR, client_certificate=True),
    HttpAction("get_updates", "GET", "/updates", POOL_OPERATOR, client_certificate=True),
    HttpAction("put_bundle", "PUT", "/bundle", POOL_OPERATOR),
)
NAMED: Final[Mapping[str, HttpAction]] = {action.name: action for action in ACTIONS}
