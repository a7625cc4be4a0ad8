"""The process of the agent's program: reads its output, waits for its exit, and stops it.

This module signals only the program's process group. The shim kills other processes of the worker.
"""

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_CHUNK = 1 << 16
#: Maximum bytes to read from the pipes after the program's end, because a leftover process could
#: write forever.
_LAST_BYTES = 64 * 1024 * 1024


class AgentProcess:
    """A running program. The constructor raises OSError if the program cannot be started."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        prompt_on_stdin: bool,
        prompt: Path | None,
        open_input: bool,
    ) -> None:
        """Start the program. The arguments decide its standard input.

        - If ``open_input`` is True: a pipe that ``queue_line`` writes to.
        - Otherwise, if ``prompt_on_stdin`` is True: the file ``prompt``; None means this process's
          own standard input.
        - Otherwise: empty.
        """
        with contextlib.ExitStack() as stack:
            prompt_file = stack.enter_context(prompt.open("rb")) if prompt else None
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE
                if open_input
                else prompt_file
                if prompt_on_stdin
                else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                process_group=0,
            )
        assert self._process.stdout and self._process.stderr
        self.stdout = self._process.stdout.fileno()
        self.stderr = self._process.stderr.fileno()
        for descriptor in (self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        #: Bytes that are not written to standard input yet.
        self._unsent = b""
        self._input = self._process.stdin.fileno() if self._process.stdin else -1
        if self._input >= 0:
            os.set_blocking(self._input, False)
        #: Descriptor that becomes readable when the program ends; -1 on systems without pidfds. The
        #: pipes do not show the end, because leftover processes may keep the pipes open.
        self.end = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else -1

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def queue_line(self, line: str, selector: selectors.BaseSelector) -> None:
        """Queue a line for standard input, and write it as soon as the program accepts input."""
        if self._input >= 0:
            if not self._unsent:
                selector.register(self._input, selectors.EVENT_WRITE)
            self._unsent += f"{line}\n".encode()

    def is_input(self, descriptor: int) -> bool:
        return descriptor == self._input

    def flush_input(self, selector: selectors.BaseSelector) -> None:
        """Write as much unsent text as standard input accepts without waiting."""
        try:
            self._unsent = self._unsent[os.write(self._input, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # the program has ended, or reads no more
            self._unsent = b""
        if not self._unsent:
            selector.unregister(self._input)

    def close_input(self) -> None:
        """Close standard input, unless some text is still unsent. Idempotent."""
        if self._input >= 0 and not self._unsent and self._process.stdin is not None:
            self._process.stdin.close()
            self._input = -1

    @property
    def is_input_open(self) -> bool:
        return self._input >= 0

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Until the process is reaped, its pid, and therefore its group's id, is not reused.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def watch(self, selector: selectors.BaseSelector) -> None:
        for descriptor in (self.stdout, self.stderr, self.end):
            if descriptor >= 0:
                selector.register(descriptor, selectors.EVENT_READ)

    def remaining_output(self, descriptor: int) -> Iterator[bytes]:
        """Yield the remaining output of an ended program, without waiting."""
        remaining = _LAST_BYTES
        while remaining > 0 and (data := read(descriptor)):
            remaining -= len(data)
            yield data

    def close(self) -> None:
        for pipe in (self._process.stdout, self._process.stderr, self._process.stdin):
            if pipe is not None:
                pipe.close()
        if self.end >= 0:
            os.close(self.end)
        self._process.wait()


def read(descriptor: int) -> bytes | None:
    """Return available data; empty at the end of the output; None if no data is available now."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
