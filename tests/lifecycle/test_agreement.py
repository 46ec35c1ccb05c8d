"""What is listed is what is not refused, whatever the rows hold."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lifecycle.rows import DISK_FEATURES, Rows, row
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes.cluster import Cluster
from xapi.datamodel.classes.cluster_host import ClusterHost
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.host_metrics import HostMetrics
from xapi.datamodel.classes.pbd import PBD
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.sm import SM
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.vbd import VBD
from xapi.datamodel.classes.vdi import VDI
from xapi.datamodel.classes.vgpu import VGPU
from xapi.datamodel.classes.vm import VM
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vm_guest_metrics import VMGuestMetrics
from xapi.datamodel.classes.vm_metrics import VMMetrics
from xapi.datamodel.classes.vmss import VMSS
from xapi.datamodel.model import NULL, Entity
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType
from xapi.lifecycle import TABLES, allowed_operations, dependants, why_not

FLAGS = ["1", "true", "false"]
KEYS = [
    "default_template",
    "is_system_domain",
    "nomigrate",
    "nested-virt",
    "feature-suspend",
    "feature-shutdown",
    "feature-vcpu-hotplug",
    "feature-quiesce",
    "allow_clone_suspended_vm",
    "rolling_upgrade_in_progress",
    "restrict_vgpu_migration",
    "major",
]
AROUND = (VM, VBD, VDI, SR, PBD, SM, Pool, Host, HostMetrics, VMMetrics, VMGuestMetrics, VMAppliance, VMSS, VGPU)
REFS = ("a", "b")


def choices(kind: Any) -> list[Any]:
    """Some values of a type; none where only the default will do."""
    match kind:
        case Basic.BOOL:
            return [True, False]
        case EnumType(enum=enum):
            return list(enum)
        case RefType():
            return [*REFS, NULL]
        case SetType(of=RefType()):
            return [(), ("a",), REFS]
        case MapType(key=Basic.STRING, value=EnumType(enum=enum)):
            return [{}, *({"task 1": each} for each in enum), {"task 1": next(iter(enum)), "task 2": list(enum)[-1]}]
        case MapType(key=EnumType(enum=enum), value=Basic.STRING):
            return [{}, *({each: "BLOCKED"} for each in enum)]
        case MapType(key=Basic.STRING, value=Basic.STRING):
            return [{}, *({key: flag} for key in KEYS for flag in FLAGS)]
    return []


CHOICES = {
    entity: {field.name: found for field in entity.fields if (found := choices(field.type))}
    for entity in {*AROUND, *TABLES}
}


def some_row(random: Random, entity: type[Entity], ref: str) -> Entity:
    # Most fields keep their defaults, so that rare exceptions do not hide everything else.
    chosen = {name: random.choice(some) for name, some in CHOICES[entity].items() if random.random() < 0.4}
    if entity is SM:
        chosen |= {"type": "file", "features": {name: 1 for name in DISK_FEATURES if random.random() < 0.9}}
    if entity is SR:
        chosen["type"] = random.choice(["file", "udev"])
    if "VM" in entity.field_named and isinstance(entity.field_named["VM"].type, RefType):
        chosen["VM"] = "a"
    return row(entity, ref, **chosen)


def some_house(seed: int, entity: type[Entity]) -> tuple[Rows, Entity]:
    random = Random(seed)
    view = Rows(some_row(random, each, ref) for each in AROUND for ref in REFS)
    return view, view.put(some_row(random, entity, "a"))


@pytest.mark.parametrize("entity", TABLES, ids=lambda entity: entity.wire_name)
@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_listed_and_not_refused_are_the_same(entity: type[Entity], seed: int) -> None:
    view, subject = some_house(seed, entity)
    expected = tuple(operation for operation in TABLES[entity].listed if why_not(view, subject, operation) is None)
    found = allowed_operations(view, subject)
    assert set(found) == set(expected)
    assert len(found) == len(set(found))
    assert list(found) == [operation for operation in TABLES[entity].listed if operation in set(found)]


@pytest.mark.parametrize("entity", [VM, VBD, VDI, SR, Host, Pool, Cluster, ClusterHost], ids=lambda e: e.wire_name)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_dependants_are_classes_with_a_table(entity: type[Entity], seed: int) -> None:
    view, subject = some_house(seed, entity)
    assert all(found in TABLES for found, _ in dependants(view, subject))


def test_every_class_with_allowed_operations_has_a_table() -> None:
    with_field = {entity for entity in CATALOG.stored() if "allowed_operations" in entity.field_named}
    assert with_field == set(TABLES)


def test_every_refusal_of_every_operation_is_a_declared_error() -> None:
    from tests.lifecycle.golden import render
    from xapi.datamodel.errors import ERRORS

    codes = {line.split()[1] for text in render().values() for line in text.splitlines() if line and line[0] != "="}
    assert codes - {"yes"} <= set(ERRORS)
