"""How a subcommand fails: a line on standard output as scripts know it, the reason on standard error, an errno."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from xapi.storage.vhd.errors import VhdError


class CommandFailed(Exception):
    """A subcommand failed and has said so; `number` is the errno that becomes the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Turn an error inside into `what: -errno` on standard output and CommandFailed."""
    try:
        yield
    except VhdError as error:
        number, reason = error.number, str(error)
    except OSError as error:
        number, reason = error.errno or errno.EIO, str(error)
    else:
        return
    print(f"{what}: {-number}")
    print(reason, file=sys.stderr)
    raise CommandFailed(number)


def fail(message: str, number: int = errno.EINVAL) -> CommandFailed:
    """Say `message` on standard output and return what to raise."""
    print(message)
    return CommandFailed(number)
