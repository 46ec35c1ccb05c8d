"""The support bundle, /system-status: versions, facts, logs and the database, without any secret."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
import tempfile
import threading
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Final, NamedTuple

from xapi import __version__
from xapi.actions.host.status_report import LONGEST_LOG
from xapi.datamodel.classes import SR, VM, Host, Task
from xapi.datamodel.errors import SYSTEM_STATUS_RETRIEVAL_FAILED
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending, given, headers_for
from xapi.http_handlers.database_dump import dump
from xapi.http_handlers.file_answer import answer_with
from xapi.http_handlers.logs import log_files
from xapi.rpc.http import Exchange

CONTENT_TYPE: Final = ("Content-Type", "application/data")
ROOT: Final = "system-status"
FORMS: Final = frozenset({"tar", "tar.gz", "tar.bz2", "zip"})


class Part(NamedTuple):
    """One file of the bundle."""

    name: str
    content: bytes


def _versions(ctx: Context) -> Iterator[Part]:
    host = ctx.db.get(Host, ctx.this_host)
    facts = {
        "xapi": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "taken": ctx.now().isoformat(),
        "host": {"uuid": host.uuid, "name": host.name_label, "software_version": dict(host.software_version)},
    }
    yield Part("versions.json", _json(facts))


def _state(ctx: Context) -> Iterator[Part]:
    database = ctx.db
    power: dict[str, int] = {}
    for vm in database.all(VM):
        kind = "template" if vm.is_a_template else str(vm.power_state)
        power[kind] = power.get(kind, 0) + 1
    facts = {
        "virtual machines": power,
        "storage repositories": [
            {"uuid": sr.uuid, "type": sr.type, "size": sr.physical_size, "used": sr.physical_utilisation}
            for sr in database.all(SR)
        ],
        "tasks": [{"name": task.name_label, "status": str(task.status)} for task in database.all(Task)],
        "sessions": len(ctx.toolstack.sessions.all()),
        "generation": database.generation,
    }
    yield Part("state.json", _json(facts))


def _threads(ctx: Context) -> Iterator[Part]:
    """What each thread does now; code only, no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames().items()
    stacks = (f"{names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}" for ident, frame in frames)
    yield Part("threads.txt", "\n".join(stacks).encode())


def _database(ctx: Context) -> Iterator[Part]:
    yield Part("database.xml", b"".join(dump(ctx.db, hide_secrets=True)))


def _logs(ctx: Context) -> Iterator[Part]:
    for path in log_files(ctx.toolstack):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_LOG))
            yield Part(f"logs/{path.name}", file.read(LONGEST_LOG))


MAKERS: Final[Mapping[str, Callable[[Context], Iterator[Part]]]] = {
    "xenserver-install": _versions,
    "xenserver-domains": _state,
    "process-list": _threads,
    "xenserver-databases": _database,
    "xenserver-logs": _logs,
}
"""What makes each of the parts that `status_report.ENTRIES` announces."""


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, default=str).encode() + b"\n"


def send(ctx: Context, exchange: Exchange) -> Ending:
    """GET /system-status: a bundle in the form that `output` names: tar (the usual), tar.gz, tar.bz2 or zip.

    SYSTEM_STATUS_RETRIEVAL_FAILED for another form, or when none of the wanted `entries` is known.
    """
    names = given(exchange.request)
    form = names.get("output") or "tar"
    if form not in FORMS:
        raise SYSTEM_STATUS_RETRIEVAL_FAILED(f"there is no output {form}")
    asked = [name for name in names.get("entries", "").split(",") if name]
    chosen = [name for name in MAKERS if not asked or name in asked]
    if not chosen:
        raise SYSTEM_STATUS_RETRIEVAL_FAILED(f"there are only the entries {', '.join(MAKERS)}")
    disposition = ("Content-Disposition", f'attachment; filename="system_status.{form}"')
    with tempfile.TemporaryFile() as file:
        _write(file, form, _parts(ctx, chosen), int(ctx.now().timestamp()))
        return answer_with(exchange, file, headers_for(ctx, CONTENT_TYPE, disposition))


def _parts(ctx: Context, chosen: Iterable[str]) -> Iterator[Part]:
    for name in chosen:
        ctx.task.check()
        yield from MAKERS[name](ctx)


def _write(file: IO[bytes], form: str, parts: Iterable[Part], moment: int) -> None:
    if form == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
            for part in parts:
                bundle.writestr(f"{ROOT}/{part.name}", part.content)
        return
    with _opened(file, form) as archive:
        for part in parts:
            entry = tarfile.TarInfo(f"{ROOT}/{part.name}")
            entry.size, entry.mtime, entry.mode = len(part.content), moment, 0o600
            archive.addfile(entry, io.BytesIO(part.content))


def _opened(file: IO[bytes], form: str) -> tarfile.TarFile:
    match form:
        case "tar.gz":
            return tarfile.open(fileobj=file, mode="w:gz")
        case "tar.bz2":
            return tarfile.open(fileobj=file, mode="w:bz2")
    return tarfile.open(fileobj=file, mode="w")
