"""Home directories that attempts share. One attempt sets up a home; other attempts wait.

Two programs that set up the same home at the same time would corrupt it. For example, opencode
hangs, or exits with "database is locked".
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from orchestrator.agents.ai_tools.invocation.call import AgentHome

#: Timeout of the setup, in seconds. After a timeout, the tool starts its task with an incomplete
#: setup.
LONGEST_SECONDS = 120.0
_LOOK_SECONDS = 0.05
_DONE, _LOCK = "set-up", "set-up.lock"


def set_up(home: AgentHome, environ: Mapping[str, str], stopped: Callable[[], bool]) -> None:
    """Run ``home.argv``, unless this version of the program has already set up the home.

    Return after at most LONGEST_SECONDS, and soon after ``stopped`` returns True. Never raises
    OSError.
    """
    deadline = time.monotonic() + LONGEST_SECONDS

    def must_stop() -> bool:
        return stopped() or time.monotonic() >= deadline

    with contextlib.suppress(OSError):
        fingerprint, done_file = _program_fingerprint(home.argv[0], environ), home.directory / _DONE
        if _content(done_file) == fingerprint:
            return
        with _locked(home.directory / _LOCK, must_stop) as locked:
            if (
                locked
                and _content(done_file) != fingerprint
                and _run_setup(home, environ, must_stop)
            ):
                done_file.write_text(fingerprint)


def _program_fingerprint(program: str, environ: Mapping[str, str]) -> str:
    """Return a text that differs for each version of the program."""
    path = os.path.realpath(shutil.which(program, path=environ.get("PATH")) or program)
    status = os.stat(path)
    return f"{path} {status.st_mtime_ns} {status.st_size}"


def _content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@contextlib.contextmanager
def _locked(path: Path, must_stop: Callable[[], bool]) -> Iterator[bool]:
    """Hold the lock of a file during a ``with`` block. Yield True if the lock was acquired.

    Yield False if ``must_stop`` returned True first.
    """
    with path.open("a") as file:
        while not (locked := _lock(file.fileno())) and not must_stop():
            time.sleep(_LOOK_SECONDS)
        yield locked


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run_setup(home: AgentHome, environ: Mapping[str, str], must_stop: Callable[[], bool]) -> bool:
    """Run the setup. Return True if the setup has exited, and False if it was killed.

    The setup is killed once ``must_stop`` returns True. The result is also True for a failed setup,
    because a repeated setup would fail again.
    """
    devnull = subprocess.DEVNULL
    with subprocess.Popen(
        home.argv, env=environ, stdin=devnull, stdout=devnull, stderr=devnull
    ) as child:
        while child.poll() is None and not must_stop():
            time.sleep(_LOOK_SECONDS)
        ended = child.returncode is not None
        if not ended:
            child.kill()  # its leftover processes are killed at the end of the attempt
    return ended
