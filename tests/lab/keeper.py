"""Runs a machine for as long as somebody wants it: `python keeper.py SECONDS PROCESSORS PROGRAM ARGUMENT…`.

Standard input is a pipe that nobody writes to: when it ends, whoever held the other end has gone, be it by SIGKILL.
A user-mode Linux is a group of processes, some of which outlive their first; so this one leads a group in which are all
that the machine starts, and the end of the machine, of the time or of the pipe is the end of the group.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from contextlib import suppress
from typing import NoReturn


def settle_on_one(processors: int) -> None:
    """With `processors` 1, stay on one of those that there are, and be served there before others.

    Each system call under user-mode Linux is a turn of several processes, and waiting for other work at each of them
    makes it several times slower than its own work would.
    """
    others = sorted(os.sched_getaffinity(0))[1:]  # somebody must be able to stop it
    if processors == 1 and others:
        os.sched_setaffinity(0, {random.choice(others)})
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def keep(seconds: float, argv: list[str]) -> NoReturn:
    """Run a program, and kill the whole group, this process too, when it may not go on."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as machine:
        ends = select.poll()
        ends.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
        ends.register(os.pidfd_open(machine.pid), select.POLLIN)
        ends.poll(seconds * 1000)
        os.killpg(0, signal.SIGKILL)
    raise AssertionError("it outlived itself")


if __name__ == "__main__":
    settle_on_one(int(sys.argv[2]))
    keep(float(sys.argv[1]), sys.argv[3:])
