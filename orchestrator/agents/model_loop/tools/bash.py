"""The tool bash: runs a command in its own process group, limited in time and output."""

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from orchestrator.agents.model_loop.settings.loop_settings import Timeouts
from orchestrator.agents.model_loop.tools.tool import (
    MAX_RESULT,
    Tool,
    Unusable,
    number_argument,
    text_argument,
)
from orchestrator.core.lazy_dataclass import dataclass

_CHUNK = 1 << 16
#: Seconds between checks for the command's end. The output may end later than the command, because
#: leftover processes may still write.
_LOOK_SECONDS = 0.1
#: Seconds between SIGTERM and SIGKILL to a command.
_GRACE_SECONDS = 2.0


def running(cwd: Path, times: Timeouts, hidden: frozenset[str]) -> Tool:
    """Return the tool bash.

    ``hidden``: variables that commands must not see, such as the model's API key.
    """

    def use(arguments: Mapping[str, Any]) -> str:
        timeout = number_argument(arguments, "timeout", times.command)
        seconds = min(max(timeout, 1.0), times.longest_command)
        environ = {name: value for name, value in os.environ.items() if name not in hidden}
        return _run(text_argument(arguments, "command"), cwd, environ, seconds)

    return Tool(
        name="bash",
        description=(
            "Run a command without input. Its timeout is"
            f" {times.command:g} s by default, and at most {times.longest_command:g} s."
        ),
        properties={
            "command": {"type": "string"},
            "timeout": {"type": "number", "description": "seconds"},
        },
        required=("command",),
        use=use,
        main="command",
        slow=True,
    )


@dataclass(slots=True)
class _Output:
    """Stores the start and the end of an output, and drops the middle."""

    start: bytearray = field(default_factory=bytearray)
    end: bytearray = field(default_factory=bytearray)
    dropped: int = 0
    half: int = MAX_RESULT // 2

    def add(self, data: bytes) -> None:
        room = self.half - len(self.start)
        self.start += data[:room]
        self.end += data[room:]
        excess = len(self.end) - self.half
        if excess > 0:
            del self.end[:excess]
            self.dropped += excess

    def text(self) -> str:
        mark = f"\n... {self.dropped} bytes omitted ...\n".encode() if self.dropped else b""
        return (bytes(self.start) + mark + bytes(self.end)).decode("utf-8", "replace")


def _run(command: str, cwd: Path, environ: Mapping[str, str], seconds: float) -> str:
    process = subprocess.Popen(
        (shutil.which("bash") or "sh", "-c", command),
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output = _Output()
    try:
        has_ended = _follow(process, output, seconds)
    finally:
        _stop(process)
        if process.stdout is not None:
            process.stdout.close()
    if not has_ended:
        raise Unusable(f"{output.text()}\n[stopped: timed out after {seconds:g} s]".strip())
    code = process.returncode
    if code == 0:
        return output.text() or "[no output]"
    reason = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
    raise Unusable(f"{output.text()}\n[{reason}]".strip())


def _follow(process: subprocess.Popen[bytes], output: _Output, seconds: float) -> bool:
    """Read the command's output until the command ends. Return False after a timeout.

    ``seconds``: the timeout.
    """
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            if selector.select(_LOOK_SECONDS) and not _read_available(descriptor, output):
                # The command closed its output and continues to run.
                selector.unregister(descriptor)
    # The number of reads is limited, because a leftover process could write forever.
    for _ in range(64):
        if _read_available(descriptor, output) <= 0:
            break
    return True


def _read_available(descriptor: int, output: _Output) -> int:
    """Read available bytes into ``output``, and return their number.

    Return 0 at the end of the output, and -1 if no bytes are available now.
    """
    try:
        data = os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return -1
    output.add(data)
    return len(data)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Until the process is reaped, its pid, and therefore its group's id, is not reused.
    if process.returncode is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and not _is_dead(process.pid):
        time.sleep(0.02)
    # Kill the group even if the process has exited: its children may have ignored the first signal.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _is_dead(pid: int) -> bool:
    """True if the process has exited. The process stays a zombie, so that its id is not reused.

    Always False on macOS, where Python has no ``os.waitid``.
    """
    if not hasattr(os, "waitid"):
        return False
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
