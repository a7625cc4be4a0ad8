"""A thread that listens to a launcher, for programs without a loop that listens."""

import threading
from types import TracebackType

from orchestrator.core.ports.launcher import Launcher


class Listener:
    """A context that can be entered once: inside it, ends of attempts are reported."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._begun = threading.Event()
        self._leaving = False
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def start(self) -> None:
        """Start the thread now, because later the machine may have none free. Idempotent."""
        if self._thread.ident is None:
            self._thread.start()

    def __enter__(self) -> None:
        self.start()
        self._begun.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving = True
        self._launcher.wake()
        self._thread.join()

    def _listen(self) -> None:
        self._begun.wait()
        while not self._leaving and self._launcher.listen(None):
            pass
