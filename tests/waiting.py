"""To wait for what another process, thread or page does."""

import time
from collections.abc import Callable


def wait_until(happens: Callable, seconds: float = 60):
    """What it gives once it gives something; fails when that does not come."""
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found
