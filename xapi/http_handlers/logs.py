"""The doors to logs: /audit_log as text, /host_logs_download as an archive. Logs never hold secrets."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from xapi.actions.host.files import files_of
from xapi.dispatch.context import Context
from xapi.dispatch.toolstack import Toolstack
from xapi.http_handlers.admission import Ending, given, headers_for
from xapi.http_handlers.file_answer import answer_with
from xapi.rpc.http import Exchange

AUDIT_LOG: Final = "audit.log"
_STAMP = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?")
_PIECE: Final = 1 << 18


def audit_files(state: Path) -> list[Path]:
    """The files of the audit log, the oldest first."""
    rotated = [path for path in state.glob(f"{AUDIT_LOG}.*") if path.suffix[1:].isdigit()]
    rotated.sort(key=lambda path: -int(path.suffix[1:]))
    current = state / AUDIT_LOG
    return [*rotated, *([current] if current.exists() else [])]


def log_files(toolstack: Toolstack) -> list[Path]:
    """The toolstack's log, if it goes to a file, and the audit log."""
    log = files_of(toolstack).log
    return [*([log] if log is not None and log.exists() else []), *audit_files(toolstack.state)]


def stamp(text: str) -> str:
    """A moment as its lines in the log have it, so that comparing texts compares times; empty for no moment.

    Understood are ISO 8601 with or without hyphens, with T or a space, and as much of it as there is.
    """
    found = _STAMP.match(text.strip())
    if found is None:
        return ""
    year, month, day, hour, minute, second, fraction = found.groups()
    date = f"{year}-{month}-{day}"
    if hour is None:
        return date
    return f"{date}T{hour}:{minute}" + (f":{second}{(fraction or '')[:4]}" if second else "")


def lines_since(files: list[Path], since: str) -> Iterator[bytes]:
    """The lines of logs from a moment on (see `stamp`), in pieces that are convenient to send."""
    piece: list[bytes] = []
    size = 0
    start = since.encode()
    for path in files:
        with path.open("rb") as file:
            for line in file:
                if line[: len(start)] >= start:
                    piece.append(line)
                    size += len(line)
                if size >= _PIECE:
                    yield b"".join(piece)
                    piece, size = [], 0
    yield b"".join(piece)


def send_audit_log(ctx: Context, exchange: Exchange) -> Ending:
    """GET /audit_log: who did what, one line each, from the moment `since` on."""
    since = stamp(given(exchange.request).get("since", ""))
    exchange.start(200, headers_for(ctx, ("Content-Type", "text/plain")))
    for piece in lines_since(audit_files(ctx.toolstack.state), since):
        ctx.task.check()
        exchange.write(piece)
    return Ending()


def download(ctx: Context, exchange: Exchange) -> Ending:
    """GET /host_logs_download: all logs as a compressed tar."""
    disposition = ("Content-Disposition", 'attachment; filename="host-logs.tar.gz"')
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as archive:
            for path in log_files(ctx.toolstack):
                ctx.task.check()
                archive.add(path, f"logs/{path.name}", recursive=False)
        return answer_with(exchange, file, headers_for(ctx, ("Content-Type", "application/gzip"), disposition))
