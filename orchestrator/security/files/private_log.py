"""Log files that only their owner can read."""

import logging
import logging.handlers
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from orchestrator.security.files.untrusted_files import open_log

LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 5


class PrivateLog(logging.handlers.RotatingFileHandler):
    """Appends lines to a log file of mode 0600, and rotates the file. Links are not followed.

    The file is opened when the first line is written. A write error does not affect the caller.
    ``error_logger`` gets one message when writing begins to fail, and one message when writing
    works again. Without ``error_logger``, the standard library prints each write error.
    """

    def __init__(self, path: Path, error_logger: logging.Logger | None = None) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._error_logger = error_logger
        self._works = True
        self._failure: BaseException | None = None
        super().__init__(
            path,
            maxBytes=LOG_BYTES,
            backupCount=LOG_FILES,
            encoding="utf-8",
            delay=True,
            errors="replace",
        )

    def emit(self, record: logging.LogRecord) -> None:
        worked, self._works = self._works, True
        super().emit(record)
        if self._error_logger is not None and worked is not self._works:
            text = "can be written again" if self._works else "cannot be written"
            self._error_logger.error("%s %s", self.baseFilename, text, exc_info=self._failure)
        self._failure = None

    def handleError(self, record: logging.LogRecord) -> None:
        self._works, self._failure = False, sys.exc_info()[1]
        if self._error_logger is None:
            super().handleError(record)

    def _open(self) -> TextIOWrapper:
        return open(
            self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_open_private
        )


def _open_private(path: str, _flags: int) -> int:
    handle = open_log(path)
    # An earlier version may have created the file readable for other users.
    os.fchmod(handle, 0o600)
    return handle
