"""LVM's commands without its programs: its own library runs the same lines, in a process that stays.

What takes most of a program's time under user-mode Linux is its beginning: each page that it touches for the first time
is three turns of the host.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from xapi.storage.lvm.group import run_lvm
from xapi.system.command import ENVIRONMENT, CommandFailed, Completed

PROGRAMS = frozenset(
    (
        "lvs",
        "vgs",
        "pvs",
        "vgcreate",
        "vgremove",
        "vgchange",
        "lvcreate",
        "lvremove",
        "lvrename",
        "lvresize",
        "lvchange",
    )
)
SERVER = """
import ctypes, json, os, sys
library, libc = ctypes.CDLL("liblvm2cmd.so.2.03"), ctypes.CDLL(None)
library.lvm2_init.restype = ctypes.c_void_p
library.lvm2_run.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
answers = os.fdopen(os.dup(1), "w")
written = [os.memfd_create(name) for name in ("stdout", "stderr")]
for number, memory in enumerate(written, start=1):
    os.dup2(memory, number)
handle = library.lvm2_init()
for line in sys.stdin:
    code = library.lvm2_run(handle, line.strip().encode())
    libc.fflush(None)
    texts = []
    for memory in written:
        texts.append(os.pread(memory, os.fstat(memory).st_size, 0).decode())
        os.ftruncate(memory, 0)
        os.lseek(memory, 0, os.SEEK_SET)
    print(json.dumps([0 if code == 1 else code, *texts]), file=answers, flush=True)
"""
"""Runs a command for each line that it reads, and writes a line of what came of it; the library says 1 for success."""


class LvmLibrary:
    """A Runner of LVM's commands, and of other programs as they are. Not safe for several threads."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(ENVIRONMENT),
        )

    def __call__(self, argv: Sequence[str]) -> Completed:
        """Run a command to its end."""
        if argv[0] not in PROGRAMS:
            return run_lvm(argv)
        assert not any(part.split() != [part] for part in argv), "the library splits its line at spaces"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(argv) + "\n")
        self._process.stdin.flush()
        code, stdout, stderr = json.loads(self._process.stdout.readline())
        if code:
            raise CommandFailed(argv, code, stdout.encode(), stderr)
        return Completed(0, stdout.encode(), stderr)

    def __enter__(self) -> LvmLibrary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:  # the end of what it reads is its own
            assert self._process.stdin is not None
            self._process.stdin.close()
