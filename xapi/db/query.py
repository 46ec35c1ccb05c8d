"""The language of `get_all_records_where`: which rows of a class a client asks for.

    query   = term { ("and" | "or") term }        one level, from left to right
    term    = "true" | "false" | "(" query ")" | "not" query | operand "=" operand
    operand = field "path" | "literal"

`and` and `or` bind alike, and `not` takes everything up to the end of its level: `not a and b` is `not (a and b)`.
That is what the original does, and what its clients were written against. A literal has no escapes. Both sides of a
comparison are texts: a field counts as the text in which the original's database stores it, so that `"true"`, `"16"`,
`"20240101T00:00:00Z"` or `"('a' 'b')"` are what to compare with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NoReturn, TypeAlias

from xapi.datamodel.errors import INVALID_VALUE
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Entity
from xapi.datamodel.types import Basic, EnumType, MapType, OptionType, RecordType, RefType, SetType, Type

Row: TypeAlias = tuple[Any, ...]
Predicate: TypeAlias = Callable[[Row], bool]
Text: TypeAlias = Callable[[Any], str]
Operand: TypeAlias = str | Callable[[Row], str]

MAX_DEPTH: Final = 100  # levels of parentheses and of `not` within one another
REFERENCE_NAMES: Final = frozenset({"ref", "_ref"})

# Words need nothing between them: the original reads `notfalse` as `not false`.
_TOKEN: Final = re.compile(
    r'[ \t\n]*(?:(=|\(|\)|true|false|field|and|or|not)|"([^"]*)"|(\Z)|(?P<unknown>.))', re.DOTALL
)
_QUOTED: Final = re.compile(r"[\\\"']")
_END: Final = ""


def compile(text: str, entity: type[Entity]) -> Predicate:
    """The test that a query stands for, to be asked of rows of the class.

    INVALID_VALUE [text, reason] when the text is no query. A field that the class does not have is INTERNAL_ERROR
    ["missing field", name, ""], and only once a row is tested that needs it, both as with the original: a query of a
    class without objects answers nothing, whatever it names.
    """
    return _Parser(text, entity).read()


class _Parser:
    """Reads one query, token by token."""

    def __init__(self, text: str, entity: type[Entity]) -> None:
        self.text = text
        self.entity = entity
        self.tokens = self.split()
        self.depth = 0
        self.advance()

    def refuse(self, reason: str) -> NoReturn:
        raise INVALID_VALUE(self.text, reason)

    def split(self) -> Iterator[tuple[str, str | None]]:
        """The words and signs of the text, each with the literal that it is, if it is one."""
        for found in _TOKEN.finditer(self.text):
            if found["unknown"]:
                self.refuse(f"unreadable at character {found.start('unknown') + 1}")
            yield found[1] or _END, found[2]
        yield _END, None

    def at(self, *words: str) -> bool:
        """Whether the next token is one of these words or signs."""
        return self.word in words

    def advance(self) -> None:
        self.word, self.literal = next(self.tokens)

    def at_end(self) -> bool:
        return self.word == _END and self.literal is None

    def unexpected(self, expected: str) -> NoReturn:
        found = "the end" if self.at_end() else repr(self.word if self.literal is None else f'"{self.literal}"')
        self.refuse(f"expected {expected}, found {found}")

    def read(self) -> Predicate:
        predicate = self.level()
        if not self.at_end():
            self.unexpected("and, or, or the end")
        return predicate

    def level(self) -> Predicate:
        """What stands between two parentheses, or after a `not`."""
        if self.depth == MAX_DEPTH:
            self.refuse(f"more than {MAX_DEPTH} levels")
        self.depth += 1
        first = self.term()
        rest: list[tuple[bool, Predicate]] = []
        while self.at("and", "or"):
            both = self.word == "and"
            self.advance()
            rest.append((both, self.term()))
        self.depth -= 1
        return _chain(first, rest) if rest else first

    def term(self) -> Predicate:
        match self.word:
            case "true" | "false":
                constant = self.word == "true"
                self.advance()
                return lambda row: constant
            case "(":
                self.advance()
                inner = self.level()
                if not self.at(")"):
                    self.unexpected("a closing parenthesis")
                self.advance()
                return inner
            case "not":
                return self.negation()
            case _:
                return self.comparison()

    def negation(self) -> Predicate:
        """A `not` with all that follows it on its level; several in a row are counted, not nested."""
        negative = False
        while self.at("not"):
            negative = not negative
            self.advance()
        inner = self.level()
        return (lambda row: not inner(row)) if negative else inner

    def comparison(self) -> Predicate:
        left = self.operand("a term")
        if not self.at("="):
            self.unexpected("=")
        self.advance()
        return _equal(left, self.operand("a field or a literal"))

    def operand(self, expected: str) -> Operand:
        is_field = self.at("field")
        if is_field:
            self.advance()
        literal = self.literal
        if literal is None:
            self.unexpected("the name of a field" if is_field else expected)
        self.advance()
        return _field_reader(self.entity, literal) if is_field else literal


def _chain(first: Predicate, rest: list[tuple[bool, Predicate]]) -> Predicate:
    """Several terms joined by `and` and `or`, from left to right; a term that cannot matter is not asked."""

    def chain(row: Row) -> bool:
        result = first(row)
        for both, term in rest:
            if result is both:
                result = term(row)
        return result

    return chain


def _equal(left: Operand, right: Operand) -> Predicate:
    if isinstance(left, str):
        if isinstance(right, str):
            constant = left == right
            return lambda row: constant
        left, right = right, left
    if isinstance(right, str):
        read, text = left, right
        return lambda row: read(row) == text
    one, other = left, right
    return lambda row: one(row) == other(row)


def _field_reader(entity: type[Entity], name: str) -> Callable[[Row], str]:
    """The function that gives the stored text of a field of a row."""
    if name in REFERENCE_NAMES:
        return lambda row: str(row[0])
    place = _readers(entity).get(name)
    if place is None:

        def fail(row: Row) -> NoReturn:
            raise Failure("INTERNAL_ERROR", "missing field", name, "")

        return fail
    index, text = place
    if text is str:
        return lambda row: row[index]
    return lambda row: text(row[index])


@cache
def _readers(entity: type[Entity]) -> Mapping[str, tuple[int, Text]]:
    """Where the fields of a class are in a row, and how their text is made, by the name that queries use."""
    return {field.path: (field.index, _text_of(field.type)) for field in entity.fields}


def _text_of(kind: Type) -> Text:
    """The function that makes the text in which the original stores a value of the type."""
    match kind:
        case Basic.INT:
            return lambda value: str(int(value))
        case Basic.FLOAT:
            return lambda value: f"{value:.16g}"
        case Basic.BOOL:
            return lambda value: "true" if value else "false"
        case Basic.DATETIME:
            return _date_text
        case Basic.VOID:
            return lambda value: ""
        case SetType(of):
            return _set_text(_text_of(of))
        case MapType(key, value):
            return _map_text(_text_of(key), _text_of(value))
        case OptionType(of):
            inner = _text_of(of)
            return lambda value: "" if value is None else inner(value)
        case Basic() | RefType() | EnumType() | RecordType():
            return str


def _date_text(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat()
    return f"{text[:4]}{text[5:7]}{text[8:19]}Z"


def _quoted(text: str) -> str:
    """A text as it stands within a set or a map."""
    return f"'{_QUOTED.sub(_escape, text)}'"


def _escape(found: re.Match[str]) -> str:
    return "\\" + found[0]


def _set_text(item: Text) -> Text:
    return lambda values: f"({' '.join([_quoted(item(value)) for value in values])})"


def _map_text(key: Text, value: Text) -> Text:
    def text(pairs: Mapping[Any, Any]) -> str:
        inner = [f"({_quoted(key(name))} {_quoted(value(item))})" for name, item in pairs.items()]
        return f"({' '.join(inner)})"

    return text
