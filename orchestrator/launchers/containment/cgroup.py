"""Control groups (version 2): one group per worker. One write kills all processes of a group."""

import errno
import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import worker_limits
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import SpawnFailed, start_worker
from orchestrator.system import process_table

#: Period of the ``cpu`` limit, in microseconds.
_PERIOD = 100_000
_PREFIX = "orchestrator-worker-"


class ControlGroups(Subreaper):
    """Containment by a subreaper and by a control group for each worker.

    If this process is killed, the group still contains all processes of the worker. A group can
    also enforce limits.
    """

    mode = "cgroup"

    def __init__(self, settings: Message) -> None:
        super().__init__()
        self._base = settings["cgroup"]
        self._limits: Message = settings["limits"]
        self._controllers = settings["controllers"]
        self._set_kernel_limits = worker_limits.kernel_limit_setter(self._limits)
        self._directory = ""

    def _start(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str], source: int, output: int
    ) -> int:
        self._directory = self.traces["cgroup"] = _directory(self._base, env[process_table.MARKER])
        try:
            os.makedirs(self._directory, exist_ok=True)
            self._set_limits()
            return start_worker(argv, cwd, env, source, output, self._join_group)
        except OSError as error:
            remove(self._directory)
            raise SpawnFailed(f"cannot create the worker's control group: {error}") from None
        except SpawnFailed:
            remove(self._directory)
            raise

    def _join_group(self) -> None:
        _write(f"{self._directory}/cgroup.procs", "0")
        if self._set_kernel_limits is not None:
            self._set_kernel_limits()

    def _set_limits(self) -> None:
        for name, content in control_files(self._limits, self._controllers).items():
            _write(f"{self._directory}/{name}", content)
        if "memory" in self._controllers:
            with suppress(OSError):  # Without swap the file does not exist.
                _write(f"{self._directory}/memory.swap.max", "0")

    def kill(self, spare: Collection[int] = ()) -> None:
        kill(self._directory)
        super().kill(spare)

    def close(self) -> str:
        hit = limit_hit(self._directory, self._limits)
        remove(self._directory)
        self._directory = ""
        return hit


def control_files(limits: Message, controllers: Sequence[str]) -> dict[str, str]:
    """Return the control files to write for a worker's group: each file name with its content.

    ``limits``: the limits of the worker. A limit without its controller is omitted.
    """
    files = {}
    if limits.get("cpu") is not None and "cpu" in controllers:
        files["cpu.max"] = f"{max(1000, int(limits['cpu'] * _PERIOD))} {_PERIOD}"
    if limits.get("memory") is not None and "memory" in controllers:
        files["memory.max"] = str(limits["memory"])
        # Kill all processes of the group together. A worker that loses only one process may
        # continue without noticing the loss.
        files["memory.oom.group"] = "1"
    if limits.get("processes") is not None and "pids" in controllers:
        files["pids.max"] = str(limits["processes"])
    return files


def find_group(content: bytes, attempt_id: str) -> str:
    """Return the directory of an attempt's control group, from the attempt's ``.run`` file.

    ``content``: the content of the file. Return "" if the file contains no group, or the group of
    another attempt.
    """
    match = re.search(rb'"cgroup": "([^"\\]+)"', content)
    directory = match[1].decode("ascii", "replace") if match else ""
    is_own = directory == _directory(os.path.dirname(directory), attempt_id)
    return directory if is_own and directory.startswith("/sys/fs/cgroup/") else ""


def kill(directory: str) -> None:
    """Kill all processes in a group and its subgroups. Does nothing if there is no such group."""
    if directory:
        with suppress(OSError):
            _write(f"{directory}/cgroup.kill", "1")


def members(directory: str) -> list[int]:
    """Return the PIDs of the processes in a group. Its subgroups are not included."""
    return [int(pid) for pid in read(f"{directory}/cgroup.procs").split()]


def remove(directory: str) -> None:
    """Remove an empty group, and the subgroups that its worker created. Idempotent."""
    if not directory:
        return
    for path, _, _ in os.walk(directory, topdown=False):
        with suppress(OSError):
            os.rmdir(path)


def read(path: str) -> str:
    """Return the content of a file; "" if it cannot be read."""
    try:
        # The file may be the list of this machine's mounts, whose names may have any encoding.
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def limit_hit(directory: str, limits: Message) -> str:
    """Return the limit that the worker reached, as text; "" if the worker reached no limit.

    ``limits``: the limits of the worker. If the group reaches its own memory limit, the kernel
    increases the counter ``oom``. If the whole machine runs out of memory, the kernel increases
    only ``oom_kill`` (https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.events). Therefore
    only ``oom`` is checked.
    """
    if limits.get("memory") and _count(f"{directory}/memory.events", "oom"):
        return worker_limits.memory_message(limits["memory"])
    if limits.get("processes") and _count(f"{directory}/pids.events", "max"):
        return worker_limits.processes_message(limits["processes"])
    return ""


def _count(path: str, name: str) -> int:
    match = re.search(rf"^{name} (\d+)$", read(path), re.MULTILINE)
    return int(match[1]) if match else 0


def _directory(base: str, attempt_id: str) -> str:
    return f"{base}/{_PREFIX}{attempt_id.replace('/', '.')}"


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, content.encode("ascii"))
    finally:
        os.close(descriptor)


def enable(base: str, controllers: Sequence[str]) -> tuple[str, ...]:
    """Enable controllers for the groups below ``base``.

    Return the names in ``controllers`` that are enabled afterwards.

    The kernel enables no controller while ``base`` itself contains a process. In that case, this
    function moves the calling process and its children from ``base`` to a subgroup, and retries.
    """
    for controller in controllers:
        try:
            _delegate(base, controller)
        except OSError as error:
            if error.errno != errno.EBUSY:
                continue
            with suppress(OSError):
                directory = f"{base}/{SERVER_GROUP}"
                os.makedirs(directory, exist_ok=True)
                for pid in (os.getpid(), *process_table.children(os.getpid())):
                    _write(f"{directory}/cgroup.procs", str(pid))
                _delegate(base, controller)
    enabled = read(f"{base}/cgroup.subtree_control").split()
    return tuple(name for name in controllers if name in enabled)


def _delegate(base: str, controller: str) -> None:
    _write(f"{base}/cgroup.subtree_control", f"+{controller}")


SERVER_GROUP = "orchestrator-server"


def controllers_for(limits: Any) -> list[str]:
    values = (("cpu", limits.cpu), ("memory", limits.memory), ("pids", limits.processes))
    return [name for name, value in values if value is not None]
