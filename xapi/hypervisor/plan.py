"""What an operation on a domain consists of: pure functions from configurations to lists of steps.

A plan has two parts. ``steps`` are done in order, and undone in reverse when one fails or the caller cancels.
``cleanup`` begins beyond the point of no return: each of its steps is tried, whatever becomes of the others.
A configuration here names volumes (``Volume``); ``run`` replaces them by their backends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from xapi.hypervisor.interface import (
    Disk,
    DiskKind,
    DiskMode,
    DomainConfig,
    Memory,
    Nic,
    ShutdownReason,
    Volume,
)
from xapi.hypervisor.steps import (
    ActivateVolume,
    AttachVolume,
    AwaitShutdown,
    Call,
    ConnectNic,
    CreateDomain,
    DeactivateVolume,
    DestroyDomain,
    DetachVolume,
    DisconnectNic,
    EjectMedia,
    ImagePlace,
    InsertMedia,
    MoveNic,
    OnFailure,
    PauseDomain,
    PlugDisk,
    PlugNic,
    ReceiveDomain,
    RequestShutdown,
    ResetVolume,
    RestoreDomain,
    ResumeGuest,
    SaveImage,
    SendDomain,
    SetMemory,
    SetNicLocking,
    SetVcpus,
    Step,
    SuspendGuest,
    UnpauseDomain,
    UnplugDisk,
    UnplugNic,
)

SNAPSHOT_DISKS, DISCARD_SNAPSHOTS = "snapshot disks", "discard snapshots"
HAND_OVER, TAKE_OVER, CONFIRM = "hand over", "take over", "confirm"
Steps = tuple[Step, ...]
_Volumes = dict[Volume, DiskMode]


@dataclass(frozen=True, slots=True)
class Plan:
    """One operation on one domain."""

    name: str
    uuid: str
    steps: Steps
    cleanup: Steps = ()


def render(plan: Plan) -> str:
    """The golden text of a plan: a step a line, with its reverse; cleanup steps are marked with a tilde."""
    lines = [f"{plan.name} {plan.uuid}"]
    for step in plan.steps:
        reverse = step.reverse()
        undo = f"  [undo: {reverse}]" if reverse is not None and not isinstance(step, OnFailure) else ""
        lines.append(f"  - {step}{undo}")
    lines.extend(f"  ~ {step}" for step in plan.cleanup)
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------- whole domains


def start(config: DomainConfig, paused: bool = False) -> Plan:
    """Get what the domain needs, build it, let it run."""
    got = (*_acquire(config), *_refresh(config))
    return Plan("start", config.uuid, (*got, CreateDomain(config), *_go(config.uuid, paused)))


def stop_clean(config: DomainConfig, seconds: float) -> Plan:
    """Ask the guest to power off, wait, take the domain away."""
    asked = _ask(config.uuid, ShutdownReason.POWEROFF, seconds)
    return Plan("stop clean", config.uuid, (*asked, DestroyDomain(config.uuid)), _release(config))


def stop_hard(config: DomainConfig) -> Plan:
    """Take the domain away; also for one that stopped by itself."""
    return Plan("stop hard", config.uuid, (DestroyDomain(config.uuid),), _release(config))


def reboot_clean(now: DomainConfig, after: DomainConfig, seconds: float) -> Plan:
    """Ask the guest to reboot, wait, build the domain anew."""
    asked = _ask(now.uuid, ShutdownReason.REBOOT, seconds)
    return Plan("reboot clean", now.uuid, (*asked, *_rebuild(now, after)), _dropped(now, after))


def reboot_hard(now: DomainConfig, after: DomainConfig) -> Plan:
    """Build the domain anew without asking; also for one that stopped by itself in order to reboot."""
    return Plan("reboot hard", now.uuid, _rebuild(now, after), _dropped(now, after))


def pause(uuid: str) -> Plan:
    """Stop scheduling the domain."""
    return Plan("pause", uuid, (PauseDomain(uuid),))


def unpause(uuid: str) -> Plan:
    """Let the domain run."""
    return Plan("unpause", uuid, (UnpauseDomain(uuid),))


def suspend(config: DomainConfig, image: ImagePlace, seconds: float) -> Plan:
    """Suspend the guest, write its image, take the domain away."""
    uuid = config.uuid
    steps = (
        *_acquire_volumes(uuid, _image_volumes(image)),
        SuspendGuest(uuid, seconds),
        SaveImage(uuid, image),
        DestroyDomain(uuid),
    )
    return Plan("suspend", uuid, steps, (*_release_volumes(uuid, _image_volumes(image)), *_release(config)))


def resume(config: DomainConfig, image: ImagePlace, paused: bool = False) -> Plan:
    """Build the domain from its image, let it run."""
    uuid = config.uuid
    steps = (
        *_acquire_volumes(uuid, _image_volumes(image)),
        *_acquire(config),
        RestoreDomain(config, image),
        *_go(uuid, paused),
    )
    return Plan("resume", uuid, steps, _release_volumes(uuid, _image_volumes(image)))


def checkpoint(config: DomainConfig, image: ImagePlace, seconds: float) -> Plan:
    """Suspend the guest, write its image, let the caller snapshot the disks meanwhile, go on."""
    uuid = config.uuid
    steps = (
        *_acquire_volumes(uuid, _image_volumes(image)),
        SuspendGuest(uuid, seconds),
        SaveImage(uuid, image),
        Call(SNAPSHOT_DISKS, DISCARD_SNAPSHOTS),
        ResumeGuest(uuid),
    )
    return Plan("checkpoint", uuid, steps, _release_volumes(uuid, _image_volumes(image)))


def migrate_out(config: DomainConfig) -> Plan:
    """The source's half of a migration: stream the domain, hand its disks over, take it away.

    The caller's ``hand over`` tells the destination that the volumes are free, and returns when it has confirmed that
    the domain runs there; when it fails, the domain goes on here.
    """
    uuid, volumes = config.uuid, _volumes(config.disks)
    deactivated: list[Step] = [DeactivateVolume(uuid, volume, mode) for volume, mode in volumes.items()]
    steps = (SendDomain(uuid), *deactivated, Call(HAND_OVER))
    cleanup: list[Step] = [DestroyDomain(uuid)]  # beyond return: the domain runs there, and must never again run here
    cleanup.extend(DisconnectNic(uuid, nic) for nic in reversed(config.nics))
    cleanup.extend(DetachVolume(uuid, volume, mode) for volume, mode in reversed(volumes.items()))
    return Plan("migrate out", uuid, steps, tuple(cleanup))


def migrate_in(config: DomainConfig) -> Plan:
    """The destination's half of a migration: attach, receive, take the disks over, run, confirm.

    The caller's ``take over`` waits until the source has let go of the volumes; ``confirm`` tells it of the success.
    """
    uuid, volumes = config.uuid, _volumes(config.disks)
    attached: list[Step] = [AttachVolume(uuid, volume, mode) for volume, mode in volumes.items()]
    activated: list[Step] = [ActivateVolume(uuid, volume, mode) for volume, mode in volumes.items()]
    connected: list[Step] = [ConnectNic(uuid, nic) for nic in config.nics]
    steps = (
        *attached,
        *connected,
        ReceiveDomain(config),
        Call(TAKE_OVER),
        *activated,
        UnpauseDomain(uuid),
        Call(CONFIRM),
    )
    return Plan("migrate in", uuid, steps)


# ------------------------------------------------------------------------------------------------ single devices


def plug_disk(uuid: str, disk: Disk) -> Plan:
    """Get a drive's volume, give the drive to a running domain."""
    return Plan("plug disk", uuid, (*_acquire_volumes(uuid, _volumes((disk,))), PlugDisk(uuid, disk)))


def unplug_disk(uuid: str, disk: Disk, force: bool = False) -> Plan:
    """Take a drive from a running domain, let go of its volume."""
    return Plan("unplug disk", uuid, (UnplugDisk(uuid, disk, force),), _release_volumes(uuid, _volumes((disk,))))


def insert_media(uuid: str, drive: Disk) -> Plan:
    """Get a medium and put it into a running domain's empty drive; ``drive`` is as it will be."""
    volumes = _volumes((drive,))
    return Plan("insert media", uuid, (*_acquire_volumes(uuid, volumes), InsertMedia(uuid, drive.device, drive.source)))


def eject_media(uuid: str, drive: Disk) -> Plan:
    """Take the medium out of a running domain's drive and let go of it; ``drive`` is as it was."""
    step = EjectMedia(uuid, drive.device, drive.source)
    return Plan("eject media", uuid, (step,), _release_volumes(uuid, _volumes((drive,))))


def plug_nic(uuid: str, nic: Nic) -> Plan:
    """Make sure of a card's bridge, give the card to a running domain."""
    return Plan("plug nic", uuid, (ConnectNic(uuid, nic), PlugNic(uuid, nic)))


def unplug_nic(uuid: str, nic: Nic, force: bool = False) -> Plan:
    """Take a card from a running domain."""
    return Plan("unplug nic", uuid, (UnplugNic(uuid, nic, force),), (DisconnectNic(uuid, nic),))


def move_nic(uuid: str, before: Nic, after: Nic) -> Plan:
    """Connect a running domain's card to another bridge."""
    return Plan(
        "move nic", uuid, (ConnectNic(uuid, after), MoveNic(uuid, before, after)), (DisconnectNic(uuid, before),)
    )


def lock_nic(uuid: str, before: Nic, after: Nic) -> Plan:
    """Change what traffic a running domain's card may carry."""
    return Plan("lock nic", uuid, (SetNicLocking(uuid, before, after),))


def set_memory(uuid: str, before: Memory, after: Memory) -> Plan:
    """Change a running domain's dynamic range and target."""
    return Plan("set memory", uuid, (SetMemory(uuid, before, after),))


def set_vcpus(uuid: str, before: int, after: int) -> Plan:
    """Change how many virtual CPUs of a running domain are online."""
    return Plan("set vcpus", uuid, (SetVcpus(uuid, before, after),))


# -------------------------------------------------------------------------------------------------------- pieces


def _volumes(disks: Iterable[Disk]) -> _Volumes:
    """The volumes of these drives, each once; one that any drive writes is taken for writing."""
    found: _Volumes = {}
    for disk in disks:
        if isinstance(disk.source, Volume):
            mode = DiskMode.READ_ONLY if disk.kind is DiskKind.CD else disk.mode
            if found.get(disk.source) is not DiskMode.READ_WRITE:
                found[disk.source] = mode
    return found


def _image_volumes(image: ImagePlace) -> _Volumes:
    return {image: DiskMode.READ_WRITE} if isinstance(image, Volume) else {}


def _acquire_volumes(uuid: str, volumes: _Volumes) -> Steps:
    steps: list[Step] = []
    for volume, mode in volumes.items():
        steps += [AttachVolume(uuid, volume, mode), ActivateVolume(uuid, volume, mode)]
    return tuple(steps)


def _release_volumes(uuid: str, volumes: _Volumes) -> Steps:
    steps: list[Step] = []
    for volume, mode in reversed(volumes.items()):
        steps += [DeactivateVolume(uuid, volume, mode), DetachVolume(uuid, volume, mode)]
    return tuple(steps)


def _acquire(config: DomainConfig) -> Steps:
    nics = (ConnectNic(config.uuid, nic) for nic in config.nics)
    return (*_acquire_volumes(config.uuid, _volumes(config.disks)), *nics)


def _release(config: DomainConfig) -> Steps:
    nics = (DisconnectNic(config.uuid, nic) for nic in reversed(config.nics))
    return (*nics, *_release_volumes(config.uuid, _volumes(config.disks)))


def _ask(uuid: str, reason: ShutdownReason, seconds: float) -> Steps:
    return (RequestShutdown(uuid, reason), AwaitShutdown(uuid, reason, seconds))


def _go(uuid: str, paused: bool) -> Steps:
    return () if paused else (UnpauseDomain(uuid),)


def _rebuild(now: DomainConfig, after: DomainConfig) -> Steps:
    """Destroy and create; what both have is kept, and released too when the domain does not come back."""
    uuid, had = now.uuid, _acquire(now)
    fresh = tuple(step for step in _acquire(after) if step not in had)
    owed = tuple(OnFailure(step) for step in reversed(_release(now)))
    given_up = _release_volumes(uuid, _changed_volumes(now, after))
    got = (*given_up, *fresh, *_refresh(after))
    return (DestroyDomain(uuid), *owed, *got, CreateDomain(after), UnpauseDomain(uuid))


def _refresh(config: DomainConfig) -> Steps:
    """Let the volumes that begin anew with each run do so."""
    anew = dict.fromkeys(disk.source for disk in config.disks if disk.fresh and isinstance(disk.source, Volume))
    return tuple(ResetVolume(config.uuid, volume) for volume in anew)


def _dropped(now: DomainConfig, after: DomainConfig) -> Steps:
    kept = (*_release(after), *_release_volumes(now.uuid, _changed_volumes(now, after)))
    return tuple(step for step in _release(now) if step not in kept)


def _changed_volumes(now: DomainConfig, after: DomainConfig) -> _Volumes:
    """Volumes that both have, but in another mode: they are given up before they are taken again."""
    wanted = _volumes(after.disks)
    return {volume: mode for volume, mode in _volumes(now.disks).items() if wanted.get(volume, mode) is not mode}
