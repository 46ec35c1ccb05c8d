"""The options of every subcommand, and the way from the command line to it."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from xapi.cli.vhd_util import changing, copying, listing, showing
from xapi.cli.vhd_util.failure import CommandFailed

Command = Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """A parser that leaves with EINVAL, as the tool always did."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with the command line."""
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(errno.EINVAL)


def number(text: str) -> int:
    """Return a number that is not negative, in decimal or with 0x."""
    value = int(text, 0) if text.startswith("0x") else int(text)
    if value < 0:
        raise ValueError(text)
    return value


def build_parser() -> Parser:
    """Return the parser for all subcommands."""
    parser = Parser(
        prog="vhd-util",
        description="Look into VHD disk images and change them.",
        epilog="The exit code is 0, or the errno of what went wrong. --debug is accepted anywhere, for old scripts.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name: str, run: Command, text: str, named: bool = True) -> Parser:
        added: Parser = commands.add_parser(name, help=text, description=text)
        if named:
            added.add_argument("-n", dest="name", metavar="FILE", required=True, help="the VHD")
        added.set_defaults(run=run)
        return added

    _add_making(command)
    _add_looking(command)
    _add_changing(command)
    _add_moving(command)
    return parser


def _add_making(command: Callable[..., Parser]) -> None:
    create = command("create", changing.create, "make a dynamic VHD, or with -r a fixed one")
    create.add_argument("-s", dest="size", metavar="MB", type=number, required=True, help="virtual size in MiB")
    create.add_argument("-r", dest="reserve", action="store_true", help="fixed: take all the space now")
    create.add_argument(
        "-S", dest="largest", metavar="MB", type=number, default=0, help="leave room to grow to this size"
    )
    create.add_argument("-b", action="store_true", help=argparse.SUPPRESS)
    snapshot = command("snapshot", changing.snapshot, "make a differencing VHD on a parent")
    snapshot.add_argument("-p", dest="parent", metavar="PARENT", required=True, help="the parent")
    snapshot.add_argument("-m", dest="raw", action="store_true", help="the parent is raw")
    snapshot.add_argument("-l", dest="limit", metavar="DEPTH", type=number, default=0, help="longest chain allowed")
    snapshot.add_argument(
        "-S", dest="largest", metavar="MB", type=number, default=0, help="leave room to grow to this size"
    )
    snapshot.add_argument(
        "-e", dest="link_empty", action="store_true", help="take the parent as it is, even if it has no data"
    )
    snapshot.add_argument("-b", action="store_true", help=argparse.SUPPRESS)


def _add_looking(command: Callable[..., Parser]) -> None:
    query = command("query", showing.query, "print sizes, parent, fields and chain depth")
    query.add_argument("-v", dest="virtual_size", action="store_true", help="virtual size in MiB")
    query.add_argument("-s", dest="physical_size", action="store_true", help="bytes in use")
    query.add_argument("-p", dest="parent", action="store_true", help="path of the parent")
    query.add_argument("-f", dest="fields", action="store_true", help="hidden")
    query.add_argument("-m", dest="marker", action="store_true", help="marker")
    query.add_argument("-d", dest="depth", action="store_true", help="depth of the chain")
    query.add_argument("-S", dest="largest", action="store_true", help="size in MiB up to which resize -f goes")
    read = command("read", showing.read, "print headers, table, bitmaps or data")
    read.add_argument("-p", dest="headers", action="store_true", help="headers")
    for flag, name, unit, text in (
        ("-t", "translate", "SECTOR", "where a sector of the disk lies in the file"),
        ("-b", "block", "BLOCK", "entry of the block allocation table"),
        ("-m", "bitmap", "BLOCK", "bitmap of a block, as bytes"),
        ("-i", "test_sector", "SECTOR", "whether the bitmap has a sector"),
        ("-j", "test_block", "BLOCK", "whether the batmap has a block"),
        ("-d", "data", "BLOCK", "data of a block, as bytes"),
        ("-r", "read", "SECTOR", "data of sectors, through the parents, as bytes"),
    ):
        read.add_argument(flag, dest=name, metavar=unit, type=number, help=text)
    read.add_argument("-a", dest="batmap", action="store_true", help="the batmap, as bytes")
    read.add_argument("-B", dest="allocated", action="store_true", help="one bit for each allocated block, as bytes")
    read.add_argument("-c", dest="count", metavar="NUMBER", type=number, default=1, help="how many (1)")
    read.add_argument("-x", dest="hexadecimal", action="store_true", help="numbers in hexadecimal")
    check = command("check", showing.check, "say whether a VHD is valid")
    check.add_argument("-i", dest="ignore_footer", action="store_true", help="forgive a last footer taken away")
    check.add_argument("-I", dest="ignore_uuids", action="store_true", help="do not look for the parent")
    check.add_argument("-t", dest="ignore_timestamps", action="store_true", help="forgive times in the future")
    check.add_argument("-p", dest="parents", action="store_true", help="check the parents too")
    check.add_argument("-s", dest="statistics", action="store_true", help="print how much is in use")
    check.add_argument("-B", action="store_true", help="accepted; overlaps cost nothing to look for")
    check.add_argument("-b", action="store_true", help="accepted; bitmaps are always held against the batmap")
    scan = command("scan", listing.show, "list VHDs among files or volumes", named=False)
    scan.add_argument("files", nargs="*", metavar="FILE", help="files, or names of volumes")
    scan.add_argument("-m", dest="pattern", metavar="PATTERN", help="all that match a shell pattern")
    scan.add_argument("-f", dest="fast", action="store_true", help="read only the fronts")
    scan.add_argument("-c", dest="keep_going", action="store_true", help="go on after a failure")
    scan.add_argument("-l", dest="group", metavar="GROUP", help="look among the volumes of this group")
    scan.add_argument("-p", dest="pretty", action="store_true", help="print trees")
    scan.add_argument("-a", dest="parents", action="store_true", help="list the parents too")
    scan.add_argument("-v", dest="verbose", action="store_true", help="print whole paths")
    scan.add_argument("-M", dest="markers", action="store_true", help="print markers and key hashes")


def _add_changing(command: Callable[..., Parser]) -> None:
    field = command("set", changing.set_field, "set a field: hidden or marker")
    field.add_argument("-f", dest="field", metavar="FIELD", required=True, help="hidden or marker")
    field.add_argument("-v", dest="value", metavar="VALUE", type=int, required=True, help="0 to 255")
    command("repair", changing.repair, "write the footers anew from the one that is good")
    resize = command("resize", changing.resize, "grow the virtual disk")
    resize.add_argument("-s", dest="size", metavar="MB", type=number, required=True, help="new virtual size in MiB")
    resize.add_argument("-j", dest="journal", metavar="JOURNAL", help="journal, a file that does not exist yet")
    resize.add_argument("-f", dest="fast", action="store_true", help="only if the metadata has room (see create -S)")
    fill = command("fill", changing.fill, "give every block its place in the file")
    fill.add_argument("-b", dest="blocks_only", action="store_true", help="table and bitmaps only, no data")
    fill.add_argument("-f", dest="first", metavar="SECTOR", type=number, help="with -b: from this sector")
    fill.add_argument("-t", dest="last", metavar="SECTOR", type=number, help="with -b: to this sector")
    fill.add_argument("-B", action="store_true", help=argparse.SUPPRESS)
    modify = command("modify", changing.modify, "set another parent or physical size, or drop the data")
    modify.add_argument("-p", dest="parent", metavar="PARENT", help="the new parent")
    modify.add_argument("-m", dest="raw", action="store_true", help="the new parent is raw")
    modify.add_argument("-s", dest="size", metavar="BYTES", type=number, help="where the footer shall end")
    modify.add_argument("-z", dest="zero", action="store_true", help="drop all data")
    revert = command("revert", changing.revert, "undo a resize that was cut short")
    revert.add_argument("-j", dest="journal", metavar="JOURNAL", required=True, help="its journal")


def _add_moving(command: Callable[..., Parser]) -> None:
    coalesce = command("coalesce", copying.coalesce, "move the data of a VHD into its parent")
    coalesce.add_argument("-a", dest="ancestor", metavar="ANCESTOR", help="into this ancestor instead")
    coalesce.add_argument("-o", dest="output", metavar="FILE", help="with its parents' data into a new VHD instead")
    coalesce.add_argument("-x", dest="step_parent", metavar="FILE", help="into this VHD in the parent's place")
    coalesce.add_argument("-p", dest="progress", action="store_true", help="show progress")
    coalesce.add_argument("-s", dest="sparse", action="store_true", help="accepted; writes are always sparse")
    copy = command("copy", copying.copy, "write the disk, raw, to a file or to standard output")
    copy.add_argument("-o", dest="output", metavar="FILE", help="the file or device")
    copy.add_argument("-s", dest="stdout", action="store_true", help="standard output")
    copy.add_argument("-e", type=int, help=argparse.SUPPRESS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `vhd-util` and return its exit code: 0, or an errno."""
    words = [word for word in (sys.argv[1:] if arguments is None else arguments) if word != "--debug"]
    parser = build_parser()
    if not words:
        parser.print_help()
        return 0
    options = parser.parse_args(words)
    try:
        options.run(options)
    except CommandFailed as error:
        return error.number
    return 0
