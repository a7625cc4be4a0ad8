"""The registry of running processes, with the functions to call when a process begins or ends."""

from collections.abc import Callable

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit

#: Function to call once with the exit of a process, in the thread that reports the exit. The
#: function must not block.
EndHandler = Callable[[Exit], None]


@dataclass(frozen=True, slots=True)
class PreloadHandlers:
    """The two handlers of a preloaded launch.

    ``on_begun``: called when the process starts, with the start as Unix time. ``on_returned``:
    called if the shim returns the launch without having started it.
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
        """A snapshot of the ids of the registered processes. Ended processes are not registered."""
        return frozenset(self._handlers)

    def started(self, attempt_id: str, pid: int) -> None:
        """Do nothing: a process is already registered before its start."""

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
        """Remove a process from the registry, and call its handler. Idempotent.

        Ignore an unknown process.
        """
        self._preloads.pop(attempt_id, None)
        on_end = self._handlers.pop(attempt_id, None)
        if on_end is not None:
            on_end(exit)
