"""Whether a process number still stands for the process that was written down."""

import os
from pathlib import Path

#: A server writes its record a moment after it was started, by another clock.
SLACK_SECONDS = 5.0


def is_same_process(pid: int, recorded_at: float | None) -> bool:
    """Whether ``pid`` lives, and began before ``recorded_at`` (seconds since the epoch).

    A number that was given to a new process since then is another process.
    """
    if not _lives(pid):
        return False
    began = _began_at(pid)
    return began is None or recorded_at is None or began <= recorded_at + SLACK_SECONDS


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return _state(pid) != "Z"


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def _began_at(pid: int) -> float | None:
    fields = _stat(pid)
    booted_at = _booted_at()
    if not fields or booted_at is None:
        return None
    return booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the program's name; empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _booted_at() -> float | None:
    try:
        lines = Path("/proc/stat").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), None)
