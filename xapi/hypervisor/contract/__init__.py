"""What every driver must satisfy, as plain checks: a driver's tests give each of them a bench with the driver on it.

A check fails with an AssertionError. It needs nothing but the interface, so that the same checks run on the simulator
always, and on real drivers wherever they can run. ``CHECKS`` lists them with the features that they need.
"""

from xapi.hypervisor.contract import devices, domains, images, surroundings
from xapi.hypervisor.contract.bench import CHECKS, Bench, ContractCheck, running

__all__ = ["CHECKS", "Bench", "ContractCheck", "devices", "domains", "images", "running", "surroundings"]
