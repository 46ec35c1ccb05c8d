"""From a POST to a call and from its outcome to a response: decode, perform, encode."""

from __future__ import annotations

from collections.abc import Callable

from xapi.rpc import jsonrpc, xmlrpc
from xapi.rpc.call import Call, Done, Outcome, Perform, Waiting
from xapi.rpc.forms import JSON, XML, Form
from xapi.rpc.http import Later
from xapi.rpc.http_message import Request, Response, error_page
from xapi.rpc.values import MalformedCall

CROSS_ORIGIN = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Headers", "X-Requested-With"),
)
XML_HEADERS = (("Content-Type", "text/xml"), *CROSS_ORIGIN)
JSON_HEADERS = (("Content-Type", "application/json"), *CROSS_ORIGIN)

OPTIONS_ANSWER = Response(
    200,
    (
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Headers", "*, Content-Type"),
        ("Access-Control-Allow-Methods", "PUT, GET, DELETE, POST"),
    ),
)


class Endpoint:
    """The handlers of XML-RPC and JSON-RPC requests."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

    def xml(self, request: Request) -> Response | Later:
        """Serve one XML-RPC request; a document that is no call gets a page with status 500."""
        try:
            name, params = xmlrpc.parse_call(request.body)
        except MalformedCall as problem:
            return error_page(500, str(problem))
        return self._answer(_call(request, name, params, XML), _xml_response)

    def json(self, request: Request) -> Response | Later:
        """Serve one JSON-RPC request, of version 1.0 or 2.0."""
        try:
            call = jsonrpc.parse_call(request.body)
        except MalformedCall as problem:
            return error_page(500, str(problem))

        def respond(outcome: Outcome) -> Response:
            if isinstance(outcome, Done):
                return Response(200, JSON_HEADERS, jsonrpc.success(call, outcome.fragment))
            return Response(200, JSON_HEADERS, jsonrpc.failure(call, outcome.description))

        # Parameters by name count as one that is no session, as the original has it.
        params = call.params if isinstance(call.params, list) else [call.params]
        return self._answer(_call(request, call.method, params, JSON), respond)

    def _answer(self, call: Call, respond: Callable[[Outcome], Response]) -> Response | Later:
        outcome = self._perform(call)
        if isinstance(outcome, Waiting):
            waiting = outcome
            return Later(lambda answer: waiting.begin(lambda later: answer(respond(later))))
        return respond(outcome)


def _xml_response(outcome: Outcome) -> Response:
    if isinstance(outcome, Done):
        wrap = xmlrpc.bare if outcome.bare else xmlrpc.success
        return Response(200, XML_HEADERS, wrap(outcome.fragment))
    return Response(200, XML_HEADERS, xmlrpc.failure(outcome.description))


def _call(request: Request, name: str, params: list[object], form: Form) -> Call:
    headers = request.headers
    return Call(
        name=name,
        params=params,
        form=form,
        peer=request.peer,
        user_agent=headers.get("user-agent", ""),
        task=request.query.get("task_id", ""),
    )
