"""The clock of jobs, which does not jump when a person or the network sets the machine's clock."""

import json
import math
import time
from functools import cache
from pathlib import Path

from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_list
from orchestrator.system import process_table

_MOST_BYTES = 1000


def now() -> float:
    """Return the Unix time at this process's first call, plus the seconds since that call.

    If ``persist`` continues an earlier server's clock, return the time of that clock instead.

    The seconds are those of a monotonic clock, because a jump of the machine's clock could end jobs
    too early or delay retries. Time in which the machine sleeps counts as elapsed.
    """
    return _start_time()[0] + _elapsed()


def persist(path: Path, *, jobs_continue: bool) -> bool:
    """Store this clock's state in the file ``path``, for the clock of the next server.

    Call this function before the first call of the function ``now``. ``jobs_continue``: True if
    jobs of the earlier server continue. This clock then continues the earlier server's clock,
    unless the machine was restarted in between.

    Return True if jobs continue and the machine was restarted; otherwise False.
    """
    boot = process_table.boot_id()
    stored_start = _stored_start(path) if jobs_continue and boot else None
    if stored_start and stored_start[0] == boot:
        _start_time()[0] = stored_start[1]
    try:
        replace_file(path, json.dumps([boot, _start_time()[0]]).encode())
    except OSError as error:
        if not is_shortage(error):
            raise
    return bool(stored_start and stored_start[0] and stored_start[0] != boot)


def _stored_start(path: Path) -> tuple[str, float] | None:
    try:
        boot, began = read_list(path, _MOST_BYTES) or []
        return (str(boot), float(began)) if math.isfinite(began) else None
    except (ValueError, TypeError, OverflowError):
        return None


@cache
def _start_time() -> list[float]:
    """Return the Unix time of the machine's start, computed at the first call.

    The result is a cached list of one item, so that ``persist`` can replace the item.
    """
    return [time.time() - _elapsed()]


def _elapsed() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
