"""Errors of the contract: all kinds of calls."""

from xapi.datamodel.failure import ErrorCode

BACKUP_SCRIPT_FAILED = ErrorCode(
    "BACKUP_SCRIPT_FAILED", "log", about="The host's backup script ended with an error; its log tells more."
)
BALLOONING_DISABLED = ErrorCode(
    "BALLOONING_DISABLED", about="The guest's memory cannot be adjusted because ballooning is switched off."
)
BALLOONING_TIMEOUT_BEFORE_MIGRATION = ErrorCode(
    "BALLOONING_TIMEOUT_BEFORE_MIGRATION",
    "vm",
    about="The VM did not give up memory in time for its migration; a higher dynamic minimum may help.",
)
BLOCKED_REPO_URL = ErrorCode(
    "BLOCKED_REPO_URL", "url", about="The repository URL is on the list of addresses that must not be used."
)
BOOT_DEVICE_PASSTHROUGH_DISALLOWED = ErrorCode(
    "BOOT_DEVICE_PASSTHROUGH_DISALLOWED",
    "device",
    about="The host boots from this device, so it cannot be passed through to a guest.",
)
CANNOT_CREATE_STATE_FILE = ErrorCode(
    "CANNOT_CREATE_STATE_FILE", about="The HA statefile could not be created; perhaps no SR is fit to hold it."
)
CANNOT_ENABLE_REDO_LOG = ErrorCode(
    "CANNOT_ENABLE_REDO_LOG", "reason", about="The redo log of the pool database could not be switched on."
)
CANNOT_EVACUATE_HOST = ErrorCode(
    "CANNOT_EVACUATE_HOST",
    "errors",
    about="The host cannot be emptied, because some VMs cannot move; the reasons are listed.",
)
CANNOT_FETCH_PATCH = ErrorCode(
    "CANNOT_FETCH_PATCH", "uuid", about="The host could not download the hotfix from the coordinator."
)
CANNOT_FIND_OEM_BACKUP_PARTITION = ErrorCode(
    "CANNOT_FIND_OEM_BACKUP_PARTITION",
    about="The host has no second system partition to which a backup could be written.",
)
CANNOT_FIND_PATCH = ErrorCode(
    "CANNOT_FIND_PATCH", about="The update's files are missing on the coordinator; upload the update again."
)
CANNOT_FIND_STATE_PARTITION = ErrorCode(
    "CANNOT_FIND_STATE_PARTITION", about="The partition that keeps the host's persistent state was not found."
)
CANNOT_FIND_UPDATE = ErrorCode(
    "CANNOT_FIND_UPDATE", about="The update's contents are no longer available on the coordinator; upload it again."
)
CANNOT_FORGET_SRIOV_LOGICAL = ErrorCode(
    "CANNOT_FORGET_SRIOV_LOGICAL",
    "PIF",
    about="The PIF belongs to an SR-IOV network; destroy the network_sriov object instead.",
)
CANNOT_RESET_CONTROL_DOMAIN = ErrorCode(
    "CANNOT_RESET_CONTROL_DOMAIN", "vm", about="The power state of a control domain cannot be reset by force."
)
CANNOT_RESTART_DEVICE_MODEL = ErrorCode(
    "CANNOT_RESTART_DEVICE_MODEL",
    "ref",
    about="Device models cannot be restarted on this host while it has paused VMs.",
)
CAN_NOT_PERIODIC_SYNC_UPDATES = ErrorCode(
    "CAN_NOT_PERIODIC_SYNC_UPDATES",
    about="Periodic update checks cannot be enabled with the repositories now configured.",
)
CAN_NOT_SYNC_UPDATES = ErrorCode(
    "CAN_NOT_SYNC_UPDATES", about="The enabled repositories are not of a kind from which updates can be synchronised."
)
CERT_REFRESH_IN_PROGRESS = ErrorCode(
    "CERT_REFRESH_IN_PROGRESS", about="A certificate is being renewed at present; try again when that is done."
)
CHANGE_PASSWORD_REJECTED = ErrorCode(
    "CHANGE_PASSWORD_REJECTED", "msg", about="The system did not accept the new password."
)
CLIENT_ERROR = ErrorCode("CLIENT_ERROR", about="The client sent a malformed request that cannot be served.")
CREATEREPO_FAILED = ErrorCode("CREATEREPO_FAILED", about="Building the metadata of the local update repository failed.")
DB_UNIQUENESS_CONSTRAINT_VIOLATION = ErrorCode(
    "DB_UNIQUENESS_CONSTRAINT_VIOLATION",
    "table",
    "field",
    "value",
    about="Another row of the table already holds this value, which must be unique.",
)
DESIGNATE_NEW_MASTER_IN_PROGRESS = ErrorCode(
    "DESIGNATE_NEW_MASTER_IN_PROGRESS",
    about="The pool is in the middle of changing its coordinator, so the operation has to wait.",
)
DUPLICATE_PIF_DEVICE_NAME = ErrorCode(
    "DUPLICATE_PIF_DEVICE_NAME", "device", about="The host already has a PIF with this device name."
)
DUPLICATE_VM = ErrorCode(
    "DUPLICATE_VM", "vm", about="Restoring would give the pool a second VM with the same identity."
)
EXTENSION_PROTOCOL_FAILURE = ErrorCode(
    "EXTENSION_PROTOCOL_FAILURE", about="The API extension's script returned something that could not be understood."
)
FAILED_TO_START_EMULATOR = ErrorCode(
    "FAILED_TO_START_EMULATOR", "vm", "name", "msg", about="An emulator process the VM needs did not come up."
)
FIELD_TYPE_ERROR = ErrorCode("FIELD_TYPE_ERROR", "field", about="The value does not have the type this field requires.")
ILLEGAL_IN_FIPS_MODE = ErrorCode(
    "ILLEGAL_IN_FIPS_MODE", about="The operation is not allowed while the host runs in FIPS mode."
)
INCOMPATIBLE_CLUSTER_STACK_ACTIVE = ErrorCode(
    "INCOMPATIBLE_CLUSTER_STACK_ACTIVE",
    "cluster_stack",
    about="A cluster stack that does not go with this operation is already in use.",
)
INCOMPATIBLE_STATEFILE_SR = ErrorCode(
    "INCOMPATIBLE_STATEFILE_SR", "SR type", about="An SR of this type cannot hold the HA statefile."
)
INTERNAL_ERROR = ErrorCode(
    "INTERNAL_ERROR", "message", about="The server ran into an unexpected fault; its log has the details."
)
INVALID_CLUSTER_STACK = ErrorCode(
    "INVALID_CLUSTER_STACK", "cluster_stack", about="The pool knows no cluster stack of this name."
)
INVALID_EDITION = ErrorCode("INVALID_EDITION", "edition", about="No edition of this name exists.")
INVALID_FEATURE_STRING = ErrorCode("INVALID_FEATURE_STRING", "details", about="The CPU feature mask is malformed.")
INVALID_GPGKEY_PATH = ErrorCode(
    "INVALID_GPGKEY_PATH", "gpgkey_path", about="The path of the repository's GPG key is not acceptable."
)
INVALID_NTP_CONFIG = ErrorCode(
    "INVALID_NTP_CONFIG", "reason", about="The NTP settings cannot be used, for the reason given."
)
INVALID_PATCH = ErrorCode("INVALID_PATCH", about="The uploaded file is not a valid hotfix, or its signature is wrong.")
INVALID_PATCH_WITH_LOG = ErrorCode(
    "INVALID_PATCH_WITH_LOG", "log", about="The uploaded file is not a valid patch; its log tells why."
)
INVALID_VALUE = ErrorCode("INVALID_VALUE", "field", "value", about="The field does not accept this value.")
IS_TUNNEL_ACCESS_PIF = ErrorCode(
    "IS_TUNNEL_ACCESS_PIF", "PIF", about="The PIF is the access side of a tunnel, which rules this operation out."
)
LOCATION_NOT_UNIQUE = ErrorCode(
    "LOCATION_NOT_UNIQUE", "SR", "location", about="The SR already holds a VDI with this location."
)
MAP_DUPLICATE_KEY = ErrorCode(
    "MAP_DUPLICATE_KEY", "type", "param_name", "uuid", "key", about="The map already has an entry under this key."
)
MESSAGE_DEPRECATED = ErrorCode("MESSAGE_DEPRECATED", about="The server no longer carries out this call.")
MESSAGE_METHOD_UNKNOWN = ErrorCode("MESSAGE_METHOD_UNKNOWN", "method", about="The API has no method of this name.")
MESSAGE_PARAMETER_COUNT_MISMATCH = ErrorCode(
    "MESSAGE_PARAMETER_COUNT_MISMATCH",
    "method",
    "expected",
    "received",
    about="The call was made with too many or too few parameters.",
)
MESSAGE_REMOVED = ErrorCode("MESSAGE_REMOVED", about="This call has been withdrawn from the API.")
MISSING_CONNECTION_DETAILS = ErrorCode(
    "MISSING_CONNECTION_DETAILS", about="The license server's address or port was not given."
)
NOT_ALLOWED_ON_OEM_EDITION = ErrorCode(
    "NOT_ALLOWED_ON_OEM_EDITION", "command", about="The command is not available on the OEM edition."
)
NOT_ALLOWED_WHEN_NTP_IS_ENABLED = ErrorCode(
    "NOT_ALLOWED_WHEN_NTP_IS_ENABLED", "host", about="The clock cannot be set by hand while the host keeps time by NTP."
)
NOT_IMPLEMENTED = ErrorCode("NOT_IMPLEMENTED", "function", about="This call or feature does not exist in this server.")
NOT_SUPPORTED_DURING_UPGRADE = ErrorCode(
    "NOT_SUPPORTED_DURING_UPGRADE",
    about="The operation is not possible while hosts of the pool run different versions.",
)
NOT_TRUSTED_CERTIFICATE = ErrorCode(
    "NOT_TRUSTED_CERTIFICATE", "ref", about="The certificate is not one of the pool's trusted certificates."
)
NO_CLUSTER_HOSTS_REACHABLE = ErrorCode(
    "NO_CLUSTER_HOSTS_REACHABLE", "cluster", about="None of the hosts already in the cluster could be reached."
)
NO_COMPATIBLE_CLUSTER_HOST = ErrorCode(
    "NO_COMPATIBLE_CLUSTER_HOST",
    "host",
    about="The host is not an enabled member of a cluster of the kind that the SR needs.",
)
NO_HOSTS_AVAILABLE = ErrorCode("NO_HOSTS_AVAILABLE", about="No host in the pool is able to take the operation.")
NO_MORE_REDO_LOGS_ALLOWED = ErrorCode(
    "NO_MORE_REDO_LOGS_ALLOWED", about="As many redo logs are active as the server permits."
)
NVIDIA_SRIOV_MISCONFIGURED = ErrorCode(
    "NVIDIA_SRIOV_MISCONFIGURED",
    "host",
    "device_name",
    about="The NVIDIA GPU is not set up for SR-IOV on the host as it should be.",
)
NVIDIA_TOOLS_ERROR = ErrorCode(
    "NVIDIA_TOOLS_ERROR", "host", about="NVIDIA's tools reported a fault on the host; check its driver and GPUs."
)
OBJECT_NOLONGER_EXISTS = ErrorCode("OBJECT_NOLONGER_EXISTS", about="The object has been deleted in the meantime.")
ONLY_ALLOWED_ON_OEM_EDITION = ErrorCode(
    "ONLY_ALLOWED_ON_OEM_EDITION",
    "command",
    about="The command exists only on the OEM (embedded) edition of the product.",
)
OPERATION_BLOCKED = ErrorCode(
    "OPERATION_BLOCKED",
    "ref",
    "code",
    about="An administrator has blocked this operation on the object; the code says why.",
)
OPERATION_NOT_ALLOWED = ErrorCode(
    "OPERATION_NOT_ALLOWED", "reason", about="The operation was refused, for the reason given."
)
OPERATION_PARTIALLY_FAILED = ErrorCode(
    "OPERATION_PARTIALLY_FAILED",
    "operation",
    about="The operation succeeded only in part; some steps or targets failed.",
)
OTHER_OPERATION_IN_PROGRESS = ErrorCode(
    "OTHER_OPERATION_IN_PROGRESS",
    "class",
    "object",
    "operation_type",
    "operation_ref",
    about="Another operation on this object is still under way and conflicts with the request.",
)
OUT_OF_SPACE = ErrorCode("OUT_OF_SPACE", "location", about="The location has not enough free space left.")
PERMISSION_DENIED = ErrorCode("PERMISSION_DENIED", "message", about="The caller is not allowed to do this.")
RESTORE_INCOMPATIBLE_VERSION = ErrorCode(
    "RESTORE_INCOMPATIBLE_VERSION", about="The backup comes from a version that this one cannot restore."
)
RESTORE_SCRIPT_FAILED = ErrorCode(
    "RESTORE_SCRIPT_FAILED", "log", about="The script that restores the host from its backup ended with an error."
)
RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP = ErrorCode(
    "RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP",
    about="The backup was not restored, because the host's management interface does not occur in it.",
)
RESTORE_TARGET_MISSING_DEVICE = ErrorCode(
    "RESTORE_TARGET_MISSING_DEVICE",
    "device",
    about="The backup cannot be restored because the host lacks a device it names.",
)
SET_CONSOLE_TIMEOUT_PARTIALLY_FAILED = ErrorCode(
    "SET_CONSOLE_TIMEOUT_PARTIALLY_FAILED",
    "hosts",
    about="The console timeout could not be set on the hosts listed; the others have it.",
)
TOO_BUSY = ErrorCode("TOO_BUSY", about="The server has too many requests under way; try again later.")
TOO_MANY_GROUPS = ErrorCode("TOO_MANY_GROUPS", about="A VM can belong to one group only.")
TOO_MANY_PENDING_TASKS = ErrorCode(
    "TOO_MANY_PENDING_TASKS", about="The server has as many unfinished tasks as it allows and takes no more for now."
)
TOO_MANY_VUSBS = ErrorCode("TOO_MANY_VUSBS", "number", about="The VM has the most virtual USB devices it can have.")
TRUSTED_CERTIFICATE_ALREADY_EXISTS = ErrorCode(
    "TRUSTED_CERTIFICATE_ALREADY_EXISTS",
    "fingerprint",
    about="A trusted certificate with this fingerprint is already installed.",
)
TRUSTED_CERTIFICATE_EXPIRED = ErrorCode(
    "TRUSTED_CERTIFICATE_EXPIRED",
    "now",
    "not_after",
    about="The certificate to be trusted is past its validity period.",
)
TRUSTED_CERTIFICATE_INVALID = ErrorCode(
    "TRUSTED_CERTIFICATE_INVALID", about="The given file is not a valid certificate to trust."
)
TRUSTED_CERTIFICATE_NOT_VALID_YET = ErrorCode(
    "TRUSTED_CERTIFICATE_NOT_VALID_YET",
    "now",
    "not_before",
    about="The trusted certificate becomes valid only at a later date.",
)
UNIMPLEMENTED_IN_SM_BACKEND = ErrorCode(
    "UNIMPLEMENTED_IN_SM_BACKEND", "message", about="The driver of this SR does not offer the operation."
)
UNKNOWN_BOOTLOADER = ErrorCode(
    "UNKNOWN_BOOTLOADER", "vm", "bootloader", about="The VM names a bootloader that the host does not know."
)
UUID_INVALID = ErrorCode("UUID_INVALID", "type", "uuid", about="No object of this class has the UUID given.")
V6D_FAILURE = ErrorCode("V6D_FAILURE", about="The licensing daemon could not be reached or failed.")
VALUE_NOT_SUPPORTED = ErrorCode(
    "VALUE_NOT_SUPPORTED",
    "field",
    "value",
    "reason",
    about="The value is well formed but not supported for this field, for the reason stated.",
)
XAPI_HOOK_FAILED = ErrorCode(
    "XAPI_HOOK_FAILED",
    "hook_name",
    "reason",
    "stdout",
    "exit_code",
    about="A hook script on the host stopped with an error.",
)
XENAPI_MISSING_PLUGIN = ErrorCode("XENAPI_MISSING_PLUGIN", "name", about="The host has no plug-in of this name.")
XEN_INCOMPATIBLE = ErrorCode(
    "XEN_INCOMPATIBLE", about="The toolstack cannot work with the running version of Xen or its libraries."
)
