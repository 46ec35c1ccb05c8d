"""XenAPI's class message."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import DynamicRO, Entity, Map, Ref, SetOf, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.datamodel.types import WireEnum


class Cls(WireEnum):
    """The class of the object that a message is about."""

    VM = "VM"
    HOST = "Host"
    SR = "SR"
    POOL = "Pool"
    VMPP = "VMPP"
    VMSS = "VMSS"
    PVS_PROXY = "PVS_proxy"
    VDI = "VDI"
    CERTIFICATE = "Certificate"


class AlertMessage(
    Entity, name="message", since="orlando", role=POOL_OPERATOR, listed=False, stored=False, persistent=False
):
    """A notice about an object, such as an alert, kept until somebody destroys it."""

    uuid: DynamicRO[str] = identity(since="rio")
    name: DynamicRO[str] = field("kind of notice, such as 'VM_STARTED' or 'ALARM'", since="rio")
    priority: DynamicRO[int] = field("importance of the notice; lower numbers are more important", since="rio")
    cls: DynamicRO[Cls] = field(
        "class of the object that the notice is about", since="published orlando, extended 1.313.0"
    )
    obj_uuid: DynamicRO[str] = field("uuid of the object that the notice is about", since="rio")
    timestamp: DynamicRO[datetime] = field("when the notice was made", since="rio")
    body: DynamicRO[str] = field("text of the notice, often in a form meant for programs", since="rio")


@message(AlertMessage, asynchronous=False)
def create(name: str, priority: int, cls: Cls, obj_uuid: str, body: str) -> Ref[AlertMessage]:
    """Post a notice about an object.

    A uuid that does not belong to an object of the given class is refused.
    """


@message(AlertMessage, asynchronous=False)
def destroy(self: Ref[AlertMessage]) -> None:
    """Delete one notice."""


@message(AlertMessage, since="prototyped 22.19.0")
def destroy_many(messages: SetOf[Ref[AlertMessage]]) -> None:
    """Delete the given notices in one call."""


@message(AlertMessage, since="prototyped 26.6.0")
def destroy_all(filters: Map[str, str]) -> None:
    """Delete all notices that match the filters, such as a time range or a priority.

    Without filters every notice is deleted.
    """


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get(cls: Cls, obj_uuid: str, since: datetime) -> Map[Ref[AlertMessage], AlertMessage]:
    """Return the notices about one object since the given time, with their records."""


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get_all() -> SetOf[Ref[AlertMessage]]:
    """List the references of all notices."""


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get_since(since: datetime) -> Map[Ref[AlertMessage], AlertMessage]:
    """Return all notices made after the given time, with their records."""


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get_record(self: Ref[AlertMessage]) -> AlertMessage:
    """Return the whole record of a notice."""


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get_by_uuid(uuid: str) -> Ref[AlertMessage]:
    """Find a notice by its uuid."""


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get_all_records() -> Map[Ref[AlertMessage], AlertMessage]:
    """Return all notices with their records."""


@message(AlertMessage, role=READ_ONLY, asynchronous=False)
def get_all_records_where(expr: str) -> Map[Ref[AlertMessage], AlertMessage]:
    """Return the notices that match an expression, with their records; internal."""
