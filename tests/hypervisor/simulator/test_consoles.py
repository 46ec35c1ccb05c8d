import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hypervisor.bench import SimulatorBench, config_of
from tests.hypervisor.rfb.viewer import Viewer, joined
from xapi.hypervisor.contract import running
from xapi.hypervisor.interface import ConsoleProtocol, NoSuchDomain, StateUnusable, Unsupported
from xapi.hypervisor.rfb import font
from xapi.hypervisor.rfb.service import CONTROL_DOMAIN
from xapi.hypervisor.rfb.text_screen import TextScreen
from xapi.hypervisor.simulator.screens import BOOT_GRID, GRID, GraphicScreen, GuestFacts, Line, Shell

UUID = config_of(1).uuid
FACTS = GuestFacts(
    name="vm 1",
    identity=UUID,
    system="Debian",
    memory=256 << 20,
    processors=2,
    drives=("xvda (disk)",),
    cards=("0 02:00:00:00:00:01",),
    now=1704067200.0,
    started=1704067100.0,
    progress=1.0,
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SimulatorBench]:
    bench = SimulatorBench(tmp_path)
    yield bench
    bench.driver.close()


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(path))
    return connection


def read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "hung up"
        data += more
    return data


def look(connection: socket.socket) -> Viewer:
    return Viewer(connection.sendall, lambda count: read(connection, count))


def pixels(text: str, ink: tuple[int, int, int], paper: tuple[int, int, int] = (0, 0, 0)) -> list[list[object]]:
    """How a text looks on the screen."""
    glyphs = [font.glyph(character) for character in text]
    return [[ink if glyph[row] >> bit & 1 else paper for glyph in glyphs for bit in range(8)] for row in range(16)]


def reads(viewer: Viewer, row: int, text: str, ink=(170, 170, 170), paper=(0, 0, 0), column: int = 0) -> bool:
    """Whether a line of the picture shows this text, by its pixels."""
    part = [line[column * 8 : (column + len(text)) * 8] for line in viewer.picture[row * 16 : row * 16 + 16]]
    return part == pixels(text, ink, paper)


def test_the_screen_of_a_guest_by_its_pixels(bench: SimulatorBench) -> None:
    running(bench, 1)
    with connect(bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path) as client:
        viewer = look(client)
        assert viewer.name == "vm 1"
        viewer.ask_encodings(16, -223)
        viewer.ask()
        while viewer.take() == [-223]:
            viewer.ask()
        assert (viewer.width, viewer.height) == (GRID[1] * 8, GRID[0] * 16)
        assert reads(viewer, 0, " vm 1 ", paper=(0, 0, 170))
        assert reads(viewer, 1, "Debian Bookworm 12 on vm-1 (simulated)")
        assert reads(viewer, 6, "vm-1# ")
        viewer.press("echo picture\n")
        while not reads(viewer, 7, "picture"):
            viewer.ask(incremental=True)
            viewer.take()
        assert reads(viewer, 6, "vm-1# echo picture")


def test_both_consoles_of_a_guest_are_one_line(bench: SimulatorBench) -> None:
    bench.driver.domains.create(config_of(1, consoles=tuple(ConsoleProtocol)))
    bench.driver.domains.unpause(UUID)
    bench.settle(lambda: bench.driver.domains.get(UUID).agent is not None)
    with connect(bench.driver.consoles.endpoint(UUID, ConsoleProtocol.VT100).path) as text:
        while b"vm-1# " not in (heard := text.recv(4096, socket.MSG_PEEK)):
            pass
        read(text, len(heard))
        text.sendall(b"echo one line\r")
        wanted = b"echo one line\r\none line\r\nvm-1# "
        assert read(text, len(wanted)) == wanted
        with connect(bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path) as client:
            viewer = look(client)
            viewer.ask()
            viewer.take()
            assert reads(viewer, 7, "one line")


def test_a_console_that_the_guest_has_not(bench: SimulatorBench) -> None:
    bench.driver.domains.create(config_of(1, consoles=(ConsoleProtocol.VT100,)))
    with pytest.raises(Unsupported):
        bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB)
    with pytest.raises(NoSuchDomain):
        bench.driver.consoles.endpoint(config_of(2).uuid, ConsoleProtocol.RFB)


def test_the_host_has_a_console_that_runs_nothing(bench: SimulatorBench) -> None:
    state = running(bench, 1)
    with connect(bench.driver.consoles.endpoint(CONTROL_DOMAIN, ConsoleProtocol.VT100).path) as text:
        said = b""
        while not said.endswith(b"host# "):
            said += text.recv(4096)
        assert b"simulat" in said
        text.sendall(b"list\r")
        said = b""
        while not said.endswith(b"\nhost# "):
            said += text.recv(4096)
        assert UUID.encode() in said and str(state.domid).encode() in said
        text.sendall(b"cat /etc/passwd\r")
        wanted = b"cat /etc/passwd\r\ncat: simulated, not run\r\nhost# "
        assert read(text, len(wanted)) == wanted


def test_a_console_ends_with_its_domain(bench: SimulatorBench) -> None:
    running(bench, 1)
    path = bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path
    with connect(path) as client:
        read(client, 12)
        bench.driver.domains.destroy(UUID)
        assert client.recv(1) == b""
    assert not bench.driver.consoles._lines
    with pytest.raises(NoSuchDomain):
        bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB)


def test_closing_the_driver_ends_the_thread_and_the_sockets(bench: SimulatorBench) -> None:
    running(bench, 1)
    path = bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB).path
    with connect(path) as client:
        read(client, 12)
        bench.driver.close()
        assert client.recv(1) == b""
    assert not path.parent.exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("simulator")]
    with pytest.raises(StateUnusable):
        bench.driver.consoles.endpoint(UUID, ConsoleProtocol.RFB)
    bench.driver = bench.open()


# Without sockets


class Guest:
    def __init__(self, **changes: object) -> None:
        self.facts: GuestFacts | None = replace(FACTS, **changes)
        self.line = Line(lambda: self.facts)
        self.screen = GraphicScreen(lambda: self.facts, self.line)

    def change(self, **changes: object) -> None:
        assert self.facts is not None
        self.facts = replace(self.facts, **changes)
        self.screen.tick()


def test_a_boot_is_shown_and_then_a_larger_screen() -> None:
    guest = Guest(progress=0.5)
    viewer = joined(guest.screen.converse())
    viewer.ask_encodings(5, -223)
    viewer.ask()
    viewer.take()
    assert (viewer.width, viewer.height) == (BOOT_GRID[1] * 8, BOOT_GRID[0] * 16)
    assert reads(viewer, 2, "Machine      vm 1")
    assert reads(viewer, 11, "█" * 25, (0, 170, 0), column=1) and not reads(viewer, 11, "█" * 26, (0, 170, 0), column=1)
    guest.change(progress=0.8)
    viewer.ask(incremental=True)
    viewer.take()
    assert reads(viewer, 11, "█" * 40, (0, 170, 0), column=1)
    guest.change(progress=1.0)
    viewer.ask(incremental=True)
    assert viewer.take() == [-223]
    viewer.ask()
    viewer.take()
    assert reads(viewer, 1, "Debian on vm-1 (simulated)")


def test_the_clock_goes_on_and_stands_still_in_a_paused_guest() -> None:
    guest = Guest()
    viewer = joined(guest.screen.converse())
    viewer.ask_encodings(5, -223)
    viewer.ask()
    viewer.take()
    viewer.ask()
    viewer.take()

    def clock(text: str) -> bool:
        return reads(viewer, 0, text, paper=(0, 0, 170), column=GRID[1] - len(text) - 1)

    assert clock("2024-01-01 00:00:00")
    guest.change(now=FACTS.now + 61)
    viewer.ask(incremental=True)
    assert len(viewer.take()) <= 3
    assert clock("2024-01-01 00:01:01")
    guest.change(now=FACTS.now + 99, running=False)
    viewer.press("x")
    viewer.ask(incremental=True)
    with pytest.raises(AssertionError, match="nothing to read"):
        viewer.take()


def test_names_cannot_take_the_terminal_over() -> None:
    guest = Guest(name="a\x1b[2J\x1b]0;x\x07\n", progress=0.1)
    viewer = joined(guest.screen.converse())
    viewer.ask()
    viewer.take()
    assert reads(viewer, 2, "Machine      a?[2J?]0;x??")


def typed(text: str, **changes: object) -> str:
    facts = replace(FACTS, **changes)
    return Shell(lambda: facts).typed(text)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("echo a b\r", "echo a b\r\na b\r\nvm-1# "),
        ("uptime\r", "uptime\r\nup 0:01:40\r\nvm-1# "),
        ("date\n", "date\r\n2024-01-01 00:00:00\r\nvm-1# "),
        ("hostname\r\n", "hostname\r\nvm-1\r\nvm-1# "),
        ("list\r", "list\r\nlist: simulated, not run\r\nvm-1# "),
        ("ab\x7f\x7f\x7fc", "ab\b \b\b \bc"),
        ("x\x03", "x^C\r\nvm-1# "),
        ("\r\r", "\r\nvm-1# \r\nvm-1# "),
        ("\x1b[A", "^[[A"),
        ("x" * 201, "x" * 200 + "\a"),
        ("ab\x15", "ab\r\x1b[Kvm-1# "),
        ("a\x0c", "a\x1b[2;1H\x1b[Jvm-1# a"),
    ],
)
def test_the_shell(keys: str, said: str) -> None:
    assert typed(keys) == said


def test_a_guest_that_boots_or_is_gone_hears_nothing() -> None:
    guest = Guest(progress=0.5)
    guest.line.type(b"abc")
    assert not guest.line.backlog
    guest.facts = None
    guest.line.type(b"abc")
    guest.screen.tick()
    assert not guest.line.backlog


def test_a_text_console_tells_newcomers_what_was_said_and_forgets_who_left() -> None:
    guest = Guest()
    screen = TextScreen(guest.line)
    before = len(guest.line.listeners)
    first = screen.converse()
    assert first.greet().endswith(b"vm-1# ")
    first.feed(b"x" * 100_000)
    assert len(first.update()) <= 16 * 1024 and first.update() == b""
    second = screen.converse()
    assert len(second.greet()) <= 16 * 1024
    first.close()
    second.close()
    assert len(guest.line.listeners) == before
