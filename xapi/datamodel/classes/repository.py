"""XenAPI's class Repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class Origin(WireEnum):
    """Where a repository's updates come from: a remote URL, an uploaded bundle or another pool."""

    REMOTE = "remote"
    BUNDLE = "bundle"
    REMOTE_POOL = "remote_pool"


class Repository(Entity, since="1.301.0", role=POOL_OPERATOR):
    """A source of software updates for the hosts of the pool."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field(
        "short name shown for the repository", default="", group="name", since="rio", client_certificate=True
    )
    name_description: RW[str] = field(
        "free text about what the repository offers", default="", group="name", since="rio", client_certificate=True
    )
    binary_url: StaticRO[str] = field("base URL of the binary packages", default="")
    source_url: StaticRO[str] = field("base URL of the source packages", default="")
    update: StaticRO[bool] = field("true if the repository carries metadata that describes its updates", default=False)
    hash: DynamicRO[str] = field("SHA256 checksum of the update metadata as of the last synchronization", default="")
    up_to_date: DynamicRO[bool] = field(
        "whether all hosts had every update of the repository",
        default=False,
        since="published 1.301.0, deprecated 23.18.0, removed 23.18.0",
    )
    gpgkey_path: StaticRO[str] = field(
        "file name of the GPG public key that signs the repository", default="", since="prototyped 22.12.0"
    )
    origin: StaticRO[Origin] = field(
        "what kind of source the repository is fed from", default=Origin.REMOTE, since="prototyped 24.23.0"
    )
    certificate: StaticRO[str] = field(
        "TLS certificate (PEM) of the remote pool's coordinator; used by remote_pool only",
        default="",
        since="prototyped 25.7.0",
    )


@message(Repository, client_certificate=True)
def introduce(
    name_label: str, name_description: str, binary_url: str, source_url: str, update: bool, gpgkey_path: str = ""
) -> Ref[Repository]:
    """Record a remote repository by its URLs.

    The URLs must lie in an allowed domain and not be in use; an empty key path means the default key.
    """


@message(Repository, since="prototyped 24.23.0", client_certificate=True)
def introduce_bundle(name_label: str, name_description: str) -> Ref[Repository]:
    """Record a repository that is filled from an uploaded bundle file.

    There can be only one of this kind.
    """


@message(Repository, since="prototyped 25.7.0", client_certificate=True)
def introduce_remote_pool(name_label: str, name_description: str, binary_url: str, certificate: str) -> Ref[Repository]:
    """Record another pool's coordinator as the source of updates.

    The certificate is used to verify the connection.
    """


@message(Repository, client_certificate=True)
def forget(self: Ref[Repository]) -> None:
    """Remove the record of a repository.

    Refused while the pool has it enabled.
    """


@message(Repository, pool_internal=True, hidden=True, client_certificate=True)
def apply(host: Ref[Host]) -> None:
    """Install on a host the updates from the enabled repository; internal.

    Clients call host.apply_updates.
    """


@message(Repository, since="prototyped 22.12.0", client_certificate=True)
def set_gpgkey_path(self: Ref[Repository], value: str) -> None:
    """Name another GPG key file for verifying the repository; empty means the default key."""


@message(Repository, since="prototyped 22.20.0", pool_internal=True, hidden=True, client_certificate=True)
def apply_livepatch(
    host: Ref[Host],
    component: str,
    base_build_id: str,
    base_version: str,
    base_release: str,
    to_version: str,
    to_release: str,
) -> None:
    """Load one live patch for Xen or the kernel on a host; internal."""
