"""A PostgreSQL server for the tests: the one that XAPI_TEST_POSTGRESQL names, or Debian's, started by hand."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

INSTALLED = Path("/usr/lib/postgresql")
ACCOUNT = "postgres"  # the server refuses to run as root; Debian's package makes this account


def why_not() -> str:
    """Why there is no server to test with; empty when there is one."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (pip install -e '.[postgresql]')"
    if "XAPI_TEST_POSTGRESQL" in os.environ or INSTALLED.exists():
        return ""
    return "there is no PostgreSQL here: install postgresql, or name a database in XAPI_TEST_POSTGRESQL"


@cache
def server_url() -> str:
    """The URL of a database that the tests may empty."""
    named = os.environ.get("XAPI_TEST_POSTGRESQL")
    return named if named else _start()


def _start() -> str:
    programs = max(INSTALLED.iterdir()) / "bin"
    home = Path(tempfile.mkdtemp(prefix="xapi-pg-"))
    become = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups"] if os.geteuid() == 0 else []
    if become:
        shutil.chown(home, ACCOUNT, ACCOUNT)
    data = home / "data"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": home}
    subprocess.run([*become, programs / "initdb", "-D", data, "-A", "trust", "-U", "xapi", "-E", "UTF8"], **quiet)
    options = f"-c listen_addresses= -c unix_socket_directories={home}"
    control = [*become, programs / "pg_ctl", "-D", data, "-l", home / "log"]
    subprocess.run([*control, "-w", "-o", options, "start"], **quiet)

    def stop() -> None:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(home)

    atexit.register(stop)
    return f"postgresql+psycopg://xapi@/postgres?host={home}"
