"""The hardware that the simulated machine pretends to be."""

from datetime import UTC, datetime

from xapi.hypervisor.interface import (
    CpuFacts,
    DomainConfig,
    HostFacts,
    PciDevice,
    UsbDevice,
)
from xapi.hypervisor.simulator.domains import overhead_of
from xapi.hypervisor.simulator.machine import HYPERVISOR_MEMORY, Machine
from xapi.hypervisor.simulator.settings import SimulatorConfig

_VENDOR, _MODEL_NAME, _SPEED = "GenuineIntel", "Simulated CPU @ 2.50GHz", 2500
_FLAGS = (
    "fpu de tsc msr pae mce cx8 apic sep mca cmov pat clflush acpi mmx fxsr sse sse2 ht syscall nx lm constant_tsc "
    "rep_good nopl nonstop_tsc cpuid pni pclmulqdq monitor est ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave "
    "avx f16c rdrand hypervisor lahf_lm abm 3dnowprefetch fsgsbase bmi1 avx2 bmi2 erms rtm rdseed adx xsaveopt"
)
_FEATURES_HOST = "1fcbfbff-f7fa3223-2c100800-00000121-0000000f-021cbfbb-00000000-00000100-00000000-8c000000-00000000"
_FEATURES_HVM = "1fcbfbff-f7fa3203-2c100800-00000121-00000007-021c27ab-00000000-00000100-00000000-8c000000-00000000"
_FEATURES_PV = "17c9cbf5-f6f83203-28100800-00000121-00000001-000c0329-00000000-00000100-00000000-8c000000-00000000"
_OLD_FEATURES = "-".join(_FEATURES_HOST.split("-")[:4])
CAPABILITIES = (
    "xen-3.0-x86_64",
    "hvm-3.0-x86_32",
    "hvm-3.0-x86_32p",
    "hvm-3.0-x86_64",
)


class SimulatedHost:
    """The Host protocol."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._facts = _facts(machine)

    def facts(self) -> HostFacts:
        """What the machine is."""
        return self._facts

    def memory_free(self) -> int:
        """Bytes of memory that new domains may still have, their overhead included."""
        return self._machine.free

    def memory_overhead(self, config: DomainConfig) -> int:
        """Bytes that this domain costs beyond its own memory."""
        return overhead_of(config)


def _cpu_info(config: SimulatorConfig) -> dict[str, str]:
    return {
        "cpu_count": str(config.cpus),
        "socket_count": str(config.sockets),
        "threads_per_core": str(config.threads_per_core),
        "vendor": _VENDOR,
        "speed": f"{_SPEED}.000",
        "modelname": _MODEL_NAME,
        "family": "6",
        "model": "85",
        "stepping": "7",
        "flags": _FLAGS,
        "features": _OLD_FEATURES,
        "features_pv": _FEATURES_PV,
        "features_hvm": _FEATURES_HVM,
        "features_hvm_host": _FEATURES_HOST,
        "features_pv_host": _FEATURES_PV,
    }


def _bios_strings(config: SimulatorConfig) -> dict[str, str]:
    return {
        "bios-vendor": "Simulator",
        "bios-version": "1.0",
        "system-manufacturer": "Simulator",
        "system-product-name": "Simulated machine",
        "system-version": "1.0",
        "system-serial-number": f"SIM{config.seed:08d}",
        "oem-1": "Simulator",
        "hp-rombios": "",
    }


def _facts(machine: Machine) -> HostFacts:
    config = machine.config
    cpus = tuple(
        CpuFacts(number, _VENDOR, _SPEED, _MODEL_NAME, 6, 85, "7", _FLAGS, _OLD_FEATURES)
        for number in range(config.cpus)
    )
    return HostFacts(
        cpus=cpus,
        cpu_info=_cpu_info(config),
        memory_total=config.memory,
        memory_overhead=HYPERVISOR_MEMORY,
        control_domain_memory=config.control_domain_memory,
        control_domain_vcpus=min(16, config.cpus),
        hypervisor="simulator",
        hypervisor_version="4.17.5",
        capabilities=CAPABILITIES,
        boot_time=datetime.fromtimestamp(machine.boot_time, UTC),
        bios_strings=_bios_strings(config),
        pci_devices=(
            PciDevice(
                "0000:00:02.0", "0300", "VGA compatible controller", "1234", "Simulator", "1111", "Simulated graphics"
            ),
            PciDevice("0000:00:03.0", "0200", "Ethernet controller", "1234", "Simulator", "2222", "Simulated network"),
        ),
        usb_devices=(UsbDevice("1-1", "1234", "Simulator", "3333", "Simulated memory stick", "SIMUSB1", "2.00"),),
        chipset_info={"iommu": "true"},
    )
