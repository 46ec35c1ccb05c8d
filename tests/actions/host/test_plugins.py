import json

import pytest

from tests.actions.refusal import refused
from xapi.actions.host.files import HostFiles

ECHO = """#!/usr/bin/env python3
import sys, xmlrpc.client
document = sys.argv[1] if sys.argv[1] != "--xmlrpc" else sys.stdin.read()
params, method = xmlrpc.client.loads(document)
RESULT
print(xmlrpc.client.dumps((answer,), "", True))
"""


@pytest.fixture
def install(toolstack, host, tmp_path):
    plugins, extensions = tmp_path / "plugins", tmp_path / "extensions"
    for directory in (plugins, extensions):
        directory.mkdir()
    toolstack.parts[HostFiles] = HostFiles(tmp_path, tmp_path, plugins, extensions, tmp_path)

    def write(name, result, *, kind=plugins, mode=0o755):
        path = (tmp_path / kind) / name
        path.write_text(ECHO.replace("RESULT", result))
        path.chmod(mode)

    return write


SUCCESS = 'answer = {"Status": "Success", "Value": method + " " + params[0] + " " + str(sorted(params[1].items()))}'


def test_a_plugin_gets_the_function_the_session_and_the_arguments(client, host, install):
    install("greet", SUCCESS)
    answer = client.host.call_plugin(host, "greet", "hello", {"a": "<&>", "b": "ü"})
    assert answer == f"hello {client.session} [('a', '<&>'), ('b', 'ü')]"


def test_the_errors_of_a_plugin_are_the_calls_errors(client, host, install):
    install("angry", 'answer = {"Status": "Failure", "ErrorDescription": ["VM_BAD_POWER_STATE", "x", "y", "z"]}')
    assert refused(client.host.call_plugin, host, "angry", "f", {}) == ("VM_BAD_POWER_STATE", "x", "y", "z")


@pytest.mark.parametrize("name", ["absent", "../greet", "/bin/true", "", ".", "greet\n"])
def test_a_plugin_that_is_not_there(client, host, install, name):
    install("greet", SUCCESS)
    assert refused(client.host.call_plugin, host, name, "f", {}) == ("XENAPI_MISSING_PLUGIN", name)


def test_a_file_that_may_not_be_run_is_no_plugin(client, host, install):
    install("greet", SUCCESS, mode=0o644)
    assert refused(client.host.call_plugin, host, "greet", "f", {}) == ("XENAPI_MISSING_PLUGIN", "greet")


def test_a_plugin_that_fails(client, host, install):
    install("crash", 'print("partly"); sys.exit("no way")')
    failure = refused(client.host.call_plugin, host, "crash", "f", {})
    assert failure == ("XENAPI_PLUGIN_FAILURE", "non-zero exit", "partly\n", "no way\n")


@pytest.mark.parametrize("result", ["print('gibberish'); sys.exit()", 'answer = {"Status": "Success", "Value": [1]}'])
def test_a_plugin_whose_answer_makes_no_sense(client, host, install, result):
    install("odd", result)
    assert refused(client.host.call_plugin, host, "odd", "f", {})[:2] == ("XENAPI_PLUGIN_FAILURE", "unreadable answer")


def test_arguments_that_the_kernel_does_not_take(client, host, install):
    install("greet", SUCCESS)
    failure = refused(client.host.call_plugin, host, "greet", "f", {"long": "x" * 300_000})
    assert failure[:2] == ("XENAPI_PLUGIN_FAILURE", "could not be started")


def call_of(name, *params):
    return json.dumps({"jsonrpc": "2.0", "method": name, "params": params, "id": 1})


def test_an_extension_is_called_by_its_name(client, host, install):
    assert client.host.has_extension(host, "Tool.add") is False
    install("Tool.add", 'answer = {"Status": "Success", "Value": str(sum(map(int, params)))}', kind="extensions")
    assert client.host.has_extension(host, "Tool.add") is True
    assert client.pool.has_extension(client.pool.get_all()[0], "Tool.add") is True
    assert client.host.call_extension(host, call_of("Tool.add", "2", "40")) == "42"


def test_a_result_that_is_no_text_is_json(client, host, install):
    install("Tool.list", 'answer = {"Status": "Success", "Value": ["a", {"b": "c"}]}', kind="extensions")
    assert json.loads(client.host.call_extension(host, call_of("Tool.list"))) == ["a", {"b": "c"}]


def test_extensions_that_are_not_there_and_calls_that_are_none(client, host, install):
    assert refused(client.host.call_extension, host, call_of("Nope.f")) == ("MESSAGE_METHOD_UNKNOWN", "Nope.f")
    for text in ("", "[]", '{"method": 5}'):
        assert refused(client.host.call_extension, host, text)[0] == "INVALID_VALUE"
    install("Tool.odd", "print('gibberish'); sys.exit()", kind="extensions")
    assert refused(client.host.call_extension, host, call_of("Tool.odd"))[0] == "EXTENSION_PROTOCOL_FAILURE"
