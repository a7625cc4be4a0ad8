"""Flushes commits to the disk in the background, many at once."""

import logging
import os
import threading

logger = logging.getLogger(__name__)

#: Time from a commit to the start of its flush, at most.
LATE_SECONDS = 0.02
#: How SQLite names a database's write-ahead log.
_LOG_SUFFIX = "-wal"


class LateSync:
    """Flushes the write-ahead log of one database after commits that did not wait for the disk.

    Any thread may call. The background thread starts with the first ``ask``.
    """

    def __init__(self, database: str) -> None:
        # SQLite follows links, too.
        self._path = os.path.realpath(database) + _LOG_SUFFIX
        self._due = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Have a new commit flushed soon. Does not wait."""
        self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="late-sync", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Flush the remaining commits, and end the thread. Idempotent."""
        self._closed.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._due.wait()
            self._closed.wait(LATE_SECONDS)
            self._due.clear()
            self._sync()

    def _sync(self) -> None:
        try:
            # Opened each time: the file is a new one after the connection was.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("%s did not reach the disk: %s", self._path, error.strerror)
