from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.system.cpu_features import BITS, feature_string
from xapi.system.processors import (
    Memory,
    bios_strings,
    boot_time,
    cpu_info,
    has_iommu,
    kernel,
    memory,
    processors,
)

CPU = """\
processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz
stepping\t: 4
cpu MHz\t\t: 1799.998
physical id\t: {socket}
core id\t\t: {core}
flags\t\t: fpu vme sse sse2 ht syscall nx lm pni ssse3 avx2 made_up
power management:

"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Two sockets of two cores of two threads, the way Linux numbers them."""
    files = {
        "proc/cpuinfo": "".join(CPU.format(number=n, socket=n // 2 % 2, core=n % 2) for n in range(8)),
        "proc/meminfo": "MemTotal:  1000 kB\nMemFree:   200 kB\nMemAvailable:    600 kB\n",
        "proc/stat": "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n",
        "etc/os-release": 'NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/class/dmi/id/bios_vendor": "Dell Inc.\n",
        "sys/class/dmi/id/product_name": "PowerEdge R640\n",
        "sys/class/dmi/id/chassis_asset_tag": " \n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3700000\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_processors(machine):
    found = processors(machine)
    assert [each.number for each in found] == list(range(8))
    first = found[0]
    assert (first.vendor, first.family, first.model, first.stepping) == ("GenuineIntel", 6, 85, "4")
    assert first.modelname == "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"
    assert (first.speed, found[1].speed) == (3700, 1799)


def test_cpu_info(machine):
    found = cpu_info(processors(machine))
    assert (found["cpu_count"], found["socket_count"], found["threads_per_core"]) == ("8", "2", "2")
    assert found["vendor"] == "GenuineIntel"
    assert found["features"] == found["features_hvm"] == feature_string(found["flags"])


def test_memory(machine):
    assert memory(machine) == Memory(total=1024000, free=204800, available=614400)


def test_boot_time_and_kernel(machine):
    assert boot_time(machine) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert kernel(machine).distribution == "Debian GNU/Linux 12 (bookworm)"
    assert kernel(machine).release


def test_firmware_without_what_is_blank(machine):
    assert bios_strings(machine) == {"bios-vendor": "Dell Inc.", "system-product-name": "PowerEdge R640"}


def test_iommu(machine):
    assert not has_iommu(machine)
    (machine / "sys/class/iommu/dmar0").mkdir(parents=True)
    assert has_iommu(machine)


def test_a_machine_that_tells_nothing(tmp_path):
    assert processors(tmp_path) == ()
    assert cpu_info(()) == {}
    assert memory(tmp_path) == Memory(0, 0, 0)
    assert boot_time(tmp_path) is None
    assert bios_strings(tmp_path) == {}
    assert kernel(tmp_path).distribution == ""


def test_this_machine():
    found = processors()
    assert found
    assert int(cpu_info(found)["socket_count"]) >= 1
    assert memory().total > memory().free > 0
    assert boot_time() is not None


@given(st.binary(max_size=300))
def test_any_cpuinfo_is_read_without_a_crash(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("machine")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_bytes(b"processor : 0\n" + content)
    (root / "proc/meminfo").write_bytes(content)
    cpu_info(processors(root))
    memory(root)


def test_feature_words():
    # fpu is bit 0 of 1.edx, sse3 (pni) bit 0 of 1.ecx, nx bit 20 of 80000001.edx, avx2 bit 5 of 7.ebx
    words = feature_string("fpu pni nx avx2 unheard_of").split("-")
    assert words[:3] == ["00000001", "00000001", "00100000"]
    assert words[5] == "00000020"
    assert set(words[6:]) == {"00000000"}
    assert feature_string("fp asimd") == ""


def test_amds_repeated_bits():
    assert feature_string("fpu mmx mmxext").split("-")[2] == "00c00001"  # mmxext is AMD's own
    assert feature_string("fpu mmx nx lm").split("-")[2] == "20100000"  # Intel has these


def test_feature_bits_as_in_the_manuals():
    expected = {"hypervisor": (1, 31), "svm": (3, 2), "vmx": (1, 5), "aes": (1, 25), "xsaves": (4, 3), "smap": (5, 20)}
    expected |= {"umip": (6, 2), "nonstop_tsc": (7, 8), "clzero": (8, 0), "serialize": (9, 14), "avx512vl": (5, 31)}
    assert {name: BITS[name] for name in expected} == expected
    assert len(set(BITS.values())) == len(BITS)
