"""Signals to processes, and attributes of this process: its title, its memory, its orphans."""

import os
import signal
from contextlib import suppress

from orchestrator.system import process_table

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
#: Positions of fields in /proc/self/stat, counted from the field "state".
_ARG_START, _ARG_END = 45, 46


def send_signal(process: process_table.Process, number: int) -> None:
    """Send a signal to ``process``, but never to a later process with the same PID.

    Does nothing if the process has exited or belongs to another user.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if process_table.start_ticks(process.pid) == process.ticks:
            signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(handle)


def signal_group(leader: int, number: int) -> None:
    """Signal the process group of ``leader``, which must not have been reaped."""
    # ProcessLookupError: the process has ended and was not reaped yet. PermissionError: the process
    # belongs to another user.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def become_subreaper() -> None:
    """Make this process adopt all orphans among its descendants.

    Forked processes do not inherit this setting.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_memory(hidden: bool = True) -> None:
    """Hide this process's memory, descriptors, and environment from the user's other processes.

    Other processes cannot trace this process, and it writes no core dump. A forked child inherits
    the setting until its exec. Root still has access. Does nothing without /proc.
    """
    if process_table.has_proc():
        _prctl(_PR_SET_DUMPABLE, 0 if hidden else 1)


def set_title(title: str) -> None:
    """Replace this process's command line, which ``ps`` shows. Forked children inherit the title.

    Without a new title, a forked process has its parent's command line. A ``pkill`` for the parent
    would then also end the forked process.
    """
    import ctypes

    fields = process_table.read("/proc/self/stat").rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, title.encode(), min(len(title), end - start - 1))


def signal_at_parents_end(number: int) -> None:
    """Request a signal to this process at its parent's exit.

    The parent must have only one thread: the kernel sends the signal as soon as the thread that
    started this process exits.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    import ctypes  # imported here, because the server imports this module and does not need ctypes

    if ctypes.CDLL(None).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(f"prctl({option}) failed")
