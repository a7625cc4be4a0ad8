"""The time that jobs go by: setting the clock, by hand or from the network, does not change it."""

import time
from functools import cache


def now() -> float:
    """Seconds since the epoch as they were told when this process first asked, going on evenly.

    Else a clock that jumps ahead would end jobs that have time left, and one that jumps back would
    keep a retry waiting. Sleep of the machine counts.
    """
    return _began() + _elapsed()


@cache
def _began() -> float:
    return time.time() - _elapsed()


def _elapsed() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
