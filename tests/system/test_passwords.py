from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.system.passwords import (
    NOT_AVAILABLE,
    UNKNOWN_USER,
    WRONG_PASSWORD,
    LockoutDelay,
    Pam,
    PasswordFile,
    PasswordNotChanged,
    WrongPassword,
)


@pytest.fixture
def passwords(tmp_path: Path) -> PasswordFile:
    made = PasswordFile(tmp_path / "root.password")
    made.prepare()
    return made


def refusal(authenticator: PasswordFile | Pam, user: str, password: str) -> str:
    with pytest.raises(WrongPassword) as caught:
        authenticator.authenticate(user, password)
    return caught.value.reason


def test_first_start_makes_a_password_that_only_the_owner_can_read(passwords):
    assert stat.S_IMODE(passwords.path.stat().st_mode) == 0o600
    assert len(passwords.password()) >= 20
    passwords.authenticate("root", passwords.password())


def test_second_start_keeps_the_password(passwords):
    before = passwords.path.read_bytes()
    assert not passwords.prepare()
    assert passwords.path.read_bytes() == before


def test_passwords_differ_and_are_no_options(tmp_path):
    made = set()
    for number in range(200):
        file = PasswordFile(tmp_path / str(number))
        assert file.prepare()
        made.add(file.password())
    assert len(made) == 200
    assert not any(password.startswith("-") for password in made)


def test_refusals_say_why(passwords):
    assert refusal(passwords, "root", "wrong") == WRONG_PASSWORD
    assert refusal(passwords, "root", "") == WRONG_PASSWORD
    assert refusal(passwords, "root", "\ud800") == WRONG_PASSWORD
    assert refusal(passwords, "nobody-here", passwords.password()) == UNKNOWN_USER
    passwords.path.unlink()
    assert refusal(passwords, "root", "x") == NOT_AVAILABLE


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file_lets_in_nobody(passwords, content):
    passwords.path.write_bytes(content)
    assert refusal(passwords, "root", "") == WRONG_PASSWORD


def test_a_file_written_by_hand_counts_at_once_without_its_line_end(passwords):
    passwords.path.write_bytes("påss wörd\r\n".encode())
    passwords.authenticate("root", "påss wörd")


def test_change_replaces_the_password_and_keeps_the_mode(passwords):
    old = passwords.password()
    passwords.change("root", "new one")
    passwords.authenticate("root", "new one")
    assert refusal(passwords, "root", old) == WRONG_PASSWORD
    assert stat.S_IMODE(passwords.path.stat().st_mode) == 0o600
    assert os.listdir(passwords.path.parent) == ["root.password"]


@pytest.mark.parametrize(("user", "new"), [("root", ""), ("root", "a\nb"), ("root", "\ud800"), ("eve", "x")])
def test_changes_that_could_not_be_read_back_are_refused(passwords, user, new):
    before = passwords.path.read_bytes()
    with pytest.raises(PasswordNotChanged):
        passwords.change(user, new)
    assert passwords.path.read_bytes() == before


class Conversation:
    """Stands for libpam: knows root, lets one user wait, and refuses the way a Debian stack does."""

    slow_may_end = Event()
    slow_has_begun = Event()

    def __init__(self) -> None:
        self.code = 0
        self.reason: str | bytes | None = None

    def authenticate(self, username: str, password: str, service: str, *, resetcreds: bool) -> bool:
        assert service == "xapi"
        assert not resetcreds
        if "\0" in username:
            raise ValueError("NUL")
        if username == "slow":
            self.slow_has_begun.set()
            assert self.slow_may_end.wait(30)
        if username == "expired":
            self.code, self.reason = pam.PAM_ACCT_EXPIRED, "User account has expired"
        elif password != "right":
            self.code, self.reason = pam.PAM_AUTH_ERR, "Authentication failure"
        return self.code == 0


def test_pam_gives_its_own_reasons():
    asked = Pam(start=Conversation)
    asked.authenticate("root", "right")
    assert refusal(asked, "root", "wrong") == WRONG_PASSWORD
    assert refusal(asked, "expired", "right") == "User account has expired"
    assert refusal(asked, "ro\0ot", "right") == WRONG_PASSWORD


def test_pam_names_an_unknown_user_even_where_the_stack_does_not():
    assert refusal(Pam(start=Conversation), "nobody-here-at-all", "wrong") == UNKNOWN_USER


def test_a_slow_pam_call_delays_no_other():
    asked = Pam(start=Conversation)
    Conversation.slow_has_begun.clear()
    Conversation.slow_may_end.clear()
    waiting = Thread(target=asked.authenticate, args=("slow", "right"))
    waiting.start()
    assert Conversation.slow_has_begun.wait(30)
    try:
        asked.authenticate("root", "right")
        assert waiting.is_alive()
        assert refusal(Pam(limit=1, start=Conversation), "root", "wrong") == WRONG_PASSWORD
    finally:
        Conversation.slow_may_end.set()
        waiting.join()


def test_pam_without_room_gives_up():
    asked = Pam(limit=1, patience=0, start=Conversation)
    Conversation.slow_has_begun.clear()
    Conversation.slow_may_end.clear()
    waiting = Thread(target=asked.authenticate, args=("slow", "right"))
    waiting.start()
    assert Conversation.slow_has_begun.wait(30)
    try:
        assert refusal(asked, "root", "right") == NOT_AVAILABLE
    finally:
        Conversation.slow_may_end.set()
        waiting.join()
    asked.authenticate("root", "right")


def test_pam_does_not_change_passwords():
    with pytest.raises(PasswordNotChanged, match="passwd"):
        Pam(start=Conversation).change("root", "new")


@pytest.mark.slow
def test_the_real_pam_refuses_an_unknown_user():
    assert refusal(Pam(), "nobody-here-at-all", "x") == UNKNOWN_USER


class HandClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def fail(brake: LockoutDelay, clock: HandClock, user: str, address: str, times: int) -> float:
    """Guess so many times, as fast as allowed; the seconds that this takes."""
    start = clock.seconds
    for _ in range(times):
        clock.seconds += brake.delay(user, address)
        assert brake.delay(user, address) == 0.0
        brake.note_failure(user, address)
    return clock.seconds - start


def test_first_mistakes_cost_nothing_then_the_wait_doubles_up_to_a_limit(clock):
    brake = LockoutDelay(clock, free=3, first=0.5, longest=30)
    waits = []
    for _ in range(12):
        waits.append(brake.delay("root", "10.0.0.1"))
        clock.seconds += waits[-1]
        brake.note_failure("root", "10.0.0.1")
    assert waits == [0, 0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_asking_does_not_prolong_the_wait(clock):
    brake = LockoutDelay(clock)
    for _ in range(6):
        brake.note_failure("root", "10.0.0.1")
    wait = brake.delay("root", "10.0.0.1")
    assert wait == brake.delay("root", "10.0.0.1") > 0
    clock.seconds += wait
    assert brake.delay("root", "10.0.0.1") == 0


def test_side_by_side_only_one_attempt_is_let_through(clock):
    brake = LockoutDelay(clock)
    fail(brake, clock, "root", "10.0.0.1", 6)
    clock.seconds += 60
    assert [brake.delay("root", "10.0.0.1") > 0 for _ in range(5)] == [False, True, True, True, True]


def test_guessing_one_user_from_many_addresses_is_slow(clock):
    brake = LockoutDelay(clock)
    for number in range(20):
        clock.seconds += brake.delay("root", f"10.0.0.{number}")
        brake.note_failure("root", f"10.0.0.{number}")
    assert clock.seconds - 1000 > 200


def test_guessing_many_users_from_one_address_is_slow(clock):
    brake = LockoutDelay(clock)
    for number in range(20):
        clock.seconds += brake.delay(f"user{number}", "10.0.0.1")
        brake.note_failure(f"user{number}", "10.0.0.1")
    assert clock.seconds - 1000 > 200


def test_an_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4(clock):
    brake = LockoutDelay(clock)
    for number in range(6):
        brake.note_failure(f"user{number}", f"2001:db8::{number:x}")
        brake.note_failure(f"user{number}", f"::ffff:10.0.0.{1}")
    assert brake.delay("x", "2001:db8::ffff") > 0
    assert brake.delay("x", "2001:db8:0:1::1") == 0
    assert brake.delay("x", "10.0.0.1") > 0
    assert brake.delay("x", "10.0.0.2") == 0


def test_a_success_ends_the_wait_of_who_only_mistyped(clock):
    brake = LockoutDelay(clock)
    fail(brake, clock, "root", "10.0.0.1", 6)
    clock.seconds += brake.delay("root", "10.0.0.1")
    brake.note_success("root", "10.0.0.1")
    assert fail(brake, clock, "root", "10.0.0.1", 3) == 0


def test_a_stranger_who_guesses_does_not_lock_out_a_known_address(clock):
    brake = LockoutDelay(clock)
    brake.note_success("root", "10.0.0.1")
    fail(brake, clock, "root", "192.0.2.1", 10)
    assert brake.delay("root", "10.0.0.1") == 0
    assert brake.delay("root", "10.0.0.2") > 0


def test_the_administrators_success_does_not_help_the_guesser(clock):
    brake = LockoutDelay(clock)
    fail(brake, clock, "root", "192.0.2.1", 10)
    brake.note_success("root", "10.0.0.1")
    assert brake.delay("root", "192.0.2.1") > 0
    assert brake.delay("root", "192.0.2.2") > 0


def test_an_account_of_ones_own_does_not_help_to_guess_anothers(clock):
    brake = LockoutDelay(clock)
    fail(brake, clock, "root", "192.0.2.1", 10)
    brake.note_failure("eve", "192.0.2.1")
    brake.note_success("eve", "192.0.2.1")
    assert brake.delay("root", "192.0.2.1") > 0


def test_failures_are_forgotten_after_a_while(clock):
    brake = LockoutDelay(clock, forget_after=900)
    fail(brake, clock, "root", "10.0.0.1", 10)
    clock.seconds += 901
    assert fail(brake, clock, "root", "10.0.0.1", 3) == 0


def test_tables_are_bounded(clock):
    brake = LockoutDelay(clock, capacity=50)
    for number in range(1000):
        brake.note_failure(f"user{number}" * 1000, f"address{number}")
        brake.note_success(f"user{number}" * 1000, f"other{number}")
    assert len(brake) <= 100


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["delay", "fail", "succeed"]),
            st.sampled_from(["root", "eve"]),
            st.sampled_from(["10.0.0.1", "fe80::1%eth0", "", "not an address"]),
            st.floats(0, 1000),
        ),
        max_size=60,
    )
)
def test_a_wait_is_never_long_and_always_ends(steps):
    clock = HandClock()
    brake = LockoutDelay(clock, longest=30)
    for step, user, address, seconds in steps:
        clock.seconds += seconds
        if step == "delay":
            wait = brake.delay(user, address)
            assert 0 <= wait <= 30 + 1e-6
            clock.seconds += wait + 1e-6
            if wait:
                assert brake.delay(user, address) == 0
        elif step == "fail":
            brake.note_failure(user, address)
        else:
            brake.note_success(user, address)
