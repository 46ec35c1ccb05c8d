"""Errors of the contract: storage."""

from xapi.datamodel.failure import ErrorCode

CANNOT_DESTROY_DISASTER_RECOVERY_TASK = ErrorCode(
    "CANNOT_DESTROY_DISASTER_RECOVERY_TASK",
    "reason",
    about="The disaster recovery task could not be cleaned up and removed.",
)
DEFAULT_SR_NOT_FOUND = ErrorCode(
    "DEFAULT_SR_NOT_FOUND", "sr", about="The pool's default SR is set to one that no longer exists."
)
DISK_VBD_MUST_BE_READWRITE_FOR_HVM = ErrorCode(
    "DISK_VBD_MUST_BE_READWRITE_FOR_HVM",
    "vbd",
    about="A VM with full virtualisation cannot use a disk that is attached read-only.",
)
INVALID_DEVICE = ErrorCode("INVALID_DEVICE", "device", about="The device position is malformed or out of range.")
MIRROR_FAILED = ErrorCode(
    "MIRROR_FAILED", "vdi", about="The VDI could not be mirrored to its new place, so the migration was given up."
)
PATCH_PRECHECK_FAILED_OUT_OF_SPACE = ErrorCode(
    "PATCH_PRECHECK_FAILED_OUT_OF_SPACE",
    "patch",
    "found_space",
    "required_required",
    about="The host has too little free disk space to install the patch.",
)
PBD_EXISTS = ErrorCode("PBD_EXISTS", "sr", "host", "pbd", about="The host already has a PBD for this SR.")
REDO_LOG_IS_ENABLED = ErrorCode(
    "REDO_LOG_IS_ENABLED", about="The operation is not possible while the redo log is switched on."
)
SM_PLUGIN_COMMUNICATION_FAILURE = ErrorCode(
    "SM_PLUGIN_COMMUNICATION_FAILURE",
    "sm",
    about="The storage plug-in did not give an answer that could be understood.",
)
SR_ATTACHED = ErrorCode("SR_ATTACHED", about="The operation is not possible while the SR is attached to a host.")
SR_ATTACH_FAILED = ErrorCode("SR_ATTACH_FAILED", "sr", about="The SR could not be attached on the host.")
SR_BACKEND_FAILURE = ErrorCode(
    "SR_BACKEND_FAILURE", "status", "stdout", "stderr", about="The storage driver reported an error."
)
SR_DEVICE_IN_USE = ErrorCode("SR_DEVICE_IN_USE", about="A device that the SR lies on is in use by the host.")
SR_DOES_NOT_SUPPORT_MIGRATION = ErrorCode(
    "SR_DOES_NOT_SUPPORT_MIGRATION",
    "sr",
    "capabilities",
    about="VDIs cannot be migrated from or to this SR, since its driver lacks the capability.",
)
SR_FULL = ErrorCode("SR_FULL", "requested", "maximum", about="The SR has less free space than was requested.")
SR_HAS_MULTIPLE_PBDS = ErrorCode(
    "SR_HAS_MULTIPLE_PBDS",
    "PBD",
    about="The SR is attached through several PBDs, so it cannot be made local to one host.",
)
SR_HAS_NO_PBDS = ErrorCode("SR_HAS_NO_PBDS", "sr", about="No host has a connection (PBD) configured for this SR.")
SR_HAS_PBD = ErrorCode(
    "SR_HAS_PBD", "sr", about="The SR is still plugged into a host or has PBDs; unplug or remove these first."
)
SR_INDESTRUCTIBLE = ErrorCode("SR_INDESTRUCTIBLE", "sr", about="The SR is marked as one that must not be destroyed.")
SR_IS_CACHE_SR = ErrorCode("SR_IS_CACHE_SR", "host", about="The host uses this SR as its local storage cache.")
SR_NOT_ATTACHED = ErrorCode("SR_NOT_ATTACHED", "sr", about="The SR is not plugged in on the host that needs it.")
SR_NOT_EMPTY = ErrorCode("SR_NOT_EMPTY", about="The SR still holds VDIs.")
SR_NOT_SHARABLE = ErrorCode(
    "SR_NOT_SHARABLE", "sr", "host", about="The SR cannot be plugged into a further host because it is not shared."
)
SR_NOT_SHARED = ErrorCode("SR_NOT_SHARED", about="The operation needs an SR that all hosts of the pool share.")
SR_OPERATION_NOT_SUPPORTED = ErrorCode(
    "SR_OPERATION_NOT_SUPPORTED", "sr", about="The SR's driver does not offer this operation."
)
SR_REQUIRES_UPGRADE = ErrorCode(
    "SR_REQUIRES_UPGRADE", "SR", about="The SR is in an old format and has to be upgraded first."
)
SR_SOURCE_SPACE_INSUFFICIENT = ErrorCode(
    "SR_SOURCE_SPACE_INSUFFICIENT",
    "sr",
    about="The source SR has too little free space for the temporary data of the operation.",
)
SR_SUSPEND_SPACE_INSUFFICIENT = ErrorCode(
    "SR_SUSPEND_SPACE_INSUFFICIENT", "sr", about="The SR has too little free space for the VM's memory image."
)
SR_UNHEALTHY = ErrorCode(
    "SR_UNHEALTHY",
    "sr",
    "health",
    "fix",
    about="The SR is in bad health; the error names the state and what to do about it.",
)
SR_UNKNOWN_DRIVER = ErrorCode("SR_UNKNOWN_DRIVER", "driver", about="No storage driver exists for this SR type.")
SR_UUID_EXISTS = ErrorCode("SR_UUID_EXISTS", "uuid", about="An SR with this uuid is already recorded in the pool.")
SR_VDI_LOCKING_FAILED = ErrorCode(
    "SR_VDI_LOCKING_FAILED",
    about="The storage driver could not lock the disk, probably because another process uses it.",
)
TOO_MANY_STORAGE_MIGRATES = ErrorCode(
    "TOO_MANY_STORAGE_MIGRATES",
    "number",
    about="The host already runs as many storage migrations as are allowed at once.",
)
VDI_CBT_ENABLED = ErrorCode(
    "VDI_CBT_ENABLED", "vdi", about="Changed block tracking is on for the disk and rules out the operation."
)
VDI_CONTAINS_METADATA_OF_THIS_POOL = ErrorCode(
    "VDI_CONTAINS_METADATA_OF_THIS_POOL",
    "vdi",
    "pool",
    about="The disk holds this pool's own metadata, for which the operation makes no sense.",
)
VDI_CONTENT_ID_MISSING = ErrorCode(
    "VDI_CONTENT_ID_MISSING", about="The VDI lacks the content id by which its similarity to other disks is judged."
)
VDI_COPY_FAILED = ErrorCode("VDI_COPY_FAILED", about="Copying the contents of the VDI failed.")
VDI_HAS_RRDS = ErrorCode(
    "VDI_HAS_RRDS", "vdi", about="The disk holds recorded performance data, so the operation is not possible."
)
VDI_INCOMPATIBLE_TYPE = ErrorCode(
    "VDI_INCOMPATIBLE_TYPE", "vdi", "type", about="A VDI of this type cannot be used for the operation."
)
VDI_IN_USE = ErrorCode(
    "VDI_IN_USE", "vdi", "operation", about="The VDI is in use by something else, so the operation is not possible now."
)
VDI_IO_ERROR = ErrorCode("VDI_IO_ERROR", about="Reading or writing the VDI's data failed.")
VDI_IS_A_PHYSICAL_DEVICE = ErrorCode(
    "VDI_IS_A_PHYSICAL_DEVICE", "vdi", about="The disk stands for a real device, so the operation is not possible."
)
VDI_IS_ENCRYPTED = ErrorCode("VDI_IS_ENCRYPTED", "vdi", about="The disk is encrypted, which rules this operation out.")
VDI_IS_NOT_ISO = ErrorCode(
    "VDI_IS_NOT_ISO", "vdi", "type", about="The VDI is not an ISO image and cannot be put into a CD drive."
)
VDI_IS_SHARABLE = ErrorCode(
    "VDI_IS_SHARABLE", about="The operation is not possible on a VDI that several VMs may write to."
)
VDI_LOCATION_MISSING = ErrorCode("VDI_LOCATION_MISSING", "sr", "location", about="The SR has no disk at this location.")
VDI_MISSING = ErrorCode("VDI_MISSING", "sr", "vdi", about="The SR has no disk of that identity.")
VDI_NEEDS_VM_FOR_MIGRATE = ErrorCode(
    "VDI_NEEDS_VM_FOR_MIGRATE", "vdi", about="The VDI can be migrated only while it is attached to a running VM."
)
VDI_NOT_AVAILABLE = ErrorCode(
    "VDI_NOT_AVAILABLE", "vdi", about="The VDI cannot be used at present because its storage does not provide it."
)
VDI_NOT_IN_MAP = ErrorCode(
    "VDI_NOT_IN_MAP", "vdi", about="No destination SR was named for this disk of the VM to be migrated."
)
VDI_NOT_MANAGED = ErrorCode(
    "VDI_NOT_MANAGED", "vdi", about="The disk is an inner part of its SR and cannot be used directly."
)
VDI_NOT_SPARSE = ErrorCode(
    "VDI_NOT_SPARSE",
    "vdi",
    about="The VDI is not stored in a sparse format, so its changed blocks cannot be told apart.",
)
VDI_NO_CBT_METADATA = ErrorCode(
    "VDI_NO_CBT_METADATA", "vdi", about="No changed block tracking data exists for the VDI."
)
VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION = ErrorCode(
    "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
    about="A disk that is reset at every boot does not allow this operation.",
)
VDI_READONLY = ErrorCode("VDI_READONLY", "vdi", about="The disk is read-only, and the operation would write to it.")
VDI_TOO_LARGE = ErrorCode(
    "VDI_TOO_LARGE", "vdi", "maximum size", about="The VDI is larger than the stated greatest size (bytes)."
)
VDI_TOO_SMALL = ErrorCode(
    "VDI_TOO_SMALL", "vdi", "minimum size", about="The VDI is smaller than the size the operation needs."
)
XMLRPC_UNMARSHAL_FAILURE = ErrorCode(
    "XMLRPC_UNMARSHAL_FAILURE",
    "expected",
    "received",
    about="The request could not be decoded; a value was not of the expected form.",
)
