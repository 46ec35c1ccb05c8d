"""Each driver operation fails once during each operation on a VM: nothing is left over, and a second attempt works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.actions.scene import Scene, differences, furnished_scene
from tests.actions.storage_house import NULL
from tests.fakes.eventually import eventually
from tests.fakes.guests import halted
from xapi.actions.attach_networks import AttachNetworks
from xapi.datamodel.classes import SR, Session, Task, VMGuestMetrics, VMMetrics
from xapi.datamodel.classes.message import AlertMessage
from xapi.datamodel.failure import Failure
from xapi.hypervisor.simulator.faults import OPERATIONS as HYPERVISOR
from xapi.network.simulator.faults import OPERATIONS as NETWORK
from xapi.storage.simulator.faults import Faults

STORAGE = (
    *("create", "destroy", "snapshot", "clone", "attach", "activate", "deactivate", "detach"),
    *("open_for_reading", "open_for_writing", "find", "update"),
)
SPACE = SR.physical_utilisation.index
UNAVAILABLE = "46"
TOLD = {Session.wire_name, Task.wire_name, VMMetrics.wire_name, VMGuestMetrics.wire_name, AlertMessage.wire_name}
DISKS_XML = '<provision><disk device="0" size="4194304" sr="{}"/><disk device="1" size="4194304" sr="{}"/></provision>'


@dataclass
class Case:
    """One VM with its surroundings, of which a test takes everything away again at the end."""

    scene: Scene

    def __post_init__(self) -> None:
        scene, client = self.scene, self.scene.client
        self.srs = [scene.sr("dummy"), scene.sr("dummy")]
        self.network = client.network.create(
            {"name_label": "of a case", "name_description": "", "MTU": "1500", "other_config": {}}
        )
        self.vm = halted(client, name_label="case")
        self.drives = []
        for number, sr in enumerate(self.srs):
            disk = scene.disk(sr)
            self.drives.append(scene.drive(self.vm, disk, userdevice=str(number), bootable=number == 0))
        scene.drive(self.vm, scene.iso, userdevice="3", mode="RO", type="CD")
        self.card = self.new_card("0")
        self.snapshot = NULL
        client.VM.set_suspend_SR(self.vm, self.srs[1])

    @property
    def client(self) -> Any:
        return self.scene.client

    def new_card(self, device: str) -> str:
        scene, scene.network = self.scene, self.network
        return scene.card(self.vm, device)

    def start(self) -> None:
        self.client.VM.start(self.vm, False, False)
        eventually(lambda: self.client.VM.get_guest_metrics(self.vm), lambda ref: ref != NULL)

    def suspend(self) -> None:
        self.start()
        self.client.VM.suspend(self.vm)


@dataclass(frozen=True)
class Deed:
    """An operation on the VM of a case: what must be before it, itself, and whether it is all or nothing."""

    prepare: Callable[[Case], object]
    act: Callable[[Case], object]
    ends_in: str
    needs: str
    all_or_nothing: bool = True


def nothing(case: Case) -> None:
    pass


def with_hot_disk(case: Case) -> None:
    case.start()
    disk = case.scene.disk(case.srs[1])
    case.drives.append(case.scene.drive(case.vm, disk, userdevice="2"))


def with_hot_card(case: Case) -> None:
    case.start()
    case.card = case.new_card("1")


def as_template(case: Case) -> None:
    client = case.client
    for drive in case.drives:
        disk = client.VBD.get_VDI(drive)
        client.VBD.destroy(drive)
        client.VDI.destroy(disk)
    uuids = [client.SR.get_uuid(sr) for sr in case.srs]
    client.VM.add_to_other_config(case.vm, "disks", DISKS_XML.format(*uuids))
    client.VM.set_is_a_template(case.vm, True)


def with_snapshot(case: Case) -> None:
    case.snapshot = case.client.VM.snapshot(case.vm, "kept")


def with_checkpoint(case: Case) -> None:
    case.start()
    case.snapshot = case.client.VM.checkpoint(case.vm, "kept")
    case.client.VM.hard_shutdown(case.vm)


def moved(case: Case) -> None:
    client = case.client
    target = {client.VBD.get_VDI(case.drives[1]): case.srs[0]}
    client.VM.migrate_send(case.vm, {"host": case.scene.host}, True, target, {}, {})


def of_vm(message: str, *params: object) -> Callable[[Case], object]:
    return lambda case: case.client(f"VM.{message}", case.vm, *params)


NEEDS = {
    "start": (
        "simulator.create simulator.create.devices simulator.create.memory simulator.unpause "
        "storage.activate storage.attach network-simulator.bring_up"
    ),
    "start paused": (
        "simulator.create simulator.create.devices simulator.create.memory storage.activate "
        "storage.attach network-simulator.bring_up"
    ),
    "clean_shutdown": "simulator.await_shutdown simulator.destroy simulator.request_shutdown",
    "hard_shutdown": "simulator.destroy",
    "clean_reboot": (
        "simulator.await_shutdown simulator.create simulator.create.devices simulator.create.memory "
        "simulator.destroy simulator.request_shutdown simulator.unpause"
    ),
    "hard_reboot": (
        "simulator.create simulator.create.devices simulator.create.memory simulator.destroy simulator.unpause"
    ),
    "suspend": (
        "simulator.await_shutdown simulator.destroy simulator.request_shutdown simulator.save "
        "simulator.save.write storage.create storage.open_for_writing"
    ),
    "resume": (
        "simulator.restore simulator.restore.devices simulator.unpause storage.activate storage.attach "
        "storage.open_for_reading network-simulator.bring_up"
    ),
    "checkpoint": (
        "simulator.await_shutdown simulator.request_shutdown simulator.resume_in_place simulator.save "
        "simulator.save.write storage.create storage.open_for_writing storage.snapshot"
    ),
    "snapshot": "storage.snapshot",
    "snapshot of a running VM": "storage.snapshot",
    "clone": "storage.clone",
    "copy": "storage.create storage.find storage.open_for_reading storage.open_for_writing",
    "csvm": "storage.clone",
    "provision": "storage.create",
    "revert": "storage.clone",
    "revert to memory": "storage.clone",
    "VBD.plug": "simulator.plug_disk storage.activate storage.attach",
    "VIF.plug": "simulator.plug_nic",
    "migrate_send": "storage.open_for_reading",
    "pool_migrate": (
        "simulator.await_shutdown simulator.destroy simulator.request_shutdown simulator.restore "
        "simulator.restore.devices simulator.save simulator.save.write simulator.unpause "
        "storage.activate storage.attach network-simulator.bring_up"
    ),
}
"""The driver operations that each operation needs: `test_whatever_else_fails_once` shows that this is all."""

DEEDS = {
    "start": Deed(
        nothing,
        of_vm("start", False, False),
        "Running",
        NEEDS["start"],
    ),
    "start paused": Deed(nothing, of_vm("start", True, False), "Paused", NEEDS["start paused"]),
    "clean_shutdown": Deed(
        Case.start, of_vm("clean_shutdown"), "Halted", NEEDS["clean_shutdown"], all_or_nothing=False
    ),
    "hard_shutdown": Deed(Case.start, of_vm("hard_shutdown"), "Halted", NEEDS["hard_shutdown"], all_or_nothing=False),
    "clean_reboot": Deed(
        Case.start,
        of_vm("clean_reboot"),
        "Running",
        NEEDS["clean_reboot"],
        all_or_nothing=False,
    ),
    "hard_reboot": Deed(
        Case.start,
        of_vm("hard_reboot"),
        "Running",
        NEEDS["hard_reboot"],
        all_or_nothing=False,
    ),
    "suspend": Deed(Case.start, of_vm("suspend"), "Suspended", NEEDS["suspend"]),
    "resume": Deed(
        Case.suspend,
        of_vm("resume", False, False),
        "Running",
        NEEDS["resume"],
    ),
    "checkpoint": Deed(
        Case.start,
        of_vm("checkpoint", "checkpoint"),
        "Running",
        NEEDS["checkpoint"],
    ),
    "snapshot": Deed(nothing, of_vm("snapshot", "snapshot"), "Halted", NEEDS["snapshot"]),
    "snapshot of a running VM": Deed(
        Case.start, of_vm("snapshot", "snapshot"), "Running", NEEDS["snapshot of a running VM"]
    ),
    "clone": Deed(nothing, of_vm("clone", "clone"), "Halted", NEEDS["clone"]),
    "copy": Deed(nothing, of_vm("copy", "copy", NULL), "Halted", NEEDS["copy"]),
    "csvm": Deed(Case.suspend, of_vm("csvm"), "Suspended", NEEDS["csvm"]),
    "provision": Deed(as_template, of_vm("provision"), "Halted", NEEDS["provision"]),
    "revert": Deed(with_snapshot, lambda case: case.client.VM.revert(case.snapshot), "Halted", NEEDS["revert"]),
    "revert to memory": Deed(
        with_checkpoint, lambda case: case.client.VM.revert(case.snapshot), "Suspended", NEEDS["revert to memory"]
    ),
    "VBD.plug": Deed(with_hot_disk, lambda case: case.client.VBD.plug(case.drives[-1]), "Running", NEEDS["VBD.plug"]),
    "VIF.plug": Deed(with_hot_card, lambda case: case.client.VIF.plug(case.card), "Running", NEEDS["VIF.plug"]),
    "migrate_send": Deed(nothing, moved, "Halted", NEEDS["migrate_send"]),
    "pool_migrate": Deed(
        Case.start,
        lambda case: case.client.VM.pool_migrate(case.vm, case.scene.host, {}),
        "Running",
        NEEDS["pool_migrate"],
        all_or_nothing=False,
    ),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with furnished_scene() as opened:
        yield opened


def everything(scene: Scene) -> dict[str, dict[str, Any]]:
    """All rows but those that tell what happened, and but the space that the computer's own disk happens to have."""
    found = {name: rows for name, rows in scene.rows().items() if name not in TOLD}
    found["SR"] = {ref: SR((*row[:SPACE], 0, *row[SPACE + 1 :])) for ref, row in found["SR"].items()}
    return found


def contradictions(scene: Scene) -> list[str]:
    """What rows and drivers say differently."""
    client = scene.client
    records = client.VM.get_all_records()
    found = [
        f"{vm['name_label']} is busy with {vm['current_operations']}"
        for vm in records.values()
        if vm["current_operations"]
    ]
    for name in ("VBD", "VIF", "VDI", "SR"):
        found += [
            f"{name} {ref} is busy with {record['current_operations']}"
            for ref, record in client(f"{name}.get_all_records").items()
            if record["current_operations"]
        ]
    alive = {
        vm["uuid"]: vm["power_state"]
        for vm in records.values()
        if vm["power_state"] in ("Running", "Paused") and not vm["is_control_domain"]
    }
    domains = {state.uuid: state for state in scene.house.toolstack.hypervisor.domains.list()}
    if alive.keys() != domains.keys():
        found.append(f"VMs {sorted(alive)} live and there are domains {sorted(domains)}")
    found += [
        f"{uuid} is {state} and its domain {domains[uuid].power}"
        for uuid, state in alive.items()
        if uuid in domains and state.lower() != domains[uuid].power
    ]
    images = {vm["suspend_VDI"] for vm in records.values()}
    found += [
        f"the memory image {ref} belongs to nobody"
        for ref, vdi in client.VDI.get_all_records().items()
        if vdi["type"] == "suspend" and ref not in images
    ]
    directory = scene.house.toolstack.state / "images"
    if directory.exists() and list(directory.iterdir()):
        found.append(f"files are left in {directory}")
    return found


def take_away(case: Case, made: set[str]) -> list[str]:
    """Remove all that a case has made; what does not go was leaked."""
    client, found = case.client, []
    bridge = client.network.get_bridge(case.network)
    for vm in made:
        record = client.VM.get_record(vm)
        if record["power_state"] != "Halted" and not record["is_a_snapshot"]:
            client.VM.hard_shutdown(vm)
        image = record["suspend_VDI"] if record["is_a_snapshot"] else NULL
        client.VM.destroy(vm)
        if image != NULL:
            client.VDI.destroy(image)
    for sr in case.srs:
        case.scene.check_rows_follow_storage(sr)
        for vdi in client.SR.get_VDIs(sr):
            client.VDI.destroy(vdi)
        client.PBD.unplug(case.scene.pbd(sr))
        client.SR.forget(sr)
    client.network.destroy(case.network)
    if bridge in case.scene.house.toolstack.part(AttachNetworks).networking.driver.bridges.names():
        found.append(f"bridge {bridge} is left")
    return found


def wish_for(case: Case, operations: Sequence[tuple[str, str]], kind: str) -> Callable[[], None]:
    """Let operations of drivers fail, each once; the answer takes back the wishes that did not come true."""
    client, host = case.client, case.scene.host
    handle: Any = case.scene.repositories.get(case.scene.db, case.srs[1])
    handle._faults = Faults(
        {f"fault-{operation}": f"{kind or UNAVAILABLE}:1" for door, operation in operations if door == "storage"}
    )
    before = client.host.get_other_config(host)
    wishes = {
        f"{door}:fault:{operation}": f"{kind or 'error'},times=1" for door, operation in operations if door != "storage"
    }
    client.host.set_other_config(host, {**before, **wishes})

    def unwish() -> None:
        handle._faults = Faults({})
        client.host.set_other_config(host, before)

    return unwish


def play(scene: Scene, deed: Deed, *operations: tuple[str, str], kind: str = "") -> tuple[bool, list[str]]:
    """Let faults of operations strike a deed; answers whether one did, and what is wrong afterwards."""
    client = scene.client
    before_all, contradicted = set(client.VM.get_all()), contradictions(scene)

    def contradicting() -> list[str]:
        found = eventually(lambda: contradictions(scene), lambda now: now == contradicted, seconds=5)
        return [one for one in found if one not in contradicted]

    case = Case(scene)
    deed.prepare(case)
    unwish = wish_for(case, operations, kind)
    before = everything(scene)
    struck, problems = False, []
    try:
        deed.act(case)
    except Failure as failure:
        struck = True
        if failure.code == "INTERNAL_ERROR":
            problems.append(str(failure))
        if deed.all_or_nothing:
            problems += differences(before, everything(scene))
    unwish()
    problems += contradicting()
    if struck and not problems:
        state = client.VM.get_power_state(case.vm)
        if not deed.all_or_nothing and state == "Halted":
            if deed.ends_in == "Running":
                client.VM.start(case.vm, False, False)
        elif not deed.all_or_nothing and state == "Suspended":
            client.VM.resume(case.vm, False, False)
        else:
            try:
                deed.act(case)
            except Failure as failure:
                problems.append(f"the second attempt: {failure}")
    if not problems and client.VM.get_power_state(case.vm) != deed.ends_in:
        problems.append(f"the VM ends {client.VM.get_power_state(case.vm)}")
    problems += contradicting()
    try:
        problems += take_away(case, set(client.VM.get_all()) - before_all)
    except (Failure, AssertionError) as failure:
        problems.append(f"it could not be taken away: {failure}")
    return struck, problems


DOORS = {
    "simulator": sorted(HYPERVISOR),
    "storage": sorted(STORAGE),
    "network-simulator": sorted(NETWORK),
}
EVERY = [(door, operation) for door, operations in DOORS.items() for operation in operations]


def needed(deed: Deed, door: str, operation: str) -> bool:
    return f"{door}.{operation}" in deed.needs.split()


@pytest.mark.parametrize("name", DEEDS)
def test_what_an_operation_needs_fails_once(scene: Scene, name: str) -> None:
    deed = DEEDS[name]
    for door, operation in EVERY:
        if needed(deed, door, operation):
            struck, problems = play(scene, deed, (door, operation))
            assert (operation, struck, problems) == (operation, True, [])


@pytest.mark.parametrize("name", DEEDS)
def test_nothing_else_is_needed(scene: Scene, name: str) -> None:
    deed = DEEDS[name]
    others = [(door, operation) for door, operation in EVERY if not needed(deed, door, operation)]
    assert play(scene, deed, *others) == (False, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["start", "suspend", "resume", "checkpoint", "clean_reboot", "pool_migrate"])
@pytest.mark.parametrize("kind", ["crash", "timeout", "refused", "busy", "out_of_memory", "damaged"])
def test_other_kinds_of_faults_leave_nothing(scene: Scene, name: str, kind: str) -> None:
    for operation in ("create.devices", "await_shutdown", "save", "restore", "unpause", "resume_in_place"):
        _, problems = play(scene, DEEDS[name], ("simulator", operation), kind=kind)
        assert (operation, problems) == (operation, [])
