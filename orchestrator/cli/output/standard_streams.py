"""Output to standard output and standard error, even if the reader or the terminal is closed."""

import errno
import os
import select
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

from orchestrator.core.outcome.shortage_errors import is_full_disk


@contextmanager
def reader_may_leave(stream: TextIO) -> Iterator[None]:
    """Within the ``with`` block, tolerate that the reader of ``stream`` exits.

    If a pipe has no reader, all further output to the pipe is discarded. If the terminal no longer
    exists, the process gets SIGHUP.
    """
    try:
        yield
    except BrokenPipeError:
        _discard(os.fstat(stream.fileno()))
    except OSError as error:
        if error.errno != errno.EIO or not _is_device(stream.fileno()):
            raise
        hang_up()


def is_hung_up(output: int) -> bool:
    """True if the file descriptor ``output`` belongs to a terminal that no longer exists.

    The check writes nothing. Do not rely on a failed write instead: a job may print nothing for a
    long time.
    """
    try:
        if not _is_device(output):
            return False
    except OSError:
        # The stream is closed.
        return False
    poller = select.poll()
    poller.register(output, 0)
    return any(events & select.POLLHUP for _, events in poller.poll(0))


def hang_up() -> None:
    """Discard further output to terminals, and send SIGHUP to this process.

    Call this function when the terminal is closed, because not every terminal sends SIGHUP then.
    """
    discard_terminals()
    signal.raise_signal(signal.SIGHUP)


def discard_terminals() -> None:
    """Discard all further output to terminals.

    Call this function when the terminal is closed. Otherwise, a failed write could prevent this
    process from stopping the job.
    """
    _discard(None)


class ErrorStream(TextIOWrapper):
    """Standard error. On a full disk, text is lost, and the command continues.

    Progress lines and messages must not end a command whose work succeeds.
    """

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            if not is_full_disk(error):
                raise
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            if not is_full_disk(error):
                raise


def tolerate_full_disk() -> None:
    """Let output to standard error tolerate a full disk from now on."""
    stream = sys.stderr
    if isinstance(stream, TextIOWrapper):
        sys.stderr = ErrorStream(
            stream.buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            newline="\n",
            line_buffering=True,
        )


def discard_output() -> None:
    """Discard all further output to standard output.

    Call this function if the disk is full. Otherwise, Python would write the buffered output again
    when it exits, and print a second error.
    """
    _discard(os.fstat(sys.stdout.fileno()))


def _discard(broken: os.stat_result | None) -> None:
    """Discard all further output to the file ``broken``, or to terminals if ``broken`` is None."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    for output in (sys.stdout.fileno(), sys.stderr.fileno()):
        status = os.fstat(output)
        is_target = (
            stat.S_ISCHR(status.st_mode) if broken is None else os.path.samestat(status, broken)
        )
        if is_target:
            os.dup2(null_device, output)
    os.close(null_device)


def _is_device(output: int) -> bool:
    return stat.S_ISCHR(os.fstat(output).st_mode)
