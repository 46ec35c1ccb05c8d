"""The subcommand scan: VHDs among files or volumes, one line each, or as trees."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace

from xapi.cli.vhd_util.failure import CommandFailed, failing
from xapi.storage.errors import StorageFailure
from xapi.storage.lvm.extents import VolumesAtRest
from xapi.storage.vhd.file import Opener, RealFile
from xapi.storage.vhd.parents import canonical_path
from xapi.storage.vhd.scan import (
    Found,
    Target,
    Volume,
    VolumeLister,
    device_volumes,
    file_targets,
    scan,
    volume_targets,
)


def volumes_of(group: str) -> tuple[list[Volume], Opener]:
    """Return the volumes of a group, active or not, with what opens them; where LVM says nothing, the active ones."""
    try:
        at_rest = VolumesAtRest(group)
    except StorageFailure:
        return device_volumes(group), RealFile.open
    return at_rest.volumes, at_rest.open


def show(options: Namespace, lister: VolumeLister | None = None) -> None:
    """Scan what was asked for and print it; a `lister` names the volumes of a group in the place of LVM.

    With -p images are printed as trees, children three spaces further in than their parent, those that are not
    hidden first. With -c the exit code is 0 whatever could not be read.
    """
    if not options.pattern and not options.files:
        print("scan needs a pattern (-m) or names")
        raise CommandFailed(22)
    volumes: list[Volume] = []
    opener: Opener = RealFile.open
    targets: Sequence[Target | Found]
    if options.group:
        with failing("scan failed"):
            volumes, opener = (lister(options.group), opener) if lister else volumes_of(options.group)
        targets = volume_targets(volumes, options.files, options.pattern)
    else:
        targets = file_targets(options.files, options.pattern)
    images = scan(
        targets,
        fast=options.fast and not options.pretty,
        parents=options.parents,
        keep_going=options.keep_going,
        markers=options.markers,
        volumes=volumes,
        opener=opener,
    )
    error = _print_trees(options, images) if options.pretty else _print_lines(options, images)
    if error and not options.keep_going:
        raise CommandFailed(-error)


def _print_lines(options: Namespace, images: Iterable[Found]) -> int:
    error = 0
    for image in images:
        error = image.error or error
        print(line(image, options.verbose, options.markers), flush=True)
    return error


def line(image: Found, verbose: bool, markers: bool, indent: int = 0, lost: bool = False) -> str:
    """Return the line for one image; `lost` when its parent was not found in the scan."""
    pad = " " * indent
    if image.error:
        return f"{pad}vhd={image.name} scan-error={image.error} error-message='{image.message}'"
    name, parent = image.name, image.parent or "none"
    if not verbose:
        name, parent = os.path.basename(name), os.path.basename(parent)
    extra = f"marker={image.marker} keyhash={image.key_hash} " if markers else ""
    tail = " (not found in scan)" if lost else ""
    return (
        f"{pad}vhd={name} capacity={image.capacity} size={image.size} "
        f"hidden={image.hidden} {extra}parent={parent}{tail}"
    )


def _print_trees(options: Namespace, images: Iterable[Found]) -> int:
    error = 0
    known: dict[str, Found] = {}
    for image in images:
        if image.error:
            error = image.error
            print(line(image, options.verbose, options.markers))
        else:
            known.setdefault(image.name if options.group else canonical_path(image.name), image)
    children: dict[str, list[str]] = {name: [] for name in known}
    roots: list[str] = []
    for name in sorted(known):
        parent = known[name].parent
        (children[parent] if parent in known else roots).append(name)
    # Trees that begin with a hidden image come first.
    for name in sorted(roots, key=lambda root: not known[root].hidden):
        _print_tree(options, known, children, name)
    for name in sorted(known):  # what only a loop of parents leads to
        _print_tree(options, known, children, name)
    return error


def _print_tree(options: Namespace, known: dict[str, Found], children: dict[str, list[str]], root: str) -> None:
    """Print one tree; what was printed is taken out of `known`."""
    pending = [(root, 0)]
    while pending:
        name, depth = pending.pop()
        image = known.pop(name, None)
        if image is None:
            continue
        lost = image.parent is not None and image.parent not in children
        shown = image if options.group else replace(image, name=name)
        print(line(shown, options.verbose, options.markers, depth * 3, lost))
        below = sorted((child for child in children[name] if child in known), key=lambda key: bool(known[key].hidden))
        pending += [(child, depth + 1) for child in reversed(below)]
