"""The registry of running processes, with the functions to call when a process begins or ends."""

from collections.abc import Callable

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit

#: Called once with the end of a process, in the thread that reports it. Must not block.
EndHandler = Callable[[Exit], None]


@dataclass(frozen=True, slots=True)
class PreloadHandlers:
    """The two handlers of a preloaded launch.

    ``on_begun`` is called when the launch begins, with the start as Unix time. ``on_returned`` is
    called if the shim returns the launch without a start.
    """

    on_begun: Callable[[float], None]
    on_returned: Callable[[], None]


class RunningProcesses:
    """The registry of this server's processes; implements ``core.ports.launcher.LauncherEvents``.

    Attempts, gates, and the preparation of shared contexts run under one launcher. Each caller
    registers a handler for a process id before it starts the process::

        processes.expect(launch.attempt_id, on_end)
        launcher.start(launch)

    Any thread may call. No lock is needed, because each call is one atomic operation on a
    dictionary.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, EndHandler] = {}
        #: Handlers of preloaded launches that have not begun, by process.
        self._preloads: dict[str, PreloadHandlers] = {}

    def expect(self, process: str, on_end: EndHandler) -> None:
        self._handlers[process] = on_end

    def expect_preloaded(self, process: str, on_end: EndHandler, handlers: PreloadHandlers) -> None:
        self._handlers[process] = on_end
        self._preloads[process] = handlers

    @property
    def ids(self) -> frozenset[str]:
        """A snapshot of the ids of registered processes that have not ended."""
        return frozenset(self._handlers)

    def started(self, attempt_id: str, pid: int) -> None:
        """Do nothing, because each process is registered before its start."""

    def begun(self, attempt_id: str, at: float) -> None:
        handlers = self._preloads.pop(attempt_id, None)
        if handlers is not None:
            handlers.on_begun(at)

    def returned(self, attempt_id: str) -> None:
        self._handlers.pop(attempt_id, None)
        handlers = self._preloads.pop(attempt_id, None)
        if handlers is not None:
            handlers.on_returned()

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Call the process's handler, and drop the process.

        Idempotent. Ignore an unknown process.
        """
        self._preloads.pop(attempt_id, None)
        on_end = self._handlers.pop(attempt_id, None)
        if on_end is not None:
            on_end(exit)
