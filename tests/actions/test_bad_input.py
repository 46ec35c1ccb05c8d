"""Every message of these classes is called with what nobody should send: it names an error, and changes nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actions.bad_calls import Known, call_with, is_enumeration, is_number, is_reference, places, plausible
from tests.actions.scene import Scene, differences, furnished_scene
from tests.actions.standing_house import put_back, rows_of
from tests.fakes.clock import FakeClock
from tests.fakes.house import Caller, House
from tests.fakes.places import state_directory
from xapi import lifecycle
from xapi.actions.host.machine import Machine, SimulatedMachine
from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.datamodel.classes import VM, Pool, Session, Task
from xapi.datamodel.errors import ERRORS as CATALOG_ERRORS
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import Basic, EnumType, MapType, RecordType, RefType, SetType
from xapi.dispatch.implement import IMPLEMENTATIONS

CLASSES = (
    *("message", "blob", "secret", "subject", "role", "auth", "VM_appliance", "VMSS", "VM_group", "VTPM", "VUSB"),
    *("PUSB", "USB_group", "VGPU", "PGPU", "GPU_group", "VGPU_type", "PCI", "Feature", "crashdump", "host_crashdump"),
    *("console", "Certificate", "Repository", "Diagnostics", "Host_driver", "Driver_variant", "host", "pool"),
)
DEAD = "OpaqueRef:de5a7dc0-a31c-02d7-44df-2bc801d82de4"
NULL = "OpaqueRef:NULL"
# These may be called with anything: nothing that they are given can be wrong.
READING = {Kind.GET_ALL, Kind.GET_ALL_RECORDS, Kind.GET_BY_NAME_LABEL, Kind.GET_ALL_WHERE, Kind.GET_ALL_RECORDS_WHERE}
# An unforeseen exception is INTERNAL_ERROR with the exception's name and a colon.
UNFORESEEN = "Error: "


def filler(kind, ref, text, number, house):
    match kind:
        case RefType(entity):
            return ref(entity)
        case SetType(of=RefType(entity)):
            return [ref(entity)]
        case SetType(of):
            return [filler(of, ref, text, number, house)]
        case MapType(key=of, value=other):
            return {str(filler(of, ref, text, number, house)): filler(other, ref, text, number, house)}
        case EnumType(enum):
            return str(next(iter(enum)))
        case RecordType(entity):
            fields = [field for field in entity.fields if field.constructor]
            return {field.name: filler(field.type, ref, text, number, house) for field in fields}
        case Basic.STRING:
            return text
        case Basic.INT:
            return number
        case Basic.FLOAT:
            return -1.0
        case Basic.BOOL:
            return True
        case Basic.DATETIME:
            return house.toolstack.clock.now()


def known(house):
    """The reference of something that is there, of the class if there is any."""

    def ref(entity):
        table = house.toolstack.db.tables.get(entity, {})
        return next(iter(table), DEAD)

    return ref


VARIANTS = {
    "dead references": (lambda house: lambda entity: DEAD, "x", "1"),
    "null references": (lambda house: lambda entity: NULL, "", "0"),
    "no references": (lambda house: lambda entity: "", "../../etc/passwd", "-1"),
    "known objects, odd values": (known, "ü\n'\"<&>" * 50, str(-(1 << 63))),
    "known objects, large values": (known, "9" * 400, str((1 << 63) - 1)),
}
# What stops or restarts the host itself, and what a known host does to nobody's surprise.
SPARED = {"host.shutdown_agent", "host.restart_agent"}


def rows(house):
    tables = house.toolstack.db.tables.items()
    return {
        entity.wire_name: {ref: version.row for ref, version in table.items()}
        for entity, table in tables
        if entity not in (Session, Task)
    }


@pytest.fixture(scope="module")
def ready():
    with state_directory() as directory:
        house = House(Path(directory), FakeClock())
        toolstack = house.toolstack
        toolstack.parts[Machine] = SimulatedMachine(toolstack.db, toolstack.clock, toolstack.this_host)
        house.coordinator = house.caller(superuser=True, pool=True)
        yield house
        house.close()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", CLASSES)
def test_bad_input_is_refused_by_name_and_changes_nothing(ready, kind, variant):
    pick, text, number = VARIANTS[variant]
    before = rows(ready)
    for name, method in CATALOG.methods.items():
        if method.entity.wire_name != kind or method.kind in READING or name in SPARED:
            continue
        params = [filler(param.type, pick(ready), text, number, ready) for param in method.params]
        try:
            ready.coordinator(name, *params)
        except Failure as failure:
            assert failure.code in CATALOG_ERRORS, f"{name} answers {failure}"
            assert not (failure.code == "INTERNAL_ERROR" and UNFORESEEN in failure.params[0]), f"{name}: {failure}"
            assert rows(ready) == before, f"{name} was refused and changed something"
        before = rows(ready)


@pytest.mark.parametrize("kind", CLASSES)
def test_values_that_no_enumeration_has(ready, kind):
    before = rows(ready)
    for name, method in CATALOG.methods.items():
        if method.entity.wire_name != kind or not any(isinstance(param.type, EnumType) for param in method.params):
            continue
        params = [
            "no such value"
            if isinstance(param.type, EnumType)
            else filler(param.type, lambda entity: DEAD, "x", "1", ready)
            for param in method.params
        ]
        with pytest.raises(Failure) as refused:
            ready.coordinator(name, *params)
        assert refused.value.code in ("FIELD_TYPE_ERROR", "MESSAGE_REMOVED", "INTERNAL_ERROR"), name
    assert rows(ready) == before


# A host with VMs, disks and networks: here all parameters are right but for one.

FURNISHED = (
    *("VM", "VM_metrics", "VM_guest_metrics", "VBD", "VBD_metrics", "VIF", "VIF_metrics", "VDI", "SR", "PBD", "SM"),
    *("network", "PIF", "PIF_metrics", "VLAN", "Bond", "tunnel", "host", "host_metrics", "host_cpu", "pool"),
    *("VM_appliance", "VMSS", "VM_group", "VTPM", "VUSB", "VGPU", "PUSB", "PGPU", "GPU_group", "console", "blob"),
)
SUBJECTS = ("running", "halted", "suspended", "template", "built-in template", "snapshot", "control domain")
# The service lets these pass with references to nothing: they do not look at them, or take them as not given.
TAKES_DEAD = {
    *("VDI.read_database_pool_uuid", "VDI.copy into_vdi", "PIF.db_introduce bond_slave_of"),
    *("PIF.db_introduce VLAN_master_of", "PIF.pool_introduce bond_slave_of", "PIF.pool_introduce VLAN_master_of"),
    *("host.get_uncooperative_domains", "host.get_uncooperative_resident_VMs", "pool.is_slave"),
    "pool.remove_repository",
}
NEVER_NEGATIVE = re.compile("memory|size|vcpu|delay|order|_limits|_range", re.IGNORECASE)
REFUSED_WORDS = {"FIELD_TYPE_ERROR", "MESSAGE_REMOVED", "NOT_IMPLEMENTED"}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with furnished_scene() as opened:
        yield opened


@pytest.fixture
def caller(scene: Scene) -> Iterator[Caller]:
    """The pool's own voice; afterwards all rows are as they were, whatever it was told to do."""
    caller = scene.house.caller(superuser=True, pool=True)
    before = rows_of(scene.db)
    yield caller
    put_back(scene.db, before)


def things(scene: Scene, subject: str) -> Known:
    """What there is of each class; of VMs and of what belongs to them that of a subject."""
    client = scene.client
    vm = {
        "running": scene.vm,
        "template": scene.template,
        "built-in template": client.VM.get_by_name_label("Other install media")[0],
        "control domain": scene.control_domain,
    }.get(subject) or getattr(scene, subject)
    record = client.VM.get_record(vm)
    vdi = client.VBD.get_VDI(record["VBDs"][0]) if record["VBDs"] else DEAD
    own = {"VM": [vm], "VBD": record["VBDs"], "VIF": record["VIFs"], "VDI": [vdi], "SR": [scene.dummy]}
    own["session"] = [client.session]

    def known(entity):
        rows = own.get(entity.wire_name) or list(scene.db.tables.get(entity, {}))
        return rows[0] if rows else DEAD

    return known


def messages(kind: str) -> list[Method]:
    reading = READING | {Kind.GET, Kind.GET_RECORD, Kind.GET_BY_UUID}
    methods = CATALOG.methods.items()
    return [method for name, method in methods if method.entity.wire_name == kind and method.kind not in reading]


def answer(scene: Scene, caller: Caller, name: str, params: list) -> str:
    """The code of the error, or "" for none. An error is a declared one, and then nothing has changed."""
    before, generation = scene.rows(), scene.db.generation
    try:
        caller(name, *params)
    except Failure as failure:
        assert failure.code in CATALOG_ERRORS or failure.code.startswith("SR_BACKEND_FAILURE_"), f"{name}: {failure}"
        assert not (failure.code == "INTERNAL_ERROR" and UNFORESEEN in failure.params[0]), f"{name}{params}: {failure}"
        if scene.db.generation != generation:
            assert differences(before, scene.rows()) == [], f"{name}{params} was refused: {failure}"
        return failure.code
    return ""


@pytest.mark.parametrize("subject", ["running", "halted"])
@pytest.mark.parametrize("kind", FURNISHED)
def test_one_reference_to_nothing(scene: Scene, caller: Caller, kind: str, subject: str) -> None:
    known = things(scene, subject)
    another_class = next(iter(scene.db.tables[Session]))
    for method in messages(kind):
        for place in places(method, is_reference):
            param = method.params[place[0]].name
            spared = bool({method.wire_name, f"{method.wire_name} {param}"} & TAKES_DEAD)
            # There is one pool, so that many messages do not look at which is named.
            spared = spared or (method.params[place[0]].type == RefType(Pool) and not place[1])
            for bad in (DEAD, another_class, NULL, ""):
                if bad == another_class and param == "session_to":
                    continue
                code = answer(scene, caller, method.wire_name, call_with(method, place, bad, known))
                if bad in (DEAD, another_class) and not spared:
                    assert code, f"{method.wire_name} takes {bad} as {param} {place[1]}"


@pytest.mark.parametrize("kind", FURNISHED)
def test_one_number_out_of_all_bounds(scene: Scene, caller: Caller, kind: str) -> None:
    known = things(scene, "halted")
    for method in messages(kind):
        for place in places(method, is_number):
            what = f"{method.name} {method.params[place[0]].name} {place[1]}"
            for bad in ("-1", str(-(1 << 63)), str((1 << 63) - 1), "0"):
                code = answer(scene, caller, method.wire_name, call_with(method, place, bad, known))
                if bad.startswith("-") and NEVER_NEGATIVE.search(what) and method.name != "maximise_memory":
                    assert code, f"{what} takes {bad}"


@pytest.mark.parametrize("kind", FURNISHED)
def test_one_word_that_no_enumeration_has(scene: Scene, caller: Caller, kind: str) -> None:
    known = things(scene, "halted")
    for method in messages(kind):
        for place in places(method, is_enumeration):
            for bad in ("no such word", ""):
                code = answer(scene, caller, method.wire_name, call_with(method, place, bad, known))
                assert code in REFUSED_WORDS, f"{method.wire_name} takes {bad!r}"


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_vm_of_another_kind(scene: Scene, caller: Caller, subject: str) -> None:
    known = things(scene, subject)
    vm = known(VM)
    for method in messages("VM"):
        implementation = IMPLEMENTATIONS.get(method.wire_name)
        if not method.params or method.params[0].type != RefType(VM):
            continue
        operation = implementation.occupies if implementation is not None else None
        with scene.db.transaction() as transaction:
            refusal = lifecycle.why_not(transaction, transaction.get(VM, vm), operation) if operation else None
        if operation is not None and refusal is None:
            continue  # that may be done, and other tests do it
        params = [plausible(param.type, known) for param in method.params]
        code = answer(scene, caller, method.wire_name, params)
        if refusal is not None:
            assert code == refusal.code, f"{method.wire_name} answers {code} for a {subject}"
