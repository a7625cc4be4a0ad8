"""Adopted attempts: they run under shims that have no connection to this server.

The server controls the shims of these attempts by signals.
"""

import os
import signal
from dataclasses import replace

from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.local.dead_shims import determine_end
from orchestrator.launchers.process import process_control
from orchestrator.system import process_table


class AdoptedAttempt:
    """A running attempt of an earlier server. This server controls its shim by signals."""

    def __init__(
        self, attempt_id: str, exit_path: str, shim: process_table.Process, pidfd: int, digest: str
    ) -> None:
        self.attempt_id = attempt_id
        self.exit_path = exit_path
        self._shim = shim
        self._pidfd = pidfd
        self._digest = digest
        self._stop_request: tuple[str, str, ExitCause] | None = None

    @classmethod
    def adopt(cls, attempt_id: str, exit_path: str, digest: str = "") -> "AdoptedAttempt | None":
        """Return the running attempt; None if no living shim runs the attempt."""
        state = exit_record.attempt_state(exit_path, digest)
        if not isinstance(state, exit_record.LivingShim):
            return None
        try:
            pidfd = os.pidfd_open(state.shim_pid)
        except ProcessLookupError:
            return None
        shim = process_table.look_up(state.shim_pid)
        if shim is None or not shim.alive or shim.ticks != state.start_ticks:
            os.close(pidfd)
            return None
        return cls(attempt_id, exit_path, shim, pidfd, digest)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the shim exits."""
        return self._pidfd

    def close(self) -> None:
        os.close(self._pidfd)

    def stop(
        self,
        _attempt_id: str,
        ended_by: str,
        stopped_by: str,
        cause: ExitCause = ExitCause.NONE,
    ) -> None:
        if self._stop_request is None:
            self._stop_request = (ended_by, stopped_by, cause)
            self._signal(signal.SIGTERM)

    def waiting(self, _attempt_id: str, waiting: bool) -> None:
        self._signal(signal.SIGUSR1 if waiting else signal.SIGUSR2)

    def _signal(self, number: int) -> None:
        process_control.send_signal(self._shim, number)

    def find_end(self) -> Exit:
        """Return how the attempt ended. Call this after the shim has exited."""
        end = determine_end(
            self.attempt_id,
            self.exit_path,
            digest=self._digest,
            has_begun=True,
            with_server=self._stop_request is not None
            and self._stop_request[2] is ExitCause.SHUTDOWN,
        )
        # Add the reason for which this server stopped the attempt. The exit record has no reason,
        # because the shim got only a signal.
        if self._stop_request and end.ended_by is EndedBy.CANCEL:
            ended_by, stopped_by, cause = self._stop_request
            kind = EndedBy(ended_by)
            return replace(end, ended_by=kind, stopped_by=stopped_by, cause=cause)
        return end
