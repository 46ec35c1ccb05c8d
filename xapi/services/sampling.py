"""One round of samples: what the hypervisor counted, in the terms of the rows of VMs, hosts and storage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import add
from statistics import fmean
from typing import NamedTuple

from xapi.datamodel.classes import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Task
from xapi.datamodel.classes.vm import VmPowerState
from xapi.dispatch.toolstack import Toolstack
from xapi.hypervisor.interface import DomainCounters, HostCounters
from xapi.monitoring.catalogue import SR_LAYOUT, host_layout, vm_layout
from xapi.monitoring.recorder import Owner, OwnerKind, Sample
from xapi.services import host_figures
from xapi.services.host_figures import Traffic

KIB = 1024
MIB = 1024 * 1024
SHORT = 8  # digits of an SR's UUID that stand for it in the names of a host's sources


@dataclass(slots=True)
class Round:
    """What one round found: samples, bytes held by each VM with a domain, and the host's memory."""

    samples: list[Sample]
    memory_of: Mapping[str, int]
    host: HostCounters


class _Disk(NamedTuple):
    """What a disk, or several together, did: bytes, requests, seconds that these waited, and those that still wait."""

    read: int = 0
    written: int = 0
    reads: int = 0
    writes: int = 0
    read_seconds: float = 0.0
    write_seconds: float = 0.0
    in_flight: int = 0

    def since(self, before: _Disk) -> _Disk:
        """What happened between two moments; nothing where a counter has begun again."""
        return _Disk(
            max(0, self.read - before.read),
            max(0, self.written - before.written),
            max(0, self.reads - before.reads),
            max(0, self.writes - before.writes),
            max(0.0, self.read_seconds - before.read_seconds),
            max(0.0, self.write_seconds - before.write_seconds),
            self.in_flight,
        )

    def and_(self, other: _Disk) -> _Disk:
        """Both together."""
        return _Disk(*map(add, self, other))

    def values(self, since: _Disk, *, counts_requests: bool) -> list[float]:
        """One value for each of `catalogue.disk_sources`, the latencies being those of the time `since`."""
        found = [self.read, self.written, self.read / MIB, self.written / MIB, (self.read + self.written) / MIB]
        if counts_requests:
            waited = self.read_seconds + self.write_seconds
            found += (
                _microseconds(since.read_seconds, since.reads),
                _microseconds(since.write_seconds, since.writes),
                self.reads,
                self.writes,
                self.reads + self.writes,
                waited,
                self.in_flight,
                _microseconds(since.read_seconds + since.write_seconds, since.reads + since.writes),
                waited,
            )
        return found


class _Did(NamedTuple):
    """What a disk did in its life, and since the last round."""

    ever: _Disk
    lately: _Disk


class Sampler:
    """Makes rounds; it remembers counters from one round to the next."""

    def __init__(
        self,
        toolstack: Toolstack,
        interface_traffic: Callable[[], Mapping[str, Traffic]] = host_figures.interface_traffic,
    ) -> None:
        self._toolstack = toolstack
        self._interface_traffic = interface_traffic
        self._simulated = toolstack.hypervisor.host.facts().hypervisor == "simulator"
        self._disks: dict[tuple[str, str], _Disk] = {}
        self._counts_requests = False
        self._cards: dict[tuple[str, int], tuple[int, int]] = {}
        self._networks: dict[str, tuple[int, int]] = {}

    def round(self) -> Round:
        """Ask the hypervisor and the rows for one round."""
        metering = self._toolstack.hypervisor.metering
        domains, host = metering.domain_counters(), metering.host_counters()
        # A driver that counts them does so for good, also while nobody has a disk.
        self._counts_requests |= any(counters.disk_requests for counters in domains)
        stored: dict[str, _Disk] = defaultdict(_Disk)
        samples: list[Sample] = []
        rows: list[VM] = []
        disks, cards = self._disks, self._cards
        self._disks, self._cards = {}, {}
        for counters in domains:
            row = self._toolstack.db.by_uuid(VM, counters.uuid)
            if row is not None:
                rows.append(row)
                did = self._disks_of(counters, disks)
                samples.append(_vm_sample(row, counters, did))
                self._add_disks(row, did, stored)
                if self._simulated:
                    self._add_cards(row, counters, cards)
        samples += self._repositories(host, rows, stored)
        return Round(samples, {counters.uuid: counters.memory for counters in domains}, host)

    def _disks_of(self, counters: DomainCounters, before: Mapping[tuple[str, str], _Disk]) -> dict[str, _Did]:
        """What each disk of a domain did; nothing lately if it is new."""
        found: dict[str, _Did] = {}
        for device, read in counters.disk_read_bytes.items():
            written, asked = counters.disk_write_bytes[device], counters.disk_requests.get(device)
            if asked is None:
                now = _Disk(read, written)
            else:
                now = _Disk(
                    read,
                    written,
                    asked.reads,
                    asked.writes,
                    asked.read_seconds,
                    asked.write_seconds,
                    asked.in_flight,
                )
            key = (counters.uuid, device)
            self._disks[key] = now
            found[device] = _Did(now, now.since(before.get(key, now)))
        return found

    def _add_disks(self, row: VM, did: Mapping[str, _Did], stored: dict[str, _Disk]) -> None:
        """Count what the disks of a VM did since the last round for the SRs that they are on."""
        find = self._toolstack.db.find
        for ref in row.VBDs:
            vbd = find(VBD, ref)
            if vbd is None or vbd.device not in did:
                continue
            vdi = find(VDI, vbd.VDI)
            sr = find(SR, vdi.SR) if vdi is not None else None
            if sr is not None:
                short = sr.uuid[:SHORT]
                stored[short] = stored[short].and_(did[vbd.device].lately)

    def _add_cards(self, row: VM, counters: DomainCounters, before: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """Count what the cards of a VM did since the last round for the networks that they are on."""
        for ref in row.VIFs:
            vif = self._toolstack.db.find(VIF, ref)
            device = int(vif.device) if vif is not None and vif.device.isdecimal() else -1
            if vif is None or device not in counters.nic_receive_bytes:
                continue
            now = (counters.nic_receive_bytes[device], counters.nic_transmit_bytes[device])
            self._cards[row.uuid, device] = now
            old = before.get((row.uuid, device), now)
            received, sent = self._networks.get(vif.network, (0, 0))
            self._networks[vif.network] = (
                received + max(0, now[0] - old[0]),
                sent + max(0, now[1] - old[1]),
            )

    def _repositories(self, counters: HostCounters, rows: list[VM], stored: Mapping[str, _Disk]) -> Iterator[Sample]:
        """The samples of the SRs that are plugged here, and of the host itself."""
        db = self._toolstack.db
        host = db.get(Host, self._toolstack.this_host)
        plugged = [pbd for pbd in (db.find(PBD, ref) for ref in host.PBDs) if pbd is not None]
        found = (db.find(SR, ref) for ref in {pbd.SR for pbd in plugged if pbd.currently_attached})
        repositories = sorted((sr for sr in found if sr is not None), key=lambda sr: sr.uuid)
        for sr in repositories:
            values = [float(sr.physical_size), float(sr.physical_utilisation)]
            yield Sample(Owner(OwnerKind.SR, sr.uuid), SR_LAYOUT, values)
        interfaces = self._interfaces(host)
        values = self._host_values(counters, rows, interfaces)
        shorts = tuple(sr.uuid[:SHORT] for sr in repositories)
        for short in shorts:
            lately = stored.get(short, _Disk())
            values += lately.values(lately, counts_requests=self._counts_requests)
        cpus = len(counters.cpu_seconds)
        layout = host_layout(cpus, tuple(interfaces), shorts, counts_requests=self._counts_requests)
        yield Sample(Owner(OwnerKind.HOST, host.uuid), layout, values)

    def _host_values(self, counters: HostCounters, rows: list[VM], interfaces: Mapping[str, Traffic]) -> list[float]:
        """A value for each source of `host_layout` but those of storage."""
        toolstack = self._toolstack
        cpus = counters.cpu_seconds
        received = sum(each.received for each in interfaces.values())
        sent = sum(each.sent for each in interfaces.values())
        return [
            *cpus,
            fmean(cpus) if cpus else 0.0,
            counters.memory_total / KIB,
            counters.memory_free / KIB,
            float(sum(max(0, row.memory_dynamic_max - row.memory_target) for row in rows)),
            float(sum(max(0, row.memory_target - row.memory_dynamic_min) for row in rows)),
            host_figures.load_average(),
            float(sum(row.power_state == VmPowerState.RUNNING for row in rows)),
            float(len(toolstack.sessions.all())),
            float(len(toolstack.db.all(Task))),
            host_figures.resident_kib(),
            host_figures.open_files(),
            *(float(count) for each in interfaces.values() for count in each),
            *((float(received), float(sent)) if interfaces else ()),
        ]

    def _interfaces(self, host: Host) -> dict[str, Traffic]:
        """What each physical interface that has a PIF has counted; on the simulator what its guests did."""
        db = self._toolstack.db
        pifs = [pif for pif in (db.find(PIF, ref) for ref in host.PIFs) if pif is not None and pif.physical]
        pifs.sort(key=lambda pif: pif.device)
        if self._simulated:
            return {pif.device: Traffic(*self._networks.get(pif.network, (0, 0))) for pif in pifs}
        present = self._interface_traffic()
        return {pif.device: present[pif.device] for pif in pifs if pif.device in present}


def _vm_sample(row: VM, counters: DomainCounters, did: Mapping[str, _Did]) -> Sample:
    """What was counted of one VM, in the order of `vm_layout`."""
    cpus, free = counters.cpu_seconds, counters.memory_internal_free
    cards = counters.nic_receive_bytes
    counts_requests = bool(counters.disk_requests)
    layout = vm_layout(len(cpus), free is not None, tuple(did), tuple(cards), counts_requests=counts_requests)
    values = [*cpus, sum(cpus) / len(cpus) if cpus else 0.0, float(counters.memory), float(row.memory_target)]
    if free is not None:
        values.append(free / KIB)
    for ever, lately in did.values():
        values += ever.values(lately, counts_requests=counts_requests)
    for card, received in cards.items():
        values += (received, counters.nic_transmit_bytes[card])
    settled = row.power_state is not VmPowerState.PAUSED
    return Sample(Owner(OwnerKind.VM, row.uuid), layout, values, counters.domid, settled)


def _microseconds(seconds: float, count: int) -> float:
    """The mean of so many requests that waited so long together; 0 of none."""
    return seconds / count * 1e6 if count else 0.0
