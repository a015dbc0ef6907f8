"""What the C library does with memory that a step gives back: keep it for the next one.

By default glibc hands large pieces back to the system at once, and a step of 2,048 prompt tokens then asks
for them anew, page by page: 30,000 to 100,000 page faults, some 5 % of its time. The price is that the
process keeps what its largest step needed.
"""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """For the whole process. Where the C library is not glibc nothing changes but the time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(MMAP_THRESHOLD, KEPT_BYTES)
