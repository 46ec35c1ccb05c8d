"""Errors of the contract: VMs and their devices."""

from xapi.datamodel.failure import ErrorCode

BOOTLOADER_FAILED = ErrorCode(
    "BOOTLOADER_FAILED", "vm", "msg", about="The boot loader that picks a paravirtual VM's kernel ended with an error."
)
COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS = ErrorCode(
    "COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS",
    "device",
    "mac",
    about="No network card on the host has both the given device name and MAC address.",
)
COULD_NOT_IMPORT_DATABASE = ErrorCode(
    "COULD_NOT_IMPORT_DATABASE", "reason", about="The pool database on the disk could not be read or loaded."
)
COULD_NOT_UPDATE_IGMP_SNOOPING_EVERYWHERE = ErrorCode(
    "COULD_NOT_UPDATE_IGMP_SNOOPING_EVERYWHERE",
    about="IGMP snooping could not be switched on every host and may now differ between them.",
)
DEVICE_ALREADY_ATTACHED = ErrorCode(
    "DEVICE_ALREADY_ATTACHED", "device", about="The device is attached to a VM already."
)
DEVICE_ALREADY_DETACHED = ErrorCode(
    "DEVICE_ALREADY_DETACHED", "device", about="The device is not attached to its VM any more."
)
DEVICE_ALREADY_EXISTS = ErrorCode(
    "DEVICE_ALREADY_EXISTS", "device", about="The VM already has a device at this position."
)
DEVICE_ATTACH_TIMEOUT = ErrorCode(
    "DEVICE_ATTACH_TIMEOUT", "type", "ref", about="The device could not be attached to the VM in time."
)
DEVICE_DETACH_REJECTED = ErrorCode(
    "DEVICE_DETACH_REJECTED",
    "type",
    "ref",
    "msg",
    about="The guest refused to give up the device, most likely because it is in use.",
)
DEVICE_DETACH_TIMEOUT = ErrorCode(
    "DEVICE_DETACH_TIMEOUT", "type", "ref", about="The guest did not release the device in time."
)
DEVICE_NOT_ATTACHED = ErrorCode("DEVICE_NOT_ATTACHED", "VBD", about="The device is not plugged into a running VM.")
DOMAIN_BUILDER_ERROR = ErrorCode(
    "DOMAIN_BUILDER_ERROR", "function", "code", "message", about="The hypervisor failed to build the domain for the VM."
)
DOMAIN_EXISTS = ErrorCode(
    "DOMAIN_EXISTS",
    "vm",
    "domid",
    about="The VM already has a domain on the hypervisor, so another cannot be built for it.",
)
ILLEGAL_VBD_DEVICE = ErrorCode(
    "ILLEGAL_VBD_DEVICE", "vbd", "device", about="This name or number cannot be used as a device position in the VM."
)
IMPORT_ERROR = ErrorCode("IMPORT_ERROR", "msg", about="The VM could not be imported.")
IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND = ErrorCode(
    "IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND", about="The VM was not imported, because disks it refers to were not found."
)
IMPORT_ERROR_CANNOT_HANDLE_CHUNKED = ErrorCode(
    "IMPORT_ERROR_CANNOT_HANDLE_CHUNKED",
    about="The import does not accept chunked uploads; send a plain stream of known length.",
)
IMPORT_ERROR_FAILED_TO_FIND_OBJECT = ErrorCode(
    "IMPORT_ERROR_FAILED_TO_FIND_OBJECT",
    "id",
    about="The import refers to an object that is neither in the file nor in the pool.",
)
IMPORT_ERROR_PREMATURE_EOF = ErrorCode(
    "IMPORT_ERROR_PREMATURE_EOF", about="The import stream broke off before all of the VM's data had arrived."
)
IMPORT_ERROR_SOME_CHECKSUMS_FAILED = ErrorCode(
    "IMPORT_ERROR_SOME_CHECKSUMS_FAILED", about="Checksums in the imported file do not match; the VM may be damaged."
)
IMPORT_ERROR_UNEXPECTED_FILE = ErrorCode(
    "IMPORT_ERROR_UNEXPECTED_FILE",
    "filename_expected",
    "filename_found",
    about="The import archive held a different file from the one expected at this place.",
)
IMPORT_INCOMPATIBLE_VERSION = ErrorCode(
    "IMPORT_INCOMPATIBLE_VERSION", about="The export file was written by a version that this one cannot import."
)
MEMORY_CONSTRAINT_VIOLATION = ErrorCode(
    "MEMORY_CONSTRAINT_VIOLATION",
    "constraint",
    about="The memory limits do not satisfy the required order of static and dynamic minimum and maximum.",
)
MEMORY_CONSTRAINT_VIOLATION_MAXPIN = ErrorCode(
    "MEMORY_CONSTRAINT_VIOLATION_MAXPIN",
    "reason",
    about="Both dynamic memory limits must equal the static maximum here.",
)
MEMORY_CONSTRAINT_VIOLATION_ORDER = ErrorCode(
    "MEMORY_CONSTRAINT_VIOLATION_ORDER",
    about="Memory limits must ascend: static min, dynamic min, dynamic max, static max.",
)
NOT_SYSTEM_DOMAIN = ErrorCode(
    "NOT_SYSTEM_DOMAIN", "vm", about="The VM is not marked as a system domain, which the operation requires."
)
PROVISION_FAILED_OUT_OF_SPACE = ErrorCode(
    "PROVISION_FAILED_OUT_OF_SPACE", about="An SR has too little free space for the disks of the new VM."
)
PROVISION_ONLY_ALLOWED_ON_TEMPLATE = ErrorCode(
    "PROVISION_ONLY_ALLOWED_ON_TEMPLATE", about="Only a template can be provisioned, and this VM is none."
)
REVERT_ONLY_ALLOWED_ON_SNAPSHOT = ErrorCode(
    "REVERT_ONLY_ALLOWED_ON_SNAPSHOT", about="Only a snapshot can be reverted to; this object is none."
)
SUSPEND_IMAGE_NOT_ACCESSIBLE = ErrorCode(
    "SUSPEND_IMAGE_NOT_ACCESSIBLE", "vdi", about="The host cannot reach the disk that holds the VM's saved memory."
)
SUSPEND_VDI_REPLACEMENT_IS_NOT_IDENTICAL = ErrorCode(
    "SUSPEND_VDI_REPLACEMENT_IS_NOT_IDENTICAL",
    about="The new suspend VDI does not hold the same memory image as the present one.",
)
SYSPREP = ErrorCode("SYSPREP", "vm", "message", about="Preparing the Windows guest with sysprep failed.")
VBD_CDS_MUST_BE_READONLY = ErrorCode("VBD_CDS_MUST_BE_READONLY", about="A CD drive can only be attached read-only.")
VBD_IS_EMPTY = ErrorCode("VBD_IS_EMPTY", "vbd", about="The drive has no disk in it.")
VBD_MISSING = ErrorCode("VBD_MISSING", about="The VDI has no VBD that links it to the VM in question.")
VBD_NOT_EMPTY = ErrorCode("VBD_NOT_EMPTY", "vbd", about="The drive already holds a medium; eject it first.")
VBD_NOT_REMOVABLE_MEDIA = ErrorCode(
    "VBD_NOT_REMOVABLE_MEDIA", "vbd", about="The medium of this VBD cannot be inserted or ejected."
)
VBD_NOT_UNPLUGGABLE = ErrorCode(
    "VBD_NOT_UNPLUGGABLE", "vbd", about="The device may not be unplugged while its VM runs."
)
VBD_TRAY_LOCKED = ErrorCode(
    "VBD_TRAY_LOCKED", "vbd", about="The guest has locked the tray of this CD drive, so the disc cannot be ejected."
)
VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE = ErrorCode(
    "VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE",
    "vcpu_max",
    "cores_per_socket",
    about="The maximum number of vCPUs must be a multiple of the cores per socket.",
)
VGPU_DESTINATION_INCOMPATIBLE = ErrorCode(
    "VGPU_DESTINATION_INCOMPATIBLE",
    "reason",
    "vgpu",
    "host",
    about="The destination host cannot take over the VM's virtual GPU.",
)
VGPU_GUEST_DRIVER_LIMIT = ErrorCode(
    "VGPU_GUEST_DRIVER_LIMIT",
    "reason",
    "vm",
    "host",
    about="The guest's GPU driver does not support migrating to that host.",
)
VGPU_SUSPENSION_NOT_SUPPORTED = ErrorCode(
    "VGPU_SUSPENSION_NOT_SUPPORTED",
    "reason",
    "vgpu",
    "host",
    about="The VM cannot be suspended, because its virtual GPU does not allow it on this host.",
)
VGPU_TYPE_NOT_COMPATIBLE = ErrorCode(
    "VGPU_TYPE_NOT_COMPATIBLE", "type", about="This vGPU type cannot be combined with the vGPUs the VM already has."
)
VGPU_TYPE_NOT_COMPATIBLE_WITH_RUNNING_TYPE = ErrorCode(
    "VGPU_TYPE_NOT_COMPATIBLE_WITH_RUNNING_TYPE",
    "pgpu",
    "type",
    "running_type",
    about="The physical GPU already runs a virtual GPU type that rules out this one.",
)
VGPU_TYPE_NOT_ENABLED = ErrorCode(
    "VGPU_TYPE_NOT_ENABLED",
    "type",
    "enabled_types",
    about="Virtual GPUs of this type are not enabled on the physical GPU.",
)
VGPU_TYPE_NOT_SUPPORTED = ErrorCode(
    "VGPU_TYPE_NOT_SUPPORTED",
    "type",
    "supported_types",
    about="The graphics device does not support this virtual GPU type.",
)
VGPU_TYPE_NO_LONGER_SUPPORTED = ErrorCode(
    "VGPU_TYPE_NO_LONGER_SUPPORTED", "type", about="VMs can no longer be given a vGPU of this type."
)
VIF_IN_USE = ErrorCode(
    "VIF_IN_USE", "network", "VIF", about="A virtual interface on this network is in use by a running VM."
)
VIF_NOT_IN_MAP = ErrorCode(
    "VIF_NOT_IN_MAP", "vif", about="No target network was given for this VIF of the VM to be migrated."
)
VMPP_ARCHIVE_MORE_FREQUENT_THAN_BACKUP = ErrorCode(
    "VMPP_ARCHIVE_MORE_FREQUENT_THAN_BACKUP",
    about="The protection policy would archive more often than it takes backups.",
)
VMPP_HAS_VM = ErrorCode("VMPP_HAS_VM", about="The protection policy still has VMs and cannot be destroyed.")
VMSS_HAS_VM = ErrorCode(
    "VMSS_HAS_VM", about="The snapshot schedule cannot be deleted, because VMs are still assigned to it."
)
VMS_FAILED_TO_COOPERATE = ErrorCode(
    "VMS_FAILED_TO_COOPERATE", about="Some VMs did not release the memory they were asked to give back."
)
VM_ASSIGNED_TO_PROTECTION_POLICY = ErrorCode(
    "VM_ASSIGNED_TO_PROTECTION_POLICY",
    "vm",
    "vmpp",
    about="The VM belongs to a protection policy, which rules out the operation.",
)
VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE = ErrorCode(
    "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE",
    "vm",
    "vmss",
    about="The VM is under a snapshot schedule, which rules this operation out.",
)
VM_ATTACHED_TO_MORE_THAN_ONE_VDI_WITH_TIMEOFFSET_MARKED_AS_RESET_ON_BOOT = ErrorCode(
    "VM_ATTACHED_TO_MORE_THAN_ONE_VDI_WITH_TIMEOFFSET_MARKED_AS_RESET_ON_BOOT",
    "vm",
    about="Several disks of the VM that reset on boot carry a clock offset, so none can be preferred.",
)
VM_BAD_POWER_STATE = ErrorCode(
    "VM_BAD_POWER_STATE",
    "vm",
    "expected",
    "actual",
    about="The VM is not in the power state that the operation requires.",
)
VM_BIOS_STRINGS_ALREADY_SET = ErrorCode(
    "VM_BIOS_STRINGS_ALREADY_SET", about="The VM's BIOS strings were set before and cannot be set again."
)
VM_CALL_PLUGIN_RATE_LIMIT = ErrorCode(
    "VM_CALL_PLUGIN_RATE_LIMIT",
    "VM",
    "interval",
    "wait",
    about="Guest plug-ins are being called too often; wait the seconds given before the next call.",
)
VM_CANNOT_DELETE_DEFAULT_TEMPLATE = ErrorCode(
    "VM_CANNOT_DELETE_DEFAULT_TEMPLATE", "vm", about="The template came with the product and cannot be deleted."
)
VM_CHECKPOINT_RESUME_FAILED = ErrorCode(
    "VM_CHECKPOINT_RESUME_FAILED",
    "vm",
    about="The VM could not be set running again after its memory was checkpointed.",
)
VM_CHECKPOINT_SUSPEND_FAILED = ErrorCode(
    "VM_CHECKPOINT_SUSPEND_FAILED", "vm", about="The checkpoint failed because the VM's memory could not be saved."
)
VM_CRASHED = ErrorCode("VM_CRASHED", "vm", about="The guest crashed.")
VM_DUPLICATE_VBD_DEVICE = ErrorCode(
    "VM_DUPLICATE_VBD_DEVICE", "vm", "vbd", "device", about="Two VBDs of the VM claim the same device position."
)
VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT = ErrorCode(
    "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", "vm", about="The guest did not confirm the request to shut down in time."
)
VM_FAILED_SUSPEND_ACKNOWLEDGMENT = ErrorCode(
    "VM_FAILED_SUSPEND_ACKNOWLEDGMENT", "vm", about="The guest did not acknowledge the request to suspend."
)
VM_HALTED = ErrorCode("VM_HALTED", "vm", about="The VM went down before the operation was done.")
VM_HAS_CHECKPOINT = ErrorCode(
    "VM_HAS_CHECKPOINT", "vm", about="The VM has a checkpoint and therefore cannot be migrated with its storage."
)
VM_HAS_NO_SUSPEND_VDI = ErrorCode(
    "VM_HAS_NO_SUSPEND_VDI", "vm", about="The VM has no VDI that holds its suspended memory, so it cannot be resumed."
)
VM_HAS_PCI_ATTACHED = ErrorCode(
    "VM_HAS_PCI_ATTACHED", "vm", about="The VM uses a PCI device of its host directly, which rules out the operation."
)
VM_HAS_SRIOV_VIF = ErrorCode(
    "VM_HAS_SRIOV_VIF", "vm", about="The VM has a VIF on an SR-IOV network, which ties it to its host."
)
VM_HAS_TOO_MANY_SNAPSHOTS = ErrorCode(
    "VM_HAS_TOO_MANY_SNAPSHOTS", "vm", about="The VM has more snapshots than a migration with storage can take along."
)
VM_HAS_VGPU = ErrorCode("VM_HAS_VGPU", "vm", about="The operation is not possible for a VM with a virtual GPU.")
VM_HAS_VUSBS = ErrorCode("VM_HAS_VUSBS", "VM", about="The VM has virtual USB devices, which rule out the operation.")
VM_HOST_INCOMPATIBLE_VERSION = ErrorCode(
    "VM_HOST_INCOMPATIBLE_VERSION",
    "host",
    "vm",
    about="The host runs older software than the VM's present one and cannot take it.",
)
VM_HOST_INCOMPATIBLE_VERSION_MIGRATE = ErrorCode(
    "VM_HOST_INCOMPATIBLE_VERSION_MIGRATE",
    "host",
    "vm",
    about="The VM cannot move to this host, which runs an older version than the VM's own.",
)
VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION = ErrorCode(
    "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
    "host",
    "host_versions",
    "vm",
    "vm_version",
    about="The host does not offer the virtual hardware version that the VM requires.",
)
VM_HVM_REQUIRED = ErrorCode("VM_HVM_REQUIRED", "vm", about="The operation needs a VM with full (HVM) virtualisation.")
VM_INCOMPATIBLE_WITH_THIS_HOST = ErrorCode(
    "VM_INCOMPATIBLE_WITH_THIS_HOST",
    "vm",
    "host",
    "reason",
    about="The VM cannot run on this host for the reason given.",
)
VM_IS_IMMOBILE = ErrorCode("VM_IS_IMMOBILE", "VM", about="The VM is configured in a way that ties it to its host.")
VM_IS_PART_OF_AN_APPLIANCE = ErrorCode(
    "VM_IS_PART_OF_AN_APPLIANCE",
    "vm",
    "appliance",
    about="The operation is not possible for a VM that belongs to an appliance.",
)
VM_IS_PROTECTED = ErrorCode(
    "VM_IS_PROTECTED", "vm", about="High availability protects this VM, which rules out the operation."
)
VM_IS_SNAPSHOT = ErrorCode("VM_IS_SNAPSHOT", about="The operation is not possible on a snapshot.")
VM_IS_TEMPLATE = ErrorCode(
    "VM_IS_TEMPLATE", "vm", about="The operation is meant for VMs, but this object is a template."
)
VM_IS_USING_NESTED_VIRT = ErrorCode(
    "VM_IS_USING_NESTED_VIRT", "VM", about="The operation is not possible while the VM uses nested virtualization."
)
VM_LACKS_FEATURE = ErrorCode(
    "VM_LACKS_FEATURE", "vm", about="The guest's drivers do not announce an ability this operation needs."
)
VM_MEMORY_SIZE_TOO_LOW = ErrorCode(
    "VM_MEMORY_SIZE_TOO_LOW", "vm", about="The VM has less memory than its guest needs to boot."
)
VM_MEMORY_TARGET_WAIT_TIMEOUT = ErrorCode(
    "VM_MEMORY_TARGET_WAIT_TIMEOUT", about="The VM did not reach its memory target in time."
)
VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED = ErrorCode(
    "VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED",
    about="The migration failed because the toolstack at the destination could not be reached.",
)
VM_MIGRATE_FAILED = ErrorCode(
    "VM_MIGRATE_FAILED",
    "vm",
    "source",
    "destination",
    "msg",
    about="The VM could not be migrated from the source to the destination host.",
)
VM_MISSING_PV_DRIVERS = ErrorCode(
    "VM_MISSING_PV_DRIVERS", "vm", about="The guest's paravirtual drivers are missing or have not been seen running."
)
VM_NON_SUSPENDABLE = ErrorCode(
    "VM_NON_SUSPENDABLE", "vm", "reason", about="The VM cannot be suspended, for the reason given."
)
VM_NOT_RESIDENT_HERE = ErrorCode(
    "VM_NOT_RESIDENT_HERE", "vm", "host", about="The VM is not running on the host that was asked to act on it."
)
VM_NO_CRASHDUMP_SR = ErrorCode(
    "VM_NO_CRASHDUMP_SR", "vm", about="The VM's crash dump cannot be saved because no SR is set for it."
)
VM_NO_EMPTY_CD_VBD = ErrorCode("VM_NO_EMPTY_CD_VBD", "vm", about="The VM has no empty CD drive.")
VM_NO_SUSPEND_SR = ErrorCode("VM_NO_SUSPEND_SR", "vm", about="There is no SR to write the VM's memory image to.")
VM_NO_VCPUS = ErrorCode("VM_NO_VCPUS", "vm", about="The VM has no vCPUs and cannot be started.")
VM_OLD_PV_DRIVERS = ErrorCode(
    "VM_OLD_PV_DRIVERS", "vm", "major", "minor", about="The guest's paravirtual drivers are too old; update its tools."
)
VM_PCI_BUS_FULL = ErrorCode("VM_PCI_BUS_FULL", "VM", about="The VM's virtual PCI bus has no free slot left.")
VM_PV_DRIVERS_IN_USE = ErrorCode(
    "VM_PV_DRIVERS_IN_USE",
    "vm",
    about="Paravirtualised drivers of the running VM are still in use, which rules the operation out.",
)
VM_REBOOTED = ErrorCode("VM_REBOOTED", "vm", about="The VM rebooted unexpectedly while the operation was under way.")
VM_REQUIRES_GPU = ErrorCode(
    "VM_REQUIRES_GPU", "vm", "GPU_group", about="The host has no free GPU of the group the VM needs."
)
VM_REQUIRES_IOMMU = ErrorCode(
    "VM_REQUIRES_IOMMU",
    "host",
    about="The VM needs a host with a working IOMMU (VT-d or AMD-Vi), which this host lacks.",
)
VM_REQUIRES_NETWORK = ErrorCode(
    "VM_REQUIRES_NETWORK",
    "vm",
    "network",
    about="The VM cannot run on the host, which lacks a connection to one of its networks.",
)
VM_REQUIRES_SR = ErrorCode(
    "VM_REQUIRES_SR", "vm", "sr", about="The VM uses an SR that is not attached on the host in question."
)
VM_REQUIRES_VDI = ErrorCode(
    "VM_REQUIRES_VDI", "vm", "vdi", about="A disk the VM depends on cannot be attached, so the VM does not start."
)
VM_REQUIRES_VGPU = ErrorCode(
    "VM_REQUIRES_VGPU",
    "vm",
    "GPU_group",
    "vGPU_type",
    about="The VM needs a virtual GPU of this type, and the host has none of it free.",
)
VM_REQUIRES_VUSB = ErrorCode(
    "VM_REQUIRES_VUSB",
    "vm",
    "USB_group",
    about="The VM cannot run on the host, which has no free USB device of the group the VM needs.",
)
VM_REVERT_FAILED = ErrorCode("VM_REVERT_FAILED", "vm", "snapshot", about="Taking the VM back to the snapshot failed.")
VM_SHUTDOWN_TIMEOUT = ErrorCode(
    "VM_SHUTDOWN_TIMEOUT", "vm", "timeout", about="The guest did not shut down within the time allowed."
)
VM_SNAPSHOT_FAILED = ErrorCode("VM_SNAPSHOT_FAILED", about="The snapshot could not be taken.")
VM_SNAPSHOT_WITH_QUIESCE_FAILED = ErrorCode(
    "VM_SNAPSHOT_WITH_QUIESCE_FAILED", "vm", about="The guest could not be brought to rest for the snapshot."
)
VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED = ErrorCode(
    "VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", "vm", "error", about="The VM does not support quiesced snapshots."
)
VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND = ErrorCode(
    "VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND",
    "vm",
    about="The guest's VSS plug-in did not answer the request for a quiesced snapshot.",
)
VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT = ErrorCode(
    "VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT", "vm", about="The guest did not get its disks ready for the snapshot in time."
)
VM_SUSPEND_TIMEOUT = ErrorCode(
    "VM_SUSPEND_TIMEOUT", "vm", "timeout", about="The VM did not suspend within the time allowed (seconds)."
)
VM_TOO_MANY_VCPUS = ErrorCode("VM_TOO_MANY_VCPUS", "vm", about="The VM has more vCPUs than it can be started with.")
VM_TO_IMPORT_IS_NOT_NEWER_VERSION = ErrorCode(
    "VM_TO_IMPORT_IS_NOT_NEWER_VERSION",
    "vm",
    "existing_version",
    "version_to_import",
    about="The pool's copy of the VM is as new as the imported one or newer; force is needed to replace it.",
)
VM_UNSAFE_BOOT = ErrorCode(
    "VM_UNSAFE_BOOT",
    "vm",
    about="Booting is held to be unsafe, for instance because of differing CPU features; force to override.",
)
VTPM_MAX_AMOUNT_REACHED = ErrorCode(
    "VTPM_MAX_AMOUNT_REACHED", "amount", about="The VM already has as many virtual TPMs as it may have."
)
XENAPI_PLUGIN_FAILURE = ErrorCode(
    "XENAPI_PLUGIN_FAILURE",
    "status",
    "stdout",
    "stderr",
    about="The plug-in failed; the error gives its exit status and what it printed.",
)
XEN_VSS_REQ_ERROR_ADDING_VOLUME_TO_SNAPSET_FAILED = ErrorCode(
    "XEN_VSS_REQ_ERROR_ADDING_VOLUME_TO_SNAPSET_FAILED",
    "vm",
    "error_code",
    about="The guest's VSS service could not add a volume to the snapshot set.",
)
XEN_VSS_REQ_ERROR_CREATING_SNAPSHOT = ErrorCode(
    "XEN_VSS_REQ_ERROR_CREATING_SNAPSHOT",
    "vm",
    "error_code",
    about="The guest's VSS requester failed while taking the snapshot.",
)
XEN_VSS_REQ_ERROR_CREATING_SNAPSHOT_XML_STRING = ErrorCode(
    "XEN_VSS_REQ_ERROR_CREATING_SNAPSHOT_XML_STRING",
    "vm",
    "error_code",
    about="The guest could not describe its VSS snapshot as XML.",
)
XEN_VSS_REQ_ERROR_INIT_FAILED = ErrorCode(
    "XEN_VSS_REQ_ERROR_INIT_FAILED",
    "vm",
    "error_code",
    about="The VSS requester inside the Windows guest could not be initialised.",
)
XEN_VSS_REQ_ERROR_NO_VOLUMES_SUPPORTED = ErrorCode(
    "XEN_VSS_REQ_ERROR_NO_VOLUMES_SUPPORTED",
    "vm",
    "error_code",
    about="The guest has no volume that its VSS service is able to snapshot.",
)
XEN_VSS_REQ_ERROR_PREPARING_WRITERS = ErrorCode(
    "XEN_VSS_REQ_ERROR_PREPARING_WRITERS",
    "vm",
    "error_code",
    about="The guest's VSS writers could not be prepared for the snapshot.",
)
XEN_VSS_REQ_ERROR_PROV_NOT_LOADED = ErrorCode(
    "XEN_VSS_REQ_ERROR_PROV_NOT_LOADED",
    "vm",
    "error_code",
    about="The VSS provider that quiesced snapshots need is not loaded in the guest.",
)
XEN_VSS_REQ_ERROR_START_SNAPSHOT_SET_FAILED = ErrorCode(
    "XEN_VSS_REQ_ERROR_START_SNAPSHOT_SET_FAILED",
    "vm",
    "error_code",
    about="The VSS requester inside the Windows guest could not begin a new snapshot set.",
)
