"""A house with simulated networking, whether or not the server has wired one, and rows that its tests need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.eventually import eventually
from tests.fakes.house import House
from tests.fakes.places import state_directory
from xapi.actions.attach_networks import AttachNetworks
from xapi.actions.pif_scan import start_networking
from xapi.actions.vm.domains import note_agent
from xapi.datamodel.classes import VM, Host, VMMetrics
from xapi.datamodel.classes.vm import DomainType, VmPowerState
from xapi.datamodel.failure import Failure
from xapi.hypervisor.interface import DomainConfig, DomainKind, Memory
from xapi.network.simulator.driver import SimulatedNetwork
from xapi.network.simulator.settings import NetworkSimulatorConfig
from xapi.services.guest_watcher import system_context

MIB = 1 << 20


@contextmanager
def wired_house(**settings: str) -> Iterator[WiredHouse]:
    with state_directory() as directory:
        house = House(Path(directory), FakeClock())
        wired = WiredHouse(house, **settings)
        try:
            yield wired
        finally:
            wired.driver.close()
            house.close()


class WiredHouse:
    """What tests of networking talk to."""

    def __init__(self, house: House, **settings: str) -> None:
        self.house = house
        self.toolstack = house.toolstack
        self.db = house.toolstack.db
        self.client = house.client
        self.host = house.toolstack.this_host
        directory = self.toolstack.state / "test-network"
        config = NetworkSimulatorConfig.from_mapping({"nics": "4", "lease.eth0": "127.0.0.1/8", **settings})
        self.driver = SimulatedNetwork(directory, config)
        self.networks = AttachNetworks(self.db, self.driver, self.host)
        self.toolstack.parts[AttachNetworks] = self.networks
        if config.backend == "openvswitch":
            with self.db.transaction() as transaction:
                versions = transaction.get(Host, self.host).software_version
                transaction.update(Host, self.host, software_version={**versions, "network_backend": "openvswitch"})
        start_networking(self.networks, self.toolstack.clock.now())

    @property
    def bridges(self) -> frozenset[str]:
        return self.driver.bridges.names()

    def pif(self, device: str, vlan: int = -1) -> str:
        for ref, record in self.client.PIF.get_all_records().items():
            if record["device"] == device and int(record["VLAN"]) == vlan:
                return str(ref)
        raise LookupError(device)

    def network(self, name: str, **fields: Any) -> str:
        return str(self.client.network.create({"name_label": name, **fields}))

    def vm(self, name: str, *, running: bool = False, **fields: Any) -> str:
        with self.db.transaction() as transaction:
            metrics = transaction.create(VMMetrics, current_domain_type=DomainType.PV)
            vm = transaction.create(VM, name_label=name, metrics=metrics, domain_type=DomainType.PV, **fields)
        if running:
            self.start(vm)
        return str(vm)

    def start(self, vm: str) -> None:
        row = self.db.get(VM, vm)
        domains = self.toolstack.hypervisor.domains
        state = domains.create(
            DomainConfig(row.uuid, row.name_label, DomainKind.PV, Memory.fixed(64 * MIB), os_hint=row.name_label)
        )
        domains.unpause(row.uuid)
        with self.db.transaction() as transaction:
            transaction.update(VM, vm, power_state=VmPowerState.RUNNING, resident_on=self.host, domid=state.domid)

    def nics(self, vm: str) -> dict[int, Any]:
        state = self.toolstack.hypervisor.domains.get(self.db.get(VM, vm).uuid)
        return {nic.device: nic for nic in state.nics}

    def everything(self) -> dict[Any, Any]:
        """Every row and every bridge, to see that nothing has changed; tasks come and go.

        What guests have reported by now is in the rows.
        """
        for row in self.db.all(VM):
            if row.power_state is VmPowerState.RUNNING and not row.is_control_domain:
                uuid = row.uuid
                eventually(lambda uuid=uuid: self.toolstack.hypervisor.domains.get(uuid).agent, bool)
                note_agent(system_context(self.toolstack, "everything"), row.ref)
        rows = {
            (entity, ref): tuple(version.row)
            for entity, table in self.db.tables.items()
            for ref, version in table.items()
            if entity.wire_name not in ("task", "session")
        }
        return {**rows, "bridges": dict(self.driver.configs), "ports": dict(self.driver.placed)}

    def until(self, entity: type[Any], ref: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds that can only become true when the object changes."""
        changed = Event()
        forget = self.db.waiters.add([(entity, ref)], changed.set)
        try:
            while not holds():
                assert changed.wait(30), "nothing has changed"
                changed.clear()
        finally:
            forget()

    def no_faults(self) -> None:
        self.toolstack.hypervisor.configure({})
        self.driver.configure({})


def refused(call: Callable[..., Any], *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        call(*params)
    return failure.value.description
