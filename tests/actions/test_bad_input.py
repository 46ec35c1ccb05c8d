"""Every message of these classes is called with what nobody should send: it names an error, and changes nothing."""

import tempfile
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.house import House
from xapi.actions.host.machine import Machine, SimulatedMachine
from xapi.datamodel.catalog import CATALOG, Kind
from xapi.datamodel.classes import Session, Task
from xapi.datamodel.errors import ERRORS as CATALOG_ERRORS
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import Basic, EnumType, MapType, RecordType, RefType, SetType

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
    with tempfile.TemporaryDirectory(prefix="xapi-") as directory:
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
