"""The subcommands that make and change VHDs: create, snapshot, set, repair, resize, fill, modify, revert."""

from __future__ import annotations

import errno
import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from xapi.cli.vhd_util.failure import CommandFailed, fail, failing
from xapi.storage.vhd.chain import Chain, open_parent
from xapi.storage.vhd.check import repair as repair_file
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import revert as revert_from
from xapi.storage.vhd.layout import SECTOR, DiskType, rounded_size
from xapi.storage.vhd.modify import kill_data, set_marker, set_parent, set_physical_size
from xapi.storage.vhd.parents import Parent, canonical_path, describe_parent
from xapi.storage.vhd.resize import grow, largest_size
from xapi.system.undo import on_failure

MIB = 1 << 20


@contextmanager
def opened(name: str, writable: bool = False, allow_disabled: bool = False) -> Iterator[Vhd]:
    """Open a VHD by its path for the length of a command."""
    with failing(f"error opening {name}"):
        file = RealFile.open(name, writable)
        try:
            vhd = Vhd.open(file, writable, allow_disabled=allow_disabled)
        except VhdError:
            file.close()
            raise
    try:
        yield vhd
    finally:
        vhd.close()


@contextmanager
def new_file(name: str) -> Iterator[RealFile]:
    """Make an empty file, or take the block device of that name; a file is removed again on failure."""
    there = os.path.exists(name) and stat.S_ISBLK(os.stat(name).st_mode)
    file = RealFile.create(name, exclusive=False)
    with ExitStack() as stack:
        stack.callback(file.close)
        if not there:
            stack.enter_context(on_failure(os.unlink, name))
        yield file


def create(options: Namespace) -> None:
    """Make a dynamic VHD, or with -r a fixed one, over whatever file has the name."""
    size, largest = rounded_size(options.size * MIB), rounded_size(options.largest * MIB)
    with failing(f"error creating {options.name}"), new_file(options.name) as file:
        if options.reserve:
            create_fixed(file, size)
            if not file.fixed_size:
                file.reserve(size)
        else:
            create_dynamic(file, size, largest_size=largest)


def snapshot(options: Namespace) -> None:
    """Make a differencing VHD on a parent; on the parent's parent where the parent has no data of its own."""
    path = canonical_path(options.parent)
    with failing(f"error opening parent {options.parent}"):
        parent = describe_parent(path, options.raw)
        size = parent.size
        if not options.raw and not options.link_empty:
            parent = _with_data(path, parent)
    if options.limit and not parent.raw:
        with failing("error checking snapshot depth"), Chain.open(parent.path) as chain:
            depth = len(chain.open_all())
        if depth + 1 > options.limit:
            message = f"snapshot depth exceeded: current depth: {depth}, limit: {options.limit}"
            raise fail(message, errno.ENOSPC)
    largest = rounded_size(options.largest * MIB)
    with failing(f"error creating {options.name}"), new_file(options.name) as file:
        create_child(file, parent, size=size, largest_size=largest)


def _with_data(path: str, parent: Parent) -> Parent:
    """Return the first parent from `path` down that has any block, or is no differencing disk."""
    vhd = Vhd.open(RealFile.open(path))
    try:
        if not vhd.has_parent or vhd.table.count():
            return parent
        below = open_parent(vhd)
        below.close()
        raw = vhd.parent_is_raw
    finally:
        vhd.close()
    next_path = canonical_path(below.path)
    described = describe_parent(next_path, raw)
    return described if raw else _with_data(next_path, described)


def set_field(options: Namespace) -> None:
    """Set the hidden byte or the marker byte."""
    if options.field not in ("hidden", "marker"):
        raise fail(f"invalid field {options.field}")
    if not 0 <= options.value <= 255:
        raise fail(f"invalid value {options.value}")
    with opened(options.name, writable=True) as vhd, failing(f"error writing {options.name}"):
        if options.field == "hidden":
            vhd.set_hidden(options.value)
        else:
            set_marker(vhd, options.value)


def repair(options: Namespace) -> None:
    """Write both footers anew from the one that is good."""
    with failing(f"error opening {options.name}"):
        file = RealFile.open(options.name, writable=True)
        try:
            repair_file(file)
        finally:
            file.close()


def resize(options: Namespace) -> None:
    """Grow a VHD: with -f only where its metadata has room, with -j by a journal."""
    if bool(options.journal) == options.fast:
        raise fail("resize needs either -j JOURNAL or -f")
    size = rounded_size(options.size * MIB)
    with opened(options.name, writable=True) as vhd:
        if size < vhd.size:
            raise fail(f"{options.name}: size ({size}) < curr size ({vhd.size})")
        if options.fast:
            if size > largest_size(vhd):
                room = largest_size(vhd)
                raise fail(f"not enough metadata space reserved for fast resize (room for {room}, need {size})")
            with failing("resize failed"):
                grow(vhd, size)
            return
        with failing("creating journal failed"):
            journal = RealFile.create(options.journal)
        try:
            with failing("resize failed"):
                grow(vhd, size, journal)
        except CommandFailed:
            with failing("closing journal failed"):
                revert_journal(options.name, journal)
            raise
        finally:
            journal.close()
        _remove_journal(options.journal)


def revert_journal(name: str, journal: RealFile) -> None:
    """Undo what a journal says of the VHD; a journal that was never complete has nothing to undo."""
    if journal.size() < SECTOR:
        return
    file = RealFile.open(name, writable=True)
    try:
        revert_from(file, journal)
    finally:
        file.close()
    _remove_journal(journal.path)


def _remove_journal(path: str) -> None:
    if not stat.S_ISBLK(os.stat(path).st_mode):
        os.unlink(path)


def revert(options: Namespace) -> None:
    """Undo a resize that was cut short."""
    with failing("opening journal failed"):
        journal = RealFile.open(options.journal)
    try:
        with failing("reverting journal failed"):
            file = RealFile.open(options.name, writable=True)
            try:
                revert_from(file, journal)
            finally:
                file.close()
        with failing("removing journal failed"):
            _remove_journal(options.journal)
    finally:
        journal.close()


def modify(options: Namespace) -> None:
    """Drop the data, move the footer to another physical size, or set another parent."""
    with opened(options.name, writable=True) as vhd:
        if options.zero:
            with failing("failed to zero VHD"):
                kill_data(vhd)
        if options.size is not None:
            with failing(f"failed to set physical size to {options.size}"):
                set_physical_size(vhd, options.size)
        if options.parent is not None:
            path = canonical_path(options.parent)
            with failing(f"failed to set parent to '{path}'"):
                set_parent(vhd, describe_parent(path, options.raw))


def fill(options: Namespace) -> None:
    """Give every block its place: with -b without data, else with the data that is seen there."""
    if options.blocks_only:
        with opened(options.name, writable=True) as vhd, failing(f"error filling {options.name}"):
            if vhd.disk_type is DiskType.FIXED:
                return
            sectors = vhd.block_size // SECTOR
            first = (options.first or 0) // sectors
            last = vhd.blocks - 1 if options.last is None else options.last // sectors
            if not 0 <= first <= last < vhd.blocks:
                raise fail(f"invalid sector range {options.first}-{options.last}")
            vhd.allocate(first, last, full=True)
        return
    if options.first is not None or options.last is not None:
        raise fail("-f/-t can only be used with -b")
    with failing(f"error opening {options.name}"):
        chain = Chain.open(options.name, writable=True)
    with chain, failing(f"error filling {options.name}"):
        buffer = memoryview(bytearray(2 * MIB))
        for offset in range(0, chain.size, len(buffer)):
            part = buffer[: chain.size - offset]
            chain.read_into(offset, part)
            chain.write(offset, part)
        chain.flush()


def progress(done: int, total: int) -> None:
    """Show how far a copy has come, on one line."""
    with suppress(BrokenPipeError):
        sys.stdout.write(f"\r{100 * done / total:6.2f}%")
        sys.stdout.flush()
