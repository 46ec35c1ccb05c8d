"""The roles of role-based access control, from the most to the least privileged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Role:
    """One role: whoever holds it may do all that the roles ranked below it may do.

    `uuid` is the same in every pool, and the role's reference is made of it.
    """

    name: str
    rank: int
    uuid: str
    about: str
    internal: bool = False

    @property
    def ref(self) -> str:
        """The reference under which clients know this role."""
        return f"OpaqueRef:{self.uuid}"


POOL_ADMIN = Role(
    "pool-admin", 0, "0165f154-ba3e-034e-6b27-5d271af109ba", "does everything, and says who else may do what"
)
POOL_OPERATOR = Role(
    "pool-operator",
    1,
    "b9ce9791-0604-50cd-0649-09b3284c7dfd",
    "manages hosts, storage and networks of the pool, but neither users nor roles",
)
VM_POWER_ADMIN = Role(
    "vm-power-admin", 2, "7955168d-7bec-10ed-105f-c6a7e6e63249", "manages VMs and templates, and places them on hosts"
)
VM_ADMIN = Role("vm-admin", 3, "aaa00ab5-7340-bfbc-0d1b-7cf342639a6e", "makes, changes and removes VMs and templates")
VM_OPERATOR = Role(
    "vm-operator", 4, "fb8d4ff9-310c-a959-0613-54101535d3d5", "starts, stops and watches VMs that others have made"
)
CLIENT_CERT = Role(
    "client-cert",
    5,
    "2c42debf-c64a-2ecd-f674-3350f06409f7",
    "held by programs that log in with a client certificate",
    internal=True,
)
READ_ONLY = Role("read-only", 6, "7233b8e3-eacb-d7da-2c95-f2e581cdbf4e", "looks at everything and changes nothing")

ROLES: tuple[Role, ...] = (POOL_ADMIN, POOL_OPERATOR, VM_POWER_ADMIN, VM_ADMIN, VM_OPERATOR, CLIENT_CERT, READ_ONLY)

LOCAL_ROOT = Role(
    "_local_root_only_",
    -1,
    "",
    "the local superuser and the pool's own hosts; nobody is given this role",
    internal=True,
)


def allowed_roles(least: Role, *, client_certificate: bool = False) -> tuple[Role, ...]:
    """The roles that may do what needs `least`, most privileged first; none for LOCAL_ROOT.

    Programs with a client certificate stand apart from the ranks of people: they may do what READ_ONLY may,
    and what names them besides.
    """
    return tuple(
        role
        for role in ROLES
        if (role.rank <= least.rank and (role is not CLIENT_CERT or client_certificate or least is READ_ONLY))
        or (role is CLIENT_CERT and client_certificate and least is not LOCAL_ROOT)
    )
