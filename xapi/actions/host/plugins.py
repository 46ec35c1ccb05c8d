"""Programs of others on the host: plugins and extensions, which speak XML-RPC over their arguments and output."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from xapi.actions.host.files import files_of
from xapi.datamodel.classes import Host
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.errors import (
    EXTENSION_PROTOCOL_FAILURE,
    INVALID_VALUE,
    MESSAGE_METHOD_UNKNOWN,
    XENAPI_MISSING_PLUGIN,
    XENAPI_PLUGIN_FAILURE,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.rpc import xmlrpc
from xapi.system import command

LONGEST_RUN: Final = 3600.0  # seconds; plugins copy disks


def find_program(directory: Path, name: str) -> Path | None:
    """The executable of a name in a directory; never anything outside of it."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is None:
        return None
    path = directory / name
    return path if path.is_file() and os.access(path, os.X_OK) else None


@implements(api.call_plugin, runs_on="host")
def call_plugin(ctx: Context, host: Ref[Host], plugin: str, fn: str, args: Mapping[str, str]) -> str:
    """Run a function of a plugin and answer what it returns; the errors that it names are this call's errors.

    XENAPI_MISSING_PLUGIN [name]; XENAPI_PLUGIN_FAILURE [how it ended, its output, its messages].
    """
    program = find_program(files_of(ctx.toolstack).plugins, plugin)
    if program is None:
        raise XENAPI_MISSING_PLUGIN(plugin)
    document = xmlrpc.render_call(fn, (ctx.session.ref, dict(args)))
    output = _run([str(program), document.decode()], b"")
    result = _answer(
        output, lambda why: XENAPI_PLUGIN_FAILURE("unreadable answer", output.decode(errors="replace"), why)
    )
    if not isinstance(result, str):
        raise XENAPI_PLUGIN_FAILURE("unreadable answer", output.decode(errors="replace"), "the result is no text")
    return result


@implements(api.has_extension, runs_on="host")
def has_extension(ctx: Context, host: Ref[Host], name: str) -> bool:
    """Say whether an extension of this name is there to be called."""
    return find_program(files_of(ctx.toolstack).extensions, name) is not None


@implements(api.call_extension, runs_on="host")
def call_extension(ctx: Context, host: Ref[Host], call: str) -> str:
    """Run an extension, named by a JSON-RPC call as text; a result that is no text is answered as JSON."""
    name, params = _read_extension_call(call)
    program = find_program(files_of(ctx.toolstack).extensions, name)
    if program is None:
        raise MESSAGE_METHOD_UNKNOWN(name)
    output = _run([str(program), "--xmlrpc"], xmlrpc.render_call(name, params))
    result = _answer(output, lambda why: EXTENSION_PROTOCOL_FAILURE(why))
    return result if isinstance(result, str) else json.dumps(result, default=str)


def _read_extension_call(text: str) -> tuple[str, list[Any]]:
    try:
        document = json.loads(text)
    except ValueError:
        raise INVALID_VALUE("call", text) from None
    if not isinstance(document, dict) or not isinstance(document.get("method"), str):
        raise INVALID_VALUE("call", text)
    params = document.get("params", [])
    return document["method"], params if isinstance(params, list) else [params]


def _run(argv: list[str], input: bytes) -> bytes:
    try:
        return command.run(argv, timeout=LONGEST_RUN, input=input).stdout
    except OSError as problem:  # such as an argument that is too long for the kernel
        raise XENAPI_PLUGIN_FAILURE("could not be started", "", str(problem)) from None
    except command.CommandTimeout as late:
        raise XENAPI_PLUGIN_FAILURE("no end in time", "", str(late)) from None
    except command.CommandFailed as failed:
        status = f"signal {-failed.code}" if failed.code < 0 else "non-zero exit"
        raise XENAPI_PLUGIN_FAILURE(status, failed.stdout.decode(errors="replace"), failed.stderr) from None


def _answer(output: bytes, unreadable: Callable[[str], Failure]) -> Any:
    """The result in an XML-RPC response, or the failure that it names."""
    try:
        return xmlrpc.parse_response(output)
    except xmlrpc.MalformedAnswer as problem:
        raise unreadable(str(problem)) from None
