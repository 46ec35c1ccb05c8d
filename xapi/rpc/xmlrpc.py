"""XML-RPC documents to and from parsed wire values, without sockets and without knowledge of declared types.

A document comes from strangers: entities, document types and network access are off, size and depth are bounded, and
whatever is no call raises `MalformedCall` and nothing else. Answers are lists of buffers, so that a large answer made
of ready fragments is never copied here.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from lxml import etree

from xapi.datamodel.failure import Failure
from xapi.rpc.values import MalformedCall, WireDate, date_text, read_date, read_float, read_int, xml_text

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MalformedAnswer",
    "MalformedCall",
    "bare",
    "failure",
    "parse_call",
    "parse_response",
    "render_call",
    "success",
]

MAX_BYTES: Final = 32 << 20
MAX_DEPTH: Final = 64

_HEAD: Final = b'<?xml version="1.0"?><methodResponse><params><param>'
_TAIL: Final = b"</param></params></methodResponse>"
_SUCCESS: Final = (
    _HEAD + b"<value><struct><member><name>Status</name><value>Success</value></member><member><name>Value</name>"
)
_FAILURE: Final = (
    _HEAD + b"<value><struct><member><name>Status</name><value>Failure</value></member>"
    b"<member><name>ErrorDescription</name><value><array><data>"
)
_SUCCESS_END: Final = b"</member></struct></value>" + _TAIL
_FAILURE_END: Final = b"</data></array></value></member></struct></value>" + _TAIL

_BLANKS: Final = " \t\r\n"

# A small call in the form that most clients write: strings, booleans, doubles and sets of strings, in ASCII without
# anything that XML would have to be asked about. What does not fit goes to the parser.
_PLAIN_BYTES: Final = 8192
_SPACE: Final = r"[ \t\n]*+"
_TEXT: Final = r"[\t\n\x20-\x25\x27-\x3b\x3d\x3f-\x7e]*+"
_STRING: Final = rf"(?:<string>{_TEXT}</string>|{_TEXT})"
_STRINGS: Final = rf"(?:{_SPACE}<value>{_STRING}</value>)*+{_SPACE}"
_ANY: Final = rf"(?:<array><data>{_STRINGS}</data></array>|<boolean>[01]</boolean>|<double>{_TEXT}</double>|{_STRING})"
_PLAIN_CALL: Final = re.compile(
    r"""(?:<\?xml version=(?:'1\.0'|"1\.0")(?: encoding=(?:"UTF-8"|"utf-8"|'UTF-8'|'utf-8'))?\?>)?"""
    rf"{_SPACE}<methodCall>{_SPACE}<methodName>({_TEXT})</methodName>{_SPACE}"
    rf"<params>((?:{_SPACE}<param>{_SPACE}<value>{_ANY}</value>{_SPACE}</param>)*+){_SPACE}</params>"
    rf"{_SPACE}</methodCall>{_SPACE}"
)
_PLAIN_PARAM: Final = re.compile(
    r"<param>[^<]*<value>(?:<array><data>(.*?)</data>|<boolean>([01])|<double>([^<]*)|(?:<string>)?([^<]*))", re.DOTALL
)
_PLAIN_ITEM: Final = re.compile(r"<value>(?:<string>)?([^<]*)")


class MalformedAnswer(ValueError):
    """A document that another host sent and that is no answer of the protocol."""


class _Parsers(threading.local):
    """One parser for each thread: a shared one makes threads wait for one another."""

    def __init__(self) -> None:
        self.parser = etree.XMLParser(
            resolve_entities=False,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
            collect_ids=False,
        )


_PARSERS: Final = _Parsers()


def parse_call(body: bytes) -> tuple[str, list[object]]:
    """Read a `methodCall`: the method's name and its parameters as wire values; `MalformedCall` when it is none."""
    if len(body) <= _PLAIN_BYTES:
        plain = plain_call(body)
        if plain is not None:
            return plain
    return parsed_call(body)


def plain_call(body: bytes) -> tuple[str, list[object]] | None:
    """Read a call in its plainest form, at a fifth of the parser's cost; None when the parser must read it.

    What it answers is what `parsed_call` answers.
    """
    try:
        found = _PLAIN_CALL.fullmatch(body.decode("ascii"))
        if found is None:
            return None
        method = found[1].strip(_BLANKS)
        params = [_plain_value(param) for param in _PLAIN_PARAM.finditer(found[2])]
    except ValueError:  # no ASCII, or no number
        return None
    return (method, params) if method else None


def _plain_value(param: re.Match[str]) -> object:
    which = param.lastindex or 4
    if which == 4:
        return param[4]
    if which == 1:
        return _PLAIN_ITEM.findall(param[1])
    if which == 2:
        return param[2] == "1"
    return read_float(param[3].strip(_BLANKS))


def parsed_call(body: bytes) -> tuple[str, list[object]]:
    """Read a `methodCall` in any form, by the parser."""
    root = _document(body)
    if _name(root) != "methodCall":
        raise MalformedCall("the document is not a methodCall")
    parts = _children(root)
    if [_name(part) for part in parts] != ["methodName", "params"]:
        raise MalformedCall("a methodCall holds a methodName and params")
    method = _text(parts[0]).strip(_BLANKS)
    if not method:
        raise MalformedCall("the methodName is empty")
    return method, [_only_value(param) for param in _named_children(parts[1], "param")]


def success(fragment: Sequence[bytes]) -> list[bytes]:
    """The answer to a call that was done, around the pieces of its rendered value."""
    return [_SUCCESS, *fragment, _SUCCESS_END]


def failure(description: Sequence[str]) -> bytes:
    """The answer to a call that could not be done: the code and its parameters."""
    texts = "".join([f"<value>{xml_text(text)}</value>" for text in description])
    return b"%b%b%b" % (_FAILURE, texts.encode(), _FAILURE_END)


def bare(fragment: Sequence[bytes]) -> list[bytes]:
    """The answer of `system.listMethods`, the one call whose value has no status around it."""
    return [_HEAD, *fragment, _TAIL]


def render_call(method: str, params: Sequence[object]) -> bytes:
    """The document of a call to another host; `TypeError` for a parameter that the wire cannot carry.

    Strings, integers (as text without a type), booleans, floats, dates, None (as void), sequences and mappings.
    """
    rendered = "".join([f"<param>{_render(param)}</param>" for param in params])
    return (
        f'<?xml version="1.0"?><methodCall><methodName>{xml_text(method)}</methodName>'
        f"<params>{rendered}</params></methodCall>"
    ).encode()


def parse_response(body: bytes) -> object:
    """The value of another host's answer, its `Failure` raised; `MalformedAnswer` when the document is none.

    Values are strings (integers too, as they have no type on the wire), lists, dicts, booleans, floats, aware UTC
    dates, and `int` where the document says so. An answer without a status is given as it is.
    """
    try:
        value = _read_response(_document(body))
    except MalformedCall as problem:
        raise MalformedAnswer(str(problem)) from None
    if not (isinstance(value, dict) and isinstance(value.get("Status"), str)):
        return value
    if value["Status"] == "Success" and "Value" in value:
        return value["Value"]
    description = value.get("ErrorDescription")
    if value["Status"] == "Failure" and isinstance(description, list) and description:
        raise Failure(*(str(text) for text in description))
    raise MalformedAnswer("the answer has neither a value nor an error")


def _read_response(root: etree._Element) -> object:
    parts = _children(root)
    if _name(root) != "methodResponse" or len(parts) != 1:
        raise MalformedCall("the document is not a methodResponse")
    if _name(parts[0]) == "fault":
        fault = _only_value(parts[0])
        text = fault.get("faultString", "") if isinstance(fault, dict) else fault
        raise Failure("Fault", str(text))
    if _name(parts[0]) != "params":
        raise MalformedCall("the document is not a methodResponse")
    params = _named_children(parts[0], "param")
    if len(params) != 1:
        raise MalformedCall("an answer holds one value")
    return _with_dates(_only_value(params[0]))


def _with_dates(value: object) -> object:
    if isinstance(value, WireDate):
        try:
            return read_date(value)
        except ValueError as problem:
            raise MalformedCall(str(problem)) from None
    if isinstance(value, list):
        return [_with_dates(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_dates(item) for name, item in value.items()}
    return value


def _document(body: bytes) -> etree._Element:
    """The root of a document that is neither too large nor declares anything."""
    if len(body) > MAX_BYTES:
        raise MalformedCall("the document is too large")
    try:
        root = etree.fromstring(body, _PARSERS.parser)
    except etree.XMLSyntaxError as problem:
        raise MalformedCall(f"the document is not XML: {problem.msg}") from None
    except (ValueError, LookupError) as problem:
        raise MalformedCall(f"the document is not XML: {problem}") from None
    if root is None:
        raise MalformedCall("the document is empty")
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedCall("the document declares a type")
    return root


def _name(element: etree._Element) -> str:
    """The element's name, whatever namespace it is in."""
    tag = element.tag
    if not isinstance(tag, str):
        raise MalformedCall("the document refers to an entity")
    return tag.rpartition("}")[2] if tag[0] == "{" else tag


def _text(element: etree._Element) -> str:
    """The text of an element that may hold nothing else."""
    if len(element):
        raise MalformedCall(f"{_name(element)} holds text only")
    return element.text or ""


def _children(element: etree._Element) -> list[etree._Element]:
    """The elements in an element that holds no text of its own."""
    children = list(element)
    text = element.text
    if text and not text.isspace():
        raise MalformedCall(f"{_name(element)} holds stray text")
    for child in children:
        tail = child.tail
        if tail and not tail.isspace():
            raise MalformedCall(f"{_name(element)} holds stray text")
    return children


def _named_children(element: etree._Element, name: str) -> list[etree._Element]:
    children = _children(element)
    for child in children:
        if child.tag != name and _name(child) != name:
            raise MalformedCall(f"{_name(element)} holds {name} elements only")
    return children


def _only_value(element: etree._Element) -> object:
    children = _named_children(element, "value")
    if len(children) != 1:
        raise MalformedCall(f"{_name(element)} holds one value")
    return _value(children[0], 0)


def _value(element: etree._Element, depth: int) -> object:
    if not len(element):
        return element.text or ""
    children = _children(element)
    if len(children) != 1:
        raise MalformedCall("a value has one type")
    typed = children[0]
    name = _name(typed)
    scalar = _SCALARS.get(name)
    if scalar is not None:
        try:
            return scalar(_text(typed))
        except MalformedCall:
            raise
        except ValueError:
            raise MalformedCall(f"unreadable {name}") from None
    if depth >= MAX_DEPTH:
        raise MalformedCall("the values are nested too deeply")
    if name == "array":
        return _array(typed, depth + 1)
    if name == "struct":
        return _struct(typed, depth + 1)
    raise MalformedCall(f"unknown type {name[:40]}")


def _array(element: etree._Element, depth: int) -> list[object]:
    data = _named_children(element, "data")
    if len(data) != 1:
        raise MalformedCall("an array holds one data element")
    return [_value(child, depth) for child in _named_children(data[0], "value")]


def _struct(element: etree._Element, depth: int) -> dict[str, object]:
    """The members of a struct; of two with one name the later stays, as with the original."""
    members: dict[str, object] = {}
    for member in _named_children(element, "member"):
        parts = _children(member)
        if len(parts) != 2 or _name(parts[0]) != "name" or _name(parts[1]) != "value":
            raise MalformedCall("a member holds a name and a value")
        members[_text(parts[0])] = _value(parts[1], depth)
    return members


def _boolean(text: str) -> bool:
    match text.strip(_BLANKS):
        case "1" | "true":
            return True
        case "0" | "false":
            return False
        case _:
            raise ValueError("not a boolean")


def _nil(text: str) -> None:
    if text.strip(_BLANKS):
        raise ValueError("nil holds nothing")


def _base64(text: str) -> str:
    """The text in base64; bytes that are no UTF-8 have no place in the contract, which knows strings only."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except binascii.Error as problem:
        raise ValueError(str(problem)) from None


def _integer(text: str) -> int:
    return read_int(text.strip(_BLANKS))


_SCALARS: Final[Mapping[str, Callable[[str], object]]] = {
    "string": str,
    "int": _integer,
    "i4": _integer,
    "i8": _integer,
    "boolean": _boolean,
    "double": lambda text: read_float(text.strip(_BLANKS)),
    "dateTime.iso8601": lambda text: WireDate(text.strip(_BLANKS)),
    "base64": _base64,
    "nil": _nil,
}


def _render(value: object) -> str:
    match value:
        case None:
            return "<value></value>"
        case bool():
            return f"<value><boolean>{value:d}</boolean></value>"
        case str():
            return f"<value>{xml_text(value)}</value>"
        case int():
            return f"<value>{value}</value>"
        case float():
            return f"<value><double>{value:.16g}</double></value>"
        case datetime():
            return f"<value><dateTime.iso8601>{date_text(value)}</dateTime.iso8601></value>"
        case Mapping():
            members = [
                f"<member><name>{xml_text(str(name))}</name>{_render(item)}</member>" for name, item in value.items()
            ]
            return f"<value><struct>{''.join(members)}</struct></value>"
        case list() | tuple():
            return f"<value><array><data>{''.join(map(_render, value))}</data></array></value>"
        case _:
            raise TypeError(f"the wire cannot carry a {type(value).__name__}")
