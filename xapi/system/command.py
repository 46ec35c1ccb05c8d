"""Running other programs: the only module that does.

No shell is ever involved, and the environment is a fixed one: nothing that a client sent, and no secret of this
process, gets into it. Programs are found in the system's own directories only.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from threading import Thread

from xapi.system.undo import on_failure

LOG = logging.getLogger("xapi.system")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Mapping[str, str] = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "HOME": "/"}
OUTPUT_LIMIT = 8 << 20
PIECE = 64 << 10
PATIENCE = 5.0
"""Seconds that a program has to end once it was killed."""


class CommandFailed(Exception):
    """A program could not be run to its good end; `code` is its exit code, negative for a signal.

    A program that is not there has code 127, one that may not be run 126, as a shell would say.
    """

    def __init__(self, argv: Sequence[str], code: int, stdout: bytes = b"", stderr: str = "") -> None:
        super().__init__(f"{argv[0]} ended with {code}: {stderr.strip()[:500]}")
        self.argv = tuple(argv)
        self.code = code
        self.stdout = stdout
        self.stderr = stderr


class CommandTimeout(CommandFailed):
    """A program did not end within the time it had, and was killed."""

    def __init__(self, argv: Sequence[str], seconds: float) -> None:
        super().__init__(argv, -signal.SIGKILL, b"", f"no end within {seconds:g} s")
        self.seconds = seconds


class OutputTooLong(CommandFailed):
    """A program wrote more than was allowed, and was killed."""

    def __init__(self, argv: Sequence[str], limit: int) -> None:
        super().__init__(argv, -signal.SIGKILL, b"", f"more than {limit} bytes of output")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program wrote, and how it ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Its standard output as text; what is not UTF-8 is replaced."""
        return self.stdout.decode("utf-8", "replace")


def run(
    argv: Sequence[str],
    *,
    timeout: float = 60.0,
    input: bytes = b"",
    output_limit: int = OUTPUT_LIMIT,
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
) -> Completed:
    """Run a program to its end and return what it wrote; CommandFailed unless it ended with a code in `accept`.

    `environment` is added to the fixed one. The program gets a process group of its own, and the whole group is killed
    when the time is up, when there is too much output, or when this thread is interrupted. One that does not end then
    either is no longer waited for. An argument with a NUL character is a ValueError.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(environment or {})},
            start_new_session=True,
            close_fds=True,
        )
    except FileNotFoundError as error:
        raise CommandFailed(argv, 127, b"", f"no such program: {error.filename}") from error
    except PermissionError as error:
        raise CommandFailed(argv, 126, b"", f"may not be run: {error.filename}") from error
    with ExitStack() as stack:
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            stack.enter_context(pipe)
        stack.enter_context(on_failure(_kill_group, process, argv[0]))
        stdout, stderr = _exchange(process, argv, input, timeout, output_limit)
    completed = Completed(process.returncode, stdout, stderr.decode("utf-8", "replace"))
    if completed.code not in accept:
        raise CommandFailed(argv, completed.code, completed.stdout, completed.stderr)
    return completed


def _kill_group(process: subprocess.Popen[bytes], program: str) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        # The kernel does not let go of who waits for a device that never answers: no reason for others to wait too.
        LOG.error("%s (process %d) does not end: a device that it uses does not answer", program, process.pid)
        Thread(target=process.wait, name=f"{program} that does not end", daemon=True).start()


def _exchange(
    process: subprocess.Popen[bytes], argv: Sequence[str], input: bytes, timeout: float, output_limit: int
) -> tuple[bytes, bytes]:
    """Write the input and read both outputs, none of them waiting for another, until all are at their end."""
    deadline = time.monotonic() + timeout
    assert process.stdout is not None
    assert process.stderr is not None
    written: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    pending = memoryview(input)
    with selectors.DefaultSelector() as selector:
        for descriptor in written:
            selector.register(descriptor, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                raise CommandTimeout(argv, timeout)
            for key, _ in ready:
                if key.fd in written:
                    piece = os.read(key.fd, PIECE)
                    written[key.fd] += piece
                    if not piece:
                        selector.unregister(key.fd)
                    if sum(map(len, written.values())) > output_limit:
                        raise OutputTooLong(argv, output_limit)
                else:
                    assert process.stdin is not None
                    try:
                        pending = pending[os.write(key.fd, pending[:PIECE]) :]
                    except BrokenPipeError:  # it does not want to know more
                        pending = memoryview(b"")
                    if not pending:
                        selector.unregister(process.stdin)
                        process.stdin.close()
    try:
        process.wait(max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired as error:
        raise CommandTimeout(argv, timeout) from error
    return bytes(written[process.stdout.fileno()]), bytes(written[process.stderr.fileno()])
