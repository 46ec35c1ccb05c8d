"""Taking values out of a device_config: what a client sent is checked here before it reaches a path or a program.

Each function names the key in the InvalidConfiguration that it raises, with the error number that the public drivers
use for that key.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Mapping

from xapi.storage.errors import InvalidConfiguration

LONGEST_VALUE = 4096
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
MOUNT_OPTION = re.compile(r"([a-z0-9_]+)(=[A-Za-z0-9_.:]+)?")
IN_CHARGE = "SRmaster"
"""The key by which a host is told whether it is the one that tidies up a shared SR; clients may not give it."""
BAD_CHARACTER = 2
LOCATION_MISSING = 94
DEVICE_MISSING = 90
DEVICE_INVALID = 91


def plain_text(device_config: Mapping[str, str], key: str, missing: int) -> str:
    """Return a value that is there, and of printable characters only."""
    value = device_config.get(key, "")
    if not value:
        raise InvalidConfiguration(key, "is required", missing)
    if len(value) > LONGEST_VALUE or not value.isprintable():
        raise InvalidConfiguration(key, "is too long or has characters that do not belong there", BAD_CHARACTER)
    return value


def absolute_path(device_config: Mapping[str, str], key: str, missing: int, invalid: int) -> str:
    """Return a path that begins at the root and has no way up in it."""
    value = plain_text(device_config, key, missing)
    if not value.startswith("/") or ".." in value.split("/"):
        raise InvalidConfiguration(key, "is not an absolute path", invalid)
    return os.path.normpath("/" + value.lstrip("/"))


def relative_path(device_config: Mapping[str, str], key: str, invalid: int) -> str:
    """Return a path below some directory, empty if none is given."""
    if not device_config.get(key):
        return ""
    value = plain_text(device_config, key, invalid)
    if ".." in value.split("/"):
        raise InvalidConfiguration(key, "leads out of its directory", invalid)
    return os.path.normpath(value.strip("/"))


def server_name(value: str, key: str, invalid: int = 140) -> str:
    """Return the name or address of a server, an IPv6 address without brackets."""
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if not HOST_NAME.fullmatch(value) or ".." in value:
        raise InvalidConfiguration(key, "is neither a host name nor an address", invalid)
    return value


def mount_options(text: str, allowed: Collection[str]) -> tuple[str, ...]:
    """Return the mount options in a text such as `-o noac,timeo=100`; one that is not allowed is an error."""
    options = []
    for item in re.split(r"[\s,]+", text.strip()):
        if item in ("", "-o"):
            continue
        match = MOUNT_OPTION.fullmatch(item)
        if match is None or match[1] not in allowed:
            raise InvalidConfiguration("options", f"mount option {item!r} is not allowed")
        options.append(item)
    return tuple(options)


def flag(mapping: Mapping[str, str], key: str) -> bool:
    """Return whether a value says yes."""
    return mapping.get(key, "").lower() in ("true", "1", "yes")
