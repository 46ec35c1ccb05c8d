"""The lab machine: what it is made of, one boot of it, and what came of that."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import initrd, packages, qemu, uml
from tests.lab.packages import NotPrepared
from tests.lab.runs import begun, locked

CHECKOUT = Path(__file__).resolve().parents[2]
DIRECTORY = CHECKOUT / ".lab"
GUEST = CHECKOUT / "tests" / "lab" / "guest.sh"
KEEPER = Path(__file__).with_name("keeper.py")
COMMAND = "python -m tests.lab --prepare"
FORM = 5
"""Raise it when what preparation makes has changed."""
GIB = 1 << 30
DISKS = {"store": 24 * GIB, "lvm": 16 * GIB, "ext": 16 * GIB, "small": GIB // 4}
"""The empty disks of every lab machine, by name."""
ADAPTER_DISKS = {"hba0": 16 * GIB, "hba1": GIB // 4}
"""The empty disks behind an emulated SAS adapter, by their serial numbers."""
KINDS = ("uml", "qemu")
MEMORY_IS_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(GIB // 2)}
"""What a process of the job gives back it has to touch anew, which is the slowest of all that it does in there."""
PROCESSORS = {"uml": 1, "qemu": 2}


@dataclass(frozen=True)
class Versions:
    """Which kernels there are, and what QEMU runs its own with."""

    form: int
    uml: str
    qemu: str
    accelerator: str


@dataclass(frozen=True)
class Lab:
    """What preparation made, in a directory."""

    directory: Path
    versions: Versions

    @property
    def root(self) -> Path:
        """Where the packages are unpacked."""
        return self.directory / "root"


@dataclass(frozen=True)
class Result:
    """How a job ended: its exit code, None where the machine did not come to its end; where its files are."""

    code: int | None
    directory: Path
    console: str

    @property
    def why(self) -> str:
        """Say what happened, with the last that the console showed."""
        ended = "the lab machine did not come to its end" if self.code is None else f"the job ended with {self.code}"
        return f"{ended}; the console's last lines:\n" + "\n".join(self.console.splitlines()[-60:])


def found(directory: Path = DIRECTORY) -> Lab:
    """Return the lab that was prepared; NotPrepared with the command that does it."""
    try:
        stamp = json.loads((directory / "stamp.json").read_text())
    except FileNotFoundError:
        raise NotPrepared(f"the lab machine is not prepared: run {COMMAND}") from None
    if stamp["form"] != FORM:
        raise NotPrepared(f"the lab machine was prepared by another version: run {COMMAND}")
    return Lab(directory, Versions(**stamp))


def prepare(directory: Path = DIRECTORY, tell: Callable[[str], None] = print) -> Lab:
    """Fetch and unpack what is needed, unless that was done; the only part that needs a network."""
    with suppress(NotPrepared):
        return found(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".gitignore").write_text("*\n")
    with locked(directory / "lock"):  # no machine runs over these files meanwhile
        with suppress(NotPrepared):
            return found(directory)
        return _prepare(directory, tell)


def _prepare(directory: Path, tell: Callable[[str], None]) -> Lab:
    root = directory / "root"
    (directory / "stamp.json").unlink(missing_ok=True)
    files = packages.fetch(directory / "archives", packages.lacking(), tell)
    tell("unpacking")
    packages.unpack(files, root)
    shutil.rmtree(directory / "archives")
    own, emulated = packages.kernels(root)
    for version in (own, emulated):
        packages.index_modules(root, version)
    tell("looking whether KVM boots a kernel")
    accelerator = qemu.accelerator(root, emulated, root / "boot" / f"vmlinuz-{emulated}")
    (directory / "initrd").write_bytes(initrd.of_kernel(root, emulated))
    versions = Versions(FORM, own, emulated, accelerator)
    (directory / "stamp.json").write_text(json.dumps(asdict(versions)))
    tell(f"ready: user-mode Linux {own}; Linux {emulated} in QEMU with {accelerator}")
    return Lab(directory, versions)


def command(lab: Lab, kind: str, out: Path, images: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command for a machine, and the devices of its disks in there; makes the disks' sparse images."""
    sizes = DISKS if kind == "uml" else {**DISKS, **ADAPTER_DISKS}
    for name, size in sizes.items():
        with (images / name).open("wb") as image:
            image.truncate(size)
    disks = {name: images / name for name in DISKS}
    if kind == "uml":
        modules = initrd.module_files(lab.root, lab.versions.uml, uml.MODULES)
        return uml.command(lab.root, modules, out, GUEST, disks), uml.places(disks)
    if shutil.which(qemu.PROGRAM) is None:
        raise NotPrepared(f"there is no {qemu.PROGRAM}: apt-get install --no-install-recommends {qemu.PACKAGE}")
    kernel = lab.root / "boot" / f"vmlinuz-{lab.versions.qemu}"
    words = f"{qemu.WORDS} lab.guest={GUEST}"
    base = qemu.base_command(lab.versions.accelerator, kernel, lab.directory / "initrd", words)
    return qemu.command(base, lab.root, out, disks, {name: images / name for name in ADAPTER_DISKS}), qemu.places(disks)


def boot(lab: Lab, job: Sequence[str], seconds: float, kind: str, tell: Callable[[str], object] = print) -> Result:
    """Run a program in a lab machine, in the checkout's directory there, and return how it ended.

    What it writes to /out is in the result's directory, which stays for some runs more.
    """
    with locked(lab.directory / "lock", shared=True), begun(lab.directory) as run:
        out = run / "out"
        argv, places = command(lab, kind, out, run / "disks")
        disks = " ".join(f"{name}={device}" for name, device in places.items())
        variables = {"XAPI_LAB": kind, "XAPI_LAB_DISKS": disks, "PYTHONDONTWRITEBYTECODE": "1", **MEMORY_IS_KEPT}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        lines += [f"cd {shlex.quote(str(CHECKOUT))}", shlex.join(job)]
        (out / "job").write_text("\n".join(lines) + "\n")
        console = _watch([str(seconds), str(PROCESSORS[kind]), *argv], tell)
        (out / "console").write_text(console)
        code = int((out / "exit").read_text()) if (out / "exit").exists() else None
        return Result(code, out, console)


def _watch(arguments: Sequence[str], tell: Callable[[str], object]) -> str:
    """Run a machine to its end, which comes when the time or this process is over; return what its console showed."""
    shown: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(KEEPER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            for line in process.stdout:
                shown.append(line.rstrip("\r\n"))
                tell(shown[-1])
    return "\n".join(shown)
