"""Errors of the contract: hosts, their devices, licences and updates."""

from xapi.datamodel.failure import ErrorCode

ACTIVATION_WHILE_NOT_FREE = ErrorCode(
    "ACTIVATION_WHILE_NOT_FREE", about="An activation key is accepted only while the host runs the free edition."
)
APPLY_GUIDANCE_FAILED = ErrorCode(
    "APPLY_GUIDANCE_FAILED", "ref", about="The restart or other step that an update calls for could not be carried out."
)
APPLY_LIVEPATCH_FAILED = ErrorCode(
    "APPLY_LIVEPATCH_FAILED", "livepatch", about="A live patch could not be loaded into the running system."
)
APPLY_UPDATES_FAILED = ErrorCode("APPLY_UPDATES_FAILED", "ref", about="The updates could not be applied to the host.")
APPLY_UPDATES_IN_PROGRESS = ErrorCode(
    "APPLY_UPDATES_IN_PROGRESS", about="Updates are being applied to a host, so the operation has to wait."
)
BUNDLE_REPOSITORY_ALREADY_EXISTS = ErrorCode(
    "BUNDLE_REPOSITORY_ALREADY_EXISTS",
    "ref",
    about="The pool has an update bundle repository already and can have only one.",
)
BUNDLE_REPO_NOT_ENABLED = ErrorCode(
    "BUNDLE_REPO_NOT_ENABLED", about="The bundle repository must be enabled before a bundle can be used."
)
BUNDLE_SYNC_FAILED = ErrorCode(
    "BUNDLE_SYNC_FAILED", about="The repository could not be filled from the uploaded update bundle."
)
BUNDLE_UNPACK_FAILED = ErrorCode(
    "BUNDLE_UNPACK_FAILED", "error", about="The uploaded update bundle could not be unpacked."
)
CA_CERTIFICATE_EXPIRED = ErrorCode("CA_CERTIFICATE_EXPIRED", about="The CA certificate is past its validity period.")
CA_CERTIFICATE_INVALID = ErrorCode(
    "CA_CERTIFICATE_INVALID", about="The given CA certificate is not a valid certificate."
)
CA_CERTIFICATE_NOT_VALID_YET = ErrorCode(
    "CA_CERTIFICATE_NOT_VALID_YET", about="The CA certificate becomes valid only at a later date."
)
CERTIFICATE_ALREADY_EXISTS = ErrorCode(
    "CERTIFICATE_ALREADY_EXISTS", "name", about="A certificate of this name is already installed."
)
CERTIFICATE_CORRUPT = ErrorCode(
    "CERTIFICATE_CORRUPT", "name", about="The certificate is damaged or is not in PEM form."
)
CERTIFICATE_DOES_NOT_EXIST = ErrorCode(
    "CERTIFICATE_DOES_NOT_EXIST", "name", about="No certificate of this name is installed."
)
CERTIFICATE_LACKS_PURPOSE = ErrorCode(
    "CERTIFICATE_LACKS_PURPOSE", about="The certificate is not marked for the purpose it is to serve."
)
CERTIFICATE_LIBRARY_CORRUPT = ErrorCode(
    "CERTIFICATE_LIBRARY_CORRUPT", about="The host's store of certificates is damaged or cannot be read."
)
CERTIFICATE_NAME_INVALID = ErrorCode(
    "CERTIFICATE_NAME_INVALID", "name", about="The name is not allowed as a certificate's file name."
)
CONFIGURE_REPOSITORIES_IN_PROGRESS = ErrorCode(
    "CONFIGURE_REPOSITORIES_IN_PROGRESS",
    about="The update repositories are being configured, so the operation has to wait.",
)
CPU_FEATURE_MASKING_NOT_SUPPORTED = ErrorCode(
    "CPU_FEATURE_MASKING_NOT_SUPPORTED", "details", about="The CPUs of this host do not let features be masked."
)
CRL_ALREADY_EXISTS = ErrorCode(
    "CRL_ALREADY_EXISTS", "name", about="A certificate revocation list of this name is already installed."
)
CRL_CORRUPT = ErrorCode(
    "CRL_CORRUPT", "name", about="The certificate revocation list is damaged or in the wrong format."
)
CRL_DOES_NOT_EXIST = ErrorCode(
    "CRL_DOES_NOT_EXIST", "name", about="No certificate revocation list of this name is installed."
)
CRL_NAME_INVALID = ErrorCode(
    "CRL_NAME_INVALID", "name", about="The name is not allowed as the file name of a revocation list."
)
DISABLE_SSH_FAILED = ErrorCode(
    "DISABLE_SSH_FAILED", "host", about="The SSH service of the host could not be turned off."
)
DISABLE_SSH_PARTIALLY_FAILED = ErrorCode(
    "DISABLE_SSH_PARTIALLY_FAILED", "hosts", about="SSH could not be stopped on some hosts of the pool."
)
ENABLE_SSH_FAILED = ErrorCode("ENABLE_SSH_FAILED", "host", about="The SSH service of the host could not be turned on.")
ENABLE_SSH_PARTIALLY_FAILED = ErrorCode(
    "ENABLE_SSH_PARTIALLY_FAILED", "hosts", about="SSH could not be started on some hosts of the pool."
)
FEATURE_REQUIRES_HVM = ErrorCode(
    "FEATURE_REQUIRES_HVM", "details", about="The feature works only in hardware virtual machines."
)
FEATURE_RESTRICTED = ErrorCode(
    "FEATURE_RESTRICTED", about="The edition or licence in force does not include this feature."
)
GET_HOST_UPDATES_FAILED = ErrorCode(
    "GET_HOST_UPDATES_FAILED", "ref", about="The host could not work out which updates it lacks."
)
GET_UPDATES_FAILED = ErrorCode("GET_UPDATES_FAILED", about="The list of available updates could not be worked out.")
GET_UPDATES_IN_PROGRESS = ErrorCode(
    "GET_UPDATES_IN_PROGRESS", about="The list of available updates is being worked out, so the operation has to wait."
)
GPU_GROUP_CONTAINS_NO_PGPUS = ErrorCode(
    "GPU_GROUP_CONTAINS_NO_PGPUS",
    "gpu_group",
    about="The GPU group has no physical GPU, so it cannot supply a virtual one.",
)
GPU_GROUP_CONTAINS_PGPU = ErrorCode(
    "GPU_GROUP_CONTAINS_PGPU", "pgpus", about="The GPU group still has physical GPUs, so it cannot be removed."
)
GPU_GROUP_CONTAINS_VGPU = ErrorCode(
    "GPU_GROUP_CONTAINS_VGPU", "vgpus", about="The GPU group cannot be destroyed while virtual GPUs belong to it."
)
HOSTS_FAILED_TO_DISABLE_CACHING = ErrorCode(
    "HOSTS_FAILED_TO_DISABLE_CACHING", about="Caching on local storage could not be turned off on some hosts."
)
HOSTS_FAILED_TO_ENABLE_CACHING = ErrorCode(
    "HOSTS_FAILED_TO_ENABLE_CACHING", about="One or more hosts could not switch on their local storage cache."
)
HOSTS_NOT_HOMOGENEOUS = ErrorCode(
    "HOSTS_NOT_HOMOGENEOUS", "reason", about="The hosts differ too much to be in the same pool, in the respect given."
)
HOST_BROKEN = ErrorCode(
    "HOST_BROKEN", about="The host is in an error state in which it cannot take part in the operation."
)
HOST_CANNOT_ATTACH_NETWORK = ErrorCode(
    "HOST_CANNOT_ATTACH_NETWORK",
    "host",
    "network",
    about="The host cannot bring up this network, perhaps because bonded cards already serve other networks.",
)
HOST_CANNOT_DESTROY_SELF = ErrorCode(
    "HOST_CANNOT_DESTROY_SELF", "host", about="A host cannot remove its own record from the pool."
)
HOST_CANNOT_READ_METRICS = ErrorCode("HOST_CANNOT_READ_METRICS", about="The host's metrics could not be read.")
HOST_CANNOT_SEE_SR = ErrorCode(
    "HOST_CANNOT_SEE_SR", about="The host has no attached connection to an SR that the operation needs."
)
HOST_CD_DRIVE_EMPTY = ErrorCode(
    "HOST_CD_DRIVE_EMPTY", about="The host's CD drive holds no disc, or none that can be read."
)
HOST_DISABLED = ErrorCode("HOST_DISABLED", "host", about="The host is disabled and takes no new VMs.")
HOST_DISABLED_INDEFINITELY = ErrorCode(
    "HOST_DISABLED_INDEFINITELY",
    "host",
    about="The host was disabled for good and comes back only when host.enable is called.",
)
HOST_DISABLED_UNTIL_REBOOT = ErrorCode(
    "HOST_DISABLED_UNTIL_REBOOT", "host", about="The host stays disabled until it has been rebooted."
)
HOST_DRIVER_NO_HARDWARE = ErrorCode(
    "HOST_DRIVER_NO_HARDWARE", "driver variant", about="This driver variant fits no hardware present in the host."
)
HOST_EVACUATE_IN_PROGRESS = ErrorCode(
    "HOST_EVACUATE_IN_PROGRESS", "host", about="VMs are already being moved off this host."
)
HOST_EVACUATE_VM_NOT_HA_PROTECTED = ErrorCode(
    "HOST_EVACUATE_VM_NOT_HA_PROTECTED",
    "vm",
    about="The host could not be emptied, because a VM on it is not protected by HA.",
)
HOST_EVACUATION_IS_REQUIRED = ErrorCode(
    "HOST_EVACUATION_IS_REQUIRED",
    "host",
    about="The host must be emptied of running VMs before its updates can be applied.",
)
HOST_HAS_NO_MANAGEMENT_IP = ErrorCode(
    "HOST_HAS_NO_MANAGEMENT_IP",
    about="The host got no IP address on its management interface, so it cannot reach the coordinator.",
)
HOST_HAS_RESIDENT_VMS = ErrorCode("HOST_HAS_RESIDENT_VMS", "host", about="VMs still run on this host.")
HOST_IN_EMERGENCY_MODE = ErrorCode(
    "HOST_IN_EMERGENCY_MODE", about="The host has lost its pool coordinator and accepts emergency calls only."
)
HOST_IN_USE = ErrorCode(
    "HOST_IN_USE",
    "host",
    "type",
    "ref",
    about="The host still has work on it, such as a VM or a task, and cannot be removed or changed.",
)
HOST_IS_LIVE = ErrorCode(
    "HOST_IS_LIVE", "host", about="The host is still running, and the operation is only for hosts that are down."
)
HOST_IS_SLAVE = ErrorCode(
    "HOST_IS_SLAVE",
    "Master IP address",
    about="This host is a pool member; send the call to the coordinator at the address given.",
)
HOST_ITS_OWN_SLAVE = ErrorCode(
    "HOST_ITS_OWN_SLAVE",
    about="The host is set up as a pool member, yet the coordinator address it was given is its own.",
)
HOST_MASTER_CANNOT_TALK_BACK = ErrorCode(
    "HOST_MASTER_CANNOT_TALK_BACK",
    "ip",
    about="The coordinator could not open a connection back to the host at this address.",
)
HOST_NAME_INVALID = ErrorCode(
    "HOST_NAME_INVALID", "reason", about="The host name is too long, empty or contains forbidden characters."
)
HOST_NOT_DISABLED = ErrorCode("HOST_NOT_DISABLED", about="The host must be disabled first.")
HOST_NOT_ENOUGH_FREE_MEMORY = ErrorCode(
    "HOST_NOT_ENOUGH_FREE_MEMORY",
    "needed",
    "available",
    about="The host has less free memory (bytes) than the operation needs.",
)
HOST_NOT_ENOUGH_PCPUS = ErrorCode(
    "HOST_NOT_ENOUGH_PCPUS", "vcpus", "pcpus", about="The host has fewer physical CPUs than the VM has virtual ones."
)
HOST_NOT_LIVE = ErrorCode("HOST_NOT_LIVE", about="The host is down or out of reach.")
HOST_OFFLINE = ErrorCode("HOST_OFFLINE", "host", about="The host is down or has lost contact with the coordinator.")
HOST_PENDING_MANDATORY_GUIDANCE_NOT_EMPTY = ErrorCode(
    "HOST_PENDING_MANDATORY_GUIDANCE_NOT_EMPTY",
    "host",
    about="The host must first do the tasks its last update made mandatory, such as a reboot.",
)
HOST_POWER_ON_MODE_DISABLED = ErrorCode(
    "HOST_POWER_ON_MODE_DISABLED", about="The host has no method configured for switching it on remotely."
)
HOST_STILL_BOOTING = ErrorCode("HOST_STILL_BOOTING", about="The host's toolstack is still starting; try again shortly.")
HOST_UNKNOWN_TO_MASTER = ErrorCode(
    "HOST_UNKNOWN_TO_MASTER", "host", about="The pool coordinator has no record of this host."
)
HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR = ErrorCode(
    "HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR",
    "host_xapi_version",
    about="The host runs a newer toolstack than the pool coordinator and must not join.",
)
INVALID_BASE_URL = ErrorCode(
    "INVALID_BASE_URL", "url", about="The repository URL is malformed or points to a server that is not permitted."
)
INVALID_REPOMD_XML = ErrorCode("INVALID_REPOMD_XML", about="The repository's repomd.xml file cannot be understood.")
INVALID_REPOSITORY_DOMAIN_ALLOWLIST = ErrorCode(
    "INVALID_REPOSITORY_DOMAIN_ALLOWLIST",
    "domains",
    about="The list of domains that repositories may come from has entries that are no domain names.",
)
INVALID_REPOSITORY_PROXY_CREDENTIAL = ErrorCode(
    "INVALID_REPOSITORY_PROXY_CREDENTIAL",
    about="The proxy's username and password are incomplete or contain characters not allowed.",
)
INVALID_REPOSITORY_PROXY_URL = ErrorCode(
    "INVALID_REPOSITORY_PROXY_URL", "url", about="The URL of the proxy for update repositories is malformed."
)
INVALID_UPDATE = ErrorCode("INVALID_UPDATE", "info", about="The uploaded file is not a valid update package.")
INVALID_UPDATEINFO_XML = ErrorCode(
    "INVALID_UPDATEINFO_XML", about="The update list (updateinfo.xml) of the repository could not be understood."
)
INVALID_UPDATE_SYNC_DAY = ErrorCode(
    "INVALID_UPDATE_SYNC_DAY", "day", about="The day is not a weekday number from 0 (Sunday) to 6."
)
LICENCE_RESTRICTION = ErrorCode(
    "LICENCE_RESTRICTION", "feature", about="The licence in force does not cover this feature."
)
LICENSE_CANNOT_DOWNGRADE_WHILE_IN_POOL = ErrorCode(
    "LICENSE_CANNOT_DOWNGRADE_WHILE_IN_POOL",
    about="The host cannot be moved to a lesser edition as long as it is in a pool.",
)
LICENSE_CHECKOUT_ERROR = ErrorCode(
    "LICENSE_CHECKOUT_ERROR",
    "code",
    "message",
    about="The license server did not grant a license for the requested edition.",
)
LICENSE_DOES_NOT_SUPPORT_POOLING = ErrorCode(
    "LICENSE_DOES_NOT_SUPPORT_POOLING", about="The host's licence does not allow it to be part of a pool."
)
LICENSE_DOES_NOT_SUPPORT_XHA = ErrorCode(
    "LICENSE_DOES_NOT_SUPPORT_XHA", about="The licence in force does not cover HA."
)
LICENSE_EXPIRED = ErrorCode("LICENSE_EXPIRED", about="The licence of the host has run out.")
LICENSE_FILE_DEPRECATED = ErrorCode(
    "LICENSE_FILE_DEPRECATED", about="License files of this kind are no longer accepted; use a license server."
)
LICENSE_HOST_POOL_MISMATCH = ErrorCode(
    "LICENSE_HOST_POOL_MISMATCH", about="The host's licence does not match the licence of the pool."
)
LICENSE_PROCESSING_ERROR = ErrorCode("LICENSE_PROCESSING_ERROR", about="The licence file could not be read or checked.")
MULTIPLE_UPDATE_REPOSITORIES_ENABLED = ErrorCode(
    "MULTIPLE_UPDATE_REPOSITORIES_ENABLED",
    about="More than one repository is enabled to supply the updates, where only one may be.",
)
NO_REPOSITORIES_CONFIGURED = ErrorCode("NO_REPOSITORIES_CONFIGURED", about="The pool has no update repository set up.")
NO_REPOSITORY_ENABLED = ErrorCode("NO_REPOSITORY_ENABLED", about="The pool has no update repository enabled.")
PATCH_ALREADY_APPLIED = ErrorCode("PATCH_ALREADY_APPLIED", "patch", about="The patch is in force on this host already.")
PATCH_ALREADY_EXISTS = ErrorCode(
    "PATCH_ALREADY_EXISTS", "uuid", about="This hotfix has been uploaded to the pool before."
)
PATCH_APPLY_FAILED = ErrorCode(
    "PATCH_APPLY_FAILED", "output", about="The patch could not be installed; the output tells why."
)
PATCH_APPLY_FAILED_BACKUP_FILES_EXIST = ErrorCode(
    "PATCH_APPLY_FAILED_BACKUP_FILES_EXIST",
    "output",
    about="Backup files of an earlier update are still on the host; remove them and try again.",
)
PATCH_IS_APPLIED = ErrorCode("PATCH_IS_APPLIED", about="The patch cannot be deleted, because it is applied to a host.")
PATCH_PRECHECK_FAILED_ISO_MOUNTED = ErrorCode(
    "PATCH_PRECHECK_FAILED_ISO_MOUNTED",
    "patch",
    about="The hotfix cannot be applied while a VM on the host has the tools ISO in its drive.",
)
PATCH_PRECHECK_FAILED_PREREQUISITE_MISSING = ErrorCode(
    "PATCH_PRECHECK_FAILED_PREREQUISITE_MISSING",
    "patch",
    "prerequisite_patch_uuid_list",
    about="The update needs other updates to be installed first.",
)
PATCH_PRECHECK_FAILED_UNKNOWN_ERROR = ErrorCode(
    "PATCH_PRECHECK_FAILED_UNKNOWN_ERROR",
    "patch",
    "info",
    about="The patch's own check before installation failed for an unknown cause.",
)
PATCH_PRECHECK_FAILED_VM_RUNNING = ErrorCode(
    "PATCH_PRECHECK_FAILED_VM_RUNNING", "patch", about="The hotfix cannot be applied while VMs are running on the host."
)
PATCH_PRECHECK_FAILED_WRONG_SERVER_BUILD = ErrorCode(
    "PATCH_PRECHECK_FAILED_WRONG_SERVER_BUILD",
    "patch",
    "found_build",
    "required_build",
    about="The patch is meant for another build of the host software.",
)
PATCH_PRECHECK_FAILED_WRONG_SERVER_VERSION = ErrorCode(
    "PATCH_PRECHECK_FAILED_WRONG_SERVER_VERSION",
    "patch",
    "found_version",
    "required_version",
    about="The update is made for another server version than the host runs.",
)
PGPU_INSUFFICIENT_CAPACITY_FOR_VGPU = ErrorCode(
    "PGPU_INSUFFICIENT_CAPACITY_FOR_VGPU",
    "pgpu",
    "vgpu_type",
    about="The physical GPU has no room left for a virtual GPU of this type.",
)
PGPU_IN_USE_BY_VM = ErrorCode("PGPU_IN_USE_BY_VM", "VMs", about="The physical GPU is in use by the VMs listed.")
PGPU_NOT_COMPATIBLE_WITH_GPU_GROUP = ErrorCode(
    "PGPU_NOT_COMPATIBLE_WITH_GPU_GROUP",
    "type",
    "group_types",
    about="The graphics device is of another type than those in the group.",
)
PUSB_VDI_CONFLICT = ErrorCode(
    "PUSB_VDI_CONFLICT",
    "PUSB",
    "VDI",
    about="The USB device cannot be passed through while a VDI on the same device is in use.",
)
REPOSITORY_ALREADY_EXISTS = ErrorCode(
    "REPOSITORY_ALREADY_EXISTS", "ref", about="The pool already has such a repository."
)
REPOSITORY_CLEANUP_FAILED = ErrorCode(
    "REPOSITORY_CLEANUP_FAILED", about="The local copy of an update repository could not be deleted."
)
REPOSITORY_IS_IN_USE = ErrorCode(
    "REPOSITORY_IS_IN_USE", about="The repository is enabled as a source of updates and cannot be changed or removed."
)
REPOSYNC_FAILED = ErrorCode("REPOSYNC_FAILED", about="The update repository could not be copied from its source.")
REPO_SHOULD_BE_SINGLE_ONE_ENABLED = ErrorCode(
    "REPO_SHOULD_BE_SINGLE_ONE_ENABLED", about="A repository of this kind may be enabled only if no other one is."
)
SERVER_CERTIFICATE_CHAIN_INVALID = ErrorCode(
    "SERVER_CERTIFICATE_CHAIN_INVALID",
    about="The certificate chain given for the server is malformed or not in PEM form.",
)
SERVER_CERTIFICATE_EXPIRED = ErrorCode(
    "SERVER_CERTIFICATE_EXPIRED", "now", "not_after", about="The server certificate's validity has ended."
)
SERVER_CERTIFICATE_INVALID = ErrorCode(
    "SERVER_CERTIFICATE_INVALID", about="The server certificate is not in valid PEM form."
)
SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED = ErrorCode(
    "SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED",
    "algorithm_oid",
    about="The private key is of a kind that cannot be used; the OID tells which.",
)
SERVER_CERTIFICATE_KEY_INVALID = ErrorCode(
    "SERVER_CERTIFICATE_KEY_INVALID",
    about="The private key given for the server certificate is malformed or of an unsupported kind.",
)
SERVER_CERTIFICATE_KEY_MISMATCH = ErrorCode(
    "SERVER_CERTIFICATE_KEY_MISMATCH", about="The private key does not belong to the server certificate."
)
SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED = ErrorCode(
    "SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED",
    "length",
    about="The certificate's RSA key has a length that is not accepted.",
)
SERVER_CERTIFICATE_KEY_RSA_MULTI_NOT_SUPPORTED = ErrorCode(
    "SERVER_CERTIFICATE_KEY_RSA_MULTI_NOT_SUPPORTED",
    about="The private key is an RSA key made of more than two primes, which cannot be used.",
)
SERVER_CERTIFICATE_NOT_VALID_YET = ErrorCode(
    "SERVER_CERTIFICATE_NOT_VALID_YET",
    "now",
    "not_before",
    about="The validity period of the server certificate has not begun yet.",
)
SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED = ErrorCode(
    "SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED",
    about="The server certificate is signed with an algorithm other than SHA-256 or SHA-512.",
)
SET_SSH_AUTO_MODE_PARTIALLY_FAILED = ErrorCode(
    "SET_SSH_AUTO_MODE_PARTIALLY_FAILED",
    "hosts",
    about="On the hosts listed the automatic SSH mode could not be changed.",
)
SET_SSH_TIMEOUT_PARTIALLY_FAILED = ErrorCode(
    "SET_SSH_TIMEOUT_PARTIALLY_FAILED", "hosts", about="The SSH timeout could not be set on some hosts of the pool."
)
SSL_VERIFY_ERROR = ErrorCode(
    "SSL_VERIFY_ERROR", "reason", about="The certificate of the remote end could not be verified."
)
SYNC_BUNDLE_IN_PROGRESS = ErrorCode(
    "SYNC_BUNDLE_IN_PROGRESS", about="An update bundle is being taken in, so the operation has to wait."
)
SYNC_UPDATES_IN_PROGRESS = ErrorCode(
    "SYNC_UPDATES_IN_PROGRESS", about="The operation has to wait until the synchronization of updates has finished."
)
SYSTEM_STATUS_MUST_USE_TAR_ON_OEM = ErrorCode(
    "SYSTEM_STATUS_MUST_USE_TAR_ON_OEM",
    about="This kind of installation can deliver its status report only as a tar file.",
)
SYSTEM_STATUS_RETRIEVAL_FAILED = ErrorCode(
    "SYSTEM_STATUS_RETRIEVAL_FAILED",
    "reason",
    about="The status report of the host could not be collected, for the reason given.",
)
TELEMETRY_NEXT_COLLECTION_TOO_LATE = ErrorCode(
    "TELEMETRY_NEXT_COLLECTION_TOO_LATE",
    "timestamp",
    about="The next telemetry collection must be due within two telemetry intervals from now.",
)
TLS_CONNECTION_FAILED = ErrorCode(
    "TLS_CONNECTION_FAILED", "address", "port", about="No TLS connection to the address and port could be made."
)
TLS_VERIFICATION_ENABLE_IN_PROGRESS = ErrorCode(
    "TLS_VERIFICATION_ENABLE_IN_PROGRESS",
    about="Certificate checking is being turned on in the pool, so the operation has to wait.",
)
TLS_VERIFICATION_NOT_ENABLED_IN_POOL = ErrorCode(
    "TLS_VERIFICATION_NOT_ENABLED_IN_POOL",
    about="The operation requires TLS verification, which the pool has not enabled yet.",
)
UPDATEINFO_HASH_MISMATCH = ErrorCode(
    "UPDATEINFO_HASH_MISMATCH",
    about="The list of updates has changed since it was shown; fetch it again before applying.",
)
UPDATE_ALREADY_APPLIED = ErrorCode("UPDATE_ALREADY_APPLIED", "update", about="The update is already installed.")
UPDATE_ALREADY_APPLIED_IN_POOL = ErrorCode(
    "UPDATE_ALREADY_APPLIED_IN_POOL", "update", about="All hosts of the pool have this update already."
)
UPDATE_ALREADY_EXISTS = ErrorCode(
    "UPDATE_ALREADY_EXISTS", "uuid", about="This update has been introduced to the pool before."
)
UPDATE_APPLY_FAILED = ErrorCode(
    "UPDATE_APPLY_FAILED", "output", about="The update could not be installed; the output tells why."
)
UPDATE_IS_APPLIED = ErrorCode("UPDATE_IS_APPLIED", about="An update that is installed cannot be deleted.")
UPDATE_POOL_APPLY_FAILED = ErrorCode(
    "UPDATE_POOL_APPLY_FAILED", "hosts", about="The update could not be applied to the hosts listed."
)
UPDATE_PRECHECK_FAILED_CONFLICT_PRESENT = ErrorCode(
    "UPDATE_PRECHECK_FAILED_CONFLICT_PRESENT",
    "update",
    "conflict_update",
    about="The update cannot be applied because an update it conflicts with is installed.",
)
UPDATE_PRECHECK_FAILED_GPGKEY_NOT_IMPORTED = ErrorCode(
    "UPDATE_PRECHECK_FAILED_GPGKEY_NOT_IMPORTED",
    "update",
    about="The host does not have the key with which the update is signed.",
)
UPDATE_PRECHECK_FAILED_OUT_OF_SPACE = ErrorCode(
    "UPDATE_PRECHECK_FAILED_OUT_OF_SPACE",
    "update",
    "available_space",
    "required_space ",
    about="The host has too little free disk space for the update; sizes are in bytes.",
)
UPDATE_PRECHECK_FAILED_PREREQUISITE_MISSING = ErrorCode(
    "UPDATE_PRECHECK_FAILED_PREREQUISITE_MISSING",
    "update",
    "prerequisite_update",
    about="The update needs another one that has not been applied yet.",
)
UPDATE_PRECHECK_FAILED_UNKNOWN_ERROR = ErrorCode(
    "UPDATE_PRECHECK_FAILED_UNKNOWN_ERROR",
    "update",
    "info",
    about="Checking whether the update can be applied failed for an unforeseen reason.",
)
UPDATE_PRECHECK_FAILED_WRONG_SERVER_VERSION = ErrorCode(
    "UPDATE_PRECHECK_FAILED_WRONG_SERVER_VERSION",
    "update",
    "installed_version",
    "required_version ",
    about="The update is meant for another version of the host software.",
)
UPDATE_SYNCING_REMOTE_POOL_COORDINATOR_CONNECTION_FAILED = ErrorCode(
    "UPDATE_SYNCING_REMOTE_POOL_COORDINATOR_CONNECTION_FAILED",
    about="The remote pool that serves as update source could not be reached.",
)
UPDATE_SYNCING_REMOTE_POOL_COORDINATOR_SERVICE_FAILED = ErrorCode(
    "UPDATE_SYNCING_REMOTE_POOL_COORDINATOR_SERVICE_FAILED",
    about="Updates could not be fetched from the remote pool, whose coordinator failed to serve them.",
)
USB_ALREADY_ATTACHED = ErrorCode(
    "USB_ALREADY_ATTACHED", "PUSB", "VM", about="The USB device is in use by a VM already."
)
USB_GROUP_CONFLICT = ErrorCode(
    "USB_GROUP_CONFLICT", "USB_group", about="The USB group already serves a virtual USB device and can serve only one."
)
USB_GROUP_CONTAINS_NO_PUSBS = ErrorCode(
    "USB_GROUP_CONTAINS_NO_PUSBS", "usb_group", about="The USB group has no physical device in it."
)
USB_GROUP_CONTAINS_PUSB = ErrorCode(
    "USB_GROUP_CONTAINS_PUSB", "pusbs", about="The USB group cannot be deleted, because USB devices still belong to it."
)
USB_GROUP_CONTAINS_VUSB = ErrorCode(
    "USB_GROUP_CONTAINS_VUSB",
    "vusbs",
    about="The USB group cannot be removed while virtual USB devices of VMs refer to it.",
)
