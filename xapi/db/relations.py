"""Which fields mirror one another, worked out once from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.model import Entity
from xapi.datamodel.types import RefType, SetType
from xapi.db.schema import CLASSES


@dataclass(frozen=True, slots=True)
class Relation:
    """A field of a class (by its place in the row) and the field of `entity` that mirrors it."""

    index: int
    holds_many: bool
    derived: bool  # this side is computed from the other
    entity: type[Entity]
    other_index: int


def _relations() -> dict[type[Entity], tuple[Relation, ...]]:
    found: dict[type[Entity], list[Relation]] = {entity: [] for entity in CLASSES}
    for entity in CLASSES:
        for field in entity.fields:
            if not field.inverse:
                continue
            other = CATALOG.inverse_of(field)
            if other is field:  # role.subroles is declared to mirror itself, yet a role is no part of its parts
                continue
            found[entity].append(Relation(field.index, True, field.derived, other.owner, other.index))
            if field.derived:
                found[other.owner].append(Relation(other.index, False, False, entity, field.index))
    return {entity: tuple(relations) for entity, relations in found.items()}


def _ref_sets() -> dict[type[Entity], tuple[tuple[type[Entity], int], ...]]:
    """For each class, the sets of references to it that mirror nothing: (class, place in the row)."""
    found: dict[type[Entity], list[tuple[type[Entity], int]]] = {}
    for entity in CLASSES:
        for field in entity.fields:
            match field.type:
                case SetType(of=RefType(entity=target)) if not field.inverse and target.stored:
                    found.setdefault(target, []).append((entity, field.index))
    return {entity: tuple(places) for entity, places in found.items()}


RELATIONS: Mapping[type[Entity], tuple[Relation, ...]] = _relations()
REF_SETS: Mapping[type[Entity], tuple[tuple[type[Entity], int], ...]] = _ref_sets()
