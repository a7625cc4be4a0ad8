"""Machines on which workers run: slots, agents, labels, and capacity for more workers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import WaitKind
from orchestrator.core.text.formatting import plural

#: Name of the server's own machine, and the word for it in a task's ``node``.
HERE, HERE_WORD = "", "here"
#: Default number of processes that may exist for each slot.
LIVE_PER_RUNNING = 4
#: Names and values of labels, such as ``gpu: true``, in settings and tasks.
LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
#: Kind of the error that rejects a task because its agent cannot work on the machines.
AGENT_NOT_USABLE = "agent-not-usable"
#: Maximum numbers of reasons, and of machines with the same reason, that a text names.
_MOST_REASONS, _MOST_NAMES = 3, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    name: str = HERE
    #: Number of workers that may run on the machine at the same time.
    slots: int
    #: Agents that can work on the machine; None: all agents that are not in ``lacks``.
    agents: frozenset[str] | None = None
    #: Agents that cannot work on the machine, each with the reason and how to fix it.
    lacks: Mapping[str, str] = field(default_factory=dict)
    #: For each agent: a stamp of its login on the machine, which changes when the user logs in.
    logins: Mapping[str, str] = field(default_factory=dict)
    #: Memory in bytes that workers may still use; None: unknown, or checked elsewhere.
    memory_bytes: int | None = None
    #: True if the machine is connected and not being drained.
    takes_workers: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    #: True if the server's files have the same paths on the machine.
    shares_files: bool = True


@dataclass(frozen=True, slots=True)
class Shortage:
    """A shortage of a resource, so that workers cannot start."""

    kind: WaitKind
    #: The shortage as a sentence with figures, for people.
    reason: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """Free capacity for more workers, by machine. Valid for one turn of the scheduler."""

    #: The shortage because of which no worker may start; None if workers may start.
    paused: Shortage | None = None
    #: Function that returns the shortage because of which no further worker of an agent may start.
    #: If the function returns None, one worker may start, and its resources are reserved.
    shortage: Callable[[str], Shortage | None] = lambda agent: None
    #: The machines of the cluster; None: workers start on the server's machine.
    machines: Sequence[Machine] | None = None
    #: Function that returns the memory in bytes that another machine must have for one more worker
    #: of an agent.
    memory_needed: Callable[[str], int] = lambda agent: 0


#: Capacity without limits.
UNLIMITED = Capacity()


def machine_of(task: TaskSpec) -> str | None:
    return HERE if task.node == HERE_WORD else task.node or None


def check_machines(
    task: TaskSpec, machines: Sequence[Machine], is_cluster: bool, agents: Iterable[str] = ()
) -> None:
    """Raise InvalidRequest for a task that no machine can ever run.

    In a cluster, labels that no machine has are allowed, because a machine may be added later.
    ``agents``: the agents of the task's candidates.
    """
    node = machine_of(task)
    if node is not None and node not in (HERE, *(each.name for each in machines)):
        names = ", ".join(sorted(name_of(each) for each in machines))
        raise InvalidRequest(f"task {task.id}: unknown node {task.node!r}; known: {names}")
    nodes = [each for each in machines if each.name == node]
    for agent in agents:
        if is_cluster and (reason := hindrance(nodes, agent)):
            raise InvalidRequest(
                f"task {task.id}: agent {agent!r} is not available on {reason}",
                kind=AGENT_NOT_USABLE,
            )
    if not is_cluster and not any(has_labels(each, task.requires) for each in machines):
        raise InvalidRequest(
            f"task {task.id}: this machine lacks {listed_labels(task.requires)}; set "
            "cluster.labels_here in config.yaml, or add a machine with these labels "
            "(docs/cluster.md)"
        )


def hindrance(machines: Iterable[Machine], agent: str) -> str:
    """Return as text why the machines lack an agent, and how to fix each cause.

    Machines that have not reported their agents are omitted.
    """
    names_by_reason: dict[str, list[str]] = {}
    for each in machines:
        if agent in each.lacks:
            names_by_reason.setdefault(each.lacks[agent], []).append(name_of(each))
    shown = list(names_by_reason.items())[:_MOST_REASONS]
    omitted = sum(len(names) for names in names_by_reason.values()) - sum(
        len(names) for _, names in shown
    )
    texts = [f"{_first_names(names)}: {reason}" for reason, names in shown]
    return "; ".join([*texts, plural(omitted, "more node")] if omitted else texts)


def _first_names(names: Sequence[str]) -> str:
    omitted = len(names) - _MOST_NAMES
    return ", ".join([*names[:_MOST_NAMES], *([f"{omitted} more"] if omitted > 0 else [])])


def has_labels(machine: Machine, labels: Mapping[str, str]) -> bool:
    return all(machine.labels.get(name) == value for name, value in labels.items())


def name_of(machine: Machine) -> str:
    return machine.name or HERE_WORD


def listed_labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def label_text(value: object) -> object:
    """Return a boolean or integer label as text. Any other value is returned unchanged.

    YAML reads ``gpu: true`` as a boolean and ``zone: 3`` as a number.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
