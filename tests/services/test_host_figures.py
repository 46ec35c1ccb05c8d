from __future__ import annotations

from math import isnan
from pathlib import Path

import pytest

from xapi.services import host_figures


def test_this_process_and_its_machine_have_figures() -> None:
    assert host_figures.load_average() >= 0
    assert 1024 < host_figures.resident_kib() < 1 << 30
    assert host_figures.open_files() >= 3
    assert 0 < host_figures.memory_usage() < 2
    assert 0 < host_figures.root_usage() <= 1


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host_figures, "PROC", tmp_path)
    return tmp_path


def test_interfaces_are_read_as_the_kernel_writes_them(proc: Path) -> None:
    (proc / "net").mkdir()
    (proc / "net" / "dev").write_text(
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n"
        "    lo:     100       1    5    0    0     0          0         0 200 2 3 0\n"
        "xenbr0:9007199254740993 1  0    0    0     0          0         0 7 2 0 0\n"
    )
    assert host_figures.interface_traffic() == {"lo": (100, 200, 5, 3), "xenbr0": (9007199254740993, 7, 0, 0)}


def test_used_memory_counts_swap_and_not_caches(proc: Path) -> None:
    (proc / "meminfo").write_text(
        "MemTotal:  1000 kB\nMemFree:  200 kB\nBuffers: 50 kB\nCached:  150 kB\n"
        "SwapTotal: 500 kB\nSwapFree: 100 kB\nHugePages_Total: 0\n"
    )
    assert host_figures.memory_usage() == pytest.approx(1.0)


def test_logs_without_a_file_system_of_their_own_have_no_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_figures, "ROOT", tmp_path)
    monkeypatch.setattr(host_figures, "LOGS", tmp_path)
    assert isnan(host_figures.log_usage())
    monkeypatch.setattr(host_figures, "LOGS", tmp_path / "absent")
    assert isnan(host_figures.log_usage())
