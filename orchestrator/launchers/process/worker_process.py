"""Starts a worker's main process. A command that needs no shell is started without bash."""

import errno
import os
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.outcome.shortage_errors import NO_ROOM, STARTS_LATER
from orchestrator.launchers.process.shell_command import bash_environment, direct_words, is_bash

#: All signals are reset in a worker, because Python ignores some signals, and nohup ignores SIGHUP.
_ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
#: Signals that posix_spawn resets: all except 32 and 33, which the C library reserves. A shorter
#: list would be slower, because glibc makes an additional system call for each unlisted signal.
_DEFAULTED = [number for number in _ALL_SIGNALS if number not in (32, 33)]
_LONGEST_REASON = 1000
_NO_PATH = "/usr/local/bin:/usr/bin:/bin"

#: Number that is added to a worker's OOM score (at most 1,000), so that the kernel kills workers
#: before the server.
OOM_SCORE_ADDED = 300
_SCORE = "/proc/self/oom_score_adj"
#: Maximum number of a worker's processes whose OOM score is set.
_MOST_STARTED = 64

#: Function that the new process calls just before its exec, to join a group or to set limits.
PreExec = Callable[[], None]


#: Errors if a program does not exist, is not executable, or is being replaced by an update.
PROGRAM_ERRNOS = (errno.ENOENT, errno.EACCES, errno.ETXTBSY)
#: Errors after which a later start may succeed.
_SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class SpawnFailed(Exception):
    """The program could not be started. The message has the program's name and the cause."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number
        self.cause = ExitCause.PROGRAM if number in PROGRAM_ERRNOS else ExitCause.NONE


def start_worker(
    argv: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    source: int,
    output: int,
    preexec: PreExec | None = None,
) -> int:
    """Start a program as the leader of a new session, and return its PID.

    Raise SpawnFailed if the program cannot be started. ``source`` is the descriptor of the standard
    input, and ``output`` is the descriptor of the standard output and error. This process must have
    only one thread: the start changes the directory of this process for a moment, which would
    affect other threads.
    """
    # Without ``preexec``, posix_spawn is used, which takes 40 % of the time of fork and exec.
    # posix_spawn cannot set a working directory. Therefore this process changes its own directory
    # for the start.
    score = _own_score(os.getpid())
    try:
        os.chdir(cwd)
        if score is not None:
            score.raise_for_child()
        path = env.get("PATH", _NO_PATH)
        program, pid = _find_program(argv[0], path), 0
        words = direct_words(argv, env) if is_bash(program) else ()
        if words:
            pid = _start_directly(words, path, env, source, output, preexec)
        # If the direct start failed, let bash run the command: bash reports a missing program, and
        # runs a text file as a script.
        pid = pid or _spawn_or_fork(program, argv, env, source, output, preexec)
        if score is None:
            offer_to_oom_killer(pid)
        return pid
    except NotADirectoryError:
        raise SpawnFailed(f"cannot start {argv[0]!r} in {cwd}: not a directory") from None
    except FileNotFoundError:
        raise SpawnFailed(f"cannot start {argv[0]!r} in {cwd}: no such directory") from None
    except OSError as error:
        raise SpawnFailed(f"cannot start {argv[0]!r} in {cwd}: {error.strerror}") from error
    finally:
        if score is not None:
            score.restore()
        os.chdir("/")


def _start_directly(
    words: Sequence[str],
    path: str,
    env: Mapping[str, str],
    source: int,
    output: int,
    preexec: PreExec | None,
) -> int:
    """Start the program of a shell command without the shell.

    Return the program's PID; 0 if bash must run the command. ``words``: the words of the command.
    ``path``: the search path for programs.
    """
    try:
        program = _find_program(words[0], path)
        environment = bash_environment(env, program)
        return _spawn_or_fork(program, words, environment, source, output, preexec)
    except SpawnFailed as error:
        if error.number in _SHORTAGES:
            raise
        return 0


def _spawn_or_fork(
    program: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    source: int,
    output: int,
    preexec: PreExec | None,
) -> int:
    if preexec is None:
        return _spawn(program, argv, env, source, output)
    return _fork(program, argv, env, source, output, preexec)


class _OwnScore:
    """The OOM score of this process, which a new process inherits.

    During a start, this process raises its own score, so that the new process inherits the raised
    score. ``offer_to_oom_killer``, which writes the new process's score, would take five times as
    long: the kernel must first create the new process's files in /proc.
    """

    def __init__(self, descriptor: int, own: bytes, raised: bytes) -> None:
        self._descriptor, self._own, self._raised = descriptor, own, raised

    def raise_for_child(self) -> None:
        os.pwrite(self._descriptor, self._raised, 0)

    def restore(self) -> None:
        os.pwrite(self._descriptor, self._own, 0)


@cache
def _own_score(pid: int) -> _OwnScore | None:
    """Return the OOM score of this process; None if this process cannot change its score.

    A process with hidden memory, such as a shim, can change its own score only as root.
    """
    raised = _oom_score_of_workers(pid)
    with suppress(OSError):
        if raised:
            with open(_SCORE, "rb") as file:
                own = file.read().strip()
            score = _OwnScore(os.open(_SCORE, os.O_WRONLY | os.O_CLOEXEC), own, raised)
            # Test now whether this process may also lower its score again: without a capability,
            # the kernel may allow a process only to raise its score.
            score.raise_for_child()
            score.restore()
            return score
    return None


def offer_to_oom_killer(pid: int) -> None:
    """Raise the OOM score of another process and its children."""
    score = _oom_score_of_workers(os.getpid())
    if not score:
        return
    processes = [str(pid)]
    for process in processes:
        with suppress(OSError):
            descriptor = os.open(f"/proc/{process}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, score)
            finally:
                os.close(descriptor)
            # Include processes that the worker has already started: on a busy machine, a shell may
            # already run its first command. Later processes inherit the score.
            processes += _children(process)[: _MOST_STARTED - len(processes)]


def _children(pid: str) -> list[str]:
    """Return the PIDs of a process's children, at most about 500. Raise OSError."""
    descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode().split()
    finally:
        os.close(descriptor)


@cache
def _oom_score_of_workers(pid: int) -> bytes:
    """Return the OOM score for the workers that this process starts.

    ``pid``: the PID of this process. Return b"" if /proc belongs to another PID namespace.
    """
    with suppress(OSError, ValueError):
        if os.readlink("/proc/self") == str(pid):
            with open(_SCORE, "rb") as file:
                return b"%d" % min(1000, int(file.read()) + OOM_SCORE_ADDED)
    return b""


def make_directory(path: str) -> None:
    """Create a directory that only its owner may use. Raise OSError. Idempotent."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def open_input(path: str | None) -> int:
    """Open a worker's standard input, and return its descriptor. Raise SpawnFailed.

    ``path``: the file with the input; None: /dev/null.
    """
    try:
        if path is None:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SpawnFailed(f"cannot read the input {path}: {error.strerror}") from None
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        # Another worker has put a FIFO there. Reading it would block forever if no process writes
        # to it.
        os.close(descriptor)
        raise SpawnFailed(f"cannot read the input: {path} is a FIFO")
    os.set_blocking(descriptor, True)
    return descriptor


def _spawn(
    program: str, argv: Sequence[str], env: Mapping[str, str], source: int, output: int
) -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, source, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    try:
        return os.posix_spawn(
            program,
            list(argv),
            env,
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=_DEFAULTED,
        )
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", 0) or 0
        raise SpawnFailed(f"cannot start {program!r}: {_reason(error)}", number) from error


def _fork(
    program: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    source: int,
    output: int,
    preexec: PreExec,
) -> int:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = fork_quietly()
    if pid == 0:
        try:
            os.setsid()
            for standard, descriptor in enumerate((source, output, output)):
                os.dup2(descriptor, standard)
            preexec()
            os.execve(program, list(argv), env)
        except (OSError, ValueError) as error:
            failure = f"{getattr(error, 'errno', 0) or 0} {_reason(error)}"
            os.write(writing, failure.encode()[:_LONGEST_REASON])
        finally:
            os._exit(127)
    os.close(writing)
    # The reason is empty if the program has started, because the exec closes the other end of the
    # pipe.
    reason = os.read(reading, _LONGEST_REASON)
    os.close(reading)
    if reason:
        os.waitpid(pid, 0)
        number, _, cause = reason.decode().partition(" ")
        raise SpawnFailed(f"cannot start {program!r}: {cause}", int(number))
    return pid


def fork_quietly() -> int:
    """Fork, as ``os.fork`` does. In the child, signals have their default handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for number in _DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL_SIGNALS)
    return pid


def _find_program(name: str, path: str) -> str:
    if "/" in name:
        return name
    candidates = [os.path.join(directory or ".", name) for directory in path.split(":")]
    existing = [each for each in candidates if os.path.isfile(each)]
    for candidate in existing:
        if os.access(candidate, os.X_OK):
            return candidate
    if existing:
        raise SpawnFailed(f"cannot start {name!r}: {existing[0]} is not executable", errno.EACCES)
    raise SpawnFailed(f"cannot start {name!r}: command not found in PATH={path}", errno.ENOENT)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if error.errno == errno.E2BIG:
        return "the arguments and the environment exceed the limit of the system"
    if error.errno == errno.ENOENT:
        return "the file does not exist, or its interpreter is missing"
    return os.strerror(error.errno or 0)


def start_failure(error: SpawnFailed | OSError) -> tuple[str, ExitCause, str]:
    """Return ``ended_by``, ``cause``, and ``error`` of an attempt that could not be started.

    ``ended_by`` is "lost" after a shortage of resources, because "lost" does not count as the
    worker's failure. Otherwise, ``ended_by`` is "spawn_failed".
    """
    cause = error.__cause__ or error
    if isinstance(cause, OSError) and cause.errno in STARTS_LATER:
        return "lost", ExitCause.NO_ROOM, f"{NO_ROOM}: {error}"
    exit_cause = error.cause if isinstance(error, SpawnFailed) else ExitCause.NONE
    return "spawn_failed", exit_cause, str(error)
