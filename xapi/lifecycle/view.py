"""What the tables of this floor may look at: rows, and nothing that changes them."""

from __future__ import annotations

from typing import Protocol, TypeVar

from xapi.datamodel.model import Entity

E = TypeVar("E", bound=Entity)


class View(Protocol):
    """Rows as they are at one moment: a transaction, or the published database."""

    def find(self, entity: type[E], ref: str) -> E | None:
        """The row, or None."""

    def get(self, entity: type[E], ref: str) -> E:
        """The row; HANDLE_INVALID when there is none."""

    def all(self, entity: type[E]) -> list[E]:
        """Every row of the class."""
