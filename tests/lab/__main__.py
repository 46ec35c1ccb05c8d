"""`python -m tests.lab`: prepare the lab machine if need be, and run the tests of real storage in it.

Arguments go to the pytest inside: `python -m tests.lab -k iscsi`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.lab.machine import DIRECTORY, KINDS, boot, found, prepare
from tests.lab.packages import NotPrepared

SECONDS = 3600.0
SUITE = "tests/lab/inside"


def pytest_command(arguments: list[str]) -> list[str]:
    """Return what runs the suite inside."""
    plain = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--color=no", "-vv"]
    # The other tests' conftest.py imports the whole server, which takes a minute of an emulated processor.
    options = [*plain, f"--confcutdir={SUITE}", "--tb=short", "--durations=15", "--junitxml=/out/junit.xml"]
    chosen = [argument for argument in arguments if argument.startswith("tests/")]
    return [".venv/bin/python", "-m", "pytest", *options, *([] if chosen else [SUITE]), *arguments]


def main(arguments: list[str]) -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="only make the machine ready: needs a network, once")
    parser.add_argument("--offline", action="store_true", help="do not prepare: fail if that was not done")
    parser.add_argument("--machine", choices=KINDS, default=KINDS[0], help="user-mode Linux, or QEMU with adapters")
    parser.add_argument("--run", metavar="COMMAND", help="run a shell command inside instead of the tests")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long it may take in all")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the machine is, and its runs' results")
    options, rest = parser.parse_known_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # a way out that clears the disks away
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        lab = found(options.directory) if options.offline else prepare(options.directory)
    except NotPrepared as error:
        print(error, file=sys.stderr)
        return 2
    if options.prepare:
        return 0
    job = ["sh", "-c", options.run] if options.run else pytest_command(rest)
    result = boot(lab, job, options.seconds, options.machine)
    print(f"lab: results are in {result.directory}")
    if result.code != 0:
        print(result.why.splitlines()[0], file=sys.stderr)
    return 1 if result.code is None else result.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
