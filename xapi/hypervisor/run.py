"""Performs a plan step by step, and undoes what was done when a step fails."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from xapi.hypervisor.interface import (
    Backend,
    ByteSink,
    ByteSource,
    DiskAttacher,
    DiskSource,
    DomainConfig,
    DomainCrashed,
    EmptyDrive,
    FileBackend,
    HypervisorDriver,
    HypervisorError,
    NetworkAttacher,
    OperationCancelled,
    Power,
    ShutdownReason,
    UnexpectedShutdown,
    Unsupported,
    Volume,
    never_cancelled,
)
from xapi.hypervisor.plan import Plan
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

Progress = Callable[[int, int, Step], None]
Report = Callable[[Step, Exception], None]
_FITTING = {
    ShutdownReason.POWEROFF: {ShutdownReason.POWEROFF, ShutdownReason.HALT},
    ShutdownReason.REBOOT: {ShutdownReason.REBOOT, ShutdownReason.SOFTREBOOT},
    ShutdownReason.SUSPEND: {ShutdownReason.SUSPEND},
}


@dataclass(frozen=True, slots=True)
class Crew:
    """Who does the work: the driver, storage, networking, the caller's own functions, and a migration's stream."""

    driver: HypervisorDriver
    disks: DiskAttacher
    networks: NetworkAttacher
    calls: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    sink: ByteSink | None = None
    source: ByteSource | None = None


def no_progress(_done: int, _total: int, _step: Step) -> None:
    """Nobody wants to know."""


def run(
    plan: Plan,
    crew: Crew,
    report: Report,
    progress: Progress = no_progress,
    cancelled: Callable[[], bool] = never_cancelled,
) -> None:
    """Perform a plan; raises the first error, after all was undone that can be.

    ``progress(done, total, step)`` is told after each step. ``cancelled`` is asked between the steps, and while a guest
    is waited for; it is not asked once a guest has stopped: that cannot be undone. An error while undoing goes to
    ``report`` and hides nothing; so does each error of a cleanup step but the first, which is raised when cleanup is
    over.
    """
    total = len(plan.steps) + len(plan.cleanup)
    hands = _Hands(crew, cancelled, report)
    irreversible = False
    with ExitStack() as undo:
        for number, step in enumerate(plan.steps):
            if not irreversible and cancelled():
                raise OperationCancelled
            hands.do(step)
            irreversible = irreversible or isinstance(step, AwaitShutdown | DestroyDomain)
            reverse = step.reverse()
            if reverse is not None:
                undo.callback(_try, hands, reverse, report)
            progress(number + 1, total, step)
        undo.pop_all()
    first: Exception | None = None
    for number, step in enumerate(plan.cleanup, len(plan.steps)):
        error = _try(hands, step, report if first is not None else None)
        first = first or error
        progress(number + 1, total, step)
    if first is not None:
        raise first


def _try(hands: "_Hands", step: Step, report: Report | None) -> Exception | None:
    """Perform a step that must not stop the ones after it; answers its error."""
    try:
        hands.do(step)
    except Exception as error:  # noqa: BLE001 - of any neighbour; it is reported or raised by the caller
        if report is not None:
            report(step, error)
        return error
    return None


class _Hands:
    """Performs single steps."""

    def __init__(self, crew: Crew, cancelled: Callable[[], bool], report: Report) -> None:
        self._report = report
        self._crew = crew
        self._driver = crew.driver
        self._cancelled = cancelled

    def do(self, step: Step) -> None:
        """Perform one step."""
        match step:
            case OnFailure():
                pass
            case Call(name):
                self._crew.calls[name]()
            case AttachVolume() | DetachVolume() | ActivateVolume() | DeactivateVolume() | ResetVolume():
                self._do_storage(step)
            case ConnectNic(uuid, nic):
                self._crew.networks.connect(uuid, nic)
            case DisconnectNic(uuid, nic):
                self._crew.networks.disconnect(uuid, nic)
            case SuspendGuest() | ResumeGuest() | SaveImage() | RestoreDomain() | SendDomain() | ReceiveDomain():
                self._do_image(step)
            case PlugDisk() | UnplugDisk() | InsertMedia() | EjectMedia() | PlugNic() | UnplugNic():
                self._do_device(step)
            case MoveNic() | SetNicLocking() | SetMemory() | SetVcpus():
                self._do_change(step)
            case _:
                self._do_domain(step)

    def _do_storage(self, step: AttachVolume | DetachVolume | ActivateVolume | DeactivateVolume | ResetVolume) -> None:
        disks = self._crew.disks
        match step:
            case AttachVolume(uuid, volume, mode):
                disks.attach(uuid, volume, mode)
            case ActivateVolume(uuid, volume, mode):
                disks.activate(uuid, volume, mode)
            case DeactivateVolume(uuid, volume):
                disks.deactivate(uuid, volume)
            case DetachVolume(uuid, volume):
                disks.detach(uuid, volume)
            case ResetVolume(uuid, volume):
                disks.reset(uuid, volume)

    def _do_domain(
        self, step: CreateDomain | DestroyDomain | PauseDomain | UnpauseDomain | RequestShutdown | AwaitShutdown
    ) -> None:
        domains = self._driver.domains
        match step:
            case CreateDomain(config):
                domains.create(self._resolved(config))
            case DestroyDomain(uuid):
                domains.destroy(uuid)
            case PauseDomain(uuid):
                domains.pause(uuid)
            case UnpauseDomain(uuid):
                domains.unpause(uuid)
            case RequestShutdown(uuid, reason):
                domains.request_shutdown(uuid, reason)
            case AwaitShutdown(uuid, reason, seconds):
                self._await(uuid, reason, seconds)

    def _do_image(
        self, step: SuspendGuest | ResumeGuest | SaveImage | RestoreDomain | SendDomain | ReceiveDomain
    ) -> None:
        match step:
            case SuspendGuest(uuid, seconds):
                self._suspend(uuid, seconds)
            case ResumeGuest(uuid):
                self._driver.suspending.resume_in_place(uuid)
            case SaveImage(uuid, image):
                self._driver.suspending.save(uuid, self._image_path(uuid, image))
            case RestoreDomain(config, image):
                path = self._image_path(config.uuid, image)
                self._driver.suspending.restore(self._resolved(config), path)
            case SendDomain(uuid):
                self._send(uuid)
            case ReceiveDomain(config):
                if self._crew.source is None:
                    raise Unsupported("receiving without a stream")
                self._driver.migrating.receive(self._resolved(config), self._crew.source)

    def _do_device(self, step: PlugDisk | UnplugDisk | InsertMedia | EjectMedia | PlugNic | UnplugNic) -> None:
        devices = self._driver.devices
        match step:
            case PlugDisk(uuid, disk):
                devices.plug_disk(uuid, replace(disk, source=self._backend(uuid, disk.source)))
            case UnplugDisk(uuid, disk, force):
                devices.unplug_disk(uuid, disk.device, force)
            case InsertMedia(uuid, device, source):
                backend = self._backend(uuid, source)
                if isinstance(backend, EmptyDrive):
                    raise Unsupported("inserting no medium")
                devices.insert_media(uuid, device, backend)
            case EjectMedia(uuid, device):
                devices.eject_media(uuid, device)
            case PlugNic(uuid, nic):
                devices.plug_nic(uuid, nic)
            case UnplugNic(uuid, nic, force):
                devices.unplug_nic(uuid, nic.device, force)

    def _do_change(self, step: MoveNic | SetNicLocking | SetMemory | SetVcpus) -> None:
        match step:
            case MoveNic(uuid, before, after):
                self._driver.devices.move_nic(uuid, before.device, after.bridge)
            case SetNicLocking(uuid, _, after):
                self._driver.devices.set_nic_locking(
                    uuid, after.device, after.locking, after.allowed_ipv4, after.allowed_ipv6
                )
            case SetMemory(uuid, _, after):
                self._driver.resizing.set_memory_dynamic_range(uuid, after.dynamic_min, after.dynamic_max, after.target)
            case SetVcpus(uuid, _, after):
                self._driver.resizing.set_vcpus(uuid, after)

    def _await(self, uuid: str, reason: ShutdownReason, seconds: float) -> None:
        actual = self._driver.domains.await_shutdown(uuid, seconds, self._cancelled)
        if actual is ShutdownReason.CRASH:
            raise DomainCrashed(uuid)
        if actual not in _FITTING[reason]:
            raise UnexpectedShutdown(uuid, reason, actual)

    def _suspend(self, uuid: str, seconds: float) -> None:
        with self._awake_on_failure(uuid):  # a guest may obey in the very last moment
            self._driver.domains.request_shutdown(uuid, ShutdownReason.SUSPEND)
            self._await(uuid, ShutdownReason.SUSPEND, seconds)

    def _send(self, uuid: str) -> None:
        if self._crew.sink is None:
            raise Unsupported("sending without a stream")
        with self._awake_on_failure(uuid):  # the stream may break when the guest is suspended already
            self._driver.migrating.send(uuid, self._crew.sink, self._cancelled)

    @contextmanager
    def _awake_on_failure(self, uuid: str) -> Iterator[None]:
        """Resume a guest in place that a failed step has left suspended: a step is done or it is not."""
        with ExitStack() as undo:
            undo.callback(self._go_on, uuid)
            yield
            undo.pop_all()

    def _go_on(self, uuid: str) -> None:
        try:
            if self._driver.domains.get(uuid).power is Power.SUSPENDED:
                self._driver.suspending.resume_in_place(uuid)
        except HypervisorError as error:
            self._report(ResumeGuest(uuid), error)

    def _resolved(self, config: DomainConfig) -> DomainConfig:
        disks = tuple(replace(disk, source=self._backend(config.uuid, disk.source)) for disk in config.disks)
        return replace(config, disks=disks)

    def _backend(self, uuid: str, source: DiskSource) -> Backend | EmptyDrive:
        return self._crew.disks.locate(uuid, source) if isinstance(source, Volume) else source

    def _image_path(self, uuid: str, image: ImagePlace) -> Path:
        backend = self._backend(uuid, image)
        if not isinstance(backend, FileBackend):
            raise Unsupported("an image that is neither a file nor a block device")
        return Path(backend.path)
