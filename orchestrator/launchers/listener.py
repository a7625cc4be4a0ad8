"""A thread that listens to a launcher where no loop does."""

import threading
from types import TracebackType

from orchestrator.core.launching import Launcher


class Listener:
    """A context: inside it what becomes of attempts is reported."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._leaving = False
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

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
        while not self._leaving and self._launcher.listen(None):
            pass
