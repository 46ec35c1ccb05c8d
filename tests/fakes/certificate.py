"""A server certificate that is made once for all servers of a test process, as a key costs more than a start."""

from __future__ import annotations

import socket
from datetime import date, datetime

from xapi.system.certificates import make_self_signed
from xapi.system.settings import Settings

_MADE: dict[date, bytes] = {}


def lend_certificate(settings: Settings, now: datetime) -> None:
    """Put one, valid from now on, where the server looks for it, which makes its own only if there is none."""
    path = settings.server_certificate
    if path.exists():
        return
    if now.date() not in _MADE:
        _MADE[now.date()] = make_self_signed(socket.gethostname(), (), now).pem
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(0o600)
    path.write_bytes(_MADE[now.date()])
