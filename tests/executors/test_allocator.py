"""Memory that a step gives back serves the next one without asking the system again."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from headway.executors.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(20):  # the first ones make holes that are large enough
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25 << 20)  # 100 MiB, given back at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kind: str) -> int:
    """Of pages, at the twentieth time that the same memory is wanted."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True, timeout=120
    )
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step():
    assert faults("kept") < 100
    assert faults("given back") > 10 * max(1, faults("kept"))
