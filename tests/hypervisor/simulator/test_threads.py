import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.hypervisor.bench import config_of
from xapi.hypervisor.interface import DomainEvent, GuestAgentChanged, ShutdownReason
from xapi.hypervisor.simulator.driver import Simulator
from xapi.hypervisor.simulator.settings import SimulatorConfig


def test_time_passes_by_itself_on_a_thread(tmp_path: Path) -> None:
    driver = Simulator(tmp_path, SimulatorConfig(boot_seconds=0.02, shutdown_seconds=0.02))
    booted = threading.Event()

    def listen(event: DomainEvent) -> None:
        if isinstance(event, GuestAgentChanged):
            booted.set()

    driver.watching.subscribe(listen)
    config = config_of(1)
    driver.domains.create(config)
    driver.domains.unpause(config.uuid)
    assert booted.wait(30)
    driver.domains.request_shutdown(config.uuid, ShutdownReason.POWEROFF)
    assert driver.domains.await_shutdown(config.uuid, 30) is ShutdownReason.POWEROFF
    driver.close()


def test_many_clients_at_once_keep_the_books(tmp_path: Path) -> None:
    driver = Simulator(tmp_path, SimulatorConfig())
    sequences: list[int] = []
    driver.watching.subscribe(lambda event: sequences.append(event.sequence))
    free = driver.host.memory_free()

    def live(worker: int) -> None:
        for number in range(20):
            config = config_of(1000 * worker + number)
            driver.domains.create(config)
            driver.domains.unpause(config.uuid)
            driver.domains.request_shutdown(config.uuid, ShutdownReason.POWEROFF)
            driver.domains.await_shutdown(config.uuid, 30)
            driver.domains.destroy(config.uuid)

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(live, range(1, 9)))
    assert driver.domains.list() == ()
    assert driver.host.memory_free() == free
    driver.close()
    assert sequences == list(range(1, driver.watching.sequence() + 1))


def test_without_delays_there_is_no_thread(tmp_path: Path) -> None:
    driver = Simulator(tmp_path, SimulatorConfig())
    for number in range(1, 200):
        driver.domains.create(config_of(number))
        driver.domains.unpause(config_of(number).uuid)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("simulator")]
    driver.close()
