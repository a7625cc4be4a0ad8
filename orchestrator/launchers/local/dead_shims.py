"""Dead shims: finds out how the attempt of an exited shim ended, and kills its processes.

An attempt without an exit record is lost.
"""

import os
import signal
import time

from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, LeftoverProcess
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.containment import cgroup
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.exit_record.run_file import run_path
from orchestrator.launchers.process import process_control
from orchestrator.security.files.untrusted_files import read_regular
from orchestrator.security.secrets.masking import Masker
from orchestrator.system import process_table

#: Seconds to wait for the end of killed processes. A process that hangs in the kernel does not end.
_KILL_SECONDS = 2.0
_STOPPED = (
    ExitCause.SHUTDOWN,
    "outcome unknown: the supervising process was killed while the server was being stopped",
)
_DIED = ExitCause.SHIM_DIED, "outcome unknown: the supervising process was killed"
_FORGED = (
    ExitCause.RECORD_FORGED,
    "outcome unknown: the supervising process was killed, and its exit record was forged",
)


def determine_end(
    attempt_id: str,
    exit_path: str,
    leftover_processes: tuple[LeftoverProcess, ...] = (),
    masker: Masker | None = None,
    *,
    digest: str = "",
    has_begun: bool = False,
    with_server: bool = False,
) -> Exit:
    """Return the end of an attempt whose shim has exited: the published exit record, or LOST.

    If there is no record, the attempt is lost: also kill its processes, and prevent another start.
    If another process runs the attempt, the outcome is unknown: return LOST, kill no process, and
    change nothing.

    - ``leftover_processes``: leftover processes that are already killed.
    - ``masker`` masks secrets in the command lines of killed processes.
    - ``digest``: SHA-256 of the shim's secret; empty: every record is accepted.
    - ``has_begun``: True if the worker certainly ran, even if the worker has removed all traces.
    - ``with_server``: True if this server stopped the attempt during its own shutdown.
    """
    state = exit_record.attempt_state(exit_path, digest)
    if isinstance(state, exit_record.EndedAttempt):
        return state.exit
    if isinstance(state, exit_record.Unfinished):
        clear_group(attempt_id, exit_path)
        known_pids = {each.pid for each in leftover_processes}
        leftover_processes += tuple(
            each for each in kill_marked(attempt_id, masker) if each.pid not in known_pids
        )
        explanation = _FORGED if exit_record.is_forged(exit_path, digest) else _DIED
        explanation = _STOPPED if with_server else explanation
        never_began = state is exit_record.Unfinished.NEVER_STARTED and not has_begun
        cause, reason = explanation
        if never_began:
            cause, reason = ExitCause.NEVER_BEGAN, _not_started(attempt_id)
        end = exit_record.mark_lost(exit_path, reason, leftover_processes, cause, digest)
        if end is not None:
            return end
    error = f"outcome unknown: another process runs this attempt ({exit_path})"
    return Exit(ended_by=EndedBy.LOST, error=error)


def _not_started(attempt_id: str) -> str:
    root_id, worker_id = attempt_id.split("/")[:2]
    return (
        "the worker's process was not started, because the server exited first; if no attempt "
        f"follows, retry the worker: {COMMAND} retry {root_id} {worker_id}"
    )


def clear_group(attempt_id: str, exit_path: str) -> None:
    """Kill all processes in a dead shim's control group, and remove the group. Idempotent."""
    content = read_regular(run_path(exit_path), exit_record.HOLDER_BYTES) or b""
    directory = cgroup.find_group(content, attempt_id)
    if not directory:
        return
    cgroup.kill(directory)
    deadline = time.monotonic() + _KILL_SECONDS
    while os.path.exists(directory) and time.monotonic() < deadline:
        cgroup.remove(directory)
        time.sleep(0.001)


def kill_marked(attempt_id: str, masker: Masker | None) -> tuple[LeftoverProcess, ...]:
    """Kill all processes with the attempt's marker, and return them.

    The search is repeated until no process is found, for at most two seconds. ``masker`` masks
    secrets in the command lines of the result; None: the result has only the programs' names.
    """
    killed: dict[int, LeftoverProcess] = {}
    deadline = time.monotonic() + _KILL_SECONDS
    while (processes := process_table.marked(attempt_id)) and time.monotonic() < deadline:
        for process in processes:
            command = masker.text(process_table.command_line(process.pid)) if masker else ""
            leftover = LeftoverProcess(pid=process.pid, command=command or process.command)
            killed.setdefault(process.pid, leftover)
            process_control.send_signal(process, signal.SIGKILL)
    return tuple(killed.values())
