"""The types that fields, parameters and results may have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from xapi.datamodel.model import Entity


class Basic(Enum):
    """A type without parts."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    VOID = "void"

    def __str__(self) -> str:
        return self.value


class WireEnum(StrEnum):
    """A declared enumeration: a member is the string that goes over the wire."""

    @classmethod
    def wire_name(cls) -> str:
        """The name by which the contract knows the enumeration: VmPowerState is vm_power_state."""
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__).lstrip("_")


@dataclass(frozen=True, slots=True)
class RefType:
    """A reference to an object of the class."""

    entity: type[Entity]

    def __str__(self) -> str:
        return f"{self.entity.wire_name} ref"


@dataclass(frozen=True, slots=True)
class EnumType:
    """One of the values of an enumeration."""

    enum: type[WireEnum]

    def __str__(self) -> str:
        return f"enum {self.enum.wire_name()}"


@dataclass(frozen=True, slots=True)
class SetType:
    """Several values, kept as a tuple in the order given."""

    of: Type

    def __str__(self) -> str:
        return f"{self.of} set"


@dataclass(frozen=True, slots=True)
class MapType:
    """Values by key, kept as a mapping that nobody changes in place."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"({self.key} -> {self.value}) map"


@dataclass(frozen=True, slots=True)
class RecordType:
    """All fields of an object that clients may see."""

    entity: type[Entity]

    def __str__(self) -> str:
        return f"{self.entity.wire_name} record"


@dataclass(frozen=True, slots=True)
class OptionType:
    """A value or nothing."""

    of: Type

    def __str__(self) -> str:
        return f"{self.of} option"


Type: TypeAlias = Basic | RefType | EnumType | SetType | MapType | RecordType | OptionType

NO_DEFAULT: Any = object()
