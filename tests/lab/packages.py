"""What the lab needs of Debian: fetched once, unpacked beside the system, never installed into it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

KERNEL = "linux-image-amd64"
ALWAYS = ("busybox-static", "kmod", "user-mode-linux")
"""Needed as files, even where the host has them."""
WANTED = (
    "cifs-utils",
    "e2fsprogs",
    "iproute2",
    "lvm2",
    "multipath-tools",
    "nbd-client",
    "nfs-common",
    "nfs-kernel-server",
    "open-iscsi",
    "procps",
    "qemu-utils",
    "rpcbind",
    "samba",
    "udev",
)
"""What is not installed on this host of these, and of what they depend on, is unpacked into the lab's own directory."""
MERGED = ("bin", "sbin", "lib", "lib64")
ARCHIVE = re.compile(r"^'[^']+' (\S+?)_(\S+?)_\w+\.deb ")
DEPENDENCY = re.compile(r"^\s*\|?Depends: (linux-image-\S+)$", re.MULTILINE)


class NotPrepared(Exception):
    """The lab cannot be made ready; the text says what to do."""


def run(argv: Sequence[str], directory: Path | None = None, executable: Path | None = None, libraries: str = "") -> str:
    """Run a program and return what it printed; NotPrepared with its last words where it fails."""
    environment = {**os.environ, "LC_ALL": "C"} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
    try:
        done = subprocess.run(
            argv, cwd=directory, executable=executable, env=environment, check=True, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise NotPrepared(f"there is no program {argv[0]}") from error
    except subprocess.CalledProcessError as error:
        raise NotPrepared(f"{' '.join(argv[:3])} …: {error.stderr.strip()[-500:]}") from error
    return done.stdout


def lacking() -> list[str]:
    """Return, as NAME=VERSION, the packages that this host would have to install to have what is wanted."""
    with tempfile.TemporaryDirectory() as nothing:  # what apt has in its own store it would leave out
        options = ["-o", f"Dir::Cache::archives={nothing}", "--print-uris", "-qq", "--no-install-recommends"]
        text = run(["apt-get", *options, "install", *WANTED])
    matches = [match for match in map(ARCHIVE.match, text.splitlines()) if match]
    found = {match[1]: f"{match[1]}={match[2].replace('%3a', ':')}" for match in matches}
    kernel = DEPENDENCY.search(run(["apt-cache", "depends", KERNEL]))
    if kernel is None:
        raise NotPrepared(f"there is no package {KERNEL}: this is made for Debian on x86-64")
    return [*found.values(), *(name for name in (*ALWAYS, kernel[1]) if name not in found)]


def fetch(archives: Path, wanted: Sequence[str], tell: Callable[[str], None]) -> list[Path]:
    """Download packages, unless they are there, and return their files."""
    archives.mkdir(parents=True, exist_ok=True)
    for each in wanted:
        tell(f"fetching {each}")
        run(["apt-get", "-qq", "download", each], archives)
    return sorted(archives.glob("*.deb"))


def unpack(files: Sequence[Path], root: Path) -> None:
    """Unpack packages below a directory that is laid out as a merged system is: /lib is a link, and stays one."""
    shutil.rmtree(root, ignore_errors=True)
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for file in files:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as archive:
            options = ["--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(root)]
            subprocess.run(["tar", *options], stdin=archive.stdout, check=True)
        if archive.returncode:
            raise NotPrepared(f"{file.name} cannot be unpacked")


def kernels(root: Path) -> tuple[str, str]:
    """Return the versions of the user-mode kernel and of the ordinary one, and put both's modules in their place."""
    place = root / "lib" / "modules"
    (ordinary,) = sorted(path.name for path in place.iterdir())
    (own,) = (root / "usr" / "lib" / "uml" / "modules").iterdir()
    own.rename(place / own.name)
    return own.name, ordinary


def index_modules(root: Path, version: str) -> None:
    """Make the lists in which modprobe looks."""
    kmod = root / "usr" / "bin" / "kmod"
    executable = kmod if kmod.exists() else None
    libraries = ":".join(str(path) for path in (root / "usr" / "lib").glob("*-linux-gnu*"))
    run(["depmod", "--basedir", str(root), version], executable=executable, libraries=libraries)
