"""Processes that outlive their attempt, found by its marker. Only reads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.launchers.exit_record.claim import run_path
from orchestrator.launchers.exit_record.exit_record import holder
from orchestrator.launchers.process import proc


@dataclass(frozen=True, slots=True)
class Leftover:
    """A living process that the product will not end before the next start of a server."""

    pid: int
    #: The kernel's short name, because a whole command line may contain secrets.
    command: str
    root_id: str
    worker_id: str


def leftovers(workspace: Path) -> Iterator[Leftover]:
    """Yield living processes of this workspace's attempts that have ended, or whose shim was
    killed.

    Only processes that this user may inspect, and none of the caller's own attempt.
    """
    own = os.environ.get(proc.MARKER)
    for process, attempt_id in proc.marked_by_any():
        root_id, _, attempt = attempt_id.partition("/")
        worker_id, _, number = attempt.rpartition("/")
        record = f"{workspace}/job_{root_id}/attempts/{worker_id}.{number}"
        # This check comes last: a process that has exited since ended with its attempt.
        if attempt_id != own and _has_ended(record) and _lives(process):
            yield Leftover(process.pid, process.command, root_id, worker_id)


def _has_ended(record: str) -> bool:
    """True if no shim runs the attempt, which may be a gate with its own record name."""
    for path in (f"{record}.exit.json", f"{record}.json"):
        if os.path.lexists(run_path(path)):
            return holder(path) is None
        if os.path.lexists(path):
            return True
    return False


def _lives(process: proc.Process) -> bool:
    return proc.start_ticks(process.pid) == process.ticks
