"""Freed memory stays with the process that will need it again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from pvc.memory import keep_freed_memory
{call}
torch.set_num_threads(1)
def layer():
    x = torch.ones(8 * 2**20)  # 32 MB
    return x + 1
for _ in range(4):
    layer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):  # now and then a piece does not fit, with luck of where things lie
    layer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc's malloc")
def test_memory_of_the_last_frame_serves_the_next():
    faults = [
        int(subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, check=True).stdout)
        for call in ("", "keep_freed_memory()")
    ]
    assert faults[1] < faults[0] / 4, faults
