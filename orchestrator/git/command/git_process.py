"""A running git process, as a faster replacement for ``subprocess``.

A start takes a quarter less CPU time than with ``subprocess``, and writing the input needs no
thread. This matters because a job with one worker starts about 20 git processes.
"""

import errno
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE_BYTES = 65536
#: Signals that Python ignores, and that git must not ignore.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


class GitProcess:
    """Runs ``git`` in a directory. At the end of a ``with`` block, a git that still runs is killed.

    Only one thread may use an object of this class.
    """

    def __init__(
        self,
        directory: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        stdin: bytes,
        umask: int | None = None,
    ) -> None:
        """Start git with the input ``stdin``. Raise OSError if git cannot be started.

        ``umask``: the umask of git; None: this process's umask.
        """
        # posix_spawn cannot set a directory, so git itself changes to the directory. Check here
        # that the directory exists, because git's error would look like any other error of git.
        if not os.path.isdir(directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
        #: The exit code, negative for a signal; None while git runs.
        self.code: int | None = None
        self._unwritten_input = memoryview(stdin)
        self._output: dict[int, list[bytes]] = {}
        self._poll = select.poll()
        #: Descriptor of git's input; -1 if it is closed.
        self._input = -1
        child_ends: list[int] = []
        try:
            child_ends.append(self._open_input())
            self._out, self._errors = (self._open_output(child_ends) for _ in range(2))
            actions = [
                (os.POSIX_SPAWN_DUP2, descriptor, number)
                for number, descriptor in enumerate(child_ends)
            ]
            words = ["git", "-C", directory, *arguments]
            if umask is not None:  # posix_spawn cannot set a umask
                words = ["sh", "-c", 'umask "$0" && exec "$@"', f"{umask:04o}", *words]
            self._pid = os.posix_spawnp(
                words[0], words, env, file_actions=actions, setsigdef=_RESTORED
            )
        except BaseException:
            self._close()
            raise
        finally:
            for descriptor in child_ends:
                os.close(descriptor)

    def _open_input(self) -> int:
        if not self._unwritten_input:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        source, self._input = os.pipe()
        os.set_blocking(self._input, False)
        self._poll.register(self._input, select.POLLOUT)
        return source

    def _open_output(self, child_ends: list[int]) -> list[bytes]:
        reading, writing = os.pipe()
        child_ends.append(writing)
        self._poll.register(reading, select.POLLIN)
        pieces = self._output[reading] = list[bytes]()
        return pieces

    @property
    def out(self) -> bytes:
        return b"".join(self._out)

    @property
    def errors(self) -> bytes:
        return b"".join(self._errors)

    def communicate(self, seconds: float) -> bool:
        """Write git's input and read its output until git has ended.

        Return True if git has ended, and False if git still runs after ``seconds``. After False,
        call this again to continue.
        """
        deadline = time.monotonic() + seconds
        while self._output:
            remaining = max(0.0, deadline - time.monotonic())
            ready = self._poll.poll(remaining * 1000)
            if not ready:
                return False
            for descriptor, _ in ready:
                self._write() if descriptor == self._input else self._read(descriptor)
        # Git closes its output when it exits.
        self._reap()
        return True

    def _write(self) -> None:
        try:
            written = os.write(self._input, self._unwritten_input[:_PIECE_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:  # Git has read all that it needs.
            written = len(self._unwritten_input)
        self._unwritten_input = self._unwritten_input[written:]
        if not self._unwritten_input:
            self._close_input()

    def _read(self, descriptor: int) -> None:
        piece = os.read(descriptor, _PIECE_BYTES)
        if piece:
            self._output[descriptor].append(piece)
        else:
            self._poll.unregister(descriptor)
            del self._output[descriptor]
            os.close(descriptor)

    def _reap(self) -> None:
        self.code = 0
        # If this process ignores SIGCHLD, the exit code is unknown, and counts as 0.
        with suppress(ChildProcessError):
            self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _close_input(self) -> None:
        if self._input >= 0:
            self._poll.unregister(self._input)
            os.close(self._input)
            self._input = -1

    def _close(self) -> None:
        self._close_input()
        for descriptor in self._output:
            os.close(descriptor)
        self._output.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._reap()
        self._close()
