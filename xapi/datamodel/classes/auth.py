"""XenAPI's class auth."""

from __future__ import annotations

from xapi.datamodel.model import Entity, Map, SetOf, message
from xapi.datamodel.roles import READ_ONLY


class Auth(
    Entity, name="auth", since="george", role=READ_ONLY, listed=False, stored=False, persistent=False, events=False
):
    """Look-ups in the external directory service of the pool; there are no stored objects."""


@message(Auth, asynchronous=False)
def get_subject_identifier(subject_name: str) -> str:
    """Look up the directory identifier of a user or group by name."""


@message(Auth, asynchronous=False)
def get_subject_information_from_identifier(subject_identifier: str) -> Map[str, str]:
    """Return what the directory knows about a user or group, such as names and account state."""


@message(Auth, asynchronous=False)
def get_group_membership(subject_identifier: str) -> SetOf[str]:
    """List the identifiers of all groups a user or group belongs to, nested ones included."""
