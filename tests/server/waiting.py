"""Waiting for what must come true."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Poll until it holds. The limit only ends a test that has failed already."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
