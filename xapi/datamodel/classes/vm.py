"""XenAPI's class VM."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import EPOCH, NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many
from xapi.datamodel.roles import POOL_ADMIN, POOL_OPERATOR, VM_ADMIN, VM_OPERATOR, VM_POWER_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.console import Console
    from xapi.datamodel.classes.crashdump import Crashdump
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pci import PCI
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vbd import VBD
    from xapi.datamodel.classes.vdi import VDI
    from xapi.datamodel.classes.vgpu import VGPU
    from xapi.datamodel.classes.vif import VIF
    from xapi.datamodel.classes.vm_appliance import VMAppliance
    from xapi.datamodel.classes.vm_group import VMGroup
    from xapi.datamodel.classes.vm_guest_metrics import VMGuestMetrics
    from xapi.datamodel.classes.vm_metrics import VMMetrics
    from xapi.datamodel.classes.vmpp import VMPP
    from xapi.datamodel.classes.vmss import VMSS
    from xapi.datamodel.classes.vtpm import VTPM
    from xapi.datamodel.classes.vusb import VUSB


class DomainType(WireEnum):
    """Kinds of virtualisation a guest runs under; unspecified leaves it to older settings."""

    HVM = "hvm"
    PV = "pv"
    PV_IN_PVH = "pv_in_pvh"
    PVH = "pvh"
    UNSPECIFIED = "unspecified"


class OnCrashBehaviour(WireEnum):
    """What becomes of a crashed domain: dropped, dumped, restarted, kept or renamed."""

    DESTROY = "destroy"
    COREDUMP_AND_DESTROY = "coredump_and_destroy"
    RESTART = "restart"
    COREDUMP_AND_RESTART = "coredump_and_restart"
    PRESERVE = "preserve"
    RENAME_RESTART = "rename_restart"


class OnNormalExit(WireEnum):
    """Whether a domain that ended in good order is dropped or started again."""

    DESTROY = "destroy"
    RESTART = "restart"


class OnSoftrebootBehavior(WireEnum):
    """What becomes of a domain whose guest asks for a soft reboot."""

    SOFT_REBOOT = "soft_reboot"
    DESTROY = "destroy"
    RESTART = "restart"
    PRESERVE = "preserve"


class UpdateGuidances(WireEnum):
    """Steps to take for an update to take effect, from restarting a service to a host reboot."""

    REBOOT_HOST = "reboot_host"
    REBOOT_HOST_ON_LIVEPATCH_FAILURE = "reboot_host_on_livepatch_failure"
    REBOOT_HOST_ON_KERNEL_LIVEPATCH_FAILURE = "reboot_host_on_kernel_livepatch_failure"
    REBOOT_HOST_ON_XEN_LIVEPATCH_FAILURE = "reboot_host_on_xen_livepatch_failure"
    RESTART_TOOLSTACK = "restart_toolstack"
    RESTART_DEVICE_MODEL = "restart_device_model"
    RESTART_VM = "restart_vm"


class UpdateStatus(WireEnum):
    """Whether the firmware helper signals an update of the variables, or does not say."""

    YES = "yes"
    NO = "no"
    UNSPECIFIED = "unspecified"


class VmOperations(WireEnum):
    """Things that can be done to a VM, as used for allowing, blocking and tracking them."""

    SNAPSHOT = "snapshot"
    CLONE = "clone"
    COPY = "copy"
    CREATE_TEMPLATE = "create_template"
    REVERT = "revert"
    CHECKPOINT = "checkpoint"
    SNAPSHOT_WITH_QUIESCE = "snapshot_with_quiesce"
    PROVISION = "provision"
    START = "start"
    START_ON = "start_on"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    CLEAN_SHUTDOWN = "clean_shutdown"
    CLEAN_REBOOT = "clean_reboot"
    HARD_SHUTDOWN = "hard_shutdown"
    POWER_STATE_RESET = "power_state_reset"
    HARD_REBOOT = "hard_reboot"
    SUSPEND = "suspend"
    CSVM = "csvm"
    RESUME = "resume"
    RESUME_ON = "resume_on"
    POOL_MIGRATE = "pool_migrate"
    MIGRATE_SEND = "migrate_send"
    GET_BOOT_RECORD = "get_boot_record"
    SEND_SYSRQ = "send_sysrq"
    SEND_TRIGGER = "send_trigger"
    QUERY_SERVICES = "query_services"
    SHUTDOWN = "shutdown"
    CALL_PLUGIN = "call_plugin"
    CHANGING_MEMORY_LIVE = "changing_memory_live"
    AWAITING_MEMORY_LIVE = "awaiting_memory_live"
    CHANGING_DYNAMIC_RANGE = "changing_dynamic_range"
    CHANGING_STATIC_RANGE = "changing_static_range"
    CHANGING_MEMORY_LIMITS = "changing_memory_limits"
    CHANGING_SHADOW_MEMORY = "changing_shadow_memory"
    CHANGING_SHADOW_MEMORY_LIVE = "changing_shadow_memory_live"
    CHANGING_VCPUS = "changing_VCPUs"
    CHANGING_VCPUS_LIVE = "changing_VCPUs_live"
    CHANGING_NVRAM = "changing_NVRAM"
    ASSERT_OPERATION_VALID = "assert_operation_valid"
    DATA_SOURCE_OP = "data_source_op"
    UPDATE_ALLOWED_OPERATIONS = "update_allowed_operations"
    MAKE_INTO_TEMPLATE = "make_into_template"
    IMPORT = "import"
    EXPORT = "export"
    METADATA_EXPORT = "metadata_export"
    REVERTING = "reverting"
    DESTROY = "destroy"
    CREATE_VTPM = "create_vtpm"
    SYSPREP = "sysprep"


class VmPowerState(WireEnum):
    """Whether a VM is off, holds memory but stands still, runs, or is saved to disk."""

    HALTED = "Halted"
    PAUSED = "Paused"
    RUNNING = "Running"
    SUSPENDED = "Suspended"


class VmSecurebootCertificatesState(WireEnum):
    """Whether a VM's Secure Boot certificates are current, outdated, or due at boot."""

    OK = "ok"
    UPDATE_AVAILABLE = "update_available"
    UPDATE_ON_BOOT = "update_on_boot"


class VmSecurebootReadiness(WireEnum):
    """How far a VM's firmware is prepared for Secure Boot, and what is lacking."""

    NOT_SUPPORTED = "not_supported"
    DISABLED = "disabled"
    FIRST_BOOT = "first_boot"
    READY = "ready"
    READY_NO_DBX = "ready_no_dbx"
    SETUP_MODE = "setup_mode"
    CERTS_INCOMPLETE = "certs_incomplete"


class VmUefiMode(WireEnum):
    """Whether UEFI firmware takes new keys freely (setup) or enforces its keys (user)."""

    SETUP = "setup"
    USER = "user"


class VM(Entity, since="published rio, changed 1.257.0", role=VM_ADMIN, constructor=True):
    """A virtual machine, template, snapshot or control domain."""

    uuid: DynamicRO[str] = identity(since="rio")
    allowed_operations: DynamicRO[SetOf[VmOperations]] = field(
        "operations that may be started on the VM in its present state", default=(), since="rio", persistent=False
    )
    current_operations: DynamicRO[Map[str, VmOperations]] = field(
        "operations in progress on the VM, each under the reference of its task",
        default={},
        since="rio",
        persistent=False,
    )
    name_label: RW[str] = field("name shown to people; need not be unique", default="", group="name", since="rio")
    name_description: RW[str] = field("free text notes about the VM", default="", group="name", since="rio")
    power_state: StaticRO[VmPowerState] = field(
        "whether the VM is halted, paused, running or suspended", default=VmPowerState.HALTED, writes=VM_OPERATOR
    )
    user_version: RW[int] = field(
        "version number that clients may keep for the record; the server does not interpret it", since="rio"
    )
    is_a_template: RW[bool] = field(
        "true for a template, which must be cloned or copied before it can be started", since="rio", setter_acts=True
    )
    is_default_template: DynamicRO[bool] = field(
        "true for a template that came with the product rather than from a user",
        default=False,
        since="falcon",
        writes=POOL_ADMIN,
    )
    suspend_VDI: StaticRO[Ref[VDI]] = field(
        "disk that holds the saved memory image while the VM is suspended; null otherwise", default=NULL
    )
    resident_on: DynamicRO[Ref[Host]] = field(
        "host on which the VM's domain runs; null when it has no domain", since="rio", writes=VM_POWER_ADMIN
    )
    scheduled_to_be_resident_on: DynamicRO[Ref[Host]] = field(
        "host whose memory is reserved for a start, resume or migration under way",
        default=NULL,
        since="rio",
        writes=VM_POWER_ADMIN,
    )
    affinity: RW[Ref[Host]] = field(
        "host preferred for starting the VM; null leaves the choice to the pool", since="rio", writes=VM_POWER_ADMIN
    )
    memory_overhead: DynamicRO[int] = field(
        "memory the host needs for the VM beyond the guest's own share, in bytes",
        default=0,
        group="memory",
        since="rio",
        writes=VM_POWER_ADMIN,
    )
    memory_target: StaticRO[int] = field(
        "memory the guest was asked to balloon to, in bytes; deprecated",
        default=0,
        group="memory",
        since="published rio, deprecated midnight-ride",
        writes=VM_POWER_ADMIN,
    )
    memory_static_max: StaticRO[int] = field(
        "ceiling of guest memory fixed at boot, in bytes; cannot change while running",
        group="memory",
        since="rio",
        writes=VM_POWER_ADMIN,
    )
    memory_dynamic_max: StaticRO[int] = field(
        "upper end of the range the balloon driver may be steered in, in bytes",
        group="memory",
        since="rio",
        writes=VM_POWER_ADMIN,
    )
    memory_dynamic_min: StaticRO[int] = field(
        "lower end of the range the balloon driver may be steered in, in bytes",
        group="memory",
        since="rio",
        writes=VM_POWER_ADMIN,
    )
    memory_static_min: StaticRO[int] = field(
        "least memory the guest can work with, in bytes; lower bound for memory_dynamic_min",
        group="memory",
        since="rio",
        writes=VM_POWER_ADMIN,
    )
    VCPUs_params: RW[Map[str, str]] = field(
        "scheduler settings such as weight, cap and mask (physical CPUs the vCPUs may use)", group="VCPUs", since="rio"
    )
    VCPUs_max: StaticRO[int] = field(
        "number of virtual CPUs the VM may grow to while it runs", group="VCPUs", since="rio"
    )
    VCPUs_at_startup: StaticRO[int] = field("number of virtual CPUs online at boot", group="VCPUs", since="rio")
    actions_after_softreboot: RW[OnSoftrebootBehavior] = field(
        "what to do with the domain once the guest has asked for a soft reboot",
        default=OnSoftrebootBehavior.SOFT_REBOOT,
        group="actions",
        since="prototyped 23.1.0",
    )
    actions_after_shutdown: RW[OnNormalExit] = field(
        "what to do with the domain once the guest has powered itself off", group="actions", since="rio"
    )
    actions_after_reboot: RW[OnNormalExit] = field(
        "what to do with the domain once the guest has asked for a reboot", group="actions", since="rio"
    )
    actions_after_crash: StaticRO[OnCrashBehaviour] = field(
        "what to do with the domain once the guest has crashed", group="actions", since="rio"
    )
    consoles: DynamicRO[SetOf[Ref[Console]]] = many(
        "console.VM", "graphical and text consoles through which the VM can be reached", since="rio", writes=POOL_ADMIN
    )
    VIFs: DynamicRO[SetOf[Ref[VIF]]] = many("VIF.VM", "virtual network interfaces of the VM", since="rio")
    VBDs: DynamicRO[SetOf[Ref[VBD]]] = many("VBD.VM", "disk and CD drive attachments of the VM", since="rio")
    VUSBs: DynamicRO[SetOf[Ref[VUSB]]] = many("VUSB.VM", "virtual USB slots of the VM", since="rio")
    crash_dumps: DynamicRO[SetOf[Ref[Crashdump]]] = many(
        "crashdump.VM", "memory dumps kept from crashes of the VM", since="rio", writes=POOL_ADMIN
    )
    VTPMs: DynamicRO[SetOf[Ref[VTPM]]] = many("VTPM.VM", "virtual TPM devices of the VM", since="rio")
    PV_bootloader: RW[str] = field(
        "program that picks the kernel out of a paravirtual guest's disk, such as pygrub", group="PV", since="rio"
    )
    PV_kernel: RW[str] = field(
        "path of the kernel to boot in a paravirtual guest; used when no bootloader is set", group="PV", since="rio"
    )
    PV_ramdisk: RW[str] = field("path of the initial ramdisk that goes with PV_kernel", group="PV", since="rio")
    PV_args: RW[str] = field("command line handed to the kernel of a paravirtual guest", group="PV", since="rio")
    PV_bootloader_args: RW[str] = field(
        "extra arguments for the bootloader of a paravirtual guest", group="PV", since="rio"
    )
    PV_legacy_args: RW[str] = field(
        "extra kernel arguments for paravirtual guests of the very first releases (Zurich)", group="PV", since="rio"
    )
    HVM_boot_policy: StaticRO[str] = field(
        "'BIOS order' for a hardware virtual machine, empty for paravirtual; see domain_type",
        group="HVM",
        since="published rio, deprecated kolkata",
    )
    HVM_boot_params: RW[Map[str, str]] = field(
        "boot settings of a hardware virtual machine: order (c disk, d CD, n network), firmware",
        group="HVM",
        since="rio",
    )
    HVM_shadow_multiplier: StaticRO[float] = field(
        "factor on the default shadow page memory of a hardware virtual machine",
        default=1.0,
        group="HVM",
        since="miami",
        writes=VM_POWER_ADMIN,
    )
    platform: StaticRO[Map[str, str]] = field(
        "switches of the virtual hardware, such as acpi, apic, nx, viridian, vga and device-model",
        since="rio",
        map_keys={"hvm_serial": POOL_ADMIN},
    )
    PCI_bus: RW[str] = field(
        "PCI bus path for passed-through devices; deprecated", since="published rio, deprecated boston"
    )
    other_config: StaticRO[Map[str, str]] = field(
        "keys and values that clients and the server attach to the VM",
        since="rio",
        map_keys={
            "pci": POOL_ADMIN,
            "hvm_serial": POOL_ADMIN,
            "folder": VM_OPERATOR,
            "XenCenter.CustomFields.*": VM_OPERATOR,
        },
    )
    domid: DynamicRO[int] = field("hypervisor's number for the VM's domain; -1 when there is none", since="rio")
    domarch: DynamicRO[str] = field(
        "architecture of the running domain, for instance x86_64; empty when there is none", since="rio"
    )
    last_boot_CPU_flags: StaticRO[Map[str, str]] = field(
        "CPU vendor and feature set the guest saw at its last boot; checked before migration", default={}, since="rio"
    )
    is_control_domain: DynamicRO[bool] = field(
        "true for a host's own management domain (domain 0) or a driver domain", since="rio"
    )
    metrics: DynamicRO[Ref[VMMetrics]] = field("figures the host measures about the VM", since="rio")
    guest_metrics: DynamicRO[Ref[VMGuestMetrics]] = field(
        "figures reported by the agent inside the guest; null until it has reported", since="rio"
    )
    last_booted_record: StaticRO[str] = field(
        "the VM's record as text as it was at the last boot; empty if never kept",
        default="",
        since="published miami, changed 1.257.0",
    )
    recommendations: RW[str] = field(
        "XML with the limits on properties that the template's author advises", since="rio"
    )
    xenstore_data: RW[Map[str, str]] = field(
        "entries put below vm-data in the guest's xenstore directory when the VM starts",
        default={},
        since="miami",
        setter_acts=True,
    )
    ha_always_run: StaticRO[bool] = field(
        "whether HA was to keep the VM running; see ha_restart_priority",
        default=False,
        since="published orlando, deprecated boston",
        writes=POOL_OPERATOR,
    )
    ha_restart_priority: StaticRO[str] = field(
        "'restart' for guaranteed, 'best-effort', or empty for no restart by HA",
        default="",
        since="orlando",
        writes=POOL_OPERATOR,
    )
    is_a_snapshot: DynamicRO[bool] = field(
        "true for a snapshot or checkpoint of another VM", default=False, since="orlando", writes=VM_POWER_ADMIN
    )
    snapshot_of: DynamicRO[Ref[VM]] = field(
        "VM the snapshot was taken from; null for anything that is no snapshot",
        default=NULL,
        since="orlando",
        writes=VM_POWER_ADMIN,
    )
    snapshots: DynamicRO[SetOf[Ref[VM]]] = many(
        "VM.snapshot_of", "snapshots and checkpoints taken of this VM", since="orlando", writes=VM_POWER_ADMIN
    )
    snapshot_time: DynamicRO[datetime] = field(
        "when the snapshot was taken, in UTC; the epoch for anything that is no snapshot",
        default=EPOCH,
        since="orlando",
        writes=VM_POWER_ADMIN,
    )
    transportable_snapshot_id: DynamicRO[str] = field(
        "identifier given by Windows VSS for a quiesced snapshot; empty otherwise",
        default="",
        since="orlando",
        writes=VM_POWER_ADMIN,
    )
    blobs: DynamicRO[Map[str, Ref[Blob]]] = field(
        "binary attachments of the VM, under their names", default={}, since="orlando"
    )
    tags: RW[SetOf[str]] = field(
        "labels set by users to sort and find VMs", default=(), since="orlando", writes=VM_OPERATOR
    )
    blocked_operations: StaticRO[Map[VmOperations, str]] = field(
        "operations that are refused, each with the error code given to the caller", default={}, since="orlando"
    )
    snapshot_info: DynamicRO[Map[str, str]] = field(
        "remarks about how a snapshot came about, such as the power state at that time",
        default={},
        since="midnight-ride",
        writes=VM_POWER_ADMIN,
    )
    snapshot_metadata: DynamicRO[str] = field(
        "encoded copy of the VM's record and devices at the time of the snapshot",
        default="",
        since="midnight-ride",
        writes=VM_POWER_ADMIN,
    )
    parent: DynamicRO[Ref[VM]] = field(
        "previous entry of the snapshot tree: the snapshot this one or this VM builds on",
        default=NULL,
        since="midnight-ride",
        writes=VM_POWER_ADMIN,
    )
    children: DynamicRO[SetOf[Ref[VM]]] = many(
        "VM.parent",
        "entries of the snapshot tree that build directly on this one",
        since="midnight-ride",
        writes=VM_POWER_ADMIN,
    )
    bios_strings: DynamicRO[Map[str, str]] = field(
        "vendor, version and serial texts that the guest finds in its virtual BIOS", default={}, since="midnight-ride"
    )
    protection_policy: StaticRO[Ref[VMPP]] = field(
        "VMPP the VM was protected by; such policies are gone, so always null",
        default=NULL,
        since="published cowley, deprecated clearwater",
        writes=VM_POWER_ADMIN,
    )
    is_snapshot_from_vmpp: StaticRO[bool] = field(
        "whether a protection policy had taken the snapshot; such policies are gone",
        default=False,
        since="published cowley, deprecated clearwater, removed clearwater",
        writes=POOL_OPERATOR,
    )
    snapshot_schedule: StaticRO[Ref[VMSS]] = field(
        "VMSS that takes snapshots of the VM at set times; null if none",
        default=NULL,
        since="falcon",
        writes=VM_POWER_ADMIN,
    )
    is_vmss_snapshot: StaticRO[bool] = field(
        "true for a snapshot taken by a snapshot schedule", default=False, since="falcon", writes=POOL_OPERATOR
    )
    appliance: StaticRO[Ref[VMAppliance]] = field(
        "appliance the VM is started and stopped with; null if none", default=NULL, since="rio", writes=POOL_OPERATOR
    )
    start_delay: StaticRO[int] = field(
        "seconds to wait after starting this VM before the next order of the appliance starts",
        default=0,
        since="boston",
        writes=POOL_OPERATOR,
    )
    shutdown_delay: StaticRO[int] = field(
        "seconds to wait after stopping this VM before the next order of the appliance stops",
        default=0,
        since="boston",
        writes=POOL_OPERATOR,
    )
    order: StaticRO[int] = field(
        "place in the start sequence of appliances and HA: low numbers start first and stop last",
        default=0,
        since="boston",
        writes=POOL_OPERATOR,
    )
    VGPUs: DynamicRO[SetOf[Ref[VGPU]]] = many("VGPU.VM", "virtual GPUs of the VM", since="boston")
    attached_PCIs: DynamicRO[SetOf[Ref[PCI]]] = field(
        "PCI devices of the host that are passed through to the VM now", since="boston", inverse="PCI.attached_VMs"
    )
    suspend_SR: RW[Ref[SR]] = field(
        "SR that receives the memory image on suspend; null leaves the choice to host and pool",
        default=NULL,
        since="boston",
    )
    version: StaticRO[int] = field(
        "number of times the VM's record has been recovered, to tell newer copies from older ones",
        default=0,
        since="boston",
    )
    generation_id: StaticRO[str] = field(
        "128-bit identifier that tells the guest when it has been cloned or rolled back",
        default="0:0",
        since="clearwater",
    )
    hardware_platform_version: RW[int] = field(
        "least virtual hardware version a host must offer to run the VM", default=0, since="cream"
    )
    has_vendor_device: StaticRO[bool] = field(
        "true if the guest sees the PCI device that draws drivers from Windows Update",
        default=True,
        since="published dundee, changed 24.14.0",
    )
    requires_reboot: DynamicRO[bool] = field(
        "true if changes wait for the next boot of the guest to take effect", default=False, since="ely"
    )
    reference_label: StaticRO[str] = field(
        "fixed name of the template the VM stems from, the same in every language", default="", since="ely"
    )
    domain_type: StaticRO[DomainType] = field(
        "kind of virtualisation the VM is to boot with",
        default=DomainType.UNSPECIFIED,
        since="prototyped jura, published kolkata",
    )
    NVRAM: StaticRO[Map[str, str]] = field(
        "initial non-volatile memory of the guest, holding for instance its UEFI variables", default={}, since="naples"
    )
    pending_guidances: DynamicRO[SetOf[UpdateGuidances]] = field(
        "steps that must still follow installed updates before they protect the VM", default=(), since="1.303.0"
    )
    recommended_guidances: DynamicRO[SetOf[UpdateGuidances]] = field(
        "steps once advised after updates; see pending_guidances_recommended",
        default=(),
        since="prototyped 23.18.0, removed 23.24.0",
        internal=True,
    )
    pending_guidances_recommended: DynamicRO[SetOf[UpdateGuidances]] = field(
        "steps that are advised, though not essential, after installed updates", default=(), since="prototyped 24.10.0"
    )
    pending_guidances_full: DynamicRO[SetOf[UpdateGuidances]] = field(
        "steps that together bring every installed update into force for the VM", default=(), since="prototyped 24.10.0"
    )
    groups: DynamicRO[SetOf[Ref[VMGroup]]] = field(
        "VM groups whose placement rule the VM follows; at most one", since="prototyped 24.19.1", inverse="VM_group.VMs"
    )
    secureboot_certificates_state: DynamicRO[VmSecurebootCertificatesState] = field(
        "whether newer Secure Boot certificates are at hand for the VM",
        default=VmSecurebootCertificatesState.OK,
        since="prototyped 26.14.0",
    )
