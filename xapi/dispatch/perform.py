"""The journey that every call makes: find the message, decode, admit, then do it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.datamodel.errors import (
    HANDLE_INVALID,
    INTERNAL_ERROR,
    MESSAGE_METHOD_UNKNOWN,
    MESSAGE_PARAMETER_COUNT_MISMATCH,
    MESSAGE_REMOVED,
    NOT_IMPLEMENTED,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import Basic, MapType, OptionType, RecordType, RefType, SetType, Type
from xapi.dispatch.authorise import authorise
from xapi.dispatch.context import Context
from xapi.dispatch.implement import IMPLEMENTATIONS, Implementation
from xapi.dispatch.occupy import occupied
from xapi.dispatch.place import assert_host_there, assert_served_here
from xapi.dispatch.records import HANDLERS
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.dispatch.translate import translated
from xapi.rpc.call import Call, Done, Outcome, Refused, Waiting
from xapi.rpc.forms import XML
from xapi.rpc.values import decode

LOG = logging.getLogger("xapi.dispatch")
ASYNC = ("Async.", "InternalAsync.")
NOBODY = Session(ref="", user="")

METHODS: dict[str, Method] = CATALOG.methods | {  # type: ignore[operator]
    name.replace(".", "_", 1): method for name, method in CATALOG.methods.items()
}


def signature(method: Method) -> list[list[str]]:
    """What `system.methodSignature` answers: the types of the result and of the parameters, as XML-RPC names them."""
    session = [Basic.STRING] if method.session else []
    return [[wire_type(kind) for kind in (method.result, *session, *(param.type for param in method.params))]]


def wire_type(kind: Type) -> str:
    """The name by which XML-RPC knows a type; integers travel as strings."""
    match kind:
        case Basic.BOOL:
            return "boolean"
        case Basic.FLOAT:
            return "double"
        case Basic.DATETIME:
            return "dateTime.iso8601"
        case SetType():
            return "array"
        case MapType() | RecordType():
            return "struct"
        case OptionType(of=of):
            return wire_type(of)
        case _:
            return "string"


INTROSPECTION: Mapping[str, tuple[Type, Callable[[Method], Any]]] = {
    "system.methodSignature": (SetType(SetType(Basic.STRING)), signature),
    "system.methodHelp": (Basic.STRING, lambda method: method.about),
}
"""Questions about messages that need no session, and whose answers have no status around them."""


class Rendered:
    """A result that an action has rendered itself, in the form of its call."""

    __slots__ = ("fragment",)

    def __init__(self, fragment: Sequence[bytes]) -> None:
        self.fragment = fragment


class Performer:
    """Performs calls for one toolstack."""

    def __init__(self, toolstack: Toolstack) -> None:
        self.toolstack = toolstack

    def __call__(self, call: Call) -> Outcome | Waiting:
        """Perform a call; whatever goes wrong becomes the outcome."""
        return guarded(call.name, lambda: self._perform(call))

    def _perform(self, call: Call) -> Outcome | Waiting:
        method = METHODS.get(call.name)
        if method is not None:
            return self._admitted(call, method, asynchronous=False)
        for prefix in ASYNC:
            if call.name.startswith(prefix):
                method = METHODS.get(call.name[len(prefix) :])
                if method is not None:
                    return self._admitted(call, method, asynchronous=True)
        return self._unknown(call)

    def _unknown(self, call: Call) -> Outcome:
        if call.name == "system.listMethods":
            fragment = (call.form.value(SetType(Basic.STRING), list(CATALOG.methods)),)
            return Done(fragment, bare=call.form is XML)
        if call.name in INTROSPECTION and len(call.params) == 1:
            asked = METHODS.get(decode(Basic.STRING, call.params[0], "name"))
            if asked is not None:
                kind, answer = INTROSPECTION[call.name]
                return Done((call.form.value(kind, answer(asked)),), bare=call.form is XML)
        if call.name.startswith("system.isAlive:") and call.params:
            return Done((call.form.value(Basic.STRING, decode(Basic.STRING, call.params[0], "params")),))
        if call.params and not call.name.startswith("system."):
            self.toolstack.sessions.get(call.params[0])
        raise MESSAGE_METHOD_UNKNOWN(call.name)

    def _admitted(self, call: Call, method: Method, *, asynchronous: bool) -> Outcome | Waiting:
        given = call.params[1:] if method.session else call.params
        params = decoded(method, given, len(call.params) - method.session)
        assert_served_here(self.toolstack.place, method)
        if method.session:
            session = self.toolstack.sessions.get(call.params[0])
            if method.state == "removed":
                raise MESSAGE_REMOVED()
            authorise(session, method, given)
        else:
            session = NOBODY
        if not asynchronous:
            if method.kind in HANDLERS and method.wire_name not in IMPLEMENTATIONS:
                return Done(HANDLERS[method.kind](self.toolstack.db, method, params, call.form))
            task = TaskInHand(self.toolstack.tasks, method.wire_name, session.ref)
            return self._run(self._context(call, session, task), method, params)
        if not method.asynchronous:
            return Refused(["Fault", f"{method.wire_name} cannot be called asynchronously"])
        task = TaskInHand(self.toolstack.tasks, f"Async.{method.wire_name}", session.ref, kept=True)
        context = self._context(call, session, task)
        context.form = XML
        ref = task.ref
        self.toolstack.workers.submit(self._run_apart, context, method, params)
        return Done((call.form.value(Basic.STRING, ref),))

    def _context(self, call: Call, session: Session, task: TaskInHand) -> Context:
        return Context(self.toolstack, session, task, call.form, call.peer, call)

    def _run_apart(self, ctx: Context, method: Method, params: list[Any]) -> None:
        """Run an asynchronous call and let its task tell how it ended."""
        outcome = guarded(method.wire_name, lambda: self._run(ctx, method, params, finish=False))
        if isinstance(outcome, Done):
            ctx.task.succeed(b"".join(outcome.fragment).decode())
        elif isinstance(outcome, Refused):
            code, *rest = outcome.description
            ctx.task.fail(Failure(code, *rest))

    def _run(self, ctx: Context, method: Method, params: list[Any], *, finish: bool = True) -> Outcome | Waiting:
        """Run one action on this host, its first object occupied meanwhile if the action says so."""
        try:
            result = run(ctx, method, params)
        finally:
            if finish:
                ctx.task.succeed()
        if isinstance(result, Waiting):
            return result
        if isinstance(result, Rendered):
            return Done(result.fragment)
        return Done((ctx.form.value(method.result, result),))


def run(ctx: Context, method: Method, params: list[Any]) -> Any:
    """Check the first reference, occupy the object, and call the action; driver errors become XenAPI's."""
    implementation = IMPLEMENTATIONS.get(method.wire_name)
    if implementation is None or implementation.checks_first:
        check_first(ctx, method, params, implementation)
    if implementation is None:
        raise NOT_IMPLEMENTED(method.wire_name)
    if implementation.occupies is None:
        with translated(ctx):
            return implementation.action(ctx, *params)
    with occupied(ctx, method.entity, params[0], implementation.occupies), translated(ctx):
        return implementation.action(ctx, *params)


def run_message(ctx: Context, wire_name: str, *params: Any) -> Any:
    """Do another message as a part of this call: the same checks and the same task, but no log-in and no wire."""
    return run(ctx, CATALOG.methods[wire_name], list(params))


def check_first(ctx: Context, method: Method, params: list[Any], implementation: Implementation | None) -> None:
    """Refuse a call about an object that is not there, or for a host that is not there."""
    runs_on = implementation.runs_on if implementation is not None else ""
    if assert_host_there(ctx.db, method, params, runs_on, implemented=implementation is not None):
        return
    if params and isinstance(method.params[0].type, RefType):
        entity = method.params[0].type.entity
        if entity.stored and ctx.find(entity, params[0]) is None:
            raise HANDLE_INVALID(entity.wire_name, params[0])


def decoded(method: Method, given: list[object], received: int) -> list[Any]:
    """The parameters by their declared types, with defaults for those left out."""
    declared = method.params
    fewest = method.fewest
    if received < fewest or (received != fewest and fewest == len(declared)):
        raise MESSAGE_PARAMETER_COUNT_MISMATCH(method.wire_name, fewest, received)
    params = [decode(param.type, value, param.name) for param, value in zip(declared, given, strict=False)]
    if len(params) < len(declared):
        params += [param.default for param in declared[len(params) :]]
    return params


def guarded(name: str, work: Callable[[], Outcome | Waiting]) -> Outcome | Waiting:
    """The outcome of some work. This is the one place where an unforeseen exception is caught: logged, and answered."""
    try:
        return work()
    except Failure as failure:
        return Refused(failure.description)
    except Exception as error:
        LOG.exception("%s failed in a way that nobody foresaw", name)
        return Refused(INTERNAL_ERROR(f"{type(error).__name__}: {error}").description)


__all__ = ["METHODS", "Kind", "Performer", "Rendered", "decoded", "guarded", "run", "run_message"]
