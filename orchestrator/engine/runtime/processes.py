"""Registry of this server's running processes, with the handler of each one's end.

Attempts, gates and the preparation of shared contexts run under one launcher. Each registers its
process by id before the launcher gets the id, so that no end comes before its handler::

    processes.expect(launch.attempt_id, on_end)
    launcher.start(launch)
"""

from collections.abc import Callable

from orchestrator.core.model.attempt.attempt_result import Exit

#: Called with the end of a process, once, in the thread that reports it. Must not block.
EndHandler = Callable[[Exit], None]


class RunningProcesses:
    """Implements ``core.ports.launcher.LauncherEvents``. Any thread may call.

    Without a lock: each call is one operation of a dictionary, which the interpreter does not
    interrupt.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, EndHandler] = {}

    def expect(self, process: str, on_end: EndHandler) -> None:
        """Register a process that is about to be launched or adopted."""
        self._handlers[process] = on_end

    @property
    def ids(self) -> frozenset[str]:
        """A snapshot of the ids of registered processes that have not ended."""
        return frozenset(self._handlers)

    def started(self, attempt_id: str, pid: int) -> None:
        """Do nothing, because a start is recorded before it is attempted."""

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Call the handler and drop the process. Idempotent; an unknown process is ignored."""
        on_end = self._handlers.pop(attempt_id, None)
        if on_end is not None:
            on_end(exit)
