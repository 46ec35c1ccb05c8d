"""How the server is to run: built-in defaults, then a TOML file, then the command line, each overruling the one before.

Every mistake becomes a `UsageError`, whose text is one sentence that names the option or the key and what is wanted.
"""

from __future__ import annotations

import argparse
import difflib
import ipaddress
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from xapi import __version__

HYPERVISORS = ("auto", "simulator", "qemu", "libxl")
AUTHENTICATIONS = ("pam", "password")
LOG_LEVELS = ("debug", "info", "warning", "error")
TABLES = ("simulator", "storage", "network")
# sun_path of the kernel's sockaddr_un holds 108 bytes, one of them the closing NUL.
LONGEST_SOCKET_PATH = 107


IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class UsageError(Exception):
    """A mistake in the options or the configuration file; its text is one sentence for the person who made it."""


class Address(NamedTuple):
    """Where to listen: a name or IP address, empty for all of the machine's own, and a TCP port, 0 for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured, checked and complete; paths are absolute."""

    state: Path
    https: Address
    http: Address | None
    socket: Path
    hypervisor: str
    auth: str
    database: str = field(repr=False)  # a URL of SQLAlchemy's; it may hold a password
    log_level: str
    log_file: Path | None
    inventory: Path | None
    sessions_per_originator: int
    sessions_total: int
    session_idle_hours: float
    import_networks: tuple[IpNetwork, ...]
    simulator: Mapping[str, str]
    storage: Mapping[str, str]
    network: Mapping[str, str]
    config: Path | None

    @property
    def root_password(self) -> Path:
        """File with the password of root under `--auth password`."""
        return self.state / "root.password"

    @property
    def server_certificate(self) -> Path:
        """PEM file with the server's private key, its certificate and the chain above it."""
        return self.state / "server.pem"

    @property
    def audit_log(self) -> Path:
        """File with one line for each call that changed something."""
        return self.state / "audit.log"


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as somebody wrote it: in which place, for the error message, and relative to which directory."""

    value: object
    place: str
    directory: Path

    def refuse(self, wanted: str) -> UsageError:
        """The error for a value that is not what is wanted."""
        shown = self.value if isinstance(self.value, str) else _as_toml(self.value)
        return UsageError(f"{self.place} must be {wanted}, not {shown!r}.")


def _as_toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _path(given: _Given) -> Path:
    if not isinstance(given.value, str) or not given.value or "\0" in given.value:
        raise given.refuse("a path")
    try:
        path = Path(given.value).expanduser()
    except RuntimeError:
        raise given.refuse("a path in a home directory that exists") from None
    return given.directory / path


def _address(given: _Given) -> Address:
    wanted = "ADDRESS:PORT, such as 127.0.0.1:8443 or [::]:443"
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([\w.-]*)):([0-9]{1,5})", str(given.value), re.ASCII)
    if not isinstance(given.value, str) or match is None:
        raise given.refuse(wanted)
    if int(match[3]) > 65535:
        raise given.refuse(f"{wanted}, with a port up to 65535")
    return Address(match[1] or match[2] or "", int(match[3]))


def _address_or_off(given: _Given) -> Address | None:
    if given.value == "off" or given.value is False:
        return None
    try:
        return _address(given)
    except UsageError:
        raise given.refuse("ADDRESS:PORT, such as 127.0.0.1:8080 or [::]:80, or off") from None


def _one_of(choices: Sequence[str]) -> Callable[[_Given], str]:
    def convert(given: _Given) -> str:
        if given.value not in choices:
            raise given.refuse(f"{', '.join(choices[:-1])} or {choices[-1]}")
        return str(given.value)

    return convert


def _database(given: _Given) -> str:
    if not isinstance(given.value, str) or not re.match(r"(sqlite|postgresql)(\+\w+)?://", given.value):
        # The value is not shown: where a URL belongs, there may be a password in it.
        raise UsageError(f"{given.place} must be a URL that starts with sqlite:// or postgresql+psycopg://.")
    return given.value


def _count(given: _Given) -> int:
    if not isinstance(given.value, int) or isinstance(given.value, bool) or given.value < 1:
        raise given.refuse("a whole number from 1 up")
    return given.value


def _hours(given: _Given) -> float:
    number = given.value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise given.refuse("a number of hours above 0")
    # Ten years is beyond any use, and keeps the sum with a date within a date's range.
    if not 0 < number <= 87_600:
        raise given.refuse("a number of hours above 0 and up to 87600")
    return float(number)


def _networks(given: _Given) -> tuple[IpNetwork, ...]:
    wanted = 'a list of networks, such as ["10.0.0.0/8", "fd00::/8"]'
    if not isinstance(given.value, list) or not all(isinstance(text, str) for text in given.value):
        raise UsageError(f"{given.place} must be {wanted}.")
    try:
        return tuple(ipaddress.ip_network(text) for text in given.value)
    except ValueError as problem:
        raise UsageError(f"{given.place} must be {wanted}: {problem}.") from None


def _table(given: _Given) -> dict[str, str]:
    if not isinstance(given.value, dict):
        raise given.refuse("a table of keys and values")
    for key, value in given.value.items():
        if not isinstance(value, str | int | float):
            raise UsageError(f"{given.place}: {key} must be a text, a number, true or false.")
    return {key: _as_toml(value) if isinstance(value, bool) else str(value) for key, value in given.value.items()}


_CONVERTERS: dict[str, Callable[[_Given], object]] = {
    "state": _path,
    "https": _address,
    "http": _address_or_off,
    "socket": _path,
    "hypervisor": _one_of(HYPERVISORS),
    "auth": _one_of(AUTHENTICATIONS),
    "database": _database,
    "log_level": _one_of(LOG_LEVELS),
    "log_file": _path,
    "inventory": _path,
    "sessions_per_originator": _count,
    "sessions_total": _count,
    "session_idle_hours": _hours,
    "import_networks": _networks,
    **dict.fromkeys(TABLES, _table),
}
CONFIG_KEYS = tuple(_CONVERTERS)


class _Parser(argparse.ArgumentParser):
    """An argparse parser that reports a mistake as a `UsageError` rather than on the spot."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:]}; see xapi --help.")


_EPILOG = """\
Every option but --config and --version can also stand in the TOML file, with _ for - (log_level = "debug"); the file
has further keys: sessions_per_originator, sessions_total, session_idle_hours, import_networks and the tables
[simulator], [storage], [network]. An option on the command line overrules the file. See docs/running.md.
"""


def command_line_parser() -> argparse.ArgumentParser:
    """The parser of the `xapi` command; what it returns holds None for each option that was not given."""
    parser = _Parser(
        prog="xapi",
        description="Serve the XenAPI for this host, over HTTPS, HTTP and a Unix socket, until told to stop.",
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=118),
        allow_abbrev=False,
        exit_on_error=False,
    )

    def option(name: str, metavar: str, text: str) -> None:
        parser.add_argument(name, metavar=metavar, help=text)

    option("--state", "DIR", "directory for everything that must survive a restart (default: $XDG_DATA_HOME/xapi)")
    option("--https", "ADDR:PORT", "where to listen with TLS; port 0 takes a free one (default: 127.0.0.1:8443)")
    option("--http", "ADDR:PORT|off", "where to listen without TLS, or off (default: 127.0.0.1:8080)")
    option("--socket", "PATH", "Unix socket on which a local superuser needs no password (default: DIR/xapi.sock)")
    option("--hypervisor", "|".join(HYPERVISORS), "what runs the VMs (default: auto, the best one that works here)")
    option("--auth", "|".join(AUTHENTICATIONS), "who may log in (default: password: root, with DIR/root.password)")
    option("--config", "FILE.toml", "read options from this file first (default: none)")
    option("--database", "URL", "where records are kept (default: SQLite, in DIR/xapi.db)")
    option("--log-level", "|".join(LOG_LEVELS), "the least important events to log (default: info)")
    option("--log-file", "PATH", "file to log to, opened anew on SIGHUP (default: standard error)")
    option("--inventory", "PATH", "also write the host's identity there, as /etc/xensource-inventory (default: no)")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    return parser


def parse(arguments: Sequence[str], environment: Mapping[str, str], directory: Path | None = None) -> Settings:
    """The settings for a command line (without the program's name); raises UsageError for any mistake.

    `environment` is asked for XDG_DATA_HOME and HOME only. Relative paths on the command line start at `directory`
    (default: the current one), those in the configuration file at the directory of that file.
    """
    directory = Path.cwd() if directory is None else directory
    options = _parse_options(arguments)
    on_line = {
        name: _Given(value, f"--{name.replace('_', '-')}", directory)
        for name, value in options.items()
        if value is not None and name != "version"
    }
    config = _path(on_line.pop("config")) if "config" in on_line else None
    given = (read_config(config) if config is not None else {}) | on_line
    values: dict[str, Any] = {name: _CONVERTERS[name](value) for name, value in given.items()}
    state = values["state"] if "state" in values else _default_state(environment)
    settings = Settings(**(_defaults(state) | values), config=config)
    _check_together(settings)
    return settings


def _defaults(state: Path) -> dict[str, Any]:
    """The settings of a server for development, which anybody can start beside others."""
    return {
        "state": state,
        "https": Address("127.0.0.1", 8443),
        "http": Address("127.0.0.1", 8080),
        "socket": state / "xapi.sock",
        "hypervisor": "auto",
        "auth": "password",
        "database": f"sqlite:///{state}/xapi.db",
        "log_level": "info",
        "log_file": None,
        "inventory": None,
        "sessions_per_originator": 500,
        "sessions_total": 200,
        "session_idle_hours": 24.0,
        "import_networks": (),
        **{table: {} for table in TABLES},
    }


def _parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    parser = command_line_parser()
    try:
        options, unknown = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as problem:
        raise UsageError(f"{problem.argument_name}: {problem.message}.") from None
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise UsageError(f"There is nothing to be done with {name!r}: xapi takes options only.")
        known = [f"--{option.replace('_', '-')}" for option in vars(options)]
        raise UsageError(f"There is no option {name}{_nearest(name, [*known, '--help'])}")
    return vars(options)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}."


def read_config(path: Path) -> dict[str, _Given]:
    """The known keys of a TOML file with their values; an unknown key is an error that names the nearest valid one."""
    try:
        content = path.read_bytes().decode()
        table = tomllib.loads(content)
    except OSError as problem:
        raise UsageError(f"The configuration file {path} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"The configuration file {path} is not UTF-8 text.") from None
    except (ValueError, RecursionError) as problem:  # a number of thousands of digits is a plain ValueError
        raise UsageError(f"The configuration file {path} is not valid TOML: {problem}.") from None
    for key in table:
        if key not in _CONVERTERS:
            raise UsageError(f"There is no key {key!r} in {path}{_nearest(key, CONFIG_KEYS)}")
    return {
        key: _Given(value, f"[{key}] in {path}" if key in TABLES else f"{key} in {path}", path.parent)
        for key, value in table.items()
    }


def _default_state(environment: Mapping[str, str]) -> Path:
    # The XDG base directory specification says to ignore a relative path here.
    data = environment.get("XDG_DATA_HOME", "")
    if data.startswith("/"):
        return Path(data) / "xapi"
    home = environment.get("HOME", "")
    if not home.startswith("/"):
        raise UsageError("Neither XDG_DATA_HOME nor HOME is set, so --state must say where to keep the state.")
    return Path(home) / ".local" / "share" / "xapi"


def _check_together(settings: Settings) -> None:
    if len(os.fsencode(settings.socket)) > LONGEST_SOCKET_PATH:
        raise UsageError(
            f"The path of the Unix socket, {settings.socket}, is longer than {LONGEST_SOCKET_PATH} bytes;"
            " give a shorter one with --socket."
        )
    if settings.https.port and settings.https == settings.http:
        raise UsageError(f"--https and --http cannot both listen on {settings.https}.")
    if settings.database.startswith(f"sqlite:///{settings.state}/") and "?" in str(settings.state):
        raise UsageError(f"The state directory {settings.state} cannot have a question mark in its name.")


def from_command_line(arguments: Sequence[str] | None = None) -> Settings:
    """The settings for this process; prints help, version or a mistake and exits (status 0 or 2) where that is due."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if _parse_options(arguments)["version"]:
            sys.stdout.write(f"xapi {__version__}\n")
            sys.exit(0)
        return parse(arguments, os.environ)
    except UsageError as problem:
        sys.stderr.write(f"xapi: {problem}\n")
        sys.exit(2)
