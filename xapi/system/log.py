"""The logs: one line for each event, and a log of its own for each call that changes something.

Secrets: a caller that logs a password or a session wraps it in `secret()`, whatever the level of the line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from dataclasses import dataclass
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

AUDIT = "audit"
AUDIT_BYTES = 16 * 1024 * 1024
AUDIT_FILES = 8

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_URL_PASSWORD = re.compile(r"(://[^\s/:@]*:)[^\s/@]+@")


class Secret:
    """A value that prints as hardly anything: a reference as its first eight digits, all else as `(secret)`."""

    __slots__ = ("_shown",)

    def __init__(self, value: object) -> None:
        # Only what may be shown is kept, so that no traceback, dump or pickle can hold the rest.
        text = str(value)
        match = re.match(r"OpaqueRef:[0-9a-f]{8}(?=[0-9a-f-]{8})", text)
        self._shown = f"{match[0]}…" if match else "OpaqueRef:NULL" if text == "OpaqueRef:NULL" else "(secret)"

    def __str__(self) -> str:
        return self._shown

    __repr__ = __str__

    def __format__(self, specification: str) -> str:
        return format(self._shown, specification)


def secret(value: object) -> Secret:
    """Wrap a session reference or a password for logging; what it prints cannot be used to log in."""
    return Secret(value)


class OneLine(logging.Formatter):
    """Time in UTC, level, thread, logger and message in one line, whatever is in the message.

    Line breaks and other control characters are escaped, so nobody can forge a line by a name that he chooses. The
    password in a URL is left out. A traceback follows in the same line, its lines joined by ` | `.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The whole line, without its end."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += " | " + " | ".join(filter(str.strip, self.formatException(record.exc_info).splitlines()))
        if record.stack_info:
            text += " | " + " | ".join(self.formatStack(record.stack_info).splitlines())
        line = f"{seconds}.{record.msecs:03.0f}Z {record.levelname} [{record.threadName}] {record.name}: {text}"
        return _CONTROL.sub(_escape, _URL_PASSWORD.sub(r"\1***@", line))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class ReopeningFile(logging.FileHandler):
    """A log file that is opened anew when asked, so that logrotate or an administrator may move it away."""

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        self._permissions = mode
        self._reopen = False
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def reopen(self) -> None:
        """Open the file anew before the next line. Takes no lock: a signal handler may call this."""
        self._reopen = True

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, into a new file if `reopen` was called."""
        if self._reopen:
            self._reopen = False
            try:
                old = self.setStream(self._open())
            except OSError:
                self.handleError(record)  # and go on with the old file
            else:
                if old is not None:
                    old.close()
        super().emit(record)

    def _open(self) -> TextIOWrapper:
        return _open_private(self.baseFilename, self._permissions)


class BoundedFile(RotatingFileHandler):
    """A log file that moves aside when it is full; of those moved aside only so many are kept."""

    def __init__(self, path: Path, size: int = AUDIT_BYTES, files: int = AUDIT_FILES) -> None:
        super().__init__(path, maxBytes=size, backupCount=files, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, formatted once; the file is this process's alone, so nobody else moves it aside."""
        try:
            line = self.format(record) + self.terminator
            if self.stream is None:  # closed, yet somebody has something to tell
                self.stream = self._open()
            if self._bounded and self.stream.tell() + len(line) >= self.maxBytes:
                self.doRollover()
            self.stream.write(line)
            self.stream.flush()
        except (OSError, ValueError):
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        stream = _open_private(self.baseFilename, 0o600)
        self._bounded = os.path.isfile(self.baseFilename)  # a pipe or a terminal has no size
        return stream


def _open_private(path: str, mode: int) -> TextIOWrapper:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
    return os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Logs:
    """The open logs of this process."""

    main: logging.Handler
    audit: logging.Handler

    def reopen(self) -> None:
        """Open the log file anew if there is one; for SIGHUP."""
        if isinstance(self.main, ReopeningFile):
            self.main.reopen()

    def close(self) -> None:
        """Take the handlers away again and close their files."""
        for logger, handler in ((logging.getLogger(), self.main), (logging.getLogger(AUDIT), self.audit)):
            logger.removeHandler(handler)
            handler.close()


def start_logging(level: str, file: Path | None, audit: Path) -> Logs:
    """Send all logging of this process to a file, or to standard error if there is none, and the audit to its own.

    `level` is one of `settings.LOG_LEVELS`. The audit log takes everything, whatever the level. Raises OSError if a
    file cannot be opened.
    """
    main = ReopeningFile(file) if file is not None else logging.StreamHandler(sys.stderr)
    try:
        audit_file = BoundedFile(audit)
    except OSError:
        main.close()
        raise
    logging.logProcesses = logging.logMultiprocessing = False  # no line tells of them
    for handler in (main, audit_file):
        handler.setFormatter(OneLine())
    root = logging.getLogger()
    root.setLevel(_LEVELS[level])
    root.addHandler(main)
    trail = logging.getLogger(AUDIT)
    trail.setLevel(logging.INFO)
    trail.propagate = False
    trail.addHandler(audit_file)
    return Logs(main, audit_file)
