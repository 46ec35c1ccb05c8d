"""One round of samples: what the hypervisor counted, in the terms of the rows of VMs, hosts and storage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from xapi.datamodel.classes import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Task
from xapi.datamodel.classes.vm import VmPowerState
from xapi.dispatch.toolstack import Toolstack
from xapi.hypervisor.interface import DomainCounters, HostCounters
from xapi.monitoring.catalogue import SR_LAYOUT, host_layout, vm_layout
from xapi.monitoring.recorder import Owner, OwnerKind, Sample
from xapi.services import host_figures

KIB = 1024
MIB = 1024 * 1024
SHORT = 8  # digits of an SR's UUID that stand for it in the names of a host's sources


@dataclass(slots=True)
class Round:
    """What one round found: samples, bytes held by each VM with a domain, and the host's memory."""

    samples: list[Sample]
    memory_of: Mapping[str, int]
    host: HostCounters


@dataclass(slots=True)
class _Traffic:
    """Bytes since the last round: of each SR by its short name, and in all of each network, in and out."""

    read: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    written: dict[str, float] = field(default_factory=lambda: defaultdict(float))


class Sampler:
    """Makes rounds; it remembers counters from one round to the next."""

    def __init__(
        self,
        toolstack: Toolstack,
        interface_bytes: Callable[[], Mapping[str, tuple[int, int]]] = host_figures.interface_bytes,
    ) -> None:
        self._toolstack = toolstack
        self._interface_bytes = interface_bytes
        self._simulated = toolstack.hypervisor.host.facts().hypervisor == "simulator"
        self._disks: dict[tuple[str, str], tuple[int, int]] = {}
        self._cards: dict[tuple[str, int], tuple[int, int]] = {}
        self._networks: dict[str, tuple[int, int]] = {}

    def round(self) -> Round:
        """Ask the hypervisor and the rows for one round."""
        metering = self._toolstack.hypervisor.metering
        domains, host = metering.domain_counters(), metering.host_counters()
        traffic = _Traffic()
        samples: list[Sample] = []
        rows: list[VM] = []
        disks, cards = self._disks, self._cards
        self._disks, self._cards = {}, {}
        for counters in domains:
            row = self._toolstack.db.by_uuid(VM, counters.uuid)
            if row is not None:
                rows.append(row)
                samples.append(_vm_sample(row, counters))
                self._add_disks(row, counters, disks, traffic)
                if self._simulated:
                    self._add_cards(row, counters, cards)
        samples += self._repositories(host, rows, traffic)
        return Round(samples, {counters.uuid: counters.memory for counters in domains}, host)

    def _add_disks(
        self, row: VM, counters: DomainCounters, before: Mapping[tuple[str, str], tuple[int, int]], traffic: _Traffic
    ) -> None:
        """Count what the disks of a VM did since the last round for the SRs that they are on."""
        find = self._toolstack.db.find
        for ref in row.VBDs:
            vbd = find(VBD, ref)
            if vbd is None or vbd.device not in counters.disk_read_bytes:
                continue
            device = vbd.device
            now = (counters.disk_read_bytes[device], counters.disk_write_bytes[device])
            self._disks[row.uuid, device] = now
            old = before.get((row.uuid, device))
            vdi = find(VDI, vbd.VDI)
            sr = find(SR, vdi.SR) if vdi is not None else None
            if old is not None and sr is not None:
                short = sr.uuid[:SHORT]
                traffic.read[short] += max(0, now[0] - old[0])
                traffic.written[short] += max(0, now[1] - old[1])

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

    def _repositories(self, counters: HostCounters, rows: list[VM], traffic: _Traffic) -> Iterator[Sample]:
        """The samples of the SRs that are plugged here, and of the host itself."""
        db = self._toolstack.db
        host = db.get(Host, self._toolstack.this_host)
        plugged = [pbd for pbd in (db.find(PBD, ref) for ref in host.PBDs) if pbd is not None]
        found = (db.find(SR, ref) for ref in {pbd.SR for pbd in plugged if pbd.currently_attached})
        repositories = sorted((sr for sr in found if sr is not None), key=lambda sr: sr.uuid)
        for sr in repositories:
            values = [float(sr.physical_size), float(sr.physical_utilisation)]
            yield Sample(Owner(OwnerKind.SR, sr.uuid), SR_LAYOUT, values)
        yield self._host_sample(host, counters, rows, traffic, tuple(sr.uuid[:SHORT] for sr in repositories))

    def _host_sample(
        self, host: Host, counters: HostCounters, rows: list[VM], traffic: _Traffic, shorts: tuple[str, ...]
    ) -> Sample:
        toolstack = self._toolstack
        cpus = counters.cpu_seconds
        interfaces = self._interfaces(host)
        received, sent = sum(each[0] for each in interfaces.values()), sum(each[1] for each in interfaces.values())
        values = [
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
        for short in shorts:
            read, written = traffic.read[short] / MIB, traffic.written[short] / MIB
            values += (read, written, read + written)
        return Sample(Owner(OwnerKind.HOST, host.uuid), host_layout(len(cpus), tuple(interfaces), shorts), values)

    def _interfaces(self, host: Host) -> dict[str, tuple[int, int]]:
        """Bytes received and sent by each physical interface that has a PIF; on the simulator what its guests did."""
        db = self._toolstack.db
        pifs = [pif for pif in (db.find(PIF, ref) for ref in host.PIFs) if pif is not None and pif.physical]
        pifs.sort(key=lambda pif: pif.device)
        if self._simulated:
            return {pif.device: self._networks.get(pif.network, (0, 0)) for pif in pifs}
        present = self._interface_bytes()
        return {pif.device: present[pif.device] for pif in pifs if pif.device in present}


def _vm_sample(row: VM, counters: DomainCounters) -> Sample:
    """What was counted of one VM, in the order of `vm_layout`."""
    cpus, free = counters.cpu_seconds, counters.memory_internal_free
    disks, cards = counters.disk_read_bytes, counters.nic_receive_bytes
    layout = vm_layout(len(cpus), free is not None, tuple(disks), tuple(cards))
    values = [*cpus, sum(cpus) / len(cpus) if cpus else 0.0, float(counters.memory), float(row.memory_target)]
    if free is not None:
        values.append(free / KIB)
    for device, read in disks.items():
        written = counters.disk_write_bytes[device]
        values += (read, written, read / MIB, written / MIB, (read + written) / MIB)
    for card, received in cards.items():
        values += (received, counters.nic_transmit_bytes[card])
    settled = row.power_state is not VmPowerState.PAUSED
    return Sample(Owner(OwnerKind.VM, row.uuid), layout, values, counters.domid, settled)
