"""Placement: the slots of a cluster's machines, and the choice of a worker's machine."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_settings import GitUse, JobConfig
from orchestrator.core.model.machines import (
    HERE,
    HERE_WORD,
    Machine,
    has_labels,
    hindrance,
    listed_labels,
    machine_of,
    name_of,
)
from orchestrator.core.ports.credentials import KNOWN_SECONDS
from orchestrator.core.text.command_name import COMMAND


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineRequirements:
    agent: str
    #: Memory that must be available for the worker, in bytes.
    memory_bytes: int = 0
    #: Preferred machines, best first: the machine of the worker's earlier attempt, then the
    #: machines of the worker's dependencies.
    near: Sequence[str] = ()
    #: Labels that the machine must have.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: The only machine on which the worker may start; None: any.
    machine: str | None = None
    #: True if the worker needs files of the server that are not copied to other machines.
    server_files: bool = False


def needs_server_files(worker: Worker, task: TaskSpec | None, config: JobConfig) -> bool:
    """True if a worker cannot run on a machine with its own file system.

    There are three cases:

    - The worker is a planner or reviewer, which reads the project.
    - The task works in the project's directory.
    - The worker's worktree has submodules. Such a worktree is not copied to other machines.
    """
    if worker.is_adviser or task is None:
        return worker.is_adviser
    if task.works_in_project:
        return True
    return config.has_submodules and _may_have_worktree(task, config.git)


def _may_have_worktree(task: TaskSpec, git: str) -> bool:
    is_off = GitUse.OFF in (git, task.git)
    return task.needs_worktree(git) or (task.command is None and not is_off)


@dataclass(frozen=True, slots=True)
class NoMachine:
    """Why no machine can start a worker now."""

    #: The reason as a sentence for people.
    reason: str
    #: True if no machine can start any worker.
    is_full: bool


def choose(
    machines: Sequence[Machine], running: Mapping[str, int], requirements: MachineRequirements
) -> str | NoMachine:
    """Return the name of the machine for a worker, or why no machine can start it.

    ``running``: number of workers that hold a slot, by machine. Suitable machines are compared by
    these criteria, in order: earliest in ``requirements.near``, largest share of free slots, most
    free slots, first in the list.
    """
    free_slots = {
        each.name: each.slots - running.get(each.name, 0)
        for each in machines
        if each.takes_workers and each.slots > running.get(each.name, 0)
    }
    if not free_slots:
        return NoMachine(_why_full(machines), is_full=True)
    suitable = [each for each in machines if each.name in free_slots and _suits(each, requirements)]
    if not suitable:
        return NoMachine(_why_unsuitable(machines, requirements), is_full=False)
    names = {each.name for each in suitable}
    for name in requirements.near:
        if name in names:
            return name
    best = max(
        suitable, key=lambda each: (free_slots[each.name] / each.slots, free_slots[each.name])
    )
    return best.name


def could_run(machine: Machine, worker: Worker, task: TaskSpec, config: JobConfig) -> bool:
    """True if an additional machine with the properties of ``machine`` could run the worker.

    Always False if the task names a machine, because the additional machine has another name.
    """
    files = needs_server_files(worker, task, config)
    requirements = MachineRequirements(agent=worker.agent, labels=task.requires, server_files=files)
    return (
        not task.node and _is_permitted(machine, requirements) and _has_agent(machine, requirements)
    )


def _suits(machine: Machine, requirements: MachineRequirements) -> bool:
    has_memory = machine.memory_bytes is None or machine.memory_bytes >= requirements.memory_bytes
    return has_memory and _is_permitted(machine, requirements) and _has_agent(machine, requirements)


def _is_permitted(machine: Machine, requirements: MachineRequirements) -> bool:
    return _is_named(machine, requirements) and (
        machine.shares_files or not requirements.server_files
    )


def _is_named(machine: Machine, requirements: MachineRequirements) -> bool:
    is_named = requirements.machine is None or machine.name == requirements.machine
    return is_named and has_labels(machine, requirements.labels)


def _has_agent(machine: Machine, requirements: MachineRequirements) -> bool:
    if requirements.agent in machine.lacks:
        return False
    return machine.agents is None or requirements.agent in machine.agents


def _why_full(machines: Sequence[Machine]) -> str:
    nodes = [each.name for each in machines if not each.takes_workers]
    slots = sum(each.slots for each in machines if each.takes_workers)
    if not nodes:
        return f"waiting for a node: all {slots} slots are in use"
    if not slots:
        return f"waiting for a node; unavailable nodes: {', '.join(nodes)}"
    return (
        f"waiting for a node: all {slots} slots are in use; unavailable nodes: {', '.join(nodes)}"
    )


def _why_unsuitable(machines: Sequence[Machine], requirements: MachineRequirements) -> str:
    eligible = [each for each in machines if _is_named(each, requirements)]
    sharing = [each for each in eligible if each.shares_files and each.slots]
    labels = listed_labels(requirements.labels)
    set_labels = f"set labels with {COMMAND} nodes label NAME {labels.replace(', ', ' ')}"
    if requirements.server_files and eligible and not sharing and labels:
        return (
            "waiting: this worker needs a node that shares the server's files, and has "
            f"{labels}; {set_labels}"
        )
    if requirements.server_files and eligible and not sharing:
        return (
            "waiting: this worker needs a node that shares the server's files, and no such node "
            "has slots; set cluster.slots_here (docs/cluster.md)"
        )
    if requirements.server_files:
        eligible = sharing or eligible
    if not eligible and requirements.labels:
        place = (
            f"node {requirements.machine or HERE_WORD}"
            if requirements.machine is not None
            else "a node"
        )
        return f"waiting for {place} with {labels}: {set_labels}"
    if not eligible:
        name = requirements.machine
        return (
            f"waiting for node {name}, which was removed; add it again: {COMMAND} nodes add {name}"
        )
    agent = requirements.agent
    with_agent = [each for each in eligible if each.slots and _has_agent(each, requirements)]
    reason = hindrance((each for each in eligible if each.slots), agent)
    if not with_agent and requirements.machine is not None:
        cause = f"; {reason}" if reason else ""
        return f"waiting for node {name_of(eligible[0])}, which lacks agent {agent}{cause}"
    if not with_agent:
        with_labels = f" with {labels}" if labels else ""
        cause = f"; {reason}" if reason else ""
        return f"waiting for {agent}: no node{with_labels} has this agent{cause}"
    busy = [name_of(each) for each in with_agent if each.takes_workers]
    unavailable = [name_of(each) for each in with_agent if not each.takes_workers]
    suffix = f"; unavailable nodes: {', '.join(unavailable)}" if unavailable else ""
    if not busy:
        return f"waiting for a node with {agent}{suffix}"
    names = ", ".join(busy)
    return f"waiting for free slots and memory on a node with {agent}: {names}{suffix}"


#: Seconds until a machine's reported memory includes a new worker's memory.
SETTLE_SECONDS = 5.0


class MachineSlots:
    """The machines of a cluster: their running workers, reserved memory, and failed logins.

    This class chooses the machine on which a worker starts.
    """

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        #: Machine of a worker's latest attempt; no entry for the server's machine. Other classes
        #: only read this dictionary.
        self.machines: dict[WorkerKey, str] = {}
        #: The machines of the latest turn.
        self._latest: Sequence[Machine] = ()
        #: Failed logins. Key: (agent, machine). Value: (end of the failure's validity, the login's
        #: stamp as in ``Machine.logins``, reason).
        self._refused: dict[tuple[str, str], tuple[float, str, str]] = {}
        #: Memory reserved for recently started workers: (end of the reservation, machine, bytes).
        self._expected: deque[tuple[float, str, int]] = deque()

    def choose(
        self,
        machines: Sequence[Machine],
        key: WorkerKey,
        dependencies: Iterable[WorkerKey],
        requirements: MachineRequirements,
        now: float,
        running: int,
    ) -> str | NoMachine:
        """Return the machine on which the worker starts, or why no machine can start it.

        ``running``: number of running workers on all machines.
        """
        self._latest = machines
        machines = self._without_refused(machines, requirements.agent, now)
        near = [self.machines[each] for each in (key, *dependencies) if each in self.machines]
        while self._expected and self._expected[0][0] <= now:
            self._expected.popleft()
        counts = {**self._running, HERE: running - self._running.total()}
        return choose(
            self._without_expected_memory(machines), counts, replace(requirements, near=near)
        )

    def login_failed(
        self, worker: Worker, task: TaskSpec, config: JobConfig, why: str, now: float
    ) -> bool:
        """Record that the login of the worker's agent failed on the worker's machine.

        Workers with this agent then do not start on the machine for KNOWN_SECONDS, or until the
        agent's credential on the machine changes. Return False, without a change, if no other
        machine can run the worker.
        """
        agent, machine = worker.agent, self.machines.get(worker.key, HERE)
        stamp = next(
            (each.logins.get(agent, "") for each in self._latest if each.name == machine), ""
        )
        others = [
            each
            for each in self._without_refused(self._latest, agent, now)
            if each.name != machine and each.slots and each.takes_workers
        ]
        requirements = MachineRequirements(
            agent=agent,
            labels=task.requires,
            machine=machine_of(task),
            server_files=needs_server_files(worker, task, config),
        )
        if not any(
            _is_permitted(each, requirements) and _has_agent(each, requirements) for each in others
        ):
            return False
        self._refused[agent, machine] = (now + KNOWN_SECONDS, stamp, why)
        return True

    def _without_refused(
        self, machines: Sequence[Machine], agent: str, now: float
    ) -> Sequence[Machine]:
        if not self._refused:
            return machines
        adjusted = []
        for each in machines:
            until, stamp, why = self._refused.get((agent, each.name), (0.0, "", ""))
            if now < until and stamp == each.logins.get(agent, ""):
                each = replace(each, lacks={**each.lacks, agent: why})
            else:
                self._refused.pop((agent, each.name), None)
            adjusted.append(each)
        return adjusted

    def _without_expected_memory(self, machines: Sequence[Machine]) -> Sequence[Machine]:
        expected: Counter[str] = Counter()
        for _, name, size in self._expected:
            expected[name] += size
        return [
            replace(each, memory_bytes=each.memory_bytes - expected[each.name])
            if each.memory_bytes is not None and each.name in expected
            else each
            for each in machines
        ]

    def started(self, key: WorkerKey, machine: str, memory_bytes: int, now: float) -> None:
        self.set_machine(key, machine)
        if machine != HERE:
            self._expected.append((now + SETTLE_SECONDS, machine, memory_bytes))

    def set_machine(self, key: WorkerKey, machine: str) -> None:
        """Record the machine of a worker's latest attempt."""
        if machine != HERE:
            self.machines[key] = machine
        else:
            self.machines.pop(key, None)

    def acquire(self, key: WorkerKey) -> None:
        """Count a running worker on its machine. The worker must be a key of ``self.machines``."""
        self._running[self.machines[key]] += 1

    def release(self, key: WorkerKey) -> None:
        self._running[self.machines[key]] -= 1

    def forget_root(self, root_id: str) -> None:
        keys = [key for key in self.machines if key.root_id == root_id]
        for key in keys:
            del self.machines[key]
