"""The lab machine as a user-mode Linux: a kernel that is a program, as fast as the host but for what it asks of it.

It has everything but hardware: no adapter, and one processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAM = "linux.uml"
MODULES = ("overlay",)
MEMORY = "2048M"


def command(root: Path, modules: Sequence[Path], out: Path, guest: Path, disks: Mapping[str, Path]) -> list[str]:
    """Return the command that boots over the host's files; the disks are /dev/ubda, /dev/ubdb, … in their order."""
    variables = {
        "lab_root": root,
        "lab_out": out,
        "lab_guest": guest,
        "lab_modules": " ".join(map(str, modules)),
    }
    argv = [str(root / "usr" / "bin" / PROGRAM), f"mem={MEMORY}", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]
    argv += [
        "init=/bin/sh",
        "con=null",
        "con0=fd:0,fd:1",
        "panic=-1",
        "pty.legacy_count=0",
        f"uml_dir={out.parent}/uml",
    ]
    argv += [f"ubd{number}={file}" for number, file in enumerate(disks.values())]
    argv += [f"{name}={value}" for name, value in variables.items()]
    return [*argv, "--", str(guest.parent / "first.sh")]


def places(disks: Mapping[str, Path]) -> dict[str, str]:
    """Return the device of each disk in there."""
    return {name: f"/dev/ubd{chr(ord('a') + number)}" for number, name in enumerate(disks)}
