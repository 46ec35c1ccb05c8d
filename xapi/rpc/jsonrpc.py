"""JSON-RPC 1.0 and 2.0 documents to and from parsed wire values, without sockets or knowledge of declared types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from xapi.rpc.values import MalformedCall

MAX_BYTES: Final = 32 << 20
ERROR_NUMBER: Final = 1

__all__ = ["ERROR_NUMBER", "MAX_BYTES", "JsonCall", "MalformedCall", "failure", "parse_call", "success"]


@dataclass(frozen=True, slots=True)
class JsonCall:
    """One call: its version says in which form the answer goes, its id comes back with the answer.

    `params` is a list, or with version 2.0 possibly a dict of parameters by name.
    """

    version: Literal["1.0", "2.0"]
    id: int | str
    method: str
    params: list[Any] | dict[str, Any]


def parse_call(body: bytes) -> JsonCall:
    """Read one call; `MalformedCall` when the document is none, or is a batch, or has no id to answer to.

    Version 1.0 wants a list of parameters; 2.0 takes a dict as well, and none at all.
    """
    if len(body) > MAX_BYTES:
        raise MalformedCall("the document is too large")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise MalformedCall(f"the document is not JSON: {problem.msg}") from None
    if not isinstance(document, dict):
        raise MalformedCall("the document is not one call")
    version: Literal["1.0", "2.0"]
    match document.get("jsonrpc", "1.0"):
        case "1.0":
            version = "1.0"
        case "2.0":
            version = "2.0"
        case _:
            raise MalformedCall("unknown version of JSON-RPC")
    identity, method = document.get("id"), document.get("method")
    if type(identity) is not int and not isinstance(identity, str):
        raise MalformedCall("id is missing, or neither a number nor a string")
    if not isinstance(method, str) or not method:
        raise MalformedCall("method is missing, or not a string")
    params = document.get("params", [] if version == "2.0" else None)
    if not isinstance(params, list) and not (version == "2.0" and isinstance(params, dict)):
        raise MalformedCall("params is missing, or not a list")
    return JsonCall(version, identity, method, params)


def success(call: JsonCall, fragment: Sequence[bytes]) -> list[bytes]:
    """The answer to a call that was done, around the pieces of its rendered value."""
    if call.version == "2.0":
        return [b'{"jsonrpc":"2.0","result":', *fragment, b',"id":%b}' % orjson.dumps(call.id)]
    return [b'{"result":', *fragment, b',"error":null,"id":%b}' % orjson.dumps(call.id)]


def failure(call: JsonCall, description: Sequence[str]) -> bytes:
    """The answer to a call that could not be done: the code and its parameters, as the call's version has them."""
    texts = [text.encode("utf-8", "replace").decode() for text in description]
    if call.version == "2.0":
        code, *params = texts
        error = {"code": ERROR_NUMBER, "message": code, "data": params}
        return orjson.dumps({"jsonrpc": "2.0", "error": error, "id": call.id})
    return orjson.dumps({"result": None, "error": texts, "id": call.id})
