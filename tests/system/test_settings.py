from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xapi.system.settings import (
    CONFIG_KEYS,
    TABLES,
    Address,
    Settings,
    UsageError,
    command_line_parser,
    from_command_line,
    parse,
)

ROOT = Path(__file__).resolve().parents[2]
HOME = {"HOME": "/home/somebody"}
same_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def configure(tmp_path: Path, text: str, *arguments: str) -> Settings:
    (tmp_path / "xapi.toml").write_bytes(text.encode())
    return parse(["--config", str(tmp_path / "xapi.toml"), *arguments], HOME, tmp_path)


def mistake(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(arguments, HOME, Path("/here"))
    return str(caught.value)


def test_defaults_are_for_development():
    assert parse([], HOME) == Settings(
        state=Path("/home/somebody/.local/share/xapi"),
        https=Address("127.0.0.1", 8443),
        http=Address("127.0.0.1", 8080),
        socket=Path("/home/somebody/.local/share/xapi/xapi.sock"),
        hypervisor="auto",
        auth="password",
        database="sqlite:////home/somebody/.local/share/xapi/xapi.db",
        log_level="info",
        log_file=None,
        inventory=None,
        sessions_per_originator=500,
        sessions_total=200,
        session_idle_hours=24.0,
        import_networks=(),
        simulator={},
        storage={},
        network={},
        config=None,
    )


def test_each_setting_is_a_key_of_the_file():
    assert {setting.name for setting in fields(Settings)} == {*CONFIG_KEYS, "config"}


def test_state_follows_the_data_home_when_that_is_absolute():
    assert parse([], HOME | {"XDG_DATA_HOME": "/data"}).state == Path("/data/xapi")
    assert parse([], HOME | {"XDG_DATA_HOME": "data"}).state == Path("/home/somebody/.local/share/xapi")


def test_without_a_home_the_state_must_be_named():
    with pytest.raises(UsageError, match="--state must say"):
        parse([], {})
    assert parse(["--state", "/s"], {}).state == Path("/s")


def test_what_is_in_the_state_directory_moves_with_it():
    found = parse(["--state", "sub"], HOME, Path("/here"))
    assert found.state == Path("/here/sub")
    assert found.socket == Path("/here/sub/xapi.sock")
    assert found.database == "sqlite:////here/sub/xapi.db"
    assert found.root_password == Path("/here/sub/root.password")
    assert found.server_certificate.parent == found.audit_log.parent == found.state


def test_command_line_overrules_file_overrules_defaults(tmp_path):
    found = configure(tmp_path, 'auth = "pam"\nhypervisor = "qemu"\nhttp = "off"', "--hypervisor", "simulator")
    assert (found.auth, found.hypervisor, found.http, found.log_level) == ("pam", "simulator", None, "info")


def test_paths_in_the_file_start_at_the_file(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "x.toml").write_text('state = "../state"\nlog_file = "/var/log/x"')
    found = parse(["--config", "etc/x.toml"], HOME, tmp_path)
    assert found.state.resolve() == tmp_path / "state"
    assert found.log_file == Path("/var/log/x")


def test_tables_become_maps_of_text(tmp_path):
    found = configure(tmp_path, '[simulator]\nhosts = 3\nfail = true\nslow = 0.5\nname = "x"')
    assert found.simulator == {"hosts": "3", "fail": "true", "slow": "0.5", "name": "x"}


@pytest.mark.parametrize("name", TABLES)
def test_tables_hold_plain_values_only(tmp_path, name):
    with pytest.raises(UsageError, match=rf"\[{name}\] in .*: a must be a text"):
        configure(tmp_path, f"[{name}]\na = [1]")
    with pytest.raises(UsageError, match=rf"\[{name}\] in .* must be a table"):
        configure(tmp_path, f"{name} = 1")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:443", Address("0.0.0.0", 443)),
        ("[::]:443", Address("::", 443)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
        (":0", Address("", 0)),
        ("host-1.example:65535", Address("host-1.example", 65535)),
    ],
)
def test_addresses(text, address):
    assert parse(["--https", text], HOME).https == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["443", "::1:443", "host:", "host:65536", "host:-1", "a b:1", "off", "host:4٤3", ""])
def test_wrong_addresses(text):
    assert re.fullmatch(r"--https must be ADDRESS:PORT.*, not '.*'\.", mistake(f"--https={text}"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--auth", "kerberos"], "--auth must be pam or password, not 'kerberos'."),
        (["--stat", "x"], "There is no option --stat; did you mean --state?"),
        (["--stats=x"], "There is no option --stats; did you mean --state?"),
        (["run"], "There is nothing to be done with 'run': xapi takes options only."),
        (["--state"], "--state: expected one argument."),
        (["--state="], "--state must be a path, not ''."),
        (["--http", "x"], "--http must be ADDRESS:PORT, such as 127.0.0.1:8080 or [::]:80, or off, not 'x'."),
        (["--http", "127.0.0.1:8443"], "--https and --http cannot both listen on 127.0.0.1:8443."),
        (["--config", "/nowhere"], "The configuration file /nowhere cannot be read: No such file or directory."),
        (
            ["--state", "~nobody-here/x"],
            "--state must be a path in a home directory that exists, not '~nobody-here/x'.",
        ),
        (["--log-level", "loud"], "--log-level must be debug, info, warning or error, not 'loud'."),
        (["--state", "/a?b"], "The state directory /a?b cannot have a question mark in its name."),
    ],
)
def test_mistakes_on_the_command_line(arguments, sentence):
    assert mistake(*arguments) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sttae = 1", "There is no key 'sttae' in FILE; did you mean state?"),
        ('log-level = "info"', "There is no key 'log-level' in FILE; did you mean log_level?"),
        ("sessions_total = 0", "sessions_total in FILE must be a whole number from 1 up, not '0'."),
        ("sessions_total = true", "sessions_total in FILE must be a whole number from 1 up, not 'true'."),
        (
            "session_idle_hours = nan",
            "session_idle_hours in FILE must be a number of hours above 0 and up to 87600, not 'nan'.",
        ),
        (
            'import_networks = "10.0.0.0/8"',
            'import_networks in FILE must be a list of networks, such as ["10.0.0.0/8", "fd00::/8"].',
        ),
        (
            'import_networks = ["10.0.0.1/8"]',
            'import_networks in FILE must be a list of networks, such as ["10.0.0.0/8", "fd00::/8"]:'
            " 10.0.0.1/8 has host bits set.",
        ),
        ("state = 5", "state in FILE must be a path, not '5'."),
        ("auth = []", "auth in FILE must be pam or password, not '[]'."),
        ("a = ", "The configuration file FILE is not valid TOML: Invalid value (at end of document)."),
    ],
)
def test_mistakes_in_the_file(tmp_path, text, sentence):
    with pytest.raises(UsageError) as caught:
        configure(tmp_path, text)
    assert str(caught.value).replace(str(tmp_path / "xapi.toml"), "FILE") == sentence


def test_unlike_any_key_lists_all(tmp_path):
    with pytest.raises(UsageError) as caught:
        configure(tmp_path, "qqqq = 1")
    assert all(key in str(caught.value) for key in CONFIG_KEYS)


def test_file_that_is_not_text(tmp_path):
    (tmp_path / "x").write_bytes(b"a = '\xff'")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        parse(["--config", str(tmp_path / "x")], HOME)


def test_a_path_too_long_for_a_unix_socket():
    assert "longer than 107 bytes" in mistake("--state", "/" + "x" * 100)
    assert parse(["--state", "/" + "x" * 100, "--socket", "/s"], HOME).socket == Path("/s")


def test_passwords_in_database_urls_are_not_shown():
    url = "postgresql+psycopg://xapi:hidden@db/xapi"
    found = parse(["--database", url], HOME)
    assert found.database == url
    assert "hidden" not in repr(found)
    assert "hidden" not in mistake("--database", "mysql://xapi:hidden@db/xapi")


def test_last_of_repeated_options_counts():
    assert parse(["--auth", "pam", "--auth", "password"], HOME).auth == "password"


def test_exit_codes_and_streams(capsys):
    with pytest.raises(SystemExit) as left:
        from_command_line(["--version"])
    assert left.value.code == 0
    assert re.fullmatch(r"xapi \d+\.\d+\.\d+\n", capsys.readouterr().out)
    with pytest.raises(SystemExit) as left:
        from_command_line(["--nonsense"])
    assert left.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"xapi: There is no option --nonsense.*\n", captured.err)
    with pytest.raises(SystemExit) as left:
        from_command_line(["--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out == command_line_parser().format_help()


def test_help_is_as_agreed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # the terminal has no say in it
    assert command_line_parser().format_help() == (ROOT / "tests" / "golden" / "help.txt").read_text()


def options() -> set[str]:
    return set(re.findall(r"--[a-z-]+", command_line_parser().format_usage())) | {"--help"}


def test_the_manual_knows_each_option_and_key_and_no_other():
    manual = (ROOT / "docs" / "running.md").read_text()
    described = set(re.findall(r"^\*\*(--[a-z-]+)", manual, re.MULTILINE))
    assert described == options()
    table = manual[manual.index("## Configuration file") : manual.index("## Files")]
    assert set(re.findall(r"^\| `\[?([a-z_]+)\]?` ", table, re.MULTILINE)) == set(CONFIG_KEYS)


def test_sample_configuration_is_for_production():
    found = parse(["--config", str(ROOT / "docs" / "xapi.toml")], HOME)
    assert (found.state, found.https, found.http) == (Path("/var/xapi/xapi"), Address("", 443), Address("", 80))
    assert found.auth == "pam"
    assert found.inventory == Path("/etc/xensource-inventory")


def test_sample_configuration_shows_each_key():
    text = (ROOT / "docs" / "xapi.toml").read_text()
    assert set(re.findall(r"^#?\[?([a-z_]+)\]?(?: =|$)", text, re.MULTILINE)) >= set(CONFIG_KEYS)


def test_systemd_unit_starts_with_options_that_exist():
    command = re.search(r"^ExecStart=(\S+)(.*)$", (ROOT / "docs" / "xapi.service").read_text(), re.MULTILINE)
    assert command is not None
    assert set(re.findall(r"--[a-z-]+", command[2])) <= options()


plain = st.text(max_size=12) | st.sampled_from([*CONFIG_KEYS, "off", "127.0.0.1:80", "pam", "/x", "--config", "--help"])


@same_directory
@given(st.lists(st.sampled_from(sorted(options() - {"--help"})) | plain, max_size=5))
def test_any_command_line_gives_settings_or_one_sentence(arguments):
    if {"-h", "--help"} & set(arguments) or any(a.startswith("-h") for a in arguments):
        return
    try:
        assert isinstance(parse(arguments, HOME, Path("/here")), Settings)
    except UsageError as problem:
        assert str(problem)[-1] in ".?"


values = st.one_of(
    st.integers(min_value=-(10**6), max_value=10**6).map(str),
    st.floats().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    plain.map(lambda text: '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'),
    st.sampled_from(["[]", "{}", "{a=1}", "1979-05-27", "[[1]]", '"""\nx"""', "9" * 5000]),
)


@same_directory
@given(st.dictionaries(st.sampled_from(CONFIG_KEYS), values, max_size=5))
def test_any_values_in_the_file_give_settings_or_one_sentence(tmp_path, table):
    text = "".join(f"{key} = {value}\n" for key, value in table.items())
    try:
        found = configure(tmp_path, text)
    except UsageError as problem:
        assert str(problem)[-1] in ".?"
    else:
        assert found.state.is_absolute()
        assert found.sessions_total > 0


@same_directory
@given(st.binary(max_size=40))
def test_any_bytes_in_the_file_give_settings_or_one_sentence(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    try:
        parse(["--config", str(tmp_path / "x")], HOME)
    except UsageError as problem:
        assert str(problem)[-1] in ".?"
