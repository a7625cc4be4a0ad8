"""Searches this machine for processes that outlive their attempt, by marker or working directory.

A process's *marker* is an environment variable with the attempt's id. The commands ``doctor`` and
``status`` list the found processes. This module ends no process.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.launchers.exit_record.run_file import run_path
from orchestrator.system import process_table


@dataclass(frozen=True, slots=True)
class FoundLeftoverProcess:
    """A process that an attempt has started, and that no shim will end."""

    pid: int
    #: The kernel's short name, because a whole command line may contain secrets.
    command: str
    root_id: str
    worker_id: str


def find_leftover_processes(workspace: Path) -> Iterator[FoundLeftoverProcess]:
    """Yield living processes of this workspace's attempts.

    A process with a marker is yielded if no shim runs the attempt in the marker any more. A process
    without a marker is yielded if its parent has exited, and its working directory is a worker's
    directory. Caution: a shim may still run this directory's worker.

    Omits processes that this user may not inspect, and processes of the caller's own attempt.
    """
    yield from _marked(workspace)
    yield from _unmarked(workspace)


def _marked(workspace: Path) -> Iterator[FoundLeftoverProcess]:
    own_attempt_id = os.environ.get(process_table.MARKER)
    for process, attempt_id in process_table.marked_by_any():
        root_id, _, attempt = attempt_id.partition("/")
        worker_id, _, number = attempt.rpartition("/")
        record = f"{workspace}/job_{root_id}/attempts/{worker_id}.{number}"
        # Check last whether the process lives. Otherwise, a process that exits together with its
        # attempt, just before ``_has_ended``, would be reported as a leftover process.
        if attempt_id != own_attempt_id and _has_ended(record) and _is_alive(process):
            yield FoundLeftoverProcess(process.pid, process.command, root_id, worker_id)


def _unmarked(workspace: Path) -> Iterator[FoundLeftoverProcess]:
    root = re.escape(os.path.realpath(workspace))
    pattern = re.compile(rf"{root}/job_(\w+)/depth_\d+/(\w+)(/|$)")
    for process in filter(has_lost_parent, process_table.living_processes()):
        match = pattern.match(process_table.working_directory(process.pid))
        is_marked = f"{process_table.MARKER}=".encode() in (
            process_table.environment(process.pid) or b""
        )
        if match and not is_marked and _is_alive(process):
            yield FoundLeftoverProcess(process.pid, process.command, match[1], match[2])


def has_lost_parent(process: process_table.Process) -> bool:
    """True if an init process has adopted the process, because its parent has exited."""
    if process.parent == 1:
        return True
    parent = process_table.look_up(process.parent)
    return parent is not None and parent.command == "systemd"


def _has_ended(record: str) -> bool:
    """True if no shim runs the attempt.

    ``record``: the path of the exit record without its extension, which is ``.exit.json`` for a
    worker, and ``.json`` for a gate.
    """
    for path in (f"{record}.exit.json", f"{record}.json"):
        if os.path.lexists(run_path(path)):
            # Imported only when needed, because most machines have no such process.
            from orchestrator.launchers.exit_record.exit_record import living_shim

            return living_shim(path) is None
        if os.path.lexists(path):
            return True
    return False


def _is_alive(process: process_table.Process) -> bool:
    return process_table.start_ticks(process.pid) == process.ticks
