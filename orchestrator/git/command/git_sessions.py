"""Git sessions: git processes that each answer many requests.

A request to a session takes 0.05 ms. A new process would take 3 ms. A session is only an
optimization: if it gives no usable answer in time, the caller uses ``Git.run`` or ``Git.ask``.
These two methods also remove files that block git, and report errors.
"""

import atexit
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.untrusted_files import read_regular

#: Seconds after which an unused session is closed.
IDLE_SECONDS = 1.0
#: Maximum age of a session, in seconds. A git process reads the clock only once, and writes this
#: time into all its ref logs.
AGE_SECONDS = 2.0
#: Timeout of an answer, in seconds. A FIFO in place of a ref would make git wait forever.
ANSWER_SECONDS = 1.0
#: Timeout of a change, in seconds. A change waits for the disk.
CHANGE_SECONDS = 10.0
#: Seconds for which a stopped session may remove its lock files, before it is killed.
_STOP_SECONDS = 1.0
#: Maximum bytes of a request. With a longer request, git and this process could wait for each other
#: forever.
MOST_BYTES = 4096
#: Maximum size of a worktree's ``.git`` file, which names the git directory, in bytes.
_LONGEST_LINK = 65536
_PIECE_BYTES = 65536

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharedPart:
    """The git directory that a repository's worktrees share, and one worktree's place in it."""

    common: str
    #: Prefix of HEAD's name in this directory: ``worktrees/NAME/`` for a linked worktree, otherwise
    #: "".
    head: str

    def session_name(self, name: str) -> str:
        """Return ``name`` in the form that a session needs, such as ``worktrees/NAME/HEAD^``.

        Only a name that begins with HEAD is changed, because each worktree has its own HEAD.
        """
        is_head = name.startswith("HEAD") and name[4:5] in ("", "^", "~", ":")
        return f"{self.head}{name}" if is_head else name

    def stamp(self) -> Stamp | None:
        """Return a value that identifies the repository and the state of its configuration file.

        The value changes if the repository is replaced, or if the file is changed or replaced.
        Return None if the repository or the file is missing.
        """
        try:
            statuses = os.stat(self.common), os.stat(f"{self.common}/config")
        except OSError:
            return None
        return statuses[0].st_ino, *stamp_of(statuses[1])


def stamp_of(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamp_at(path: str) -> Stamp | None:
    """Return the stamp of a file; None if the file is missing or unreadable."""
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None


def shared_part(directory: str, env: Mapping[str, str]) -> SharedPart | None:
    """Return the shared git directory of the repository that a git command uses.

    ``directory``, ``env``: the command's directory and variables. Return None if the shared
    directory is unknown, or if the command must not use a session.
    """
    if "GIT_OBJECT_DIRECTORY" in env:
        return None
    git_directory = env.get("GIT_DIR") or f"{directory}/.git"
    # Do not use a session for another user's repository, because git itself must check
    # safe.directory.
    if "GIT_DIR" not in env and not _belong_to_user(directory, git_directory):
        return None
    if os.path.isfile(git_directory):
        link = read_regular(git_directory, _LONGEST_LINK) or b""
        git_directory = os.path.join(directory, os.fsdecode(link).removeprefix("gitdir: ").strip())
    parent, name = os.path.split(git_directory)
    if os.path.basename(parent) == "worktrees":
        return SharedPart(os.path.dirname(parent), f"worktrees/{name}/")
    return SharedPart(git_directory, "") if os.path.isdir(f"{git_directory}/objects") else None


def _belong_to_user(*paths: str) -> bool:
    try:
        return all(os.stat(each).st_uid == os.geteuid() for each in paths)
    except OSError:
        return False


class SessionFailed(Exception):
    """The session gave no usable answer."""


@dataclass(eq=False, slots=True)
class _Session:
    process: subprocess.Popen[bytes]
    stamp: Stamp
    began: float
    used: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_closed: bool = False

    def ask(self, stdin: bytes, lines: int, seconds: float) -> Sequence[bytes]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.used = time.monotonic()
        try:
            self.process.stdin.write(stdin)
        except OSError as error:
            raise SessionFailed from error
        handle, output = self.process.stdout.fileno(), b""
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        while output.count(b"\n") < lines:
            if not poller.poll(seconds * 1000):
                raise SessionFailed
            piece = os.read(handle, _PIECE_BYTES)
            if not piece:
                raise SessionFailed
            output += piece
        answers = output.split(b"\n")
        if len(answers) != lines + 1 or answers[-1]:
            raise SessionFailed
        return answers[:-1]

    def close(self) -> None:
        self.is_closed = True
        with suppress(OSError):
            self.process.terminate()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Sessions:
    """The open git sessions of this process. Any thread may call.

    A background thread closes unused sessions, and ends when no session is open.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._open: dict[tuple[str, ...], _Session] = {}
        self._closer: threading.Thread | None = None

    def ask(
        self,
        part: SharedPart,
        command: Sequence[str],
        env: Callable[[], Mapping[str, str]],
        stdin: bytes,
        lines: int,
        seconds: float = ANSWER_SECONDS,
    ) -> Sequence[bytes]:
        """Send ``stdin`` to a session that runs ``command``. Return the answer's lines.

        ``part``: the repository. ``env``: returns the variables of a new session. ``lines``:
        expected number of lines. ``seconds``: timeout of each wait for output. Raise SessionFailed
        if the session gives no usable answer.
        """
        stamp = part.stamp()
        if stamp is None or len(stdin) > MOST_BYTES:
            raise SessionFailed
        key = (part.common, *command)
        while True:
            session = self._session(key, stamp, command, env)
            with session.lock:
                if session.is_closed:
                    # Another thread has closed this session. Get its replacement.
                    continue
                try:
                    return session.ask(stdin, lines, seconds)
                except SessionFailed:
                    session.close()
            with self._guard:
                if self._open.get(key) is session:
                    del self._open[key]
            raise SessionFailed

    def _session(
        self,
        key: tuple[str, ...],
        stamp: Stamp,
        command: Sequence[str],
        env: Callable[[], Mapping[str, str]],
    ) -> _Session:
        with self._guard:
            session = self._open.get(key)
            if session is not None:
                is_current = session.stamp == stamp and not session.is_closed
                if is_current and time.monotonic() < session.began + AGE_SECONDS:
                    session.used = time.monotonic()
                    return session
                self._retire(key, session)
            try:
                process = subprocess.Popen(
                    command,
                    bufsize=0,
                    # If the working directory were in the repository, the process would look like a
                    # git command of the user.
                    cwd="/",
                    env=env(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                raise SessionFailed from error
            now = time.monotonic()
            self._open[key] = new_session = _Session(process, stamp, now, now)
            if self._closer is None:
                self._closer = threading.Thread(
                    target=self._close_unused, name="git-sessions", daemon=True
                )
                # If no thread is available, the session stays open until the next session is
                # opened.
                with suppress(RuntimeError):
                    self._closer.start()
                if not self._closer.is_alive():
                    self._closer = None
            return new_session

    def _retire(self, key: tuple[str, ...], session: _Session) -> None:
        del self._open[key]
        with session.lock:
            if not session.is_closed:
                session.close()

    def _close_unused(self) -> None:
        while True:
            with self._guard:
                idle_since = time.monotonic() - IDLE_SECONDS
                for key, each in list(self._open.items()):
                    # A session that is in use is checked again later.
                    if each.used < idle_since and each.lock.acquire(blocking=False):
                        del self._open[key]
                        if not each.is_closed:
                            each.close()
                        each.lock.release()
                if not self._open:
                    self._closer = None
                    return
            time.sleep(IDLE_SECONDS / 2)

    def close(self) -> None:
        """Close all sessions. Idempotent."""
        with self._guard:
            for key, each in list(self._open.items()):
                self._retire(key, each)

    def forget(self) -> None:
        # This process was forked, and the sessions belong to its parent process.
        self.__init__()  # type: ignore[misc]


SESSIONS = Sessions()
atexit.register(SESSIONS.close)
os.register_at_fork(after_in_child=SESSIONS.forget)
