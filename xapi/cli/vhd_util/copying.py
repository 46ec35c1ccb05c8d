"""The subcommands that move data between disks: coalesce and copy."""

from __future__ import annotations

import errno
import os
import sys
from argparse import Namespace

from xapi.cli.vhd_util.changing import new_file, opened, progress
from xapi.cli.vhd_util.failure import CommandFailed, fail, failing
from xapi.storage.vhd.chain import CHUNK, Chain, RawDisk, open_parent
from xapi.storage.vhd.coalesce import coalesce as coalesce_into
from xapi.storage.vhd.coalesce import coalesce_to_ancestor
from xapi.storage.vhd.copying import copy_disk
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import SECTOR
from xapi.storage.vhd.parents import canonical_path


def coalesce(options: Namespace) -> None:
    """Copy a child's data into its parent, into an ancestor (-a), or with its parents' into a new VHD (-o)."""
    if options.output and (options.ancestor or options.step_parent):
        raise fail("-o goes with neither -a nor -x")
    shown = progress if options.progress else None
    try:
        if options.output:
            _into_new(options, shown)
        elif options.ancestor:
            _into_ancestor(options, shown)
        else:
            _into_parent(options, shown)
    except CommandFailed as error:
        print(f"error coalescing: {-error.number}")
        raise


def _into_parent(options: Namespace, shown: object) -> None:
    report = progress if shown else None
    with opened(options.name) as child:
        if not child.has_parent:
            raise fail("coalescing of non-differencing disks is not supported")
        with failing(f"error finding {options.name} parent"):
            parent = _step_parent(options.step_parent) if options.step_parent else open_parent(child, writable=True)
        try:
            with failing(f"error writing {parent.path}"):
                _say(coalesce_into(child, parent, report), report is not None)
        finally:
            parent.close()


def _step_parent(path: str) -> Vhd | RawDisk:
    file = RealFile.open(path, writable=True)
    try:
        return Vhd.open(file, writable=True)
    except VhdError:
        file.close()
        raise


def _into_ancestor(options: Namespace, shown: object) -> None:
    report = progress if shown else None
    wanted = canonical_path(options.ancestor)
    with failing(f"error opening {options.name}"):
        leaf = Vhd.open(RealFile.open(options.name))
    with Chain(leaf, parents_writable=True) as chain, failing(f"error coalescing onto {options.ancestor}"):
        depth = 1
        while True:
            link = chain.link(depth)
            if link is None:
                raise fail(f"{options.ancestor} is not an ancestor of {options.name}", errno.ENOENT)
            if canonical_path(link.path) == wanted:
                break
            depth += 1
        links = [link for link in map(chain.link, range(depth + 1)) if link is not None]
        _say(coalesce_to_ancestor(links, report), report is not None)


def _say(copied: int, after_progress: bool) -> None:
    if after_progress:
        print("\r100.00%")
    print(f"Coalesced {copied // SECTOR} sectors")


def _into_new(options: Namespace, shown: object) -> None:
    if os.path.exists(options.output):
        raise fail(f"{options.output} already exists", errno.EEXIST)
    with failing(f"error opening {options.name}"):
        chain = Chain.open(options.name)
    with chain, failing(f"error creating {options.output}"), new_file(options.output) as file:
        target = create_dynamic(file, chain.size)
        copy_disk(chain, target, progress if shown else None)
        if shown:
            print("\r100.00%")


def copy(options: Namespace) -> None:
    """Write the disk that a VHD and its parents make, raw, to a file or to standard output."""
    if bool(options.output) == options.stdout:
        raise fail("missing source and/or target file/device name")
    with failing(f"error opening {options.name}"):
        chain = Chain.open(options.name)
    with chain, failing(f"error copying {options.name}"):
        if options.stdout:
            _stream(chain)
            return
        with new_file(options.output) as file:
            if not file.fixed_size:
                file.truncate(chain.size)
            target = RawDisk(file, writable=True)
            if file.fixed_size:
                _copy_all(chain, target)
            else:
                copy_disk(chain, target)


def _copy_all(chain: Chain, target: RawDisk) -> None:
    """Write every byte, zeros too: a device keeps what was on it."""
    buffer = memoryview(bytearray(CHUNK))
    for offset in range(0, chain.size, CHUNK):
        part = buffer[: chain.size - offset]
        chain.read_into(offset, part)
        target.write(offset, part)
    target.flush()


def _stream(chain: Chain) -> None:
    buffer = memoryview(bytearray(CHUNK))
    for offset in range(0, chain.size, CHUNK):
        part = buffer[: chain.size - offset]
        chain.read_into(offset, part)
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
