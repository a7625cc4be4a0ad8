"""Clock of jobs. Changes of the machine's clock, by hand or from the network, do not affect it."""

import json
import math
import time
from functools import cache
from pathlib import Path

from orchestrator.core.outcome.resource_exhaustion import is_shortage
from orchestrator.engine.runtime import headroom
from orchestrator.security.untrusted_files import read_regular, write_private

_MOST_BYTES = 1000


def now() -> float:
    """Return the Unix time of this process's first call, plus the monotonic seconds since.

    A wall clock that jumps ahead would end jobs too early; one that jumps back would delay
    retries. Time during which the machine sleeps counts.
    """
    return _began()[0] + _elapsed()


def keep(path: Path, *, going_on: bool) -> bool:
    """Store the clock's start in a file; call this before any call of ``now``.

    ``going_on``: True if jobs are running, so that the clock continues from the earlier server's
    file, unless the machine was restarted. Return True if it was restarted.
    """
    boot = headroom.boot_id()
    kept = _read(path) if going_on and boot else None
    if kept and kept[0] == boot:
        _began()[0] = kept[1]
    try:
        write_private(path, json.dumps([boot, _began()[0]]).encode())
    except OSError as error:
        if not is_shortage(error):
            raise
    return bool(kept and kept[0] and kept[0] != boot)


def _read(path: Path) -> tuple[str, float] | None:
    try:
        boot, began = json.loads(read_regular(path, _MOST_BYTES) or b"")
        return (str(boot), float(began)) if math.isfinite(began) else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


@cache
def _began() -> list[float]:
    """Return the machine's start time by the wall clock at the first call.

    It is the only item of a list, so that ``keep`` can replace the cached value.
    """
    return [time.time() - _elapsed()]


def _elapsed() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
