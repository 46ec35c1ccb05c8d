"""What the initiator keeps of portals and targets, in files of its own: where passwords are written for it.

iscsiadm takes settings on its command line only, and every user of the host may read that. So the lines of a record
are changed here, in the form in which iscsiadm writes them itself; like its own, the files are for root's eyes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xapi.system.atomic_file import write_atomically

PLACES = ("/var/lib/iscsi", "/etc/iscsi")
"""Where distributions have the initiator keep its records."""
NODE_PREFIX = "node.session.auth."
DISCOVERY_PREFIX = "discovery.sendtargets.auth."
NAMES = ("authmethod", "username", "password", "username_in", "password_in")
SEPARATOR = " = "


def node_records(places: Sequence[str], iqn: str, address: str, port: int, group: int) -> list[Path]:
    """Return the files of a target at a portal, one for each of the host's interfaces that use it."""
    found: list[Path] = []
    for place in places:
        directory = Path(place) / "nodes" / iqn
        for name in (f"{address},{port},{group}", f"{address},{port}"):
            record = directory / name
            if record.is_dir():
                found += [path for path in sorted(record.iterdir()) if _is_plain(path)]
            elif _is_plain(record):
                found.append(record)
    return found


def discovery_records(places: Sequence[str], address: str, port: int) -> list[Path]:
    """Return the file of a portal that is asked for its targets; several where several places have one."""
    candidates = [Path(place) / "send_targets" / f"{address},{port}" / "st_config" for place in places]
    return [path for path in candidates if _is_plain(path)]


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")


def set_credentials(path: Path, prefix: str, credentials: Mapping[str, str]) -> None:
    """Have a record say these credentials and no others; without any, that no password is asked for."""
    wanted = {"authmethod": "CHAP" if credentials else "None", **credentials}
    path.chmod(0o600)
    lines = path.read_text("utf-8", "surrogateescape").splitlines()
    path_text = "\n".join(changed(lines, prefix, wanted)) + "\n"
    write_atomically(path, path_text.encode("utf-8", "surrogateescape"), 0o600)


def changed(lines: Sequence[str], prefix: str, wanted: Mapping[str, str]) -> list[str]:
    """Return the lines of a record with other credentials; they come before the line that ends it."""
    own = {prefix + name for name in NAMES}
    kept = [line for line in lines if line.split("=", 1)[0].strip() not in own]
    ends = [number for number, line in enumerate(kept) if line.startswith("# END RECORD")]
    at = ends[-1] if ends else len(kept)
    return [*kept[:at], *(f"{prefix}{name}{SEPARATOR}{value}" for name, value in wanted.items()), *kept[at:]]
