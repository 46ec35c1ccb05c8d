"""The messages of XenAPI's class VM."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.classes.vm import (
    VM,
    DomainType,
    OnCrashBehaviour,
    UpdateStatus,
    VmOperations,
    VmSecurebootReadiness,
    VmUefiMode,
)
from xapi.datamodel.errors import (
    BOOTLOADER_FAILED,
    HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN,
    HOST_CANNOT_ATTACH_NETWORK,
    HOST_DISABLED,
    HOST_NOT_ENOUGH_FREE_MEMORY,
    HOST_NOT_ENOUGH_PCPUS,
    HOST_NOT_LIVE,
    INVALID_VALUE,
    LICENCE_RESTRICTION,
    MEMORY_CONSTRAINT_VIOLATION,
    NETWORK_SRIOV_INSUFFICIENT_CAPACITY,
    NO_HOSTS_AVAILABLE,
    OPERATION_NOT_ALLOWED,
    OTHER_OPERATION_IN_PROGRESS,
    SR_FULL,
    UNKNOWN_BOOTLOADER,
    VALUE_NOT_SUPPORTED,
    VM_BAD_POWER_STATE,
    VM_BIOS_STRINGS_ALREADY_SET,
    VM_CHECKPOINT_RESUME_FAILED,
    VM_CHECKPOINT_SUSPEND_FAILED,
    VM_HOST_INCOMPATIBLE_VERSION,
    VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION,
    VM_HVM_REQUIRED,
    VM_INCOMPATIBLE_WITH_THIS_HOST,
    VM_IS_PART_OF_AN_APPLIANCE,
    VM_IS_TEMPLATE,
    VM_REQUIRES_GPU,
    VM_REQUIRES_IOMMU,
    VM_REQUIRES_NETWORK,
    VM_REQUIRES_SR,
    VM_REQUIRES_VGPU,
    VM_REVERT_FAILED,
    VM_SNAPSHOT_WITH_QUIESCE_FAILED,
    VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED,
    VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND,
    VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT,
)
from xapi.datamodel.model import NOTHING, Map, Ref, SetOf, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_ADMIN, POOL_OPERATOR, READ_ONLY, VM_OPERATOR, VM_POWER_ADMIN

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.data_source import DataSource
    from xapi.datamodel.classes.gpu_group import GPUGroup
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.session import Session
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vdi import VDI
    from xapi.datamodel.classes.vgpu import VGPU
    from xapi.datamodel.classes.vif import VIF
    from xapi.datamodel.classes.vm_appliance import VMAppliance
    from xapi.datamodel.classes.vm_group import VMGroup
    from xapi.datamodel.classes.vmpp import VMPP
    from xapi.datamodel.classes.vmss import VMSS


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED),
    since="orlando",
    param_since={"ignore_vdis": "21.4.0"},
)
def snapshot(vm: Ref[VM], new_name: str, ignore_vdis: SetOf[Ref[VDI]] = ()) -> Ref[VM]:
    """Take a point-in-time copy of the VM's settings and disks, without its memory.

    Works in any power state; disks in ignore_vdis are left out of the snapshot.
    """


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(
        VM_BAD_POWER_STATE,
        SR_FULL,
        OPERATION_NOT_ALLOWED,
        VM_SNAPSHOT_WITH_QUIESCE_FAILED,
        VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT,
        VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND,
        VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED,
    ),
    since="published orlando, deprecated quebec, removed quebec",
)
def snapshot_with_quiesce(vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Took a snapshot after asking Windows VSS in the guest to flush its disks; removed."""


@message(VM, errors=(VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION), since="rio")
def clone(vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Make a new VM from a halted VM or template, sharing disk blocks where the SR can do so.

    Fast on storage with copy on write; all disks stay in their own SRs.
    """


@message(
    VM,
    errors=(VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION),
    since="published rio, extended cowley",
)
def copy(vm: Ref[VM], new_name: str, sr: Ref[SR]) -> Ref[VM]:
    """Make a new VM with full, independent copies of the disks in the given SR.

    With a null SR every disk is copied within the SR it lives in.
    """


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, SR_FULL, VM_REVERT_FAILED),
    since="midnight-ride",
)
def revert(snapshot: Ref[VM]) -> None:
    """Put a VM back to the settings and disks kept in one of its snapshots.

    A running guest is destroyed first; after a checkpoint the VM is left suspended and can be resumed.
    """


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(
        VM_BAD_POWER_STATE,
        SR_FULL,
        OPERATION_NOT_ALLOWED,
        VM_CHECKPOINT_SUSPEND_FAILED,
        VM_CHECKPOINT_RESUME_FAILED,
    ),
    since="midnight-ride",
)
def checkpoint(vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Take a snapshot of a VM that includes the memory of the guest.

    A running guest stands still while its memory is saved, then goes on.
    """


@message(VM, errors=(VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION), since="rio")
def provision(vm: Ref[VM]) -> None:
    """Create the disks listed in the 'disks' entry of other_config of a VM made from a template."""


@message(
    VM,
    role=VM_OPERATOR,
    errors=(
        VM_BAD_POWER_STATE,
        VM_HVM_REQUIRED,
        VM_IS_TEMPLATE,
        OTHER_OPERATION_IN_PROGRESS,
        OPERATION_NOT_ALLOWED,
        BOOTLOADER_FAILED,
        UNKNOWN_BOOTLOADER,
        NO_HOSTS_AVAILABLE,
        LICENCE_RESTRICTION,
    ),
    since="rio",
)
def start(vm: Ref[VM], start_paused: bool, force: bool) -> None:
    """Boot a halted VM on a host that the pool chooses.

    With start_paused the guest waits for unpause; force skips checks such as that of the CPU features.
    """


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(
        VM_BAD_POWER_STATE,
        VM_IS_TEMPLATE,
        OTHER_OPERATION_IN_PROGRESS,
        OPERATION_NOT_ALLOWED,
        BOOTLOADER_FAILED,
        UNKNOWN_BOOTLOADER,
    ),
    since="rio",
    client_certificate=True,
)
def start_on(vm: Ref[VM], host: Ref[Host], start_paused: bool, force: bool) -> None:
    """Boot a halted VM on the given host.

    With start_paused the guest waits for unpause; force skips checks such as that of the CPU features.
    """


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
)
def pause(vm: Ref[VM]) -> None:
    """Stop the virtual CPUs of a running VM, keeping its memory in place."""


@message(VM, role=VM_OPERATOR, errors=(VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE), since="rio")
def unpause(vm: Ref[VM]) -> None:
    """Let the virtual CPUs of a paused VM run on."""


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
)
def clean_shutdown(vm: Ref[VM]) -> None:
    """Ask the guest to power off and wait until it has.

    Needs a guest that reacts to the request; fails if it takes too long.
    """


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="clearwater",
    client_certificate=True,
)
def shutdown(vm: Ref[VM]) -> None:
    """Ask the guest to power off, and pull the plug if it fails to do so.

    A suspended or paused VM is ended at once.
    """


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
)
def clean_reboot(vm: Ref[VM]) -> None:
    """Ask the guest to restart itself and wait until it has.

    Needs a guest that reacts to the request; fails if it takes too long.
    """


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
)
def hard_shutdown(vm: Ref[VM]) -> None:
    """Pull the plug: end the VM at once without asking the guest.

    Unsaved data is lost; the saved memory of a suspended VM is thrown away.
    """


@message(VM, role=POOL_OPERATOR, since="rio")
def power_state_reset(vm: Ref[VM]) -> None:
    """Record the VM as halted without touching any domain.

    Only for a VM whose host is known to be dead: if it still runs, starting it again ruins its disks.
    """


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
)
def hard_reboot(vm: Ref[VM]) -> None:
    """Restart the VM at once without asking the guest.

    Unsaved data is lost.
    """


@message(
    VM,
    role=VM_OPERATOR,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
    client_certificate=True,
)
def suspend(vm: Ref[VM]) -> None:
    """Save the guest's memory to a disk and give back the host's memory."""


@message(
    VM,
    errors=(VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION),
    since="published rio, deprecated miami",
    hidden=True,
)
def csvm(vm: Ref[VM]) -> Ref[VM]:
    """Clone a suspended VM with its saved memory into a second suspended VM; deprecated."""


@message(VM, role=VM_OPERATOR, errors=(VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE), since="rio")
def resume(vm: Ref[VM], start_paused: bool, force: bool) -> None:
    """Load the saved memory of a suspended VM and let it run on a host the pool chooses.

    With start_paused the guest waits for unpause; force skips the check of the CPU features.
    """


@message(VM, role=POOL_ADMIN, since="falcon", hidden=True)
def set_is_default_template(vm: Ref[VM], value: bool) -> None:
    """Mark a template as shipped with the product, or take the mark away."""


@message(VM, role=LOCAL_ROOT, since="published orlando, deprecated midnight-ride", pool_internal=True, hidden=True)
def hard_reboot_internal(vm: Ref[VM]) -> None:
    """Restart the domain of a VM on its own host; was for the server's use only."""


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE),
    since="rio",
    client_certificate=True,
)
def resume_on(vm: Ref[VM], host: Ref[Host], start_paused: bool, force: bool) -> None:
    """Load the saved memory of a suspended VM and let it run on the given host.

    With start_paused the guest waits for unpause; force skips the check of the CPU features.
    """


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, VM_IS_TEMPLATE, OPERATION_NOT_ALLOWED, VM_BAD_POWER_STATE),
    since="rio",
    client_certificate=True,
)
def pool_migrate(vm: Ref[VM], host: Ref[Host], options: Map[str, str]) -> None:
    """Move a running, paused or suspended VM to another host of the pool, keeping its disks.

    A running guest goes on with a short pause; its disks must be reachable from both hosts.
    """


@message(VM, role=VM_POWER_ADMIN, since="tampa", hidden=True, client_certificate=True)
def pool_migrate_complete(vm: Ref[VM], host: Ref[Host]) -> None:
    """Finish a migration on the receiving host; called by hosts, not by clients."""


@message(VM, errors=(OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION), since="published rio, changed ely")
def set_VCPUs_number_live(self: Ref[VM], nvcpu: int) -> None:
    """Change the number of online virtual CPUs of a running VM.

    Refused above VCPUs_max.
    """


@message(VM, since="rio")
def add_to_VCPUs_params_live(self: Ref[VM], key: str, value: str) -> None:
    """Add a scheduler setting to VCPUs_params and apply it to the running VM."""


@message(VM, since="naples", asynchronous=False)
def set_NVRAM(self: Ref[VM], value: Map[str, str]) -> None:
    """Replace all entries of the guest's non-volatile memory.

    Refused unless the VM is halted.
    """


@message(VM, since="naples", asynchronous=False)
def add_to_NVRAM(self: Ref[VM], key: str, value: str) -> None:
    """Add one entry to the guest's non-volatile memory.

    Refused unless the VM is halted.
    """


@message(VM, since="naples", asynchronous=False)
def remove_from_NVRAM(self: Ref[VM], key: str) -> None:
    """Drop one entry of the guest's non-volatile memory.

    Refused unless the VM is halted.
    """


@message(VM, role=POOL_OPERATOR, since="orlando", asynchronous=False)
def set_ha_restart_priority(self: Ref[VM], value: str) -> None:
    """Choose how HA treats the VM after a failure.

    'restart' is guaranteed, 'best-effort' depends on free memory, empty means no restart.
    """


@message(VM, role=POOL_OPERATOR, since="published orlando, deprecated boston", asynchronous=False)
def set_ha_always_run(self: Ref[VM], value: bool) -> None:
    """Switch HA protection of the VM on or off; replaced by set_ha_restart_priority."""


@message(VM, role=READ_ONLY, since="midnight-ride")
def compute_memory_overhead(vm: Ref[VM]) -> int:
    """Work out how many bytes the host needs for the VM beyond the guest's memory."""


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride", asynchronous=False)
def set_memory_dynamic_max(self: Ref[VM], value: int) -> None:
    """Set the upper end of the VM's balloon range in bytes."""


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride", asynchronous=False)
def set_memory_dynamic_min(self: Ref[VM], value: int) -> None:
    """Set the lower end of the VM's balloon range in bytes."""


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride")
def set_memory_dynamic_range(self: Ref[VM], min: int, max: int) -> None:
    """Set both ends of the VM's balloon range in bytes.

    Allowed while running; the range must lie between static_min and static_max.
    """


@message(VM, role=VM_POWER_ADMIN, errors=(HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN,), since="orlando", asynchronous=False)
def set_memory_static_max(self: Ref[VM], value: int) -> None:
    """Set the memory ceiling of a halted VM in bytes."""


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride", asynchronous=False)
def set_memory_static_min(self: Ref[VM], value: int) -> None:
    """Set the least memory of the VM in bytes.

    Refused if it exceeds memory_dynamic_min.
    """


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride")
def set_memory_static_range(self: Ref[VM], min: int, max: int) -> None:
    """Set least memory and memory ceiling of a halted VM in bytes.

    The dynamic range must lie between them.
    """


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride")
def set_memory_limits(self: Ref[VM], static_min: int, static_max: int, dynamic_min: int, dynamic_max: int) -> None:
    """Set all four memory limits of the VM in bytes.

    Must ascend: static_min, dynamic_min, dynamic_max, static_max.
    """


@message(VM, role=VM_POWER_ADMIN, since="ely")
def set_memory(self: Ref[VM], value: int) -> None:
    """Give the VM a fixed amount of memory in bytes.

    Sets static_max, dynamic_min and dynamic_max alike and leaves static_min alone.
    """


@message(VM, role=VM_POWER_ADMIN, since="published rio, deprecated midnight-ride")
def set_memory_target_live(self: Ref[VM], target: int) -> None:
    """Ask a running guest to balloon to the given size in bytes; see set_memory_dynamic_range."""


@message(VM, role=READ_ONLY, since="published orlando, deprecated midnight-ride")
def wait_memory_target_live(self: Ref[VM]) -> None:
    """Wait until a running guest has reached its balloon target; deprecated."""


@message(VM, role=READ_ONLY, since="published midnight-ride, deprecated tampa")
def get_cooperative(self: Ref[VM]) -> bool:
    """Tell whether the guest follows its balloon target; deprecated."""


@message(VM, role=VM_POWER_ADMIN, since="midnight-ride", asynchronous=False)
def set_HVM_shadow_multiplier(self: Ref[VM], value: float) -> None:
    """Set the shadow page memory factor of a halted VM."""


@message(VM, role=VM_POWER_ADMIN, since="rio")
def set_shadow_multiplier_live(self: Ref[VM], multiplier: float) -> None:
    """Change the shadow page memory factor of a running VM at once."""


@message(VM, since="midnight-ride", asynchronous=False)
def set_VCPUs_max(self: Ref[VM], value: int) -> None:
    """Set the number of virtual CPUs the VM can grow to.

    Refused while running or below VCPUs_at_startup.
    """


@message(VM, since="midnight-ride", asynchronous=False)
def set_VCPUs_at_startup(self: Ref[VM], value: int) -> None:
    """Set the number of virtual CPUs online at boot.

    Refused above VCPUs_max.
    """


@message(VM, role=POOL_ADMIN, errors=(VM_BAD_POWER_STATE,), since="rio")
def send_sysrq(vm: Ref[VM], key: str) -> None:
    """Send a magic SysRq key to a running Linux guest."""


@message(VM, role=POOL_ADMIN, errors=(VM_BAD_POWER_STATE,), since="rio")
def send_trigger(vm: Ref[VM], trigger: str) -> None:
    """Send a named hardware trigger, such as an NMI, to a running guest."""


@message(VM, role=READ_ONLY, since="miami")
def maximise_memory(self: Ref[VM], total: int, approximate: bool) -> int:
    """Work out the largest guest memory that fits in a total of bytes including overhead.

    With approximate the result also holds if other settings of the VM change a little.
    """


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(VM_BAD_POWER_STATE, LICENCE_RESTRICTION),
    since="tampa",
    param_since={"vgpu_map": "inverness", "vdi_format_map": "26.14.0-next"},
)
def migrate_send(
    vm: Ref[VM],
    dest: Map[str, str],
    live: bool,
    vdi_map: Map[Ref[VDI], Ref[SR]],
    vif_map: Map[Ref[VIF], Ref[Network]],
    options: Map[str, str],
    vgpu_map: Map[Ref[VGPU], Ref[GPUGroup]] = NOTHING,
    vdi_format_map: Map[Ref[VDI], str] = NOTHING,
) -> Ref[VM]:
    """Move a VM to a host prepared by host.migrate_receive, with its disks if need be.

    vdi_map and vif_map name the new SRs and networks; the option copy=true leaves the original in place.
    """


@message(VM, role=VM_POWER_ADMIN, errors=(LICENCE_RESTRICTION,), since="tampa", param_since={"vgpu_map": "inverness"})
def assert_can_migrate(
    vm: Ref[VM],
    dest: Map[str, str],
    live: bool,
    vdi_map: Map[Ref[VDI], Ref[SR]],
    vif_map: Map[Ref[VIF], Ref[Network]],
    options: Map[str, str],
    vgpu_map: Map[Ref[VGPU], Ref[GPUGroup]] = NOTHING,
) -> None:
    """Check that migrate_send with the same arguments would be accepted.

    Returns nothing; raises the error that stands in the way.
    """


@message(VM, role=VM_POWER_ADMIN, since="inverness", hidden=True)
def assert_can_migrate_sender(
    vm: Ref[VM],
    dest: Map[str, str],
    live: bool,
    vdi_map: Map[Ref[VDI], Ref[SR]],
    vif_map: Map[Ref[VIF], Ref[Network]],
    vgpu_map: Map[Ref[VGPU], Ref[GPUGroup]],
    options: Map[str, str],
) -> None:
    """Run the sending host's part of the migration check; called by hosts, not by clients."""


@message(VM, role=READ_ONLY, since="published rio, deprecated inverness", asynchronous=False)
def get_boot_record(self: Ref[VM]) -> VM:
    """Return the VM's record as it was at boot; deprecated, read the plain record instead."""


@message(VM, role=READ_ONLY, since="orlando", asynchronous=False)
def get_data_sources(self: Ref[VM]) -> SetOf[DataSource]:
    """List the measurements that can be recorded for the VM."""


@message(VM, since="orlando", asynchronous=False)
def record_data_source(self: Ref[VM], data_source: str) -> None:
    """Start to keep the history of one measurement of the VM."""


@message(VM, role=READ_ONLY, since="orlando", asynchronous=False)
def query_data_source(self: Ref[VM], data_source: str) -> float:
    """Return the latest value of one measurement of the VM."""


@message(VM, since="orlando", asynchronous=False)
def forget_data_source_archives(self: Ref[VM], data_source: str) -> None:
    """Throw away the recorded history of one measurement of the VM."""


@message(VM, role=READ_ONLY, since="rio")
def assert_operation_valid(self: Ref[VM], op: VmOperations) -> None:
    """Check that an operation is allowed on the VM now.

    Returns nothing; raises the error that stands in the way.
    """


@message(VM, role=POOL_ADMIN, since="rio")
def update_allowed_operations(self: Ref[VM]) -> None:
    """Recompute the list of operations allowed on the VM."""


@message(VM, role=READ_ONLY, since="rio", asynchronous=False)
def get_allowed_VBD_devices(vm: Ref[VM]) -> SetOf[str]:
    """List the device positions still free for disks and CD drives."""


@message(VM, role=READ_ONLY, since="rio", asynchronous=False)
def get_allowed_VIF_devices(vm: Ref[VM]) -> SetOf[str]:
    """List the device positions still free for network interfaces."""


@message(VM, role=READ_ONLY, since="rio")
def get_possible_hosts(vm: Ref[VM]) -> SetOf[Ref[Host]]:
    """List the hosts that can see the storage and networks the VM needs."""


@message(
    VM,
    role=READ_ONLY,
    errors=(
        HOST_NOT_ENOUGH_FREE_MEMORY,
        HOST_NOT_ENOUGH_PCPUS,
        NETWORK_SRIOV_INSUFFICIENT_CAPACITY,
        HOST_NOT_LIVE,
        HOST_DISABLED,
        HOST_CANNOT_ATTACH_NETWORK,
        VM_HVM_REQUIRED,
        VM_REQUIRES_GPU,
        VM_REQUIRES_IOMMU,
        VM_REQUIRES_NETWORK,
        VM_REQUIRES_SR,
        VM_REQUIRES_VGPU,
        VM_HOST_INCOMPATIBLE_VERSION,
        VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION,
        INVALID_VALUE,
        MEMORY_CONSTRAINT_VIOLATION,
        OPERATION_NOT_ALLOWED,
        VALUE_NOT_SUPPORTED,
        VM_INCOMPATIBLE_WITH_THIS_HOST,
    ),
    since="published rio, changed quebec",
)
def assert_can_boot_here(self: Ref[VM], host: Ref[Host]) -> None:
    """Check that the VM could be started on the given host.

    Looks at memory, SRs, networks, GPUs and version; returns nothing or raises what stands in the way.
    """


@message(VM, role=LOCAL_ROOT, since="rio", pool_internal=True, hidden=True)
def atomic_set_resident_on(vm: Ref[VM], host: Ref[Host]) -> None:
    """Record where the VM runs and clear its reservation; called by hosts, not by clients."""


@message(VM, role=VM_POWER_ADMIN, since="orlando", param_since={"public": "tampa"})
def create_new_blob(vm: Ref[VM], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Make an empty binary attachment for the VM; its content is put there over HTTP.

    A public one can be read without logging in.
    """


@message(VM, role=VM_OPERATOR, since="midnight-ride", hidden=True)
def s3_suspend(vm: Ref[VM]) -> None:
    """Put the guest into ACPI sleep (S3), keeping its memory in place."""


@message(VM, role=VM_OPERATOR, since="midnight-ride", hidden=True)
def s3_resume(vm: Ref[VM]) -> None:
    """Wake a guest from ACPI sleep (S3)."""


@message(VM, role=READ_ONLY, since="orlando")
def assert_agile(self: Ref[VM]) -> None:
    """Check that the VM could run on any host: shared SRs and networks only, no local device.

    Returns nothing; raises what ties the VM to a host.
    """


@message(VM, role=POOL_OPERATOR, since="published george, deprecated midnight-ride", hidden=True)
def update_snapshot_metadata(
    vm: Ref[VM], snapshot_of: Ref[VM], snapshot_time: datetime, transportable_snapshot_id: str
) -> None:
    """Fill in the snapshot fields of a VM after the fact; deprecated."""


@message(VM, role=READ_ONLY, since="george")
def retrieve_wlb_recommendations(vm: Ref[VM]) -> Map[Ref[Host], SetOf[str]]:
    """Ask the workload balancing server to rate every host for the VM."""


@message(VM, errors=(VM_BIOS_STRINGS_ALREADY_SET, INVALID_VALUE), since="inverness")
def set_bios_strings(self: Ref[VM], value: Map[str, str]) -> None:
    """Set the texts of the virtual BIOS before the first boot.

    Refused for unknown keys, overlong values, or if they are already set.
    """


@message(VM, since="midnight-ride")
def copy_bios_strings(vm: Ref[VM], host: Ref[Host]) -> None:
    """Take the texts of a host's BIOS over into the VM's virtual BIOS.

    Refused if they are already set.
    """


@message(
    VM, role=POOL_OPERATOR, since="published cowley, deprecated clearwater, removed clearwater", asynchronous=False
)
def set_protection_policy(self: Ref[VM], value: Ref[VMPP]) -> None:
    """Put the VM under a protection policy; removed, use set_snapshot_schedule."""


@message(VM, role=POOL_OPERATOR, since="falcon", asynchronous=False)
def set_snapshot_schedule(self: Ref[VM], value: Ref[VMSS]) -> None:
    """Put the VM under a snapshot schedule, or with null under none."""


@message(VM, role=POOL_OPERATOR, since="boston")
def set_start_delay(self: Ref[VM], value: int) -> None:
    """Set the seconds to wait after this VM before the next order starts."""


@message(VM, role=POOL_OPERATOR, since="boston")
def set_shutdown_delay(self: Ref[VM], value: int) -> None:
    """Set the seconds to wait after this VM before the next order stops."""


@message(VM, role=POOL_OPERATOR, since="boston")
def set_order(self: Ref[VM], value: int) -> None:
    """Set the VM's place in the start sequence; negative numbers are refused."""


@message(VM, role=POOL_OPERATOR, since="boston")
def set_suspend_VDI(self: Ref[VM], value: Ref[VDI]) -> None:
    """Point a suspended VM at another copy of its memory image.

    Refused unless both disks hold the same content.
    """


@message(VM, role=READ_ONLY, errors=(VM_IS_PART_OF_AN_APPLIANCE, VM_REQUIRES_SR), since="boston")
def assert_can_be_recovered(self: Ref[VM], session_to: Ref[Session]) -> None:
    """Check that every SR the VM needs is present in the pool of session_to.

    Returns nothing; raises the SR that is missing.
    """


@message(VM, role=READ_ONLY, since="creedence")
def get_SRs_required_for_recovery(self: Ref[VM], session_to: Ref[Session]) -> SetOf[Ref[SR]]:
    """List the SRs that session_to's pool must have to recover the VM."""


@message(VM, role=READ_ONLY, since="boston")
def recover(self: Ref[VM], session_to: Ref[Session], force: bool) -> None:
    """Recreate the VM, read from a metadata disk, in the pool of session_to.

    With force a newer or equal copy that exists there is replaced.
    """


@message(VM, since="tampa")
def import_convert(type: str, username: str, password: str, sr: Ref[SR], remote_config: Map[str, str]) -> None:
    """Import a VM from another hypervisor's server through the conversion service."""


@message(VM, role=POOL_OPERATOR, since="boston")
def set_appliance(self: Ref[VM], value: Ref[VMAppliance]) -> None:
    """Put the VM into an appliance, or with null take it out."""


@message(VM, errors=(OPERATION_NOT_ALLOWED,), since="prototyped 24.19.1")
def set_groups(self: Ref[VM], value: SetOf[Ref[VMGroup]]) -> None:
    """Set the VM groups the VM belongs to; more than one is refused."""


@message(VM, role=POOL_ADMIN, since="tampa")
def query_services(self: Ref[VM]) -> Map[str, str]:
    """List the services a driver domain offers and register them with the host."""


@message(VM, role=VM_OPERATOR, since="cream")
def call_plugin(vm: Ref[VM], plugin: str, fn: str, args: Map[str, str]) -> str:
    """Run a function of a plugin in the guest agent of a running VM and return its answer.

    Calls that follow one another too fast are refused.
    """


@message(VM, role=VM_OPERATOR, since="prototyped 25.22.0")
def call_host_plugin(vm: Ref[VM], plugin: str, fn: str, args: Map[str, str]) -> str:
    """Run a function of a host plugin on the host where the VM runs."""


@message(VM, since="dundee")
def set_has_vendor_device(self: Ref[VM], value: bool) -> None:
    """Choose whether the guest sees the PCI device that draws drivers from Windows Update.

    Refused unless the VM is halted; best left alone once Windows is installed.
    """


@message(VM, role=POOL_OPERATOR, since="dundee")
def import_(url: str, sr: Ref[SR], full_restore: bool, force: bool) -> SetOf[Ref[VM]]:
    """Import VMs from an XVA archive fetched from a URL.

    full_restore keeps identities such as MAC addresses; force carries on where checks fail.
    """


@message(VM, since="rio")
def set_actions_after_crash(self: Ref[VM], value: OnCrashBehaviour) -> None:
    """Choose what happens to the domain when the guest crashes."""


@message(VM, since="kolkata", asynchronous=False)
def set_domain_type(self: Ref[VM], value: DomainType) -> None:
    """Choose the kind of virtualisation for the next boot of a halted VM."""


@message(VM, since="published rio, deprecated kolkata", asynchronous=False)
def set_HVM_boot_policy(self: Ref[VM], value: str) -> None:
    """Choose hardware ('BIOS order') or paravirtual (empty) boot; use set_domain_type."""


@message(VM, role=LOCAL_ROOT, since="naples", asynchronous=False, hidden=True, param_since={"update": "26.12.0"})
def set_NVRAM_EFI_variables(self: Ref[VM], value: str, update: UpdateStatus = UpdateStatus.UNSPECIFIED) -> None:
    """Store the UEFI variables of a guest, even while it runs; for its firmware helper."""


@message(
    VM,
    role=VM_POWER_ADMIN,
    errors=(VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, VM_IS_TEMPLATE, OPERATION_NOT_ALLOWED, VM_BAD_POWER_STATE),
    since="prototyped 23.30.0",
    client_certificate=True,
)
def restart_device_models(self: Ref[VM]) -> None:
    """Start the device emulation of a running VM afresh, so that updates of it take effect."""


@message(VM, role=POOL_ADMIN, since="prototyped 24.17.0")
def set_uefi_mode(self: Ref[VM], mode: VmUefiMode) -> str:
    """Put Secure Boot of a UEFI guest into setup or user mode and return the tool's output."""


@message(VM, role=POOL_ADMIN, since="prototyped 24.17.0")
def get_secureboot_readiness(self: Ref[VM]) -> VmSecurebootReadiness:
    """Tell whether the VM's firmware is fit to boot with Secure Boot."""


@message(VM, since="prototyped 26.14.0")
def update_secureboot_certificates_on_boot(self: Ref[VM], mark: bool) -> None:
    """Mark the VM to take newer Secure Boot certificates at its next boot, or unmark it."""


@message(VM, since="orlando")
def set_blocked_operations(self: Ref[VM], value: Map[VmOperations, str]) -> None:
    """Replace the list of operations refused for the VM."""


@message(VM, since="orlando")
def add_to_blocked_operations(self: Ref[VM], key: VmOperations, value: str) -> None:
    """Refuse an operation on the VM from now on, with the given error code."""


@message(VM, since="orlando")
def remove_from_blocked_operations(self: Ref[VM], key: VmOperations) -> None:
    """Stop refusing an operation on the VM."""


@message(VM, since="prototyped 25.24.0", secret_params=("unattend",))
def sysprep(self: Ref[VM], unattend: str, timeout: float) -> None:
    """Run Windows sysprep in the guest with the given answer file.

    timeout is the longest wait in seconds for the guest to shut down.
    """


@message(
    VM,
    since="rio",
    asynchronous=False,
    map_keys={
        "hvm_serial": POOL_ADMIN,
        "pci": POOL_ADMIN,
        "folder": VM_OPERATOR,
        "XenCenter.CustomFields.*": VM_OPERATOR,
    },
)
def add_to_other_config(self: Ref[VM], key: str, value: str) -> None:
    """Add one key and value to other_config of the VM.

    Refused if the key is present.
    """


@message(
    VM,
    since="rio",
    asynchronous=False,
    map_keys={
        "hvm_serial": POOL_ADMIN,
        "pci": POOL_ADMIN,
        "folder": VM_OPERATOR,
        "XenCenter.CustomFields.*": VM_OPERATOR,
    },
)
def remove_from_other_config(self: Ref[VM], key: str) -> None:
    """Drop one key of other_config of the VM; an absent key is no error."""


@message(VM, since="rio", asynchronous=False)
def set_other_config(self: Ref[VM], value: Map[str, str]) -> None:
    """Replace all of other_config of the VM."""


@message(VM, since="rio", asynchronous=False, map_keys={"hvm_serial": POOL_ADMIN})
def add_to_platform(self: Ref[VM], key: str, value: str) -> None:
    """Add one switch to the VM's virtual hardware settings.

    Refused if the key is present.
    """


@message(VM, since="rio", asynchronous=False, map_keys={"hvm_serial": POOL_ADMIN})
def remove_from_platform(self: Ref[VM], key: str) -> None:
    """Drop one switch of the VM's virtual hardware settings."""


@message(VM, since="rio", asynchronous=False)
def set_platform(self: Ref[VM], value: Map[str, str]) -> None:
    """Replace all switches of the VM's virtual hardware.

    Refused if they contradict one another.
    """
