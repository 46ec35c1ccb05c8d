"""XenAPI's class Observer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class Observer(Entity, since="prototyped 23.14.0", constructor=True):
    """A tracing setup: which components send their spans where, and with what attributes."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("short name shown for the observer", default="", group="name", since="rio")
    name_description: RW[str] = field("free text about what the observer is for", default="", group="name", since="rio")
    hosts: StaticRO[SetOf[Ref[Host]]] = field(
        "hosts on which tracing takes place; empty for all hosts of the pool", default=(), dangling=True
    )
    attributes: StaticRO[Map[str, str]] = field("key/value pairs added to every span that is recorded", default={})
    endpoints: StaticRO[SetOf[str]] = field(
        "where spans go: 'bugtool' for local files, or HTTP URLs of collectors", default=()
    )
    components: StaticRO[SetOf[str]] = field(
        "toolstack components that are traced, such as 'xapi'; empty for all", default=()
    )
    enabled: StaticRO[bool] = field("true if spans are being recorded", default=False)


@message(Observer, hidden=True)
def register(self: Ref[Observer], host: Ref[Host]) -> None:
    """Set up the observer in the components of one host; internal."""


@message(Observer, hidden=True)
def unregister(self: Ref[Observer], host: Ref[Host]) -> None:
    """Take the observer out of the components of one host; internal."""


@message(Observer)
def set_hosts(self: Ref[Observer], value: SetOf[Ref[Host]]) -> None:
    """Choose the hosts on which tracing takes place; an empty set means all."""


@message(Observer)
def set_enabled(self: Ref[Observer], value: bool) -> None:
    """Start or stop recording spans."""


@message(Observer)
def set_attributes(self: Ref[Observer], value: Map[str, str]) -> None:
    """Replace the attributes that are added to every span.

    Invalid keys or values are refused.
    """


@message(Observer)
def set_endpoints(self: Ref[Observer], value: SetOf[str]) -> None:
    """Choose where spans are sent.

    Each must be 'bugtool' or an HTTP URL.
    """


@message(Observer)
def set_components(self: Ref[Observer], value: SetOf[str]) -> None:
    """Choose which components are traced; an empty set means all.

    Unknown components are refused.
    """
