"""How a call fails: a code of the contract and the strings that go with it."""

from __future__ import annotations


class Failure(Exception):
    """A call that could not be done, as clients see it: `ErrorDescription = [code, *params]`."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(code, *params)
        self.code = code
        self.params = params

    @property
    def description(self) -> list[str]:
        """The code and its parameters in the order of the wire."""
        return [self.code, *self.params]


class ErrorCode:
    """One declared error: call it with its parameters to have a `Failure` to raise."""

    __slots__ = ("about", "code", "params")

    def __init__(self, code: str, *params: str, about: str) -> None:
        self.code = code
        self.params = params
        self.about = about

    def __call__(self, *values: object) -> Failure:
        """Make the failure that carries these parameters."""
        return Failure(self.code, *(wire_text(value) for value in values))

    def __repr__(self) -> str:
        return self.code


def wire_text(value: object) -> str:
    """The text of a parameter: booleans are lower-case, everything else is as Python writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
