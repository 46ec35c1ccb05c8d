"""Counters of simulated domains: invented, but the same for the same seed, and growing with the time that they ran."""

import zlib

from xapi.hypervisor.interface import DiskRequests, DomainCounters, HostCounters, Power
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.machine import Machine


class SimulatedMetering:
    """The Metering protocol."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def domain_counters(self) -> tuple[DomainCounters, ...]:
        """The counters of every domain, in order of domid."""
        now = self._machine.now()
        with self._machine.changing():
            domains = tuple(self._machine.domains.values())
        return tuple(self._counters(domain, now) for domain in domains)

    def host_counters(self) -> HostCounters:
        """The counters of the machine: what its domains burn, spread evenly, and a little of its own."""
        now = self._machine.now()
        with self._machine.changing():
            domains = tuple(self._machine.domains.values())
            free = self._machine.free
        cpus = self._machine.config.cpus
        burnt = sum(sum(self._cpu_seconds(domain, now)) for domain in domains) / cpus
        up = now - self._machine.boot_time
        return HostCounters(
            cpu_seconds=tuple(up * (0.005 + 0.00001 * number) + burnt for number in range(cpus)),
            memory_total=self._machine.config.memory,
            memory_free=free,
        )

    def _counters(self, domain: Domain, now: float) -> DomainCounters:
        ran = domain.seconds_run(now)
        return DomainCounters(
            uuid=domain.uuid,
            domid=domain.domid,
            cpu_seconds=self._cpu_seconds(domain, now),
            memory=domain.actual,
            memory_internal_free=domain.actual * (30 + self._pick(domain, "memory") % 40) // 100
            if domain.booted
            else None,
            disk_read_bytes={each.device: self._bytes(domain, f"r{each.device}", ran) for each in domain.disks},
            disk_write_bytes={each.device: self._bytes(domain, f"w{each.device}", ran) for each in domain.disks},
            nic_receive_bytes={each.device: self._bytes(domain, f"rx{each.device}", ran) for each in domain.nics},
            nic_transmit_bytes={each.device: self._bytes(domain, f"tx{each.device}", ran) for each in domain.nics},
            disk_requests={each.device: self._requests(domain, each.device, ran) for each in domain.disks},
        )

    def _requests(self, domain: Domain, device: str, ran: float) -> DiskRequests:
        """Requests that fit the bytes that were moved: of 4 to 64 KiB, of 0.1 to 8 ms each, as the guest has it."""
        reads = self._bytes(domain, f"r{device}", ran) // self._request_size(domain, device)
        writes = self._bytes(domain, f"w{device}", ran) // self._request_size(domain, device)
        latency = 0.0001 + self._pick(domain, f"latency{device}") % 80 / 10_000
        busy = (reads + writes) * latency / ran if ran > 0 else 0.0
        # As many in flight as there are on average, and the odd one more as time goes.
        phase = (ran * 7 + self._pick(domain, device)) % 97 / 97
        waiting = int(busy + phase) if domain.power is Power.RUNNING else 0
        return DiskRequests(reads, writes, reads * latency, writes * latency * 1.5, waiting)

    def _request_size(self, domain: Domain, device: str) -> int:
        return 4096 << self._pick(domain, f"size{device}") % 5

    def _cpu_seconds(self, domain: Domain, now: float) -> tuple[float, ...]:
        ran = domain.seconds_run(now)
        load = 0.01 + (self._pick(domain, "cpu") % 100) / 1000
        return tuple(ran * load / (number + 1) for number in range(domain.online))

    def _bytes(self, domain: Domain, what: str, ran: float) -> int:
        return int(ran * (self._pick(domain, what) % 65536))

    def _pick(self, domain: Domain, what: str) -> int:
        return zlib.crc32(f"{self._machine.config.seed}/{domain.uuid}/{what}".encode())
