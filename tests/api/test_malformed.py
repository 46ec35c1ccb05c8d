"""The server against requests that nobody should send: an error or a closed connection, and it goes on serving."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.api.malformed import Attack, Attacker
from tests.fakes.served import ServerProcess

MEBIBYTE = 1 << 20
PATIENCE = 20.0  # seconds in which every attack must have had its answer


@pytest.fixture(scope="module")
def victim() -> Iterator[ServerProcess]:
    process = ServerProcess("--log-level", "error")
    yield process
    process.close()


def strike(server: ServerProcess, attack: Attack) -> bytes:
    """Send the attack, say that there is no more, and read until the server closes."""
    with socket.create_connection(server.http, PATIENCE) as connection:
        try:
            for start in range(0, len(attack.data), attack.piece):
                connection.sendall(attack.data[start : start + attack.piece])
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except (ConnectionResetError, BrokenPipeError):
            return b""
        except OSError as problem:
            if problem.errno == 107:  # the server has closed already
                return b""
            raise


def outcome(attack: Attack, answer: bytes) -> str:
    """What became of an attack; a success of something that cannot succeed fails the test."""
    if not answer:
        return "closed"
    assert answer.startswith(b"HTTP/1."), answer[:200]
    status = int(answer[9:12])
    if status != 200:
        assert 400 <= status < 600, answer[:200]
        return "refused"
    failed = b"<value>Failure</value>" in answer or b'"error":{' in answer or b'"error":[' in answer
    assert failed or attack.harmless, (attack, answer[:400])
    return "failure" if failed else "done"


def siege(server: ServerProcess, seed: int, count: int, strikers: int = 4) -> Counter[str]:
    """Several at once attack the server."""
    session = server.logged_in()
    seen: Counter[str] = Counter()
    problems: list[BaseException] = []

    def run(number: int) -> None:
        attacker = Attacker(seed * 1000 + number, session.handle)
        try:
            for _ in range(count // strikers):
                attack = attacker.next()
                seen[outcome(attack, strike(server, attack))] += 1
        except (AssertionError, OSError) as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(strikers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, str(problems[0])[:2000]
    assert len(session.xenapi.VM.get_all()) > 1
    session.xenapi.session.logout()
    server.close_clients()
    return seen


def test_a_few_hundred(victim):
    seen = siege(victim, seed=1, count=400)
    assert sum(seen.values()) == 400
    assert seen["refused"] > 50 and seen["failure"] > 50


def test_a_waiting_call_and_an_idle_connection_survive(victim):
    session = victim.logged_in()
    waiting = victim.over_http()
    waiting.login_with_password("root", victim.password)
    token = waiting.xenapi.event_from(["pool"], "", 0.0)["token"]
    heard: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: heard.append(waiting.xenapi.event_from(["pool"], token, 30.0)))
    thread.start()
    siege(victim, seed=2, count=200)
    session = victim.logged_in()
    session.xenapi.pool.set_name_label(session.xenapi.pool.get_all()[0], "still here")
    thread.join()
    assert [event["snapshot"]["name_label"] for event in heard[0]["events"]] == ["still here"]
    victim.close_clients()


def test_many_who_never_finish_keep_nobody_else_waiting(victim):
    slow = [socket.create_connection(victim.http, PATIENCE) for _ in range(300)]
    for number, connection in enumerate(slow):
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n<methodCall"[: 10 + number % 50])
    session = victim.logged_in()
    assert len(session.xenapi.VM.get_all_records()) > 1
    for connection in slow:
        connection.sendall(b"x")
    assert len(session.xenapi.VM.get_all_records()) > 1
    for connection in slow:
        connection.close()
    victim.close_clients()


@pytest.mark.slow
def test_ten_thousand_and_the_memory_stays_flat(victim):
    siege(victim, seed=3, count=1000)
    before = victim.memory()
    seen = siege(victim, seed=4, count=10_000)
    assert sum(seen.values()) == 10_000
    grown = victim.memory() - before
    assert grown < 24 * MEBIBYTE, f"{grown / MEBIBYTE:.1f} MiB more"
