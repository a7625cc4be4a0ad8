"""A thread pool that can run work even if no further thread can start."""

from concurrent.futures import ThreadPoolExecutor


class PrestartedThreadPool(ThreadPoolExecutor):
    """A thread pool that starts its first thread immediately, and further threads when needed.

    If the machine cannot start a further thread, the existing threads run the work. The standard
    library's pool would instead raise an error, although the work is already queued.
    """

    def __init__(self, most: int, name: str) -> None:
        """Start the first thread. Raise RuntimeError if that is not possible."""
        super().__init__(most, name)
        self.submit(_nothing)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def _nothing() -> None:
    """Do nothing. The pool starts its first thread to run this function."""
