"""What a driver's tests lay ready for a check, how a check is entered, and what several checks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from xapi.hypervisor.interface import (
    DomainConfig,
    DomainState,
    Feature,
    Features,
    FileBackend,
    HypervisorDriver,
    HypervisorError,
    ShutdownReason,
)

SECONDS = 120.0  # how long a guest may take; no check waits for longer than it must


class Bench(Protocol):
    """What a driver's tests lay ready for one check."""

    @property
    def driver(self) -> HypervisorDriver:
        """A driver without domains."""

    @property
    def directory(self) -> Path:
        """An empty directory for images."""

    def config(self, number: int) -> DomainConfig:
        """A configuration that this driver can build and whose guest boots and obeys; another for each number.

        It has one disk (number 0), one card (device 0), at least two virtual CPUs of which one is online, and memory
        that may shrink to half.
        """

    def spare_backend(self, number: int = 0) -> FileBackend:
        """A medium for drives that are plugged, not in use elsewhere; another for each number, all of one content."""

    def settle(self, condition: Callable[[], bool]) -> None:
        """Let time pass until this is true; fails when it does not become true."""


Check = Callable[[Bench], None]
Refusal = TypeVar("Refusal", bound=HypervisorError)


@dataclass(frozen=True, slots=True)
class ContractCheck:
    """One check and the features without which it makes no sense."""

    name: str
    perform: Check
    needs: Features


CHECKS: list[ContractCheck] = []


def contract_check(*needs: Feature) -> Callable[[Check], Check]:
    """Enter a check into ``CHECKS``."""

    def enter(perform: Check) -> Check:
        CHECKS.append(ContractCheck(perform.__name__, perform, frozenset(needs)))
        return perform

    return enter


def refusal(error: type[Refusal], act: Callable[[], object]) -> Refusal:
    """The error that the act raises, which must be of this type."""
    try:
        act()
    except error as raised:
        return raised
    raise AssertionError(f"nothing was refused; {error.__name__} was expected")


def running(bench: Bench, number: int) -> DomainState:
    """A domain whose guest has booted."""
    config = bench.config(number)
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(config.uuid)
    bench.settle(lambda: bench.driver.domains.get(config.uuid).agent is not None)
    return bench.driver.domains.get(config.uuid)


def stopped(bench: Bench, uuid: str, reason: ShutdownReason) -> ShutdownReason:
    """Ask and wait; answers why the domain stopped."""
    bench.driver.domains.request_shutdown(uuid, reason)
    return bench.driver.domains.await_shutdown(uuid, SECONDS)
