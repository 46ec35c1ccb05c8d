"""The first file system of the lab machine: a busybox, the few modules that reach the host's files, and a script."""

from __future__ import annotations

import gzip
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
LONGEST_PAD = 4
SCRIPT = """#!/bin/busybox sh
# Puts a writable layer over the host's files, with the lab's own packages between, and goes on in there.
b=/bin/busybox
$b mkdir -p /proc /host /extra /rw /new
$b mount -t proc proc /proc
for module in /modules/*; do $b insmod $module || $b echo "lab: $module does not load"; done
options=trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro
$b mount -t 9p -o $options host /host || $b poweroff -f
$b mount -t 9p -o $options extra /extra || $b poweroff -f
$b mount -t tmpfs -o size=75% rw /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/extra:/host,upperdir=/rw/upper,workdir=/rw/work lab /new || $b poweroff -f
for word in $($b cat /proc/cmdline); do
  case $word in lab.guest=*) guest=${word#lab.guest=};; esac
done
$b umount /proc
exec $b switch_root /new /bin/sh $guest
"""
PROBE = """#!/bin/busybox sh
/bin/busybox echo lab-probe-ok
/bin/busybox poweroff -f
"""


def archive(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """Return a cpio archive in the kernel's own form, of names with modes and contents."""
    parts: list[bytes] = []
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + encoded, content):
            parts.append(part + bytes(-len(part) % LONGEST_PAD))
    return b"".join(parts)


def dependencies(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return, for each module by its name, its file and the files that must be loaded before, from a modules.dep."""
    found = {}
    for line in text.splitlines():
        path, _, needed = line.partition(":")
        found[module_name(path)] = (path, needed.split())
    return found


def module_name(path: str) -> str:
    """Return the name under which a module is asked for."""
    return path.rsplit("/", 1)[-1].split(".", 1)[0].replace("-", "_")


def load_order(known: Mapping[str, tuple[str, list[str]]], wanted: Iterable[str]) -> list[str]:
    """Return the files of modules and of all that they need, each once and after what it needs.

    One that the kernel has built in is in no list, and left out.
    """
    order: dict[str, None] = {}

    def add(name: str) -> None:
        if name in known:
            path, needed = known[name]
            for each in needed:
                add(module_name(each))
            order.setdefault(path)

    for name in wanted:
        add(name.replace("-", "_"))
    return list(order)


def build(busybox: bytes, modules: Iterable[tuple[str, bytes]], script: str = SCRIPT) -> bytes:
    """Return an initial file system that runs a script after which modules, given in their order, can be loaded."""
    directory, program, plain = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFREG | 0o644
    entries: list[tuple[str, int, bytes]] = [
        ("bin", directory, b""),
        ("dev", directory, b""),
        ("modules", directory, b""),
        ("bin/busybox", program, busybox),
        ("init", program, script.encode()),
    ]
    for number, (name, content) in enumerate(modules):
        entries.append((f"modules/{number:02}-{name}", plain, content))
    return gzip.compress(archive(entries), 1)


def module_files(root: Path, version: str, wanted: Iterable[str]) -> list[Path]:
    """Return the files of modules of a kernel below `root`, in the order in which they can be loaded."""
    directory = root / "lib" / "modules" / version
    order = load_order(dependencies((directory / "modules.dep").read_text()), wanted)
    return [directory / path for path in order]


def of_kernel(root: Path, version: str, script: str = SCRIPT, wanted: Iterable[str] = MODULES) -> bytes:
    """Return the initial file system for a kernel whose modules are below `root`."""
    modules = module_files(root, version, wanted)
    return build((root / "bin" / "busybox").read_bytes(), [(path.name, path.read_bytes()) for path in modules], script)
