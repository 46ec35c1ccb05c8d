"""Talking to an NFS server: how a mount is spelled, which exports there are."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xapi.storage.device_config import mount_options, server_name
from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.probe_text import document
from xapi.system.command import CommandFailed, Completed, run

VERSIONS = ("3", "4", "4.0", "4.1", "4.2")
ALLOWED_OPTIONS = frozenset(
    (
        "acdirmax",
        "acdirmin",
        "acregmax",
        "acregmin",
        "actimeo",
        "async",
        "fsc",
        "hard",
        "intr",
        "local_lock",
        "lock",
        "minorversion",
        "mountport",
        "mountproto",
        "mountvers",
        "nconnect",
        "noac",
        "noatime",
        "nodiratime",
        "nolock",
        "norelatime",
        "nosharecache",
        "port",
        "rdirplus",
        "nordirplus",
        "relatime",
        "resvport",
        "noresvport",
        "retrans",
        "retry",
        "ro",
        "rsize",
        "sec",
        "sharecache",
        "soft",
        "softerr",
        "sync",
        "timeo",
        "tcp",
        "wsize",
    )
)
TIMEOUT_DECISECONDS = 100
RETRANSMISSIONS = 12
NFS_VERSION_FAILED = 72
NFS_TARGET_FAILED = 108

Runner = Callable[[Sequence[str]], Completed]


def run_program(argv: Sequence[str]) -> Completed:
    """Run a program that asks a server something."""
    return run(argv, timeout=30.0, output_limit=1 << 20)


@dataclass(frozen=True, slots=True)
class NfsMount:
    """What to mount: a server's directory, in a version of the protocol, with further options."""

    server: str
    path: str
    version: str = "3"
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, server: str, path: str, device_config: Mapping[str, str]) -> NfsMount:
        """Return the mount that a device_config asks for, server and path being checked already."""
        version = device_config.get("nfsversion") or "3"
        if version not in VERSIONS:
            raise InvalidConfiguration("nfsversion", f"is none of {', '.join(VERSIONS)}", NFS_VERSION_FAILED)
        return cls(server, path, version, mount_options(device_config.get("options", ""), ALLOWED_OPTIONS))

    @property
    def source(self) -> str:
        """What is mounted, as mount wants it, an IPv6 address in brackets."""
        return f"[{self.server}]:{self.path}" if _is_ipv6(self.server) else f"{self.server}:{self.path}"

    @property
    def mount_options(self) -> tuple[str, ...]:
        """The options, ours first: what the caller says counts."""
        # A soft mount gives an error in the end; a directory must not be remembered, other hosts change it.
        protocol = "tcp6" if _is_ipv6(self.server) else "tcp"
        return (
            "soft",
            f"proto={protocol}",
            f"vers={self.version}",
            "acdirmin=0",
            "acdirmax=0",
            f"timeo={TIMEOUT_DECISECONDS}",
            f"retrans={RETRANSMISSIONS}",
            *self.options,
        )


def _is_ipv6(server: str) -> bool:
    try:
        return ipaddress.ip_address(server).version == 6
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Export:
    """A directory that a server offers, and to whom."""

    path: str
    access: str


def parse_exports(text: str) -> list[Export]:
    """Return the exports in what showmount prints; a path may have spaces in it, an access list has none."""
    exports = []
    for line in text.splitlines():
        path, _, access = line.strip().rpartition(" ")
        if path.startswith("/"):
            exports.append(Export(path.rstrip(), access))
    return exports


def list_exports(server: str, runner: Runner = run_program) -> list[Export]:
    """Ask a server for its exports; SR_BACKEND_FAILURE_108 where it does not answer."""
    server_name(server, "server")
    try:
        return parse_exports(runner(["showmount", "--no-headers", "-e", "--", server]).text)
    except CommandFailed as error:
        raise StorageFailure(f"NFS server {server} does not tell its exports: {error}", NFS_TARGET_FAILED) from error


def exports_document(server: str, exports: Sequence[Export]) -> str:
    """Return the XML in which clients look for the exports of a server."""
    return document(
        "nfs-exports",
        [("Export", [("Target", server), ("Path", export.path), ("Accesslist", export.access)]) for export in exports],
    )
