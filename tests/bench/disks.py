"""The disks of the storage benchmark: the same content as raw file, fixed and dynamic VHD, and chains of both kinds."""

from __future__ import annotations

import os
import random
import subprocess
from contextlib import closing
from pathlib import Path

from xapi.storage.sparse import data_runs
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.parents import describe_parent

MIB = 1 << 20
PIECE = 256 << 10
"""A link of a chain holds every so-many-th piece of this length: less than a block of a VHD, as guests write."""


def run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)


def noise(path: Path, size: int) -> Path:
    """A raw file without zeros."""
    source = random.Random(1)
    with path.open("wb") as file:
        for _ in range(size // (4 * MIB)):
            file.write(source.randbytes(4 * MIB))
        os.fsync(file.fileno())
    return path


def converted(source: Path, target: Path, form: str, *options: str) -> Path:
    """The content of a raw file in a format of qemu's."""
    run("qemu-img", "convert", "-f", "raw", "-O", form, *options, source, target)
    run("sync", target)
    return target


def empty_vhd(path: Path, size: int) -> Path:
    with closing(RealFile.create(str(path), exclusive=False)) as file:
        create_dynamic(file, size)
    return path


def empty_by_qemu(path: Path, size: int) -> Path:
    form = {".vhd": "vpc", ".qcow2": "qcow2"}[path.suffix]
    options = ["-o", "force_size=on"] if form == "vpc" else []
    run("qemu-img", "create", "-f", form, *options, path, str(size))
    return path


def child_vhd(path: Path, parent: Path) -> Path:
    with closing(RealFile.create(str(path), exclusive=False)) as file:
        create_child(file, describe_parent(str(parent)))
    return path


def child_qcow2(path: Path, parent: Path) -> Path:
    run("qemu-img", "create", "-f", "qcow2", "-b", parent, "-F", "qcow2", path)
    return path


def our_chain(directory: Path, data: Path, depth: int) -> Path:
    """VHDs, each with its share of the data; returns the tip."""
    size, tip = data.stat().st_size, directory / "link0.vhd"
    for number in range(depth):
        path = directory / f"link{number}.vhd"
        tip = empty_vhd(path, size) if number == 0 else child_vhd(path, tip)
        with Chain.open(str(tip), writable=True) as chain, data.open("rb") as source:
            for offset in range(number * PIECE, size, depth * PIECE):
                source.seek(offset)
                chain.write(offset, source.read(PIECE))
            chain.flush()
    return tip


def qemu_chain(directory: Path, data: Path, depth: int) -> Path:
    """The same in qcow2, written through qemu-io."""
    size, tip = data.stat().st_size, directory / "link0.qcow2"
    for number in range(depth):
        path = directory / f"link{number}.qcow2"
        tip = empty_by_qemu(path, size) if number == 0 else child_qcow2(path, tip)
        with subprocess.Popen(["qemu-io", str(tip)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writer:
            assert writer.stdin is not None
            for offset in range(number * PIECE, size, depth * PIECE):
                # The bytes themselves do not matter, only that they are no zeros.
                writer.stdin.write(b"write -q -P %d %d %d\n" % (1 + offset // PIECE % 250, offset, PIECE))
            writer.stdin.write(b"flush\nquit\n")
            writer.stdin.close()
            assert writer.wait() == 0
    return tip


def settle(*paths: Path) -> None:
    """Make these files durable, and leave those of others alone."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def forget(*paths: Path) -> None:
    """Take durable files out of the page cache."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(disk: Path) -> None:
    """Read a disk and the links beside it, so that nobody is the first to do so.

    Holes are left out: the cache keeps pages of zeros for them, and a chain of VHDs is mostly holes.
    """
    for path in sorted(disk.parent.glob(f"link*{disk.suffix}")) if disk.stem.startswith("link") else [disk]:
        with path.open("rb", buffering=0) as file:
            for offset, length in data_runs(str(path)):
                file.seek(offset)
                while file.tell() < offset + length and file.read(min(4 * MIB, offset + length - file.tell())):
                    pass
