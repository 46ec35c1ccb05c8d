"""What a host has when it starts: made at the first start, found again and brought up to date at later ones.

`startup` is called once, before the toolstack takes calls. All that is stored changes in one transaction, so that a
toolstack killed in the middle of its first start begins it again, and a later start costs one disk sync at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from xapi.datamodel.classes import PBD, VM, Host, Pool
from xapi.datamodel.model import Ref
from xapi.db.database import Database
from xapi.services.startup import inventory, versions
from xapi.services.startup.control_domain import prepare_control_domain
from xapi.services.startup.host import find_host, prepare_host
from xapi.services.startup.inventory import Installation, identify
from xapi.services.startup.leftovers import fail_unfinished_tasks
from xapi.services.startup.networks import bridge_name, prepare_networks
from xapi.services.startup.pool import prepare_pool
from xapi.services.startup.roles import make_roles
from xapi.services.startup.storage import pbds_to_plug, prepare_drivers, prepare_storage
from xapi.services.startup.surroundings import (
    HostNic,
    Hypervisor,
    LocalStorage,
    Machine,
    Surroundings,
    simulated_nics,
    storage_in,
    surroundings_of,
)
from xapi.services.startup.templates import prepare_templates
from xapi.storage.interface import SrDriverType
from xapi.system.clock import Clock
from xapi.system.settings import Settings

__all__ = [
    "HostNic",
    "Hypervisor",
    "Installation",
    "LocalStorage",
    "Machine",
    "Started",
    "Surroundings",
    "identify",
    "simulated_nics",
    "start_in",
    "startup",
    "storage_in",
    "surroundings_of",
]


@dataclass(frozen=True, slots=True)
class Started:
    """What the rest of the toolstack needs of a start. `to_plug` are this host's PBDs, none of them attached yet."""

    installation: Installation
    this_host: Ref[Host]
    pool: Ref[Pool]
    control_domain: Ref[VM]
    to_plug: tuple[Ref[PBD], ...]
    first_start: bool
    failed_tasks: int


def startup(
    database: Database,
    clock: Clock,
    hypervisor: Hypervisor,
    settings: Settings,
    *,
    drivers: tuple[SrDriverType, ...] = (),
    nics: tuple[HostNic, ...] = (),
) -> Started:
    """Make or refresh all that a host has, as the settings have it; nothing else may use the database meanwhile.

    `drivers` are the types of storage at hand; without `nics`, the host has simulated network cards. Raises
    DamagedInventory, and OSError when the inventory or a directory cannot be written.
    """
    installation = identify(settings.state)
    surroundings = surroundings_of(settings, installation.uuid, drivers, nics)
    return start_in(database, clock, hypervisor, installation, surroundings)


def start_in(
    database: Database, clock: Clock, hypervisor: Hypervisor, installation: Installation, surroundings: Surroundings
) -> Started:
    """Make or refresh all that a host has in these surroundings; ValueError when its local SR has no driver."""
    facts = hypervisor.host.facts()
    memory_free = hypervisor.host.memory_free()
    now = clock.now()
    with database.transaction() as transaction:
        first_start = find_host(transaction, installation) is None
        host = prepare_host(transaction, installation, surroundings, facts, memory_free, now)
        control_domain = prepare_control_domain(transaction, installation, surroundings, facts, host, now)
        pool = prepare_pool(transaction, host)
        failed_tasks = fail_unfinished_tasks(transaction, host, now)
        prepare_networks(transaction, surroundings, host, now)
        prepare_drivers(transaction, surroundings.drivers)
        prepare_storage(transaction, surroundings, host, pool)
        to_plug = pbds_to_plug(transaction, host)
        prepare_templates(transaction, pool, now)
    with database.transaction() as transaction:
        make_roles(transaction)
    _write_inventory(installation, surroundings)
    return Started(installation, host, pool, control_domain, to_plug, first_start, failed_tasks)


def _write_inventory(installation: Installation, surroundings: Surroundings) -> None:
    management = next((nic for nic in surroundings.nics if nic.management), None)
    path = surroundings.state / inventory.FILE_NAME
    lines = {
        **inventory.read_inventory(path),
        **versions.product_lines(surroundings.product),
        inventory.INSTALLATION_UUID: installation.uuid,
        inventory.CONTROL_DOMAIN_UUID: installation.control_domain,
        "MANAGEMENT_INTERFACE": bridge_name(management.device) if management else "",
        "MANAGEMENT_ADDRESS_TYPE": "IPv6" if ":" in surroundings.address else "IPv4",
        "CURRENT_INTERFACES": " ".join(bridge_name(nic.device) for nic in surroundings.nics),
    }
    inventory.keep_inventory(path, lines)
    if surroundings.inventory is not None:
        inventory.keep_inventory(surroundings.inventory, lines)
