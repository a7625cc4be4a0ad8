"""Containment, limits, and the sandbox: the requested settings, and the choice of a mode.

A self-test shows whether a mode works on this machine.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, field, replace
from enum import StrEnum

from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.containment import cgroup
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.security.files.product_files import PACKAGES

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
    #: Path of bubblewrap, which ``choose`` finds.
    program: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainmentPlan:
    """The containment of all workers: mode, limits, and sandbox.

    ``mode`` is the requested mode. In a plan that ``choose`` returns, it is the effective mode.
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

    def soft_spots(self) -> Iterator[str]:
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
        return f"{_describe_inexact(inexact)}; see: {COMMAND} doctor" if inexact else ""

    def reasons(self) -> str:
        """Return why the limits are not enforced exactly; each reason once."""
        return ", ".join(
            dict.fromkeys(self._why_inexact(_CONTROLLERS[each]) for each in self.inexact_limits())
        )

    def _why_inexact(self, controller: str) -> str:
        if self.mode is Mode.CGROUP:
            return f"the {controller} controller is not delegated to the server's control group"
        return f"an exact limit needs workers.containment: cgroup, not {self.mode}"


#: How to fix a mode that does not work.
ADVICE: Mapping[Mode, str] = {
    Mode.SUBREAPER: "run on Linux and allow prctl(PR_SET_CHILD_SUBREAPER) in the seccomp profile",
    Mode.CGROUP: "start the server in a delegated control group: "
    f"systemd-run --user --scope -p Delegate=yes {COMMAND} serve",
    Mode.PIDNS: "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu "
    "kernel.apparmor_restrict_unprivileged_userns=0) and an unmasked /proc, or run as root",
    Mode.SANDBOX: "install bubblewrap (apt-get install bubblewrap) and allow user namespaces",
    Mode.BASIC: "check that this user may start processes",
}


def choose(requested: ContainmentPlan, spawner: SpawnerProcess | None = None) -> ContainmentPlan:
    """Return the plan to use: the requested plan, with a mode that works on this machine.

    ``spawner`` runs the self-tests of modes; None: start a process for the tests.

    Raise ContainmentUnavailable if the requested mode does not work, or if the plan is strict and a
    limit would not be enforced exactly.
    """
    if spawner is None:
        own_spawner = SpawnerProcess.start()
        try:
            return choose(requested, own_spawner)
        finally:
            own_spawner.close()
    plan = _strongest_plan(requested, spawner)
    if requested.strict and (inexact := plan.inexact_limits()):
        advice = ADVICE[Mode.CGROUP]
        if requested.mode not in (Mode.AUTO, Mode.CGROUP):
            advice = f"set workers.containment: auto, and {advice}"
        raise ContainmentUnavailable(
            f"workers.limits.strict is true, but {_describe_inexact(inexact)} ({plan.reasons()}); "
            f"{advice}; or set workers.limits.strict: false"
        )
    return plan


def _describe_inexact(names: Iterable[str]) -> str:
    settings = [f"workers.limits.{name}{' (not at all)' * (name == 'cpu')}" for name in names]
    return f"this machine does not enforce these limits exactly: {', '.join(settings)}"


def _strongest_plan(requested: ContainmentPlan, spawner: SpawnerProcess) -> ContainmentPlan:
    if requested.mode is not Mode.AUTO:
        return _prepared_and_tested(requested, spawner)
    faults = []
    for mode in _strongest_first():
        try:
            return _prepared_and_tested(replace(requested, mode=mode), spawner)
        except ContainmentUnavailable as error:
            faults.append(error.message)
    raise ContainmentUnavailable("\n".join(faults))


def _strongest_first() -> tuple[Mode, ...]:
    if sys.platform != "linux":
        return (Mode.BASIC,)
    return (Mode.CGROUP, Mode.SUBREAPER) if _is_delegated() else (Mode.SUBREAPER,)


def _prepared_and_tested(plan: ContainmentPlan, spawner: SpawnerProcess) -> ContainmentPlan:
    try:
        prepare = _PREPARE.get(plan.mode)
        prepared = prepare(plan) if prepare else plan
        fault = spawner.fault(prepared.for_shims())
    except OSError as error:
        raise _unavailable(plan.mode, str(error)) from error
    if fault:
        raise _unavailable(plan.mode, fault)
    return prepared


def _unavailable(mode: Mode, fault: str) -> ContainmentUnavailable:
    return ContainmentUnavailable(
        f"workers.containment: {mode} does not work here: {fault}; "
        f"{ADVICE[mode]}; or set workers.containment: auto"
    )


def _with_group(plan: ContainmentPlan) -> ContainmentPlan:
    base = _own_group()
    if not os.access(base, os.W_OK):
        raise OSError(f"{base} belongs to another user")
    controllers = cgroup.enable(base, cgroup.controllers_for(plan.limits))
    return replace(plan, cgroup=base, controllers=controllers)


def _own_group() -> str:
    mount = _mount_point()
    path = next(
        (line[3:] for line in cgroup.read("/proc/self/cgroup").splitlines() if line[:3] == "0::"),
        None,
    )
    if mount is None or path is None:
        raise OSError("control groups of version 2 are not mounted")
    directory = (mount + path).rstrip("/")
    if os.path.basename(directory) == cgroup.SERVER_GROUP:
        directory = os.path.dirname(directory)
    if not os.path.isdir(directory):
        raise OSError(f"this server's control group {path} is not below {mount}")
    return directory


def _mount_point() -> str | None:
    for line in cgroup.read("/proc/self/mounts").splitlines():
        _, directory, kind, *_ = line.split()
        if kind == "cgroup2":
            return directory
    return None


def _is_delegated() -> bool:
    # Root may write to every group, so write access shows a delegation only for other users.
    try:
        group = _own_group()
    except OSError:
        return False
    if group == _mount_point():
        return False
    return _is_marked(group) or (os.geteuid() != 0 and os.access(group, os.W_OK))


def _is_marked(group: str) -> bool:
    # systemd marks a delegated group by an extended attribute.
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(group, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _with_bubblewrap(plan: ContainmentPlan) -> ContainmentPlan:
    program = shutil.which("bwrap")
    if program is None:
        raise OSError("bwrap is not installed")
    product = (f"{PACKAGES}/orchestrator", f"{PACKAGES}/bin")
    needed = tuple(dict.fromkeys((*product, sys.prefix, sys.base_prefix)))
    return replace(plan, sandbox=replace(plan.sandbox, program=program, needed=needed))


_PREPARE: Mapping[Mode, Callable[[ContainmentPlan], ContainmentPlan]] = {
    Mode.CGROUP: _with_group,
    Mode.SANDBOX: _with_bubblewrap,
}
