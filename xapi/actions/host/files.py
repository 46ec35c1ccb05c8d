"""Where on disk this host has its plugins, extensions, certificates and log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xapi.dispatch.toolstack import Toolstack


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Paths of the host's files; `log` is None when the log goes to standard error."""

    server_certificate: Path
    trusted: Path
    plugins: Path
    extensions: Path
    varstore: Path
    log: Path | None = None

    @classmethod
    def under(cls, state: Path) -> HostFiles:
        """Everything below the toolstack's own directory, as is done unless the server says otherwise."""
        return cls(
            server_certificate=state / "server.pem",
            trusted=state / "certs",
            plugins=state / "plugins",
            extensions=state / "extensions",
            varstore=state / "varstore",
        )


def files_of(toolstack: Toolstack) -> HostFiles:
    """The host's files, wherever the server has put them."""
    found: HostFiles | None = toolstack.parts.get(HostFiles)
    return found or HostFiles.under(toolstack.state)
