"""Processes, as /proc shows them.

A process is identified by its PID and its start time in ticks. A zombie is treated as dead. All
processes of an attempt have the attempt's *marker*, an environment variable with its id.
"""

import os
import time
from collections.abc import Iterator
from functools import cache

#: The variable that marks every process of an attempt.
MARKER = "ORCHESTRATOR_WORKER"
COMMAND_LIMIT = 200
_ZOMBIES = "ZX"
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Positions of fields in /proc/<pid>/stat, counted from the field "state".
_VSIZE, _ENV_END = 20, 48
#: Maximum seconds to wait for a process in the middle of an exec.
_EXEC_SECONDS = 1.0


class Process:
    __slots__ = ("command", "group", "parent", "pid", "session", "state", "threads", "ticks")

    def __init__(self, pid: int, fields: list[bytes], command: str) -> None:
        """``fields``: the fields of /proc/<pid>/stat, beginning with the field "state"."""
        self.pid = pid
        self.state = fields[0].decode("ascii")
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.threads = int(fields[17])
        self.ticks = int(fields[19])
        #: The kernel's short name for the process.
        self.command = command

    @property
    def alive(self) -> bool:
        return self.state not in _ZOMBIES


def look_up(pid: int) -> Process | None:
    """Return the process with a PID, which may be a zombie; None if there is no such process."""
    content = read(f"/proc/{pid}/stat")
    if not content:
        return None
    # The name is in parentheses, and may itself contain any character, including parentheses.
    name_start, name_end = content.index(b"(") + 1, content.rindex(b")")
    fields = content[name_end + 2 :].split()
    name = content[name_start:name_end].decode("utf-8", "replace")
    return Process(pid, fields, name)


def is_stopped(pid: int) -> bool:
    """True if a signal has stopped the process, for example at Ctrl-Z, until it gets SIGCONT."""
    process = look_up(pid)
    return process is not None and process.state == "T"


def start_ticks(pid: int) -> int | None:
    """Return a process's start time, in clock ticks since boot; None if it is not alive."""
    process = look_up(pid)
    return process.ticks if process and process.alive else None


def start_time(process: Process) -> float | None:
    """Return the start time of a process (Unix time); None if unknown."""
    for line in read("/proc/stat").splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1]) + process.ticks / os.sysconf("SC_CLK_TCK")
    return None


def boot_id() -> str:
    """Return an id that changes with each start of the machine; "" if the system has none."""
    return read("/proc/sys/kernel/random/boot_id").decode("ascii").strip()


def pid_namespace() -> int:
    """Return the id of this process's PID namespace; 0 if unknown. Containers have other ids."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def command_line(pid: int) -> str:
    """Return the command line, cut to COMMAND_LIMIT bytes; empty if it is not readable."""
    words = read(f"/proc/{pid}/cmdline", COMMAND_LIMIT).rstrip(b"\0").replace(b"\0", b" ")
    return words.decode("utf-8", "replace")


def lock_holder(path: str) -> int | None:
    """Return the PID of the process that holds the flock of a file; None if no process is found."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in read("/proc/locks").decode("ascii", "replace").splitlines():
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and fields[5:6] == [device]:
            return int(fields[4])
    return None


def open_files(pid: int) -> list[str]:
    """Return a path for each file that a process has open; empty if this user may not list them.

    Each path is a link in /proc. Reading the target or the status of a link may raise OSError.
    """
    directory = f"/proc/{pid}/fd"
    try:
        return [f"{directory}/{name}" for name in os.listdir(directory)]
    except OSError:
        return []


def working_directory(pid: int) -> str:
    """Return the directory in which a process runs; empty if it is not readable."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def may_run_in(directory: str, name: bytes) -> bool:
    """True if a program may be running in a directory, or below it.

    ``directory``: a path without links. ``name``: the beginning of the program's name. Also True if
    another user runs such a program, because the working directory of its process is not readable.
    """
    for pid in all_pids():
        try:
            with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
                is_named = file.read().startswith(name)
            if is_named and f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{directory}/"):
                return True
        except PermissionError:
            return True
        except OSError:
            continue
    return False


def is_own_program(pid: int, name: str) -> bool:
    """True if a process of this user runs a program whose name begins with ``name``."""
    process = look_up(pid)
    if process is None or not process.command.startswith(name):
        return False
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has exited."""
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def children(pid: int) -> list[int]:
    """Return the PIDs of direct children, including zombies.

    A child that starts or exits during the call may be missing.
    """
    if not _has_children_files():
        processes = (look_up(each) for each in all_pids())
        return [
            process.pid for process in processes if process is not None and process.parent == pid
        ]
    files = (f"/proc/{pid}/task/{thread}/children" for thread in _thread_ids(pid))
    return [int(child) for file in files for child in read(file).split()]


def descendants(pid: int) -> Iterator[Process]:
    """Yield all living descendants of a process, parents first."""
    parents = [pid]
    while parents:
        parent = parents.pop()
        for child in children(parent):
            process = look_up(child)
            if process is not None and process.parent == parent:
                parents.append(child)
                if process.alive:
                    yield process


def marked(attempt_id: str) -> list[Process]:
    """Return the living processes that have an attempt's marker in their environment.

    Omits processes whose environment this user may not read.
    """
    processes = map(look_up, pids_with_marker(all_pids(), attempt_id))
    return [process for process in processes if process is not None and process.alive]


def marked_by_any() -> Iterator[tuple[Process, str]]:
    """Yield the living processes that have a marker, each with the id of its attempt.

    Omits processes whose environment this user may not read.
    """
    prefix = f"{MARKER}=".encode()
    for process in living_processes():
        for variable in (environment(process.pid) or b"").split(b"\0"):
            if variable.startswith(prefix):
                yield process, variable.removeprefix(prefix).decode("utf-8", "replace")
                break


def pids_with_marker(pids: list[int], attempt_id: str) -> list[int]:
    """Return the PIDs among ``pids`` whose readable environment has an attempt's marker.

    Waits for processes in the middle of an exec, because their environment is empty for a moment.
    """
    marker = f"{MARKER}={attempt_id}".encode()
    deadline = time.monotonic() + _EXEC_SECONDS
    marked_pids: list[int] = []
    while pids and time.monotonic() < deadline:
        environments = {pid: environment(pid) for pid in pids}
        marked_pids += [
            pid for pid, text in environments.items() if text and marker in text.split(b"\0")
        ]
        pids = _in_exec([pid for pid, text in environments.items() if text == b""])
    return marked_pids


def environment(pid: int) -> bytes | None:
    """Return a process's environment variables as bytes; None if they are not readable.

    A zero byte follows each variable.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None


def _in_exec(pids: list[int]) -> list[int]:
    """Return the PIDs among ``pids`` whose process may be in the middle of an exec.

    ``pids``: processes with an empty environment.
    """
    before = {pid: _environment_addresses(pid) for pid in pids}
    uncertain_pids = [pid for pid, (begin, end) in before.items() if end >= 0]
    if not uncertain_pids:
        return []
    # During an exec, the start and end addresses of the environment are first 0, then equal, until
    # the environment is written. If they are equal after a pause, the environment is really empty.
    time.sleep(0.0005)
    after = {pid: _environment_addresses(pid) for pid in uncertain_pids}
    return [pid for pid, (begin, end) in after.items() if begin != end or end == 0]


def _environment_addresses(pid: int) -> tuple[int, int]:
    """Return the environment's start and end address; (-1, -1) if the process has no memory."""
    content = read(f"/proc/{pid}/stat")
    fields = content[content.rfind(b")") + 2 :].split()
    if len(fields) <= _ENV_END or fields[0].decode("ascii") in _ZOMBIES or fields[_VSIZE] == b"0":
        return -1, -1
    return int(fields[_ENV_END - 1]), int(fields[_ENV_END])


def living_processes() -> Iterator[Process]:
    """Yield every living process of this machine. Without /proc, yield nothing."""
    for pid in all_pids():
        process = look_up(pid)
        if process is not None and process.alive:
            yield process


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


@cache
def has_proc() -> bool:
    return os.path.exists("/proc/self/stat")


@cache
def _has_children_files() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def all_pids() -> list[int]:
    """Return the PIDs of all visible processes; empty without /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return []  # not Linux


def _thread_ids(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def read(path: str, limit: int = -1) -> bytes:
    """Return the content of a file in /proc; empty if it is not readable."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(limit) or b""
    except OSError:
        return b""
