"""What was acknowledged is there after a kill, whenever it comes."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.writers import Line, Memory, Writer
from tests.fakes.killable import Killable
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.model import Entity
from xapi.datamodel.types import RefType
from xapi.db.relations import RELATIONS

WRITERS = 8
NULL = "OpaqueRef:NULL"


@pytest.fixture
def killable() -> Iterator[Killable]:
    server = Killable()
    yield server
    server.close()


def read(entity: type[Entity]) -> bool:
    """Say whether the class has relations, and records to read them from."""
    method = CATALOG.methods.get(f"{entity.wire_name}.get_all_records")
    return bool(RELATIONS[entity]) and method is not None and method.state != "removed"


def one_sided(line: Line) -> list[str]:
    """Every place where a field names an object that is not there, or that does not name it back."""
    records = {entity: line.call(f"{entity.wire_name}.get_all_records") for entity in RELATIONS if read(entity)}
    wrong: list[str] = []
    for entity, relations in RELATIONS.items():
        for relation in relations:
            if entity not in records or relation.entity not in records:
                continue
            here, there = entity.fields[relation.index - 1], relation.entity.fields[relation.other_index - 1]
            if here.internal or there.internal:
                continue
            for ref, record in records[entity].items():
                value = record[here.name]
                for other in value if relation.holds_many else [value]:
                    if other == NULL or (here.dangling and other not in records[relation.entity]):
                        continue
                    back = records[relation.entity].get(other, {}).get(there.name, ())
                    if ref != back and ref not in back:
                        wrong.append(f"{entity.wire_name}.{here.name}: {ref} names {other} in vain")
    return wrong


def dangling(line: Line) -> list[str]:
    """Every single reference of a VIF to something that is not there."""
    vifs = line.call("VIF.get_all_records")
    known = {NULL, *line.call("VM.get_all"), *line.call("network.get_all")}
    fields = [field.name for field in CATALOG.entities["VIF"].fields if isinstance(field.type, RefType)]
    return [
        f"{vif}.{name}"
        for vif, record in vifs.items()
        for name in fields
        if name in ("VM", "network") and record[name] not in known
    ]


def compare(line: Line, memories: list[Memory]) -> None:
    """Hold what the server has to what its clients remember, and settle what they were in doubt about."""
    vms: dict[str, Any] = line.call("VM.get_all_records")
    vifs: dict[str, Any] = line.call("VIF.get_all_records")
    tasks: dict[str, Any] = line.call("task.get_all_records")
    (network, *_) = sorted(line.call("network.get_all"))
    noted = set(line.call("network.get_other_config", network))
    for memory in memories:
        number = int(vms[memory.vm]["name_description"] or 0)
        assert number in (memory.number, memory.doubtful_number)
        memory.number = memory.doubtful_number = number
        assert memory.keys <= noted
        assert {key for key in noted if key.startswith(memory.vm)} <= memory.doubtful_keys
        memory.keys = {key for key in noted if key.startswith(memory.vm)}
        mine = {ref for ref, vif in vifs.items() if vif["VM"] == memory.vm}
        assert memory.vifs <= mine and set(vms[memory.vm]["VIFs"]) == mine
        assert len(mine - memory.vifs - memory.doubtful_gone) <= 1
        memory.vifs, memory.doubtful_gone = mine, set()
        if memory.groups is not None:
            assert set(vms[memory.vm]["groups"]) == memory.groups
        memory.groups = set(vms[memory.vm]["groups"])
        for task, ended in memory.tasks.items():
            record = tasks[task]
            assert record["status"] in ("success", "failure")
            if ended:
                assert record["status"] == "success"
            elif record["status"] == "failure":
                assert "restarted" in record["error_info"][1]
        for task in memory.tasks:
            line.call("task.destroy", task)
        memory.tasks.clear()
    assert not [ref for ref, record in tasks.items() if record["status"] == "pending"]
    assert one_sided(line) == []
    assert dangling(line) == []


def prepare(line: Line) -> tuple[list[Memory], dict[str, list[str]]]:
    """A VM for each writer, and the places that all of them write to."""
    template = next(
        ref for ref, vm in line.call("VM.get_all_records").items() if vm["is_default_template"] and not vm["VBDs"]
    )
    memories = [Memory(line.call("VM.clone", template, f"writer {n}")) for n in range(WRITERS)]
    for memory in memories:
        line.call("VM.set_is_a_template", memory.vm, False)
        line.call("VM.set_name_description", memory.vm, "0")
        for vif in line.call("VM.get_VIFs", memory.vm):
            memory.vifs.add(vif)
    group = {"name_label": "g", "name_description": "", "placement": "normal"}
    groups = [line.call("VM_group.create", group) for _ in range(3)]
    return memories, {"network": sorted(line.call("network.get_all")), "VM_group": groups}


def torment(server: Killable, kills: int, seed: int) -> int:
    """Kill the server so often, each time at a random moment under all writers; answer how much was acknowledged."""
    chance = random.Random(seed)
    line = Line(server)
    memories, places = prepare(line)
    line.close()
    acknowledged = 0
    for kill in range(kills):
        writers = [Writer(server, memory, seed + kill * WRITERS + n, places) for n, memory in enumerate(memories)]
        for writer in writers:
            writer.start()
        # A chosen moment, not a wait for something: what counts is that it falls anywhere in the writers' work.
        threading.Event().wait(chance.uniform(0.01, 0.15))
        server.kill()
        for writer in writers:
            writer.join()
            assert writer.error is None, repr(writer.error)
            acknowledged += writer.acknowledged
        server.start()
        line = Line(server)
        compare(line, memories)
        line.close()
    return acknowledged


def test_twenty_kills(killable):
    assert torment(killable, 20, seed=1) > 125


@pytest.mark.thorough
def test_two_hundred_kills(killable):
    assert torment(killable, 200, seed=2) > 2000
