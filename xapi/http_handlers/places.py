"""How many transfers may go on at once, so that slow peers never hold every worker of the server."""

from __future__ import annotations

from threading import Lock

from xapi.datamodel.errors import TOO_BUSY
from xapi.dispatch.toolstack import Toolstack

MOST = 192
"""Transfers at once: three quarters of the server's workers. A transfer holds its worker for as long as its peer makes
any progress; the rest is left for calls."""
FOR_STRANGERS = 16
"""Downloads at once of what everybody may have."""


class Places:
    """A fixed number of places; a context manager that takes one for its block."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken

    def __enter__(self) -> None:
        """Take a place; TOO_BUSY when there is none left."""
        with self._lock:
            if self._taken >= self._most:
                raise TOO_BUSY()
            self._taken += 1

    def __exit__(self, *_: object) -> None:
        """Give the place back."""
        with self._lock:
            self._taken -= 1


class PublicPlaces(Places):
    """The places for those who have not said who they are; few, so that strangers never stand in anybody's way."""

    def __init__(self, most: int = FOR_STRANGERS) -> None:
        super().__init__(most)


def places_of(toolstack: Toolstack) -> Places:
    """The places of this toolstack, which all its doors share."""
    places: Places = toolstack.parts.setdefault(Places, Places())
    return places


def public_places_of(toolstack: Toolstack) -> Places:
    """The places for strangers."""
    places: Places = toolstack.parts.setdefault(PublicPlaces, PublicPlaces())
    return places
