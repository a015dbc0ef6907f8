"""What others had of this machine's cores, a virtual machine's host included. Only Linux tells."""

import os
import time
from pathlib import Path


def others_s(proc: Path = Path("/proc")) -> float | None:
    """Seconds of cores since the machine started that went to other processes. None: not known."""
    try:
        words = (proc / "stat").read_text().split()
    except OSError:
        return None
    user, nice, system, _, _, irq, soft, stolen = map(int, words[1:9])
    ticks = user + nice + system + irq + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()
