"""Letting somebody in at a door: who it is, whether the role allows it, and the task that tells how it went.

A door answers 401 to a stranger, 403 to a role that is too low, and otherwise lets its handler stream. What goes wrong
before the first byte of an answer becomes a page with a proper status and the XenAPI error; what goes wrong later cuts
the connection, so that nobody takes half a body for a whole one. The task has the error in either case.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock, Timer
from urllib.parse import unquote

from xapi.datamodel.classes import Task
from xapi.datamodel.classes.task import TaskAllowedOperations
from xapi.datamodel.errors import (
    CLIENT_ERROR,
    HANDLE_INVALID,
    INTERNAL_ERROR,
    MESSAGE_REMOVED,
    NOT_IMPLEMENTED,
    OPERATION_NOT_ALLOWED,
    RBAC_PERMISSION_DENIED,
    SESSION_AUTHENTICATION_FAILED,
    TASK_CANCELLED,
    VDI_IO_ERROR,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.logins import SUPERUSER, LogIns
from xapi.dispatch.perform import guarded
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.dispatch.translate import translated
from xapi.http_handlers.http_actions import HttpAction
from xapi.http_handlers.places import places_of
from xapi.rpc.call import Done, Outcome, Refused
from xapi.rpc.http import Exchange, MessageError, Streaming
from xapi.rpc.http_message import Request, Response, error_page
from xapi.system.pool_secret import FILE_NAME, PoolSecret

LOG = logging.getLogger("xapi.http_handlers")
AUDIT = logging.getLogger("audit")
ORIGINATOR = "xapi http"
POOL_SECRET = "pool_secret"
"""The cookie in which another host of the pool says who it is."""
PATIENCE = 0.5
BINARY = ("Content-Type", "application/octet-stream")

UNAUTHORISED = frozenset({"SESSION_INVALID", "SESSION_AUTHENTICATION_FAILED", "SESSION_AUTHORIZATION_FAILED"})
NOT_FOUND = frozenset(
    {
        "HANDLE_INVALID",
        "UUID_INVALID",
        "MESSAGE_METHOD_UNKNOWN",
        "SR_UNKNOWN_DRIVER",
        "CANNOT_FIND_UPDATE",
        "NO_REPOSITORY_ENABLED",
        "REPOSYNC_FAILED",
    }
)
CONFLICT = frozenset({"BUNDLE_REPO_NOT_ENABLED"})
NOT_TO_BE_HAD = frozenset(
    {"WLB_NOT_INITIALIZED", "GET_UPDATES_FAILED", "GET_HOST_UPDATES_FAILED", "BUNDLE_SYNC_FAILED", "TOO_BUSY"}
)
OTHERS = {RBAC_PERMISSION_DENIED.code: 403, MESSAGE_REMOVED.code: 410, NOT_IMPLEMENTED.code: 501}
BAD_REQUEST = frozenset(
    {"INVALID_VALUE", "VALUE_NOT_SUPPORTED", "FIELD_TYPE_ERROR", "CLIENT_ERROR", "VDI_TOO_SMALL", "VDI_TOO_LARGE"}
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a handler ended that did its work.

    `result` is XML text for the task. `tail` are the last bytes of a body that was begun: they are sent once the task
    has ended and everything was let go, so that whoever has the whole body finds the objects free. `response` is the
    whole answer of a handler that began none; without it such an answer is an empty 200.
    """

    result: str = ""
    tail: bytes = b""
    response: Response | None = None


Handler = Callable[[Context, Exchange], Ending]


@dataclass(frozen=True, slots=True)
class Handled:
    """A handler and the name of its task; a `brief` one leaves no task behind unless the client brought it."""

    handler: Handler
    label: str
    brief: bool = False


def open_door(toolstack: Toolstack, action: HttpAction, handled: Handled) -> Streaming:
    """The door of an action."""
    return Streaming(lambda exchange: _serve(toolstack, action, handled, exchange))


def given(request: Request) -> Mapping[str, str]:
    """What the request gives by name, in its query or its cookies; a cookie wins."""
    return {**request.query, **request.cookies}


def flag(request: Request, name: str, default: bool = False) -> bool:
    """Whether a parameter of the request is true; only the word counts, in any case."""
    text = given(request).get(name)
    return default if text is None else text.lower() in ("true", "1")


def status_of(failure: Failure) -> int:
    """The HTTP status that an error deserves."""
    code = failure.code
    if code in BAD_REQUEST or code.startswith("IMPORT_"):
        return 400
    for codes, status in ((UNAUTHORISED, 401), (NOT_FOUND, 404), (CONFLICT, 409), (NOT_TO_BE_HAD, 503)):
        if code in codes:
            return status
    return OTHERS.get(code, 500)


def failure_page(action: HttpAction, failure: Failure, task: str = "") -> Response:
    """The page that tells of an error: its status, and in the text the code with its parameters."""
    status = status_of(failure)
    text = failure.code if not failure.params else f"{failure.code}: {', '.join(failure.params)}"
    page = error_page(status, text)
    headers = [*page.headers]
    if status == 401:
        headers.append(("WWW-Authenticate", f'Basic realm="{action.name}"'))
    if task:
        headers.append(("task-id", task))
    return Response(status, headers, page.body)


def _serve(toolstack: Toolstack, action: HttpAction, handled: Handled, exchange: Exchange) -> None:
    request = exchange.request
    with ExitStack() as stack:
        try:
            session = authenticated(toolstack, request, stack)
            authorise(session, action)
            stack.enter_context(places_of(toolstack))
            task = task_in_hand(toolstack, request, session, handled.label, brief=handled.brief)
        except Failure as failure:
            _fail_given_task(toolstack, request, failure)
            exchange.respond(failure_page(action, failure))
            return
        ctx = Context(toolstack, session, task, peer=request.peer)
        _finish(action, ctx, exchange, _handle(ctx, task, handled, exchange))


def _handle(ctx: Context, task: HttpTask, handled: Handled, exchange: Exchange) -> Ending | Failure:
    """Let the handler do its work; the outcome, whatever went wrong. A lost peer is told to the task and goes on."""
    ended: list[Ending] = []

    def work() -> Outcome:
        try:
            with translated(ctx):
                ended.append(handled.handler(ctx, exchange))
        except MessageError as malformed:
            LOG.info("%s: %s", handled.label, malformed)
            raise CLIENT_ERROR() from malformed
        except EOFError as early:
            raise VDI_IO_ERROR() from early
        except OSError as error:
            LOG.info("%s: %s", handled.label, error)
            raise (CLIENT_ERROR if exchange.lost else VDI_IO_ERROR)() from error
        return Done(())

    task.guard(exchange._connection.shut)  # the one thing that ends a wait for the peer from another thread
    outcome = guarded(handled.label, work)
    task.let_go()
    if ended:
        return ended[0]
    if task.cancelled:
        return TASK_CANCELLED(task.ref)
    if not isinstance(outcome, Refused):
        return INTERNAL_ERROR("the handler ended without an outcome")
    code, *params = outcome.description
    return Failure(code, *params)


def _finish(action: HttpAction, ctx: Context, exchange: Exchange, outcome: Ending | Failure) -> None:
    """End the task first and then the answer, so that who has the answer finds the task ended."""
    shown = shown_task(ctx)
    if isinstance(outcome, Failure):
        ctx.task.fail(outcome)
        if exchange.started or exchange.lost:
            cut(exchange, outcome)
        exchange.respond(failure_page(action, outcome, shown))
        return
    ctx.task.succeed(outcome.result)
    if exchange.taken:
        return
    if exchange.started:
        exchange.write(outcome.tail)
        exchange.finish()
    else:
        response = outcome.response or Response(200, (BINARY,))
        named = (("task-id", shown),) if shown else ()
        exchange.respond(Response(response.status, (*response.headers, *named), response.body))


def cut(exchange: Exchange, failure: Failure) -> None:
    """Break the connection off after a part of the answer, by an error that the server takes for a lost peer."""
    exchange.lost = True
    raise ConnectionAbortedError(f"the transfer failed: {', '.join(failure.description)}")


def shown_task(ctx: Context) -> str:
    """The reference of the task if there is one that outlives the request."""
    return ctx.task.ref if isinstance(ctx.task, HttpTask) and ctx.task.kept else ""


def headers_for(ctx: Context, *others: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of an answer that a handler begins itself: the task, and others."""
    shown = shown_task(ctx)
    return ((("task-id", shown),) if shown else ()) + others


# Who it is


def authenticated(toolstack: Toolstack, request: Request, stack: ExitStack) -> Session:
    """The session of the request; one that is opened for it is closed with the stack.

    Whoever reaches the Unix socket is the superuser, and so is whoever knows the pool's secret (a cookie). A session
    that is named wins over a secret, and that over a password. SESSION_INVALID and SESSION_AUTHENTICATION_FAILED for
    others, whose session, secret or password is not good.
    """
    log_ins: LogIns = toolstack.part(LogIns)
    if request.peer.local:
        return _for_now(toolstack, log_ins.log_in_locally("", ORIGINATOR), stack)
    reference = given(request).get("session_id")
    if reference is not None:
        return toolstack.sessions.get(reference)
    secret = request.cookies.get(POOL_SECRET)
    if secret is not None:
        return _for_now(toolstack, _pool_log_in(toolstack, secret), stack)
    header = request.headers.get("authorization")
    if header is None:
        raise SESSION_AUTHENTICATION_FAILED("", "no credentials were given")
    user, password = basic_credentials(header)
    return _for_now(toolstack, _log_in(log_ins, user, password, request.peer.address), stack)


def _for_now(toolstack: Toolstack, session: Session, stack: ExitStack) -> Session:
    stack.callback(toolstack.sessions.close, session.ref)
    return session


def pool_secret(toolstack: Toolstack) -> PoolSecret:
    """The secret of the pool, in the toolstack's state."""
    secret: PoolSecret = toolstack.parts.setdefault(PoolSecret, PoolSecret(toolstack.state / FILE_NAME))
    return secret


def _pool_log_in(toolstack: Toolstack, secret: str) -> Session:
    if not pool_secret(toolstack).matches(secret):
        raise SESSION_AUTHENTICATION_FAILED("", "the pool's secret is another one")
    return toolstack.sessions.open(
        user=SUPERUSER, originator=ORIGINATOR, this_host=toolstack.this_host, superuser=True, pool=True
    )


def _log_in(log_ins: LogIns, user: str, password: str, address: str) -> Session:
    """Log in with the credentials as they are, or as a client meant them that percent-encoded what it sent."""
    try:
        return log_ins.log_in(user, password, address, ORIGINATOR)
    except Failure:
        decoded = unquote(user), unquote(password)
        if decoded == (user, password):
            raise
        return log_ins.log_in(*decoded, address, ORIGINATOR)


def basic_credentials(header: str) -> tuple[str, str]:
    """User and password of an Authorization header; SESSION_AUTHENTICATION_FAILED for any other kind."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        user, colon, password = text.partition(":")
        if colon:
            return user, password
    raise SESSION_AUTHENTICATION_FAILED("", "the Authorization header is not of the kind Basic")


def authorise(session: Session, action: HttpAction) -> None:
    """Let the session's role pass, or raise RBAC_PERMISSION_DENIED; either leaves a line in the audit."""
    if action.checked and not session.may(action.roles):
        AUDIT.info("denied %s to %s (%s)", action.permission, session.user or "root", session.originator)
        raise RBAC_PERMISSION_DENIED(action.permission, "No permission in user session")
    AUDIT.info("%s by %s", action.permission, session.user or "root")


# The task


class HttpTask(TaskInHand):
    """The task of a transfer: the client's own, or a new one.

    A transfer looks at its task between blocks. One that hangs at a peer which neither sends nor reads is cut off
    `PATIENCE` seconds after somebody has cancelled it.
    """

    def __init__(self, toolstack: Toolstack, name: str, session: str, *, kept: bool, parent: str = NULL) -> None:
        super().__init__(toolstack.tasks, name, session, kept=kept, parent=parent)
        self._lock = Lock()
        self._cut: Callable[[], None] | None = None
        self._timer: Timer | None = None

    @property
    def kept(self) -> bool:
        """Whether a row tells of the transfer after its end."""
        return self._kept

    def guard(self, cut: Callable[[], None]) -> None:
        """Say how the transfer is cut off if it does not stop by itself."""
        with self._lock:
            self._cut = cut

    def let_go(self) -> None:
        """Say that the transfer has ended: the connection belongs to somebody else now."""
        with self._lock:
            self._cut = None
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def cancel(self) -> None:
        """Ask the transfer to stop at its next step, which must come soon."""
        super().cancel()
        with self._lock:
            if self._timer is None and self._cut is not None:
                self._timer = Timer(PATIENCE, self._cut_off)
                self._timer.daemon = True
                self._timer.start()

    def _cut_off(self) -> None:
        with self._lock:
            if self._cut is not None:
                self._cut()


def task_in_hand(toolstack: Toolstack, request: Request, session: Session, label: str, *, brief: bool) -> HttpTask:
    """The task that the request names, or a new one, which `subtask_of` puts below another.

    HANDLE_INVALID for one that is not there, OPERATION_NOT_ALLOWED for one that another transfer has in hand. A task
    that was cancelled before the transfer began stops it at its first step.
    """
    names = given(request)
    parent = names.get("subtask_of") or NULL
    if parent != NULL and toolstack.db.find(Task, parent) is None:
        raise HANDLE_INVALID(Task.wire_name, parent)
    task = HttpTask(toolstack, label, session.ref, kept=not brief, parent=parent)
    reference = names.get("task_id")
    if reference:
        row = toolstack.db.find(Task, reference)
        if row is None:
            raise HANDLE_INVALID(Task.wire_name, reference)
        if reference in toolstack.tasks.in_hand:
            raise OPERATION_NOT_ALLOWED("another transfer tells of itself in this task")
        task.adopt(Ref(reference))
        task.progress(0.0)
        if TaskAllowedOperations.CANCEL in row.current_operations.values():
            task.cancel()
    return task


def _fail_given_task(toolstack: Toolstack, request: Request, failure: Failure) -> None:
    """Tell the client's task that nobody was let in, if there is such a task and it still waits."""
    reference = given(request).get("task_id", "")
    if toolstack.db.find(Task, reference) is not None and reference not in toolstack.tasks.in_hand:
        task = TaskInHand(toolstack.tasks, "", "")
        task.adopt(Ref(reference))
        task.fail(failure)
