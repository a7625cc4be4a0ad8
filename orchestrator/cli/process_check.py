"""Checks whether a process id still belongs to the recorded process."""

import os

from orchestrator.launchers.process import proc

#: Seconds by which a server's record may differ from its process's start time, which another clock
#: measures.
SLACK_SECONDS = 5.0


def is_same_process(pid: int, recorded_at: float | None) -> bool:
    """True if the process ``pid`` is alive, and began before ``recorded_at`` (seconds since the
    epoch).

    A process that began later is another process, to which the system gave the same id.
    """
    if not _exists(pid):
        return False
    process = proc.look_up(pid)
    if process is None:  # a system without /proc
        return True
    began = _began_at(process)
    is_later = began is not None and recorded_at is not None and began > recorded_at + SLACK_SECONDS
    return process.alive and not is_later


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _began_at(process: proc.Process) -> float | None:
    for line in proc.read("/proc/stat").splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1]) + process.ticks / os.sysconf("SC_CLK_TCK")
    return None
