"""Threads that are there when they are needed."""

from concurrent.futures import ThreadPoolExecutor


class SteadyThreads(ThreadPoolExecutor):
    """One thread is there from the start, further ones when they are needed and can be had.

    Where no further one can be had, an ordinary pool raises, with the work in its queue all the
    same: it would wait there until somebody hands in more.
    """

    def __init__(self, most: int, name: str) -> None:
        """Raise RuntimeError when not even one can be had."""
        super().__init__(most, name)
        self.submit(_nothing)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def _nothing() -> None:
    """Has the first thread made."""
