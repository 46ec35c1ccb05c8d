"""What simulated guests show and say: a boot screen, then a clock and a shell that only echoes; without I/O.

Nothing typed here is ever run. The shell knows a few words and says of itself that it is simulated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from xapi.hypervisor.rfb.session import RfbSession
from xapi.hypervisor.rfb.text_display import TextDisplay
from xapi.hypervisor.rfb.text_screen import BACKLOG

BOOT_GRID: Final = (25, 80)
GRID: Final = (37, 100)
LONGEST_LINE: Final = 200
_WORDS: Final = "clear date echo help hostname uname uptime"


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What a console shows of its guest at one moment; times are seconds since 1970."""

    name: str
    identity: str
    system: str
    memory: int
    processors: int
    drives: tuple[str, ...]
    cards: tuple[str, ...]
    now: float
    started: float
    progress: float
    running: bool = True
    host: bool = False
    domains: tuple[str, ...] = ()

    @property
    def booted(self) -> bool:
        """Whether the guest's system is up."""
        return self.progress >= 1.0


Look = Callable[[], GuestFacts | None]
"""The guest as of now; None once it is gone."""


class Shell:
    """Echoes what is typed and answers a few words; nothing is run."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._line = ""
        self._after_return = False

    @property
    def prompt(self) -> str:
        """What comes before each line."""
        facts = self._look()
        return f"{_host_name(facts)}# " if facts is not None else "# "

    def greeting(self) -> str:
        """What is said once the system is up."""
        facts = self._look()
        if facts is None:
            return ""
        what = "The host's console" if facts.host else f"{facts.system or 'Guest'}"
        return (
            f"{what} on {_host_name(facts)} (simulated)\r\n\r\n"
            "This is a simulation: what is typed is echoed and never run.\r\n"
            f"Known words: {_words(facts)}\r\n\r\n{self.prompt}"
        )

    def typed(self, text: str) -> str:
        """What appears when this is typed."""
        return "".join(map(self._one, text))

    def _one(self, character: str) -> str:
        ended, self._after_return = self._after_return, character == "\r"
        if character == "\n" and ended:
            return ""  # a line that ends with both ends once
        if character in "\r\n":
            line, self._line = self._line, ""
            return "\r\n" + self._answer(line) + self.prompt
        if character in "\x7f\b":
            if not self._line:
                return ""
            self._line = self._line[:-1]
            return "\b \b"
        if character in "\x03\x15":
            self._line = ""
            return "^C\r\n" + self.prompt if character == "\x03" else "\r\x1b[K" + self.prompt
        if character == "\x0c":
            return self._clear() + self.prompt + self._line
        if not character.isprintable() or len(self._line) >= LONGEST_LINE:
            return "\a" if character.isprintable() else f"^{chr((ord(character) & 0x1F) + 64)}"
        self._line += character
        return character

    def _answer(self, line: str) -> str:
        facts = self._look()
        word, _, rest = line.strip().partition(" ")
        if not word or facts is None:
            return ""
        match word:
            case "help":
                return f"{_words(facts)}\r\n"
            case "echo":
                return f"{rest}\r\n"
            case "clear":
                return self._clear()
            case "hostname":
                return f"{_host_name(facts)}\r\n"
            case "uname":
                return f"{facts.system or 'Simulated'} {facts.identity}\r\n"
            case "date":
                return f"{_date(facts.now)}\r\n"
            case "uptime":
                return f"up {_span(facts.now - facts.started)}\r\n"
            case "list" if facts.host:
                return "".join(f"{line}\r\n" for line in facts.domains)
        return f"{word}: simulated, not run\r\n"

    def _clear(self) -> str:
        return "\x1b[2;1H\x1b[J"  # the first line is the clock's


class Line:
    """The guest's terminal line: a shell at one end, any number of listeners at the other."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._shell = Shell(look)
        self._up = False
        self.backlog = bytearray()
        self.listeners: list[Callable[[bytes], None]] = []

    def tick(self) -> None:
        """Let the shell come up with the guest."""
        facts = self._look()
        if facts is not None and facts.booted and not self._up:
            self._up = True
            self._say(self._shell.greeting())

    def type(self, data: bytes) -> None:
        """Something is typed; a guest that does not run hears nothing."""
        facts = self._look()
        if facts is not None and facts.booted and facts.running:
            self.tick()
            self._say(self._shell.typed(data.decode("utf-8", "replace")))

    def _say(self, text: str) -> None:
        data = text.encode()
        self.backlog += data
        del self.backlog[:-BACKLOG]
        for listener in list(self.listeners):
            listener(data)


class GraphicScreen:
    """The guest's screen (see `rfb.service.Screen`): text mode while it boots, then a larger one with a clock."""

    def __init__(self, look: Look, line: Line) -> None:
        self._look = look
        self._line = line
        self._name = facts.name if (facts := look()) is not None else ""
        self.display = TextDisplay(*BOOT_GRID, line.type)
        self._up = False
        self._said = ""
        line.listeners.append(self.display.receive)
        self.tick()

    def converse(self) -> RfbSession:
        """Begin with a new viewer."""
        self.tick()
        return RfbSession(self.display, self._name)

    def tick(self) -> None:
        """Show how far the boot is, or what time it is; a guest that does not run stands still."""
        facts = self._look()
        if facts is None or not (facts.running or not self._said):
            return
        said = _clock(facts) if facts.booted else _boot_screen(facts)
        if facts.booted and not self._up:
            self._up = True
            self.display.resize(*GRID)
            self.display.receive(b"\x1bc\x1b[2;%dr\x1b[2;1H" % GRID[0] + bytes(self._line.backlog))
            self._line.tick()
        if said != self._said:
            self._said = said
            self.display.receive(said.encode())


def _clock(facts: GuestFacts) -> str:
    what = "host console, simulated" if facts.host else "simulated guest"
    text = f" {_shown(facts.name)} · {what}"[: GRID[1] - 22].ljust(GRID[1] - 21)
    return f"\x1b7\x1b[r\x1b[1;1H\x1b[0;37;44m{text} {_date(facts.now)} \x1b[0m\x1b[2;{GRID[0]}r\x1b8"


def _boot_screen(facts: GuestFacts) -> str:
    lines = [
        "\x1b[1;36mSimulated firmware\x1b[0m",
        "",
        f"Machine      {_shown(facts.name)}",
        f"UUID         {facts.identity}",
        f"Processors   {facts.processors}",
        f"Memory       {facts.memory >> 20} MiB ok",
        *(f"Drive        {_shown(drive)}" for drive in facts.drives[:6]),
        *(f"Network      {_shown(card)}" for card in facts.cards[:4]),
        "",
        f"Starting {_shown(facts.system) or 'the guest'} ...",
    ]
    done = max(0, min(50, int(facts.progress * 50)))
    lines += ["", f"[\x1b[32m{'█' * done}\x1b[0m{'░' * (50 - done)}]"]
    return "\x1b[?25l\x1b[2J\x1b[H" + "\r\n".join(lines)


def _words(facts: GuestFacts) -> str:
    return f"{_WORDS} list" if facts.host else _WORDS


def _shown(text: str) -> str:
    """A text of somebody's choice, without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)[:60]


def _host_name(facts: GuestFacts) -> str:
    words = "".join(one if one.isalnum() or one in ".-_" else "-" for one in _shown(facts.name)).strip("-")
    return words.lower() or "guest"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
