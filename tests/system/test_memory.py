from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from xapi.system.memory import LARGE

GLIBC = hasattr(ctypes.CDLL(None), "mallinfo2")
COUNT = """
import ctypes, sys
from xapi.system.memory import LARGE, give_back_large_buffers

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
if sys.argv[1] == "called":
    give_back_large_buffers()
for _ in range(3):
    bytearray(16 * LARGE)  # from whose end the library learns
before = mallinfo().hblks
kept = [bytearray(LARGE + 4096) for _ in range(4)]
print(mallinfo().hblks - before)
"""


@pytest.mark.skipif(not GLIBC, reason="this C library is not glibc")
@pytest.mark.parametrize(("how", "own"), [("called", 4), ("not called", 0)])
def test_large_buffers_are_the_systems_own_whatever_came_before(how, own):
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True)
    assert int(done.stdout) == own
    assert LARGE >= 128 << 10
