"""Starts a worker's own process."""

import errno
import os
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.outcome.resource_exhaustion import NO_ROOM, STARTS_LATER
from orchestrator.launchers.process import direct_command

#: Python ignores some signals, and nohup ignores SIGHUP: a worker must start with none ignored.
_ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
#: The C library reserves these two signals.
_DEFAULTED = [number for number in _ALL_SIGNALS if number not in (32, 33)]
_LONGEST_REASON = 1000
_NO_PATH = "/usr/local/bin:/usr/bin:/bin"

#: Added to a worker's OOM score (of 1,000), so that the kernel kills workers before the server.
OOM_SCORE_ADDED = 300
#: Maximum number of processes that a worker may have started before the score is set.
_MOST_STARTED = 64

Enter = Callable[[], None]


#: Errors of a program that does not exist, or that an update is replacing.
PROGRAM_ERRNOS = (errno.ENOENT, errno.EACCES, errno.ETXTBSY)
#: Errors after which a later start may succeed.
_SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class SpawnFailed(Exception):
    """The program could not be started; the message has its name and the cause."""

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
    enter: Enter | None = None,
) -> int:
    """Start a program as the leader of a new session; return its PID. Raise SpawnFailed.

    ``source`` and ``output``: descriptors. The new process calls ``enter`` just before the exec,
    to join a group or to set limits.

    Without ``enter``, posix_spawn (vfork inside) is used, which takes 0.4 of the time of fork and
    exec. It cannot set a working directory. So this process changes its own directory and back;
    this is safe because it has one thread and does not use its own directory.
    """
    try:
        os.chdir(cwd)
        path = env.get("PATH", _NO_PATH)
        program, pid = _find(argv[0], path), 0
        words = direct_command.words(argv, env) if direct_command.is_bash(program) else ()
        if words:
            pid = _directly(words, path, env, source, output, enter)
        # Bash reports a program that cannot be started, and runs a text file as a script.
        pid = pid or _begin(program, argv, env, source, output, enter)
        offer_to_oom_killer(pid)
        return pid
    except NotADirectoryError:
        raise SpawnFailed(f"cannot start {argv[0]!r} in {cwd}: not a directory") from None
    except FileNotFoundError:
        raise SpawnFailed(f"cannot start {argv[0]!r} in {cwd}: no such directory") from None
    except OSError as error:
        raise SpawnFailed(f"cannot start {argv[0]!r} in {cwd}: {error.strerror}") from error
    finally:
        os.chdir("/")


def _directly(
    words: Sequence[str],
    path: str,
    env: Mapping[str, str],
    source: int,
    output: int,
    enter: Enter | None,
) -> int:
    """Start a program without its shell. Return 0 if that is impossible."""
    try:
        program = _find(words[0], path)
        around = direct_command.surroundings(env, program)
        return _begin(program, words, around, source, output, enter)
    except SpawnFailed as error:
        if error.number in _SHORTAGES:
            raise
        return 0


def _begin(
    program: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    source: int,
    output: int,
    enter: Enter | None,
) -> int:
    if enter is None:
        return _spawn(program, argv, env, source, output)
    return _fork(program, argv, env, source, output, enter)


def offer_to_oom_killer(pid: int) -> None:
    """Raise a process's OOM score from outside, because a process that is not dumpable cannot
    write its own.
    """
    score = _oom_score_of_workers(os.getpid())
    if not score:
        return
    processes = [str(pid)]
    for each in processes:
        with suppress(OSError):
            descriptor = os.open(f"/proc/{each}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, score)
            finally:
                os.close(descriptor)
            # Children that the worker has started since: on a busy machine a shell already runs
            # its first command. Later processes inherit the score.
            with open(f"/proc/{each}/task/{each}/children", "rb") as children:
                processes += children.read().decode().split()[: _MOST_STARTED - len(processes)]


@cache
def _oom_score_of_workers(pid: int) -> bytes:
    """Return the OOM score for workers; "" if /proc belongs to another namespace with
    other PIDs.
    """
    with suppress(OSError, ValueError):
        if os.readlink("/proc/self") == str(pid):
            with open("/proc/self/oom_score_adj", "rb") as own:
                return b"%d" % min(1000, int(own.read()) + OOM_SCORE_ADDED)
    return b""


def make_directory(path: str) -> None:
    """Create a directory for its owner alone; an existing one is unchanged. Raise OSError."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def open_input(path: str | None) -> int:
    """Open a worker's input; /dev/null if there is none. Raise SpawnFailed."""
    try:
        descriptor = os.open(path or os.devnull, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SpawnFailed(f"cannot read the input {path}: {error.strerror}") from None
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        # Another worker has put a pipe there; without a writer, reading it would never end.
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
            setsigdef=_ignored(),
        )
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", 0) or 0
        raise SpawnFailed(f"cannot start {program!r}: {_why(error)}", number) from error


def _fork(
    program: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    source: int,
    output: int,
    enter: Enter,
) -> int:
    told, telling = os.pipe2(os.O_CLOEXEC)
    pid = fork_quietly()
    if pid == 0:
        try:
            os.setsid()
            for standard, given in enumerate((source, output, output)):
                os.dup2(given, standard)
            enter()
            os.execve(program, list(argv), env)
        except (OSError, ValueError) as error:
            told_why = f"{getattr(error, 'errno', 0) or 0} {_why(error)}"
            os.write(telling, told_why.encode()[:_LONGEST_REASON])
        finally:
            os._exit(127)
    os.close(telling)
    # Without content once the program has started: the exec closes the pipe's other end.
    reason = os.read(told, _LONGEST_REASON)
    os.close(told)
    if reason:
        os.waitpid(pid, 0)
        number, _, why = reason.decode().partition(" ")
        raise SpawnFailed(f"cannot start {program!r}: {why}", int(number))
    return pid


@cache
def _ignored() -> tuple[int, ...]:
    """Return signals that this process always ignores; exec itself resets handled signals.

    Each signal passed to posix_spawn costs a system call.
    """
    return tuple(each for each in _DEFAULTED if signal.getsignal(each) is signal.SIG_IGN)


def fork_quietly() -> int:
    """Fork. The child has no signal handlers, so that signals to it are not handled as signals to
    this process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for number in _DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL_SIGNALS)
    return pid


def _find(name: str, path: str) -> str:
    """Return the path of a program by its name and the search path. Raise SpawnFailed.

    Relative directories are relative to the working directory.
    """
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


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if error.errno == errno.E2BIG:
        return "its arguments and environment exceed the limit of the system"
    if error.errno == errno.ENOENT:
        return "no such file, or its interpreter is missing"
    return os.strerror(error.errno or 0)


def never_started(error: SpawnFailed | OSError) -> tuple[str, ExitCause, str]:
    """Return ``ended_by``, cause, and error of an attempt that could not be started.

    A shortage of resources is not the worker's fault.
    """
    cause = error.__cause__ or error
    if isinstance(cause, OSError) and cause.errno in STARTS_LATER:
        return "lost", ExitCause.NO_ROOM, f"{NO_ROOM}: {error}"
    told = error.cause if isinstance(error, SpawnFailed) else ExitCause.NONE
    return "spawn_failed", told, str(error)
