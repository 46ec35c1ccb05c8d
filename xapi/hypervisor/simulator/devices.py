"""Drives, network cards and USB devices of simulated domains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from xapi.hypervisor.checks import check_disk, check_nic
from xapi.hypervisor.interface import (
    Backend,
    ChangeKind,
    DeviceBusy,
    DeviceRefused,
    Disk,
    DiskKind,
    DiskSource,
    EmptyDrive,
    LockingMode,
    Nic,
    NoSuchDevice,
    NoSuchDomain,
    Power,
    StaticAddress,
    Volume,
    Vusb,
    WrongPower,
)
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.guests import Guests
from xapi.hypervisor.simulator.machine import Machine
from xapi.system.undo import on_failure

MOST_DISKS = 255
MOST_NICS = 16
_LIVE = (Power.RUNNING, Power.PAUSED)


class SimulatedDevices:
    """The Devices protocol."""

    def __init__(self, machine: Machine, guests: Guests) -> None:
        self._machine = machine
        self._guests = guests

    def plug_disk(self, uuid: str, disk: Disk) -> None:
        """Give the domain one more drive; raises DeviceRefused."""
        self._machine.strike("plug_disk", uuid, disk.device)
        check_disk(disk)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            if disk.kind is DiskKind.FLOPPY:
                raise DeviceRefused(disk.device, "a floppy drive cannot be plugged while the guest runs")
            for other in domain.disks:
                if disk.device == other.device or disk.number == other.number:
                    raise DeviceRefused(disk.device, f"the domain has {other.device} (number {other.number}) already")
            if len(domain.disks) >= MOST_DISKS:
                raise DeviceRefused(disk.device, f"a domain has at most {MOST_DISKS} drives")
            self._machine.commit(domain, ChangeKind.DEVICES, disks=(*domain.disks, disk))

    def unplug_disk(self, uuid: str, device: str, force: bool = False) -> None:
        """Take a drive away; raises DeviceBusy when the guest holds it, unless forced."""
        self._machine.strike("unplug_disk", uuid, device)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            disk = domain.disk(device)
            if not disk.unpluggable and not force:
                raise DeviceRefused(device, "it was declared not unpluggable")
            self._check_free(domain, device, force)
            left = tuple(each for each in domain.disks if each is not disk)
            self._machine.commit(domain, ChangeKind.DEVICES, disks=left)

    def insert_media(self, uuid: str, device: str, source: Backend) -> None:
        """Put a medium into an empty CD or floppy drive."""
        self._machine.strike("insert_media", uuid, device)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            drive = _drive(domain, device)
            if not isinstance(drive.source, EmptyDrive):
                raise DeviceRefused(device, "there is a medium in it")
            if isinstance(source, Volume | EmptyDrive):
                raise DeviceRefused(device, "the medium was not attached")
            self._replace_disk(domain, drive, replace(drive, source=source))

    def eject_media(self, uuid: str, device: str) -> None:
        """Take the medium out of a CD or floppy drive."""
        self._machine.strike("eject_media", uuid, device)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            drive = _drive(domain, device)
            if isinstance(drive.source, EmptyDrive):
                raise DeviceRefused(device, "there is no medium in it")
            self._replace_disk(domain, drive, replace(drive, source=EmptyDrive()))

    @contextmanager
    def held_disk(self, uuid: str, device: str) -> Iterator[Callable[[Backend], None]]:
        """While inside, the guest's requests to a drive wait, of which it never has any; the function switches it."""
        self._machine.strike("held_disk", uuid, device)
        with self._machine.changing():
            before = self._machine.domain_in(uuid, *_LIVE).disk(device)

        def put_back() -> None:
            with suppress(NoSuchDomain, NoSuchDevice, WrongPower):  # whoever is gone needs no drive
                self._set_source(uuid, device, before.source)

        with on_failure(put_back):
            yield lambda source: self._set_source(uuid, device, source)

    def _set_source(self, uuid: str, device: str, source: DiskSource) -> None:
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            drive = domain.disk(device)
            if drive.source != source:
                changed = replace(drive, source=source)
                check_disk(changed)
                self._replace_disk(domain, drive, changed)

    def plug_nic(self, uuid: str, nic: Nic) -> None:
        """Give the domain one more network card; raises DeviceRefused."""
        self._machine.strike("plug_nic", uuid, str(nic.device))
        check_nic(nic)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            if any(nic.device == other.device for other in domain.nics):
                raise DeviceRefused(str(nic.device), "the domain has a card of this number already")
            if len(domain.nics) >= MOST_NICS:
                raise DeviceRefused(str(nic.device), f"a domain has at most {MOST_NICS} network cards")
            self._commit_nics(domain, (*domain.nics, nic))

    def unplug_nic(self, uuid: str, device: int, force: bool = False) -> None:
        """Take a network card away; raises DeviceBusy when the guest holds it, unless forced."""
        self._machine.strike("unplug_nic", uuid, str(device))
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            nic = domain.nic(device)
            self._check_free(domain, f"eth{device}", force)
            self._commit_nics(domain, tuple(each for each in domain.nics if each is not nic))

    def move_nic(self, uuid: str, device: int, bridge: str) -> None:
        """Connect a network card to another bridge without the guest seeing it go."""
        self._change_nic("move_nic", uuid, device, bridge=bridge)

    def set_nic_locking(
        self, uuid: str, device: int, mode: LockingMode, allowed_ipv4: tuple[str, ...], allowed_ipv6: tuple[str, ...]
    ) -> None:
        """Change which traffic a network card may carry."""
        self._change_nic(
            "set_nic_locking", uuid, device, locking=mode, allowed_ipv4=allowed_ipv4, allowed_ipv6=allowed_ipv6
        )

    def set_nic_address(self, uuid: str, device: int, ipv4: StaticAddress | None, ipv6: StaticAddress | None) -> None:
        """Tell the guest which addresses to use on a network card; None leaves it to the guest."""
        self._change_nic("set_nic_address", uuid, device, static_ipv4=ipv4, static_ipv6=ipv6)

    def plug_vusb(self, uuid: str, vusb: Vusb) -> None:
        """Hand a USB device to the guest."""
        self._machine.strike("plug_vusb", uuid, vusb.device)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            for other in self._machine.domains.values():
                if any((vusb.bus, vusb.address) == (used.bus, used.address) for used in other.vusbs):
                    raise DeviceRefused(vusb.device, f"domain {other.uuid} has it")
            if any(vusb.device == other.device for other in domain.vusbs):
                raise DeviceRefused(vusb.device, "the domain has a device of this name already")
            self._machine.commit(domain, ChangeKind.DEVICES, vusbs=(*domain.vusbs, vusb))

    def unplug_vusb(self, uuid: str, device: str) -> None:
        """Take a USB device back."""
        self._machine.strike("unplug_vusb", uuid, device)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            left = tuple(each for each in domain.vusbs if each.device != device)
            if len(left) == len(domain.vusbs):
                raise NoSuchDevice(uuid, device)
            self._machine.commit(domain, ChangeKind.DEVICES, vusbs=left)

    def _change_nic(self, operation: str, uuid: str, device: int, **changes: Any) -> None:
        self._machine.strike(operation, uuid, str(device))
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            nic = domain.nic(device)
            changed = replace(nic, **changes)
            check_nic(changed)
            self._commit_nics(domain, tuple(changed if each is nic else each for each in domain.nics))

    def _commit_nics(self, domain: Domain, nics: tuple[Nic, ...]) -> None:
        self._machine.commit(domain, ChangeKind.DEVICES, agent=self._guests.has_agent(domain), nics=nics)

    def _replace_disk(self, domain: Domain, old: Disk, new: Disk) -> None:
        disks = tuple(new if each is old else each for each in domain.disks)
        self._machine.commit(domain, ChangeKind.DEVICES, disks=disks)

    def _check_free(self, domain: Domain, device: str, force: bool) -> None:
        held = (domain.knob("busy-devices") or "").split(",")
        if not force and device in held:
            raise DeviceBusy(device)


def _drive(domain: Domain, device: str) -> Disk:
    drive = domain.disk(device)
    if drive.kind is DiskKind.DISK:
        raise DeviceRefused(device, "it has no removable medium")
    return drive
