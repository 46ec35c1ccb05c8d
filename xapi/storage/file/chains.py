"""Making, splitting, growing and removing the images of a directory: what `FileSr` does under its lock.

Every function leaves the directory in one of two states, the old or the new, whenever it is cut short; what it may
leave besides is found and cleared away by `recover`.
"""

from __future__ import annotations

import os
from contextlib import closing

from xapi.storage.file.directory import (
    FORK_NAME,
    IMAGE_NAME,
    RECORD_NAME,
    RESIZE_NAME,
    TEMPORARY_NAME,
    Directory,
)
from xapi.storage.file.fork import hide_raw, make_child, recover_forks, set_hidden
from xapi.storage.file.record import VdiRecord, load_record, save_record
from xapi.storage.file.tree import Tree
from xapi.storage.images.tree import Node
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.errors import JournalError, VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import revert
from xapi.storage.vhd.resize import grow


def create_image(directory: Directory, uuid: str, format: str, size: int, record: VdiRecord) -> None:
    """Make an empty image with its record; the image's name comes last."""
    path = directory.temporary(uuid, format)
    try:
        save_record(directory, uuid, record)
        directory.remove(path)
        with closing(RealFile.create(path)) as file:
            if format == "vhd":
                create_dynamic(file, size)
            else:
                file.truncate(size)
                file.flush()
        os.rename(path, directory.image(uuid, format))
    except (OSError, VhdError):
        directory.remove(path)
        directory.remove(directory.record(uuid))
        raise
    directory.sync()


def add_child(directory: Directory, parent: Node, uuid: str, record: VdiRecord) -> None:
    """Make an empty child of an image that does not change any more, with its record."""
    try:
        save_record(directory, uuid, record)
        make_child(directory, parent.uuid, uuid, format=parent.format)
        os.rename(directory.temporary(uuid), directory.image(uuid))
    except (OSError, VhdError):
        directory.remove(directory.temporary(uuid))
        directory.remove(directory.record(uuid))
        raise
    directory.sync()


def grow_image(directory: Directory, node: Node, size: int) -> None:
    """Make a disk larger; the rest of it reads as zeros."""
    with closing(directory.open(node.path, True)) as file:
        if node.format == "raw":
            file.truncate(size)
            file.flush()
            return
        journal_path = directory.resize_journal(node.uuid)
        directory.remove(journal_path)
        with closing(RealFile.create(journal_path)) as journal:
            directory.sync()
            vhd = Vhd.open(file, writable=True)
            try:
                grow(vhd, size, journal)
            except (OSError, VhdError):
                # What was already written cannot be told from here: the journal can.
                _revert(directory, node.uuid)
                raise
    directory.remove(journal_path)


def _revert(directory: Directory, uuid: str) -> None:
    """Take back a resize that was cut short, by its journal. A disk whose journal is no help is left as it is."""
    path = directory.resize_journal(uuid)
    try:
        with closing(directory.open(directory.image(uuid), True)) as file, closing(RealFile.open(path)) as journal:
            revert(file, journal)
    except FileNotFoundError:
        pass  # the disk is gone, and with it the need
    except (JournalError, VhdError):
        # Either the journal was not complete, and then nothing was changed; or the disk says itself what is wrong.
        if _opens(directory, uuid):
            directory.remove(path)
        return
    directory.remove(path)


def _opens(directory: Directory, uuid: str) -> bool:
    try:
        with closing(directory.open(directory.image(uuid), False)) as file:
            Vhd.open(file)
    except (VhdError, FileNotFoundError):
        return False
    return True


def remove_image(directory: Directory, tree: Tree, node: Node, keep_record: bool = False) -> None:
    """Remove a disk and the hidden ancestors that nothing else depends on; one with children is only hidden."""
    if tree.children(node.uuid):
        if node.format == "vhd":
            set_hidden(directory, node.uuid)
            directory.remove(directory.record(node.uuid))
        else:
            hide_raw(directory, node.uuid)
        tree.reread(node.uuid)
        return
    parent = node.parent
    directory.remove(node.path)
    if not keep_record:
        directory.remove(directory.record(node.uuid))
    tree.look(node.uuid)
    while parent and tree.all_parents_known():
        above = tree.look(parent)
        if above is None or not above.hidden or tree.children(parent):
            break
        directory.remove(above.path)
        directory.remove(directory.record(parent))
        tree.look(parent)
        parent = above.parent
    directory.sync()


def recover_files(directory: Directory) -> None:
    """Finish or take back every split and resize that was cut short, and remove temporary files."""
    names = directory.names()
    # What is in the way goes first: finishing a split may want room.
    for name in filter(TEMPORARY_NAME.fullmatch, names):
        directory.remove(os.path.join(directory.path, name))
    for name in names:
        if match := RESIZE_NAME.fullmatch(name):
            _revert(directory, match[1])
    recover_forks(directory, [match[1] for name in names if (match := FORK_NAME.fullmatch(name))])


def clear_orphans(directory: Directory, logs: frozenset[str]) -> frozenset[str]:
    """Remove the records that belong to no image, and return those of `logs` that belong to none either."""
    names = directory.names()
    images = {match[1] for name in names if (match := IMAGE_NAME.fullmatch(name))}
    kept = set()
    for name in names:
        match = RECORD_NAME.fullmatch(name)
        if match is None or match[1] in images:
            continue
        # A snapshot whose data was destroyed keeps its record, for the blocks that changed.
        if match[1] in logs and load_record(directory, match[1]).type == "cbt_metadata":
            kept.add(match[1])
        else:
            directory.remove(directory.record(match[1]))
    return logs - images - kept
