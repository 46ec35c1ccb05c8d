"""The secret that the hosts of a pool share, and by which they know one another."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from xapi.system.atomic_file import create_once

FILE_NAME = "pool.secret"


class PoolSecret:
    """A secret in a file that only its owner can read; it is made up when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def value(self) -> str:
        """The secret as it is now."""
        if not self._path.exists():
            create_once(self._path, f"{secrets.token_hex(32)}\n".encode())
        return self._path.read_text().strip()

    def matches(self, text: str) -> bool:
        """Whether somebody knows the secret; how long the answer takes tells nothing about it."""
        known = self.value()
        return bool(known) and hmac.compare_digest(known.encode(), text.encode())
