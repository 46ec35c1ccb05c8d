from datetime import timedelta

import pytest

from tests.actions.refusal import refused
from xapi.actions.host.machine import Machine, Setting
from xapi.actions.host.operating_system import turn_off_expired_ssh
from xapi.datamodel.model import EPOCH


class Recorder:
    def __init__(self):
        self.told = []

    def configure(self, setting, value):
        self.told.append((setting, value))


@pytest.fixture
def machine(toolstack, host):
    recorder = toolstack.parts[Machine] = Recorder()
    return recorder


def test_custom_ntp_needs_servers(client, host, machine):
    assert refused(client.host.set_ntp_mode, host, "Custom")[0] == "INVALID_NTP_CONFIG"
    client.host.set_ntp_custom_servers(host, ["a.example", "10.0.0.1"])
    assert machine.told == []
    client.host.set_ntp_mode(host, "Custom")
    client.host.set_ntp_custom_servers(host, ["b.example"])
    assert refused(client.host.set_ntp_custom_servers, host, [])[0] == "INVALID_NTP_CONFIG"
    client.host.set_ntp_mode(host, "DHCP")
    assert [value for _, value in machine.told] == ["a.example 10.0.0.1", "b.example", "DHCP"]
    assert client.host.get_ntp_custom_servers(host) == ["b.example"]
    assert refused(client.host.set_ntp_custom_servers, host, ["no such;name"])[0] == "INVALID_VALUE"


def test_ssh_goes_off_when_its_time_is_over(client, clock, toolstack, host, machine):
    client.host.set_ssh_enabled_timeout(host, 600)
    client.host.enable_ssh(host)
    assert client.host.get_ssh_expiry(host) == clock.now() + timedelta(seconds=600)
    clock.advance(599)
    turn_off_expired_ssh(toolstack)
    assert client.host.get_ssh_enabled(host) is True
    clock.advance(1)
    turn_off_expired_ssh(toolstack)
    assert client.host.get_ssh_enabled(host) is False
    assert machine.told[-1] == (Setting.SSH, "off")


def test_ssh_without_a_limit_stays_on(client, clock, toolstack, host, machine):
    client.host.set_ssh_enabled_timeout(host, 60)
    client.host.set_ssh_enabled_timeout(host, 0)
    client.host.enable_ssh(host)
    assert client.host.get_ssh_expiry(host) == EPOCH
    clock.advance(10**6)
    turn_off_expired_ssh(toolstack)
    assert client.host.get_ssh_enabled(host) is True
    client.host.disable_ssh(host)
    assert client.host.get_ssh_enabled(host) is False


@pytest.mark.parametrize("seconds", ["-1", "172801"])
def test_ssh_is_not_left_on_for_longer_than_two_days(client, host, seconds):
    wanted = ("INVALID_VALUE", "ssh_enabled_timeout", seconds)
    assert refused(client.host.set_ssh_enabled_timeout, host, seconds) == wanted


def test_console_timeout_and_cpu_sleep(client, host, machine):
    client.host.set_console_idle_timeout(host, "300")
    client.host.set_max_cstate(host, "3,1")
    client.host.set_max_cstate(host, "")
    assert machine.told == [
        (Setting.CONSOLE_IDLE_TIMEOUT, "300"),
        (Setting.CPU_SLEEP, "3,1"),
        (Setting.CPU_SLEEP, ""),
    ]
    assert refused(client.host.set_console_idle_timeout, host, "-1") == ("INVALID_VALUE", "console_timeout", "-1")
    assert refused(client.host.set_max_cstate, host, "deep") == ("INVALID_VALUE", "max_cstate", "deep")


def test_what_the_pool_asks_of_every_host(client, toolstack, host, machine):
    pool = client.pool.get_all()[0]
    client.pool.set_ssh_auto_mode(pool, True)
    client.pool.set_console_idle_timeout(pool, "60")
    client.pool.set_ssh_enabled_timeout(pool, "60")
    client.pool.disable_ssh(pool)
    assert client.host.get_ssh_auto_mode(host) is True
    assert client.host.get_console_idle_timeout(host) == "60"
    assert client.host.get_ssh_enabled(host) is False
    toolstack.parts.pop(Machine)
    assert refused(client.pool.enable_ssh, pool) == ("ENABLE_SSH_PARTIALLY_FAILED", host)
