"""The handshake after the greeting: options in, replies and what comes next out. No sockets."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xapi.storage.datapath.nbd import protocol
from xapi.storage.datapath.nbd.export import Export
from xapi.storage.datapath.nbd.protocol import Info, OptionAnswer, OptionCode, Transmission

Find = Callable[[str], Export | None]
"""Opens the export of a name, None if there is none or it is not for this client."""
MOST_OPTIONS = 1000


class Next(enum.Enum):
    """What the connection does when the reply is sent."""

    GO_ON = "read the next option"
    START_TLS = "speak TLS from here on"
    TRANSMIT = "serve requests"
    CLOSE = "close the connection"


class Tls(enum.Enum):
    """Whether there is TLS on a connection."""

    NONE = "it is not offered"
    REQUIRED = "nothing is said without it"
    ACTIVE = "it is spoken"


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes to send, and what to do then."""

    data: bytes
    then: Next = Next.GO_ON


def transmission_flags(export: Export, structured: bool) -> int:
    """Return what is told of an export's abilities."""
    flags = Transmission.HAS_FLAGS | Transmission.SEND_FLUSH | Transmission.SEND_FUA | Transmission.CAN_MULTI_CONN
    if structured:
        flags |= Transmission.SEND_DF
    if export.read_only:
        return flags | Transmission.READ_ONLY
    return flags | Transmission.SEND_TRIM | Transmission.SEND_WRITE_ZEROES


class Negotiation:
    """One client's handshake. `names` are told to whoever asks for a list."""

    def __init__(self, find: Find, names: Sequence[str] = ("",), tls: Tls = Tls.NONE) -> None:
        self._find = find
        self._names = names
        self.tls = tls
        self.export: Export | None = None
        self._export_name: str | None = None
        self.structured = False
        self._zeroes = True
        self._context_of: str | None = None
        self._options = 0

    @property
    def allocation(self) -> bool:
        """Whether the client may ask for the block status of the export that it chose."""
        return self._context_of is not None and self._context_of == self._export_name

    def client_flags(self, untrusted: bytes) -> None:
        """Take the client's first word; Malformed."""
        (flags,) = protocol.CLIENT_FLAGS.unpack(untrusted)
        if flags & ~int(protocol.Handshake.FIXED_NEWSTYLE | protocol.Handshake.NO_ZEROES):
            raise protocol.Malformed(f"unknown flags {flags:#x}")
        self._zeroes = not flags & protocol.Handshake.NO_ZEROES

    def option(self, code: int, untrusted: bytes) -> Answer:
        """Return the answer to one option."""
        self._options += 1
        if self._options > MOST_OPTIONS:
            raise protocol.Malformed("endless options")
        if self.tls is Tls.REQUIRED and code not in (OptionCode.STARTTLS, OptionCode.ABORT):
            if code == OptionCode.EXPORT_NAME:
                return Answer(b"", Next.CLOSE)
            return self._refuse(code, OptionAnswer.TLS_REQUIRED, "speak TLS first")
        try:
            return self._answer(code, untrusted)
        except ValueError as error:  # a UnicodeDecodeError is one too
            return self._refuse(code, OptionAnswer.INVALID, str(error))

    def _refuse(self, code: int, answer: OptionAnswer, why: str) -> Answer:
        return Answer(protocol.option_reply(code, answer, why.encode()))

    def _acknowledge(self, code: int, then: Next = Next.GO_ON) -> Answer:
        return Answer(protocol.option_reply(code, OptionAnswer.ACK), then)

    def _answer(self, code: int, untrusted: bytes) -> Answer:
        match code:
            case OptionCode.EXPORT_NAME:
                return self._old_way(untrusted)
            case OptionCode.GO | OptionCode.INFO:
                return self._inform(code, protocol.parse_wanted(untrusted))
            case OptionCode.LIST_META_CONTEXT | OptionCode.SET_META_CONTEXT:
                return self._contexts(code, *protocol.parse_contexts(untrusted))
            case OptionCode.ABORT:
                return self._acknowledge(code, Next.CLOSE)
            case OptionCode.STARTTLS | OptionCode.STRUCTURED_REPLY | OptionCode.LIST if untrusted:
                return self._refuse(code, OptionAnswer.INVALID, "this option has no data")
            case OptionCode.LIST:
                lines = b"".join(protocol.server_reply(code, name) for name in self._names)
                return Answer(lines + protocol.option_reply(code, OptionAnswer.ACK))
            case OptionCode.STRUCTURED_REPLY:
                self.structured = True
                return self._acknowledge(code)
            case OptionCode.STARTTLS if self.tls is Tls.REQUIRED:
                self.tls = Tls.ACTIVE
                # What was said in the clear may have been said by anybody.
                self.structured, self._context_of = False, None
                return self._acknowledge(code, Next.START_TLS)
            case OptionCode.STARTTLS if self.tls is Tls.ACTIVE:
                return self._refuse(code, OptionAnswer.INVALID, "TLS is spoken already")
            case _:
                return self._refuse(code, OptionAnswer.UNSUPPORTED, "this option is not supported")

    def _choose(self, name: str) -> Export | None:
        self.export = self._find(name)
        self._export_name = name
        return self.export

    def _old_way(self, untrusted: bytes) -> Answer:
        export = self._choose(protocol.parse_name(untrusted))
        if export is None:
            return Answer(b"", Next.CLOSE)
        flags = transmission_flags(export, self.structured)
        return Answer(protocol.export_answer(export.size, flags, self._zeroes), Next.TRANSMIT)

    def _inform(self, code: int, wanted: protocol.Wanted) -> Answer:
        export = self._choose(wanted.name)
        if export is None:
            return self._refuse(code, OptionAnswer.UNKNOWN, "there is no such export, or it is not for you")
        data = protocol.export_info(code, export.size, transmission_flags(export, self.structured))
        if Info.NAME in wanted.infos:
            data += protocol.name_info(code, wanted.name)
        data += protocol.block_size_info(code)
        data += protocol.option_reply(code, OptionAnswer.ACK)
        return Answer(data, Next.TRANSMIT if code == OptionCode.GO else Next.GO_ON)

    def _contexts(self, code: int, name: str, queries: tuple[str, ...]) -> Answer:
        if not self.structured:
            return self._refuse(code, OptionAnswer.INVALID, "structured replies come first")
        setting = code == OptionCode.SET_META_CONTEXT
        if setting:
            self._context_of = None
        if self._find(name) is None:
            return self._refuse(code, OptionAnswer.UNKNOWN, "there is no such export, or it is not for you")
        every = not queries and not setting
        known = protocol.ALLOCATION_CONTEXT
        found = every or known in queries or (not setting and "base:" in queries)
        data = b""
        if found:
            if setting:
                self._context_of = name
            data = protocol.context_reply(code, protocol.ALLOCATION_ID if setting else 0, known)
        return Answer(data + protocol.option_reply(code, OptionAnswer.ACK))
