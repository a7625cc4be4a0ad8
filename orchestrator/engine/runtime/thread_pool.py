"""A thread pool that can run work even if no further thread can start."""

from concurrent.futures import ThreadPoolExecutor


class PrestartedThreadPool(ThreadPoolExecutor):
    """A thread pool that starts one thread at once, and further threads when they are needed.

    If no further thread can start, the first thread runs the work. In this case, the standard
    library's pool raises an error, although it has queued the work.
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
    """Do nothing. This is the pool's first work, so that its first thread starts."""
