"""XenAPI's class session."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.errors import HOST_IS_SLAVE, SESSION_AUTHENTICATION_FAILED
from xapi.datamodel.model import (
    EPOCH,
    NULL,
    RW,
    DynamicRO,
    Entity,
    Map,
    Ref,
    SetOf,
    StaticRO,
    field,
    identity,
    many,
    message,
)
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR, READ_ONLY

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.subject import Subject
    from xapi.datamodel.classes.task import Task
    from xapi.datamodel.classes.user import User


class Session(Entity, name="session", listed=False, persistent=False, events=False):
    """A logged-in client of the API; its reference is passed as the first argument of most calls."""

    uuid: DynamicRO[str] = identity()
    this_host: DynamicRO[Ref[Host]] = field("host that accepted the login")
    this_user: DynamicRO[Ref[User]] = field("user record of the login; null for logins from an external directory")
    last_active: DynamicRO[datetime] = field("when the session was last used; idle sessions are removed in time")
    pool: DynamicRO[bool] = field("true if the session serves communication between hosts of the pool")
    other_config: RW[Map[str, str]] = field("free key/value pairs kept for clients", default={}, since="miami")
    is_local_superuser: DynamicRO[bool] = field(
        "true if the session has full rights without any role, as local root does", default=False, since="george"
    )
    subject: DynamicRO[Ref[Subject]] = field(
        "subject whose roles the session acts with; null for the local superuser", default=NULL, since="george"
    )
    validation_time: DynamicRO[datetime] = field(
        "when the external directory last confirmed the user", default=EPOCH, since="george"
    )
    auth_user_sid: DynamicRO[str] = field(
        "identifier of the user in the external directory", default="", since="george"
    )
    auth_user_name: DynamicRO[str] = field("name under which the user authenticated", default="", since="midnight-ride")
    rbac_permissions: StaticRO[SetOf[str]] = field(
        "names of all permissions the session holds through its roles", default=(), since="midnight-ride"
    )
    tasks: DynamicRO[SetOf[Ref[Task]]] = many(
        "task.session", "tasks that were started with this session", since="midnight-ride"
    )
    parent: StaticRO[Ref[Session]] = field(
        "session that opened this one; ending it also ends this one", default=NULL, since="midnight-ride"
    )
    originator: DynamicRO[str] = field(
        "name the client gave for itself at login, to tell sessions of one user apart", default="", since="clearwater"
    )
    client_certificate: DynamicRO[bool] = field(
        "true if the login was made with a TLS client certificate", default=False, since="21.2.0"
    )


@message(
    Session,
    role=READ_ONLY,
    errors=(SESSION_AUTHENTICATION_FAILED, HOST_IS_SLAVE),
    session=False,
    asynchronous=False,
    secret=True,
    param_since={"version": "miami", "originator": "clearwater"},
)
def login_with_password(uname: str, pwd: str, version: str = "1.1", originator: str = "") -> Ref[Session]:
    """Authenticate with a name and password and open a session.

    On a member that is not the coordinator, the reply HOST_IS_SLAVE names the host to ask.
    """


@message(Session, role=READ_ONLY, asynchronous=False)
def logout() -> None:
    """End the session this is called with."""


@message(Session, role=LOCAL_ROOT, asynchronous=False)
def change_password(old_pwd: str, new_pwd: str) -> None:
    """Change the root password on all hosts.

    A session with root privileges may set the new one regardless of the old.
    """


@message(Session, session=False, asynchronous=False, hidden=True, secret=True, secret_params=("psecret",))
def slave_login(host: Ref[Host], psecret: str) -> Ref[Session]:
    """Open a session for a pool member, authenticated by the pool secret; internal."""


@message(
    Session,
    since="miami",
    session=False,
    asynchronous=False,
    hidden=True,
    secret=True,
    emergency=True,
    secret_params=("psecret",),
)
def slave_local_login(psecret: str) -> Ref[Session]:
    """Open a local session on a member in emergency mode, using the pool secret; internal."""


@message(Session, since="miami", session=False, asynchronous=False, secret=True, emergency=True)
def slave_local_login_with_password(uname: str, pwd: str) -> Ref[Session]:
    """Open a local session on a member that may have lost its coordinator.

    Such a session serves emergency calls only and has to be closed with session.local_logout.
    """


@message(Session, role=LOCAL_ROOT, since="dundee")
def create_from_db_file(filename: str) -> Ref[Session]:
    """Open a session on a database dump, as used in disaster recovery.

    The file must lie on the host.
    """


@message(Session, since="miami", asynchronous=False, emergency=True)
def local_logout() -> None:
    """End a local session opened for emergency mode."""


@message(Session, role=READ_ONLY, since="george")
def get_all_subject_identifiers() -> SetOf[str]:
    """List the directory identifiers of all externally authenticated users with open sessions."""


@message(Session, role=POOL_OPERATOR, since="george")
def logout_subject_identifier(subject_identifier: str) -> None:
    """End every session of the given external user.

    The session that makes the call is spared.
    """
