"""XenAPI's class host."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.classes.vm import UpdateGuidances
from xapi.datamodel.model import EPOCH, NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many
from xapi.datamodel.roles import POOL_OPERATOR, VM_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.certificate import Certificate
    from xapi.datamodel.classes.feature import Feature
    from xapi.datamodel.classes.host_cpu import HostCpu
    from xapi.datamodel.classes.host_crashdump import HostCrashdump
    from xapi.datamodel.classes.host_metrics import HostMetrics
    from xapi.datamodel.classes.host_patch import HostPatch
    from xapi.datamodel.classes.pbd import PBD
    from xapi.datamodel.classes.pci import PCI
    from xapi.datamodel.classes.pgpu import PGPU
    from xapi.datamodel.classes.pif import PIF
    from xapi.datamodel.classes.pool_update import PoolUpdate
    from xapi.datamodel.classes.pusb import PUSB
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vm import VM


class HostAllowedOperations(WireEnum):
    """Things that can be done with or happen on a host and that may exclude one another."""

    PROVISION = "provision"
    EVACUATE = "evacuate"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    POWER_ON = "power_on"
    VM_START = "vm_start"
    VM_RESUME = "vm_resume"
    VM_MIGRATE = "vm_migrate"
    APPLY_UPDATES = "apply_updates"
    ENABLE = "enable"


class HostDisplay(WireEnum):
    """Whether the local screen is in use and if that changes at the next reboot."""

    ENABLED = "enabled"
    DISABLE_ON_REBOOT = "disable_on_reboot"
    DISABLED = "disabled"
    ENABLE_ON_REBOOT = "enable_on_reboot"


class HostNtpMode(WireEnum):
    """Whether NTP servers come from DHCP, the administrator or the vendor, or NTP is off."""

    DHCP = "DHCP"
    CUSTOM = "Custom"
    FACTORY = "Factory"
    DISABLED = "Disabled"


class HostNumaAffinityPolicy(WireEnum):
    """Whether VMs may use any NUMA node, are kept on few if possible, or follow the built-in default."""

    ANY = "any"
    BEST_EFFORT = "best_effort"
    DEFAULT_POLICY = "default_policy"


class HostSchedGran(WireEnum):
    """Whether the hypervisor schedules single CPU threads, whole cores or whole sockets."""

    CORE = "core"
    CPU = "cpu"
    SOCKET = "socket"


class LatestSyncedUpdatesAppliedState(WireEnum):
    """Whether a host has all updates of the last repository sync, or it cannot be told."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Host(Entity, name="host", role=POOL_OPERATOR):
    """A physical machine of the pool on which VMs can run."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("name shown to people; free text, need not be unique", default="", group="name")
    name_description: RW[str] = field("free-text note about the host", default="", group="name")
    memory_overhead: DynamicRO[int] = field(
        "bytes of memory the virtualisation layer takes for itself", default=0, group="memory"
    )
    allowed_operations: DynamicRO[SetOf[HostAllowedOperations]] = field(
        "operations the server would accept at the moment; advisory, may be out of date", default=(), persistent=False
    )
    current_operations: DynamicRO[Map[str, HostAllowedOperations]] = field(
        "operations in progress, keyed by the reference of the task that runs each", default={}, persistent=False
    )
    API_version_major: DynamicRO[int] = field(
        "first number of the XenAPI version this host speaks", group="API_version"
    )
    API_version_minor: DynamicRO[int] = field(
        "second number of the XenAPI version this host speaks", group="API_version"
    )
    API_version_vendor: DynamicRO[str] = field("who made this implementation of the XenAPI", group="API_version")
    API_version_vendor_implementation: DynamicRO[Map[str, str]] = field(
        "further details of the vendor's implementation, as key and value", group="API_version"
    )
    enabled: DynamicRO[bool] = field("true if new VMs may be started on or moved to this host")
    software_version: StaticRO[Map[str, str]] = field(
        "versions of the installed components, such as product_version, xapi and xen"
    )
    other_config: RW[Map[str, str]] = field(
        "free key/value pairs for clients; some keys are also read by the server",
        map_keys={"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR},
    )
    capabilities: StaticRO[SetOf[str]] = field("guest types the hypervisor can run, such as hvm-3.0-x86_64")
    cpu_configuration: DynamicRO[Map[str, str]] = field("settings of the physical CPUs as understood by the hypervisor")
    sched_policy: DynamicRO[str] = field("name of the hypervisor's CPU scheduler, such as credit")
    supported_bootloaders: DynamicRO[SetOf[str]] = field(
        "boot loaders that can be named for a paravirtualised VM, such as pygrub"
    )
    resident_VMs: DynamicRO[SetOf[Ref[VM]]] = many(
        "VM.resident_on", "VMs with a domain on this host now, the control domain included"
    )
    logging: RW[Map[str, str]] = field("log settings; the key syslog_destination names a remote syslog server")
    PIFs: DynamicRO[SetOf[Ref[PIF]]] = many("PIF.host", "physical, bond, VLAN and tunnel interfaces of this host")
    suspend_image_sr: RW[Ref[SR]] = field(
        "SR that takes the memory image of a VM suspended here when the VM names none"
    )
    crash_dump_sr: RW[Ref[SR]] = field("SR meant to take the crash dumps of VMs")
    crashdumps: DynamicRO[SetOf[Ref[HostCrashdump]]] = many(
        "host_crashdump.host", "dumps left behind by crashes of this host"
    )
    patches: DynamicRO[SetOf[Ref[HostPatch]]] = many(
        "host_patch.host",
        "old-style patches present on this host; replaced by updates",
        since="published rio, deprecated ely",
    )
    updates: DynamicRO[SetOf[Ref[PoolUpdate]]] = field(
        "pool_update objects already applied to this host", since="ely", inverse="pool_update.hosts"
    )
    PBDs: DynamicRO[SetOf[Ref[PBD]]] = many("PBD.host", "storage connections configured for this host, plugged or not")
    host_CPUs: DynamicRO[SetOf[Ref[HostCpu]]] = many("host_cpu.host", "one object for each physical CPU thread")
    cpu_info: DynamicRO[Map[str, str]] = field(
        "summary of the CPUs: cpu_count, socket_count, vendor, modelname, feature sets and so on",
        default={},
        since="midnight-ride",
    )
    hostname: RW[str] = field("network name the operating system of the host goes by")
    address: RW[str] = field("IP address of the management interface, by which pool and clients reach the host")
    metrics: DynamicRO[Ref[HostMetrics]] = field("object that holds the host's memory size and liveness")
    license_params: DynamicRO[Map[str, str]] = field(
        "key/value pairs that describe the licence in force, such as its expiry"
    )
    boot_free_mem: DynamicRO[int] = field(
        "bytes of memory that were free just after the host had booted", internal=True
    )
    ha_statefiles: DynamicRO[SetOf[str]] = field(
        "VDIs this host uses as heartbeat statefiles while HA is on", default=(), since="orlando"
    )
    ha_network_peers: DynamicRO[SetOf[str]] = field(
        "UUIDs of the hosts this one can reach over the HA heartbeat network", default=(), since="orlando"
    )
    blobs: DynamicRO[Map[str, Ref[Blob]]] = field(
        "binary data kept with this host, by name", default={}, since="orlando"
    )
    tags: RW[SetOf[str]] = field(
        "words a client uses to group and find objects", default=(), since="orlando", writes=VM_OPERATOR
    )
    external_auth_type: DynamicRO[str] = field(
        "kind of directory users are checked against, such as AD; empty if there is none", default="", since="george"
    )
    external_auth_service_name: DynamicRO[str] = field(
        "name of the directory service, for AD the domain; empty if there is none", default="", since="george"
    )
    external_auth_configuration: DynamicRO[Map[str, str]] = field(
        "settings of the directory service as key and value", default={}, since="george"
    )
    edition: DynamicRO[str] = field("product edition the host is licensed as", default="", since="midnight-ride")
    license_server: RW[Map[str, str]] = field(
        "address and port of the licence server",
        default={"address": "localhost", "port": "27000"},
        since="midnight-ride",
    )
    bios_strings: DynamicRO[Map[str, str]] = field(
        "vendor, product and serial strings read from the firmware, handed on to guests on request",
        default={},
        since="midnight-ride",
    )
    power_on_mode: DynamicRO[str] = field(
        "how the host can be switched on remotely, e.g. wake-on-lan; empty if it cannot",
        default="",
        since="midnight-ride",
    )
    power_on_config: DynamicRO[Map[str, str]] = field(
        "what the power-on method needs, such as address and user of the remote card", default={}, since="midnight-ride"
    )
    local_cache_sr: StaticRO[Ref[SR]] = field(
        "SR on local disk used to cache reads of shared images; null if caching is off", default=NULL, since="cowley"
    )
    chipset_info: DynamicRO[Map[str, str]] = field(
        "facts about the chipset; the key iommu tells whether an IOMMU is usable", default={}, since="boston"
    )
    PCIs: DynamicRO[SetOf[Ref[PCI]]] = many(
        "PCI.host", "PCI devices found in this host that the toolstack cares about", since="boston"
    )
    PGPUs: DynamicRO[SetOf[Ref[PGPU]]] = many("PGPU.host", "graphics devices found in this host", since="boston")
    PUSBs: DynamicRO[SetOf[Ref[PUSB]]] = many("PUSB.host", "USB devices plugged into this host", since="inverness")
    ssl_legacy: StaticRO[bool] = field(
        "true if outdated TLS versions and ciphers were still accepted; no longer in use",
        default=True,
        since="published dundee, deprecated stockholm",
    )
    guest_VCPUs_params: RW[Map[str, str]] = field(
        "VCPU parameters for every guest here, such as a mask of permitted CPUs", default={}, since="tampa"
    )
    display: RW[HostDisplay] = field(
        "whether the control domain uses the local screen now and after the next reboot",
        default=HostDisplay.ENABLED,
        since="cream",
    )
    virtual_hardware_platform_versions: DynamicRO[SetOf[int]] = field(
        "virtual hardware versions a VM may ask for and still run here", default=(0,), since="cream"
    )
    control_domain: DynamicRO[Ref[VM]] = field(
        "VM object of the privileged domain (dom0) of this host", default=NULL, since="ely"
    )
    updates_requiring_reboot: DynamicRO[SetOf[Ref[PoolUpdate]]] = field(
        "applied updates that take full effect only after the host has rebooted", since="ely", dangling=True
    )
    features: DynamicRO[SetOf[Ref[Feature]]] = many(
        "Feature.host", "optional features known to this host", since="falcon"
    )
    iscsi_iqn: StaticRO[str] = field("initiator name the host uses towards iSCSI targets", default="", since="kolkata")
    multipathing: StaticRO[bool] = field(
        "true if block storage is reached over several paths", default=False, since="kolkata"
    )
    uefi_certificates: StaticRO[str] = field(
        "UEFI Secure Boot certificates for guests; superseded by the fields of the pool",
        default="",
        since="published quebec, deprecated 22.16.0",
    )
    certificates: DynamicRO[SetOf[Ref[Certificate]]] = many(
        "Certificate.host", "TLS certificates installed on this host", since="stockholm"
    )
    editions: DynamicRO[SetOf[str]] = field(
        "names of the editions that can be applied to this host", default=(), since="stockholm"
    )
    pending_guidances: DynamicRO[SetOf[UpdateGuidances]] = field(
        "tasks that must be done to finish an update, such as reboot_host", default=(), since="1.303.0"
    )
    tls_verification_enabled: DynamicRO[bool] = field(
        "true if the host checks the certificate of its peer on outgoing TLS connections",
        default=False,
        since="1.313.0",
    )
    last_software_update: DynamicRO[datetime] = field(
        "when updates from a repository were last applied", default=EPOCH, since="prototyped 22.20.0"
    )
    https_only: DynamicRO[bool] = field(
        "true if the plain HTTP port 80 of the host is closed to clients", default=False, since="prototyped 22.27.0"
    )
    recommended_guidances: DynamicRO[SetOf[UpdateGuidances]] = field(
        "removed; tasks advised after an update, now in pending_guidances_recommended",
        default=(),
        since="prototyped 23.18.0, removed 23.24.0",
        internal=True,
    )
    latest_synced_updates_applied: DynamicRO[LatestSyncedUpdatesAppliedState] = field(
        "whether the updates of the last repository sync are all installed here",
        default=LatestSyncedUpdatesAppliedState.UNKNOWN,
        since="prototyped 23.18.0",
    )
    numa_affinity_policy: DynamicRO[HostNumaAffinityPolicy] = field(
        "how memory and VCPUs of a starting VM are placed on NUMA nodes",
        default=HostNumaAffinityPolicy.DEFAULT_POLICY,
        since="prototyped 24.0.0",
    )
    pending_guidances_recommended: DynamicRO[SetOf[UpdateGuidances]] = field(
        "tasks advised after an update so that important fixes take effect", default=(), since="prototyped 24.10.0"
    )
    pending_guidances_full: DynamicRO[SetOf[UpdateGuidances]] = field(
        "tasks that would bring every part of an update into effect", default=(), since="prototyped 24.10.0"
    )
    last_update_hash: DynamicRO[str] = field(
        "checksum of the update metadata that was last applied here", default="", since="prototyped 24.10.0"
    )
    ssh_enabled: DynamicRO[bool] = field(
        "true if the SSH service of the host is on", default=True, since="prototyped 25.21.0"
    )
    ssh_enabled_timeout: DynamicRO[int] = field(
        "seconds SSH stays on once enabled; 0 for no limit", default=0, since="prototyped 25.21.0"
    )
    ssh_expiry: DynamicRO[datetime] = field(
        "when SSH will be turned off again, if a timeout is set", default=EPOCH, since="prototyped 25.21.0"
    )
    console_idle_timeout: DynamicRO[int] = field(
        "seconds without input after which a console session is closed; 0 for never",
        default=0,
        since="prototyped 25.21.0",
    )
    ssh_auto_mode: DynamicRO[bool] = field(
        "true if SSH is kept off while the toolstack works and turned on when it fails",
        default=False,
        since="prototyped 25.27.0",
    )
    max_cstate: DynamicRO[str] = field(
        "deepest CPU power-saving state permitted; empty for no limit", default="", since="prototyped 26.0.0"
    )
    secure_boot: DynamicRO[bool] = field(
        "true if the host itself was booted with UEFI Secure Boot on", default=False, since="prototyped 25.31.0"
    )
    ntp_mode: DynamicRO[HostNtpMode] = field(
        "where the host takes its NTP servers from, or that NTP is off",
        default=HostNtpMode.FACTORY,
        since="prototyped 26.0.0",
    )
    ntp_custom_servers: DynamicRO[SetOf[str]] = field(
        "NTP servers used when ntp_mode is Custom", default=(), since="prototyped 26.0.0"
    )
    timezone: DynamicRO[str] = field(
        "time zone of the host by its tz database name, e.g. Europe/Berlin", default="UTC", since="prototyped 26.0.0"
    )
