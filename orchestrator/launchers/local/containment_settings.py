"""Requested and effective settings: containment, limits and the sandbox. Server's side."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from orchestrator.core.command_name import COMMAND

_WATCHED = "is checked ten times a second: a worker may exceed it briefly before it is killed"


class Mode(StrEnum):
    """The containment of a worker's processes. Same values as ``config``'s Containment."""

    #: the strongest mode that works here
    AUTO = "auto"
    #: the worker's own shim adopts orphaned processes
    SUBREAPER = "subreaper"
    #: an own control group
    CGROUP = "cgroup"
    #: an own PID namespace
    PIDNS = "pidns"
    #: bubblewrap: a PID namespace, and a read-only host
    SANDBOX = "sandbox"
    #: process group and marker; a daemon can escape
    BASIC = "basic"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLimits:
    """Limits of one worker with all processes that it starts; None is no limit."""

    #: Number of processors: 0.5 is half of one.
    cpu: float | None = None
    #: Bytes.
    memory: int | None = None
    #: Number of processes and threads.
    processes: int | None = None
    #: Bytes of each file.
    file_size: int | None = None
    #: Number of each process.
    open_files: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """The parts of the host that a worker in a sandbox sees. Paths are absolute."""

    network: bool = True
    hide: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    #: Paths below the host's /tmp that stay visible, although /tmp is covered; ``hide`` has
    #: priority.
    visible: tuple[str, ...] = ()
    #: Paths that must stay readable: this package, the interpreter.
    needed: tuple[str, ...] = ()
    #: Path of bubblewrap, which ``probing`` finds.
    program: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainmentPlan:
    """``mode`` is the requested mode; after ``probing``, the effective one."""

    mode: Mode = Mode.AUTO
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    #: True if limits that are not enforced exactly are rejected.
    strict: bool = False
    sandbox: Sandbox = field(default_factory=Sandbox)
    #: Parent directory of the workers' control groups; only with ``cgroup``.
    cgroup: str = ""
    #: Resources that the children of this directory can limit: "cpu", "memory", "pids".
    controllers: tuple[str, ...] = ()

    def for_shims(self) -> str:
        """Return the plan as text for the spawner."""
        return json.dumps(asdict(self))

    def exact_limits(self) -> list[str]:
        """Return the requested limits that the effective mode enforces exactly."""
        controllers = {"cpu": "cpu", "memory": "memory", "processes": "pids"}
        held = (*self.controllers, "")
        asked = asdict(self.limits).items()
        return [name for name, limit in asked if limit and controllers.get(name, "") in held]

    def soft_spots(self) -> Iterator[str]:
        """Yield requested settings that the effective mode does not enforce, or not exactly."""
        if self.mode is Mode.BASIC:
            yield (
                "containment basic does not end a process that leaves its group and clears its "
                "environment, or that forks faster than the search runs"
            )
        yield from self.loose_limits().values()
        if self.mode is Mode.SANDBOX and not self.sandbox.network:
            yield "workers.sandbox.network is false: workers cannot start child jobs"

    def loose_limits(self) -> dict[str, str]:
        """Return the requested limits that are not enforced exactly, each with the reason."""
        limits, found = self.limits, {}
        if limits.cpu is not None and "cpu" not in self.controllers:
            found["cpu"] = f"workers.limits.cpu is not held by {self._holder('cpu')}"
        if limits.memory is not None and "memory" not in self.controllers:
            found["memory"] = f"workers.limits.memory {_WATCHED} ({self._holder('memory')})"
        if limits.processes is not None and "pids" not in self.controllers:
            found["processes"] = f"workers.limits.processes {_WATCHED} ({self._holder('pids')})"
        return found

    def notice(self) -> str:
        """Return the limits of ``loose_limits`` in one line; empty for none."""
        loose = self.loose_limits()
        names = [f"workers.limits.{name}{' (not at all)' * (name == 'cpu')}" for name in loose]
        text = f"not held exactly on this machine: {', '.join(names)}; see: {COMMAND} doctor"
        return text if names else ""

    def _holder(self, controller: str) -> str:
        if self.mode is Mode.CGROUP:
            return f"cgroup: the {controller} controller is not delegated here"
        return f"{self.mode}: only cgroup does that exactly"
