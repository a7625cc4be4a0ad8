"""The settings of the workers' containment, as frozen values: mode, limits, and sandbox."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, field
from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND

_WATCHED = (
    "is checked ten times a second: a worker may exceed the limit briefly, and is then killed"
)


#: The controller of control groups that enforces each limit.
_CONTROLLERS = {"cpu": "cpu", "memory": "memory", "processes": "pids"}


class Mode(StrEnum):
    """The containment mode of workers. ``Containment`` in ``config`` has the same values."""

    #: the strongest mode that works on this machine
    AUTO = "auto"
    #: the worker's own shim adopts orphaned processes
    SUBREAPER = "subreaper"
    #: a control group for each worker
    CGROUP = "cgroup"
    #: a PID namespace for each worker
    PIDNS = "pidns"
    #: bubblewrap: a PID namespace, and a read-only host
    SANDBOX = "sandbox"
    #: process group and marker; a daemon can escape
    BASIC = "basic"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLimits:
    """Limits of one worker, including all processes that it starts; None: no limit."""

    #: Number of processors, such as 0.5.
    cpu: float | None = None
    #: Memory in bytes.
    memory: int | None = None
    #: Number of processes and threads of the worker.
    processes: int | None = None
    #: Size of each file, in bytes.
    file_size: int | None = None
    #: Number of open files of each process.
    open_files: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """The parts of the host that a worker in a sandbox sees. Paths are absolute."""

    network: bool = True
    hide: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    #: Paths below the host's /tmp that stay visible, although /tmp is covered. ``hide`` overrides
    #: this list.
    visible: tuple[str, ...] = ()
    #: Paths that must stay readable: the product's package and the Python interpreter.
    needed: tuple[str, ...] = ()
    #: Path of the program ``bwrap``; set by ``select_containment``.
    program: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainmentSettings:
    """The settings of the workers' containment: mode, limits, and sandbox.

    In requested settings, ``mode`` may be AUTO. ``select_containment`` returns the effective
    settings, in which ``mode`` is a mode that works on this machine.
    """

    mode: Mode = Mode.AUTO
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    #: True to reject limits that are not enforced exactly.
    strict: bool = False
    sandbox: Sandbox = field(default_factory=Sandbox)
    #: Parent directory of the workers' control groups; only with the mode ``cgroup``.
    cgroup: str = ""
    #: Resources that the control groups below ``cgroup`` can limit: "cpu", "memory", "pids".
    controllers: tuple[str, ...] = ()

    def for_shims(self) -> str:
        return json.dumps(asdict(self))

    def exact_limits(self) -> list[str]:
        enforced = (*self.controllers, "")
        limits = asdict(self.limits).items()
        return [name for name, limit in limits if limit and _CONTROLLERS.get(name, "") in enforced]

    def weaknesses(self) -> Iterator[str]:
        """Yield a sentence for each requested setting that the mode does not enforce completely."""
        if self.mode is Mode.BASIC:
            yield (
                "containment basic misses processes that leave their group and clear their "
                "environment, and processes that fork faster than the search finds them"
            )
        yield from self.inexact_limits().values()
        if self.mode is Mode.SANDBOX and not self.sandbox.network:
            yield "workers.sandbox.network is false: workers cannot start child jobs"

    def inexact_limits(self) -> dict[str, str]:
        """Return the name of each limit that is not enforced exactly, with an explanation."""
        limits, explanations = self.limits, {}
        if limits.cpu is not None and "cpu" not in self.controllers:
            explanations["cpu"] = f"workers.limits.cpu is not enforced ({self._why_inexact('cpu')})"
        if limits.memory is not None and "memory" not in self.controllers:
            explanations["memory"] = (
                f"workers.limits.memory {_WATCHED} ({self._why_inexact('memory')})"
            )
        if limits.processes is not None and "pids" not in self.controllers:
            explanations["processes"] = (
                f"workers.limits.processes {_WATCHED} ({self._why_inexact('pids')})"
            )
        return explanations

    def notice(self) -> str:
        """Return a line with the limits that are not enforced exactly; "" if there are none."""
        inexact = self.inexact_limits()
        return f"{describe_inexact(inexact)}; see: {COMMAND} doctor" if inexact else ""

    def reasons(self) -> str:
        """Return why the limits are not enforced exactly; each reason once."""
        return ", ".join(
            dict.fromkeys(self._why_inexact(_CONTROLLERS[each]) for each in self.inexact_limits())
        )

    def _why_inexact(self, controller: str) -> str:
        if self.mode is Mode.CGROUP:
            return f"the {controller} controller is not delegated to the server's control group"
        return f"an exact limit needs workers.containment: cgroup, not {self.mode}"


def describe_inexact(names: Iterable[str]) -> str:
    settings = [f"workers.limits.{name}{' (not at all)' * (name == 'cpu')}" for name in names]
    return f"this machine does not enforce these limits exactly: {', '.join(settings)}"
