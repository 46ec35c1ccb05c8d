"""An SMB server: Samba's, over directories of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.lab.inside.filer import daemon
from tests.lab.inside.shell import eventually, sh

PLACE = Path("/run/samba")
CONFIGURATION = PLACE / "smb.conf"
PORT = 445
NUMBER = 4905
USER, PASSWORD = "lab-user", "lab,pass word=1\"$'"
KNOWN = {"username": USER, "cifspassword": PASSWORD}
"""What a device configuration says of the user."""
GLOBAL = {
    "server role": "standalone server",
    "map to guest": "Bad User",
    "guest account": "nobody",
    "interfaces": "127.0.0.1",
    "bind interfaces only": "yes",
    "disable netbios": "yes",
    "disable spoolss": "yes",
    "load printers": "no",
    "printing": "bsd",
    "smb ports": str(PORT),
    "log file": str(PLACE / "log"),
    "server min protocol": "SMB2_02",
    **{f"{each} directory": str(PLACE) for each in ("lock", "state", "cache", "pid", "private")},
    "ncalrpc dir": str(PLACE / "ncalrpc"),
}


class Samba:
    """A server with one user. Its shares are one directory: `images` and `sealed` for that one, `open` for all."""

    def __init__(self, root: Path) -> None:
        self.images = root
        self.directory("")
        PLACE.mkdir(exist_ok=True)
        with Path("/etc/passwd").open("a") as users:
            users.write(f"{USER}:x:{NUMBER}:65534::/run:/usr/sbin/nologin\n")
        self.start()
        subprocess.run(
            ["smbpasswd", "-c", str(CONFIGURATION), "-a", "-s", USER],
            input=f"{PASSWORD}\n{PASSWORD}\n".encode(),
            check=True,
            capture_output=True,
        )

    def directory(self, name: str) -> Path:
        """Make a directory in which the user may write."""
        path = self.images / name
        path.mkdir(parents=True)
        os.chown(path, NUMBER, -1)
        return path

    def start(self, **more: str) -> None:
        """Serve, with further settings, whose names have underscores for spaces."""
        path = {"path": str(self.images)}
        own = {**path, "valid users": USER}
        sections: dict[str, Mapping[str, str]] = {
            "global": GLOBAL | {name.replace("_", " "): value for name, value in more.items()},
            "images": {**own, "read only": "no"},
            "sealed": {**own, "read only": "yes"},
            "open": {**path, "guest ok": "yes", "read only": "yes"},
        }
        lines = [
            line
            for name, settings in sections.items()
            for line in (f"[{name}]", *(f"{key} = {value}" for key, value in settings.items()))
        ]
        CONFIGURATION.write_text("\n".join(lines) + "\n")
        daemon("smbd", "-D", "-s", str(CONFIGURATION))
        eventually(lambda: f":{PORT} " in sh("ss", "-Hltn"))

    def stop(self) -> None:
        """Answer nobody any more: what serves the connections goes as well."""
        pid = int((PLACE / "smbd.pid").read_text())
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        eventually(lambda: f":{PORT} " not in sh("ss", "-Hltn"))
