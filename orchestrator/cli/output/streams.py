"""Writes standard output and standard error, whose readers may disappear: closed pipe, closed
terminal.
"""

import errno
import os
import select
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def reader_may_leave(stream: TextIO) -> Iterator[None]:
    """Write to ``stream``. A reader that has exited, such as "head", is no error.

    Nothing more is written to its pipe. A terminal that no longer exists is a hangup.
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
    """True if ``output`` is a terminal that no longer exists.

    The check writes nothing, because a job may print nothing for a long time.
    """
    try:
        if not _is_device(output):
            return False
    except OSError:
        # The stream is closed.
        return False
    waiting = select.poll()
    waiting.register(output, 0)
    return any(found & select.POLLHUP for _, found in waiting.poll(0))


def hang_up() -> None:
    """Act like SIGHUP, because not every closed terminal sends it."""
    discard_terminals()
    signal.raise_signal(signal.SIGHUP)


def discard_terminals() -> None:
    """Write nothing more to terminals, because a write error would prevent stopping the job."""
    _discard(None)


def _discard(broken: os.stat_result | None) -> None:
    """Write nothing more to ``broken``; None: to terminals."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (sys.stdout.fileno(), sys.stderr.fileno()):
        found = os.fstat(output)
        is_it = stat.S_ISCHR(found.st_mode) if broken is None else os.path.samestat(found, broken)
        if is_it:
            os.dup2(nowhere, output)
    os.close(nowhere)


def _is_device(output: int) -> bool:
    return stat.S_ISCHR(os.fstat(output).st_mode)
