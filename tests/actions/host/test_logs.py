import logging

from tests.actions.refusal import refused
from xapi.actions.host.logs import RemoteLog


class Kept(logging.Handler):
    def __init__(self, address):
        super().__init__()
        self.address = address
        self.lines = []
        self.closed = False

    def emit(self, record):
        self.lines.append(record.getMessage())

    def close(self):
        self.closed = True
        super().close()


def test_the_log_goes_where_it_is_pointed(client, toolstack, host):
    made = []

    def connect(address):
        if address == "nowhere":
            raise OSError(-2, "Name or service not known")
        made.append(Kept(address))
        return made[-1]

    logger = logging.Logger("test")
    toolstack.parts[RemoteLog] = RemoteLog(logger, connect)
    client.host.set_logging(host, {"syslog_destination": "logs.example"})
    client.host.syslog_reconfigure(host)
    client.host.syslog_reconfigure(host)
    logger.warning("one")
    client.host.set_logging(host, {"syslog_destination": "nowhere"})
    assert refused(client.host.syslog_reconfigure, host)[:2] == ("INVALID_VALUE", "syslog_destination")
    logger.warning("two")
    client.host.set_logging(host, {})
    client.host.syslog_reconfigure(host)
    logger.warning("three")
    (handler,) = made
    assert (handler.address, handler.lines, handler.closed) == ("logs.example", ["one", "two"], True)
