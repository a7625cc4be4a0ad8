"""Results of the engine's queries, in addition to the classes of ``core.model``.

Queries that list many workers return rows with the most important fields of each worker.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.plan_estimate import Estimate
from orchestrator.core.model.human_input.question import Question
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.human_needs import Need, WorkerAction
from orchestrator.core.ports.agent_availability import UnusableAgent


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDetail:
    """One job with its own tasks and workers. Workers are in order of index."""

    job: Job
    tasks: Sequence[TaskSpec]
    workers: Sequence[Worker]
    #: The job's planner; None: the job has no planner, or the caller did not request the tasks.
    planner: Worker | None = None
    #: The reviewers of candidates.
    reviewers: Sequence[Worker] = ()
    #: Estimated usage of the tasks; only while the tasks wait for approval.
    estimate: Estimate | None = None
    #: What each worker of the job may still use: depth, child_jobs, workers, wall_seconds, ...
    left: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletedDependency:
    """A completed task on which a question depends, with the worker that completed the task."""

    task_id: str
    worker: Worker


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuestion:
    """A question, with the facts that a person reads before answering."""

    text: str
    question: Question
    #: The results of the task's dependencies.
    results: Sequence[CompletedDependency]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerDetail:
    job: Job
    worker: Worker
    #: None for a planner or reviewer.
    task: TaskSpec | None
    attempts: Sequence[Attempt]
    #: What the caller may do with the worker in the worker's present status.
    can: Sequence[WorkerAction]


class StepKind(StrEnum):
    #: Text of the model.
    SAID = "said"
    #: A call of a tool.
    TOOL = "tool"
    #: An error after which the agent's program retries.
    TROUBLE = "trouble"
    #: The final answer.
    RESULT = "result"


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptStep:
    kind: StepKind
    text: str
    #: Name of the tool; empty for other steps.
    tool: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageReply:
    """Answer to a worker that has reported its usage."""

    #: Why the worker must end now; empty if it may continue.
    stop: str
    #: True if the worker waits for its child jobs or for a lock.
    waiting: bool
    #: True if a cap on agents' usage applies to the worker.
    capped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    worker_id: str
    name: str
    #: The attempt before or after which the checkpoint was created; 0 for the worker's start.
    attempt: int
    at: float | None
    commit: str
    #: Number of files that were added or changed since the previous checkpoint.
    files_changed: int
    #: True if the checkpoint has ignored files.
    has_ignored: bool
    #: Ignored files that are not saved, with reasons.
    not_kept: Mapping[str, str]
    #: The gates' results, as text; empty if there are none.
    gates: str
    #: True if the worker's branch is at this checkpoint.
    is_current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RolledBack:
    checkpoint: str
    commit: str
    #: The checkpoint with the state before the rollback.
    kept: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    ready: bool
    #: Result of each part's check: "ok", or the problem as text.
    checks: Mapping[str, str] = field(default_factory=dict)
    #: Why no worker starts now; empty if workers start.
    paused: str = ""
    #: Number of AI agents that can work on this machine or on a node.
    usable_agents: int = 0
    #: Number of AI agents that the product can drive.
    known_agents: int = 0
    containment: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeState:
    name: str
    #: up, drained, unreachable, rejected, or unknown (never connected to this server).
    state: str
    #: True if no more workers start on the node, because a person drained it.
    drained: bool = False
    slots: int
    #: Numbers of the node's attempts: ``running`` hold a slot, and ``waiting`` wait for child jobs
    #: or locks.
    running: int
    waiting: int
    #: Agents that can work on the node. While the node is not connected: the agents in its latest
    #: report.
    agents: tuple[str, ...]
    #: Agents that cannot work on the node; empty until the node has connected to this server.
    unusable: tuple[UnusableAgent, ...] = ()
    labels: Mapping[str, str]
    memory_bytes: int | None
    #: Free space of the disk with the node's state directory; None: unknown.
    disk_bytes: int | None
    #: True if the node does not share the server's files; None: the node has not connected yet.
    own_files: bool | None = None
    address: str
    version: str
    #: Seconds since the node's latest message; None: there was no message.
    seen_seconds: float | None
    #: Seconds by which the node's clock is ahead of the server's.
    clock_skew_seconds: float
    #: A note, such as why the node is rejected, or what happens to its workers; possibly empty.
    notice: str


class JobNode(NamedTuple):
    id: str
    parent_job_id: str | None
    parent_worker_id: str | None
    depth: int
    status: str
    request: str
    created_at: float
    started_at: float | None
    run: int = 1


class WorkerRow(NamedTuple):
    id: str
    job_id: str
    task_id: str
    #: Place in the order of the job's workers.
    position: int
    agent: str
    status: str
    reason: str
    attempt: int
    started_at: float | None
    ended_at: float | None
    #: Seconds between the worker's attempts, which do not count as its run time.
    idle_seconds: float
    child_job_ids: Sequence[str]
    steps: int | None
    #: Tokens, counted as for ``max_tokens``; None: unknown.
    tokens: int | None
    cost_usd: float | None
    gates_passed: int
    gates_failed: int
    gates_not_run: int
    #: Number of files that the worker created or changed.
    files: int
    #: True for the chosen candidate; None before the selection, or if the worker is no candidate.
    chosen: bool | None


class WorkerColumns(NamedTuple):
    """The fields of ``WorkerRow`` for many workers: one sequence for each field."""

    id: Sequence[str]
    job_id: Sequence[str]
    task_id: Sequence[str]
    position: Sequence[int]
    agent: Sequence[str]
    status: Sequence[str]
    reason: Sequence[str]
    attempt: Sequence[int]
    started_at: Sequence[float | None]
    ended_at: Sequence[float | None]
    idle_seconds: Sequence[float]
    child_job_ids: Sequence[Sequence[str]]
    steps: Sequence[int | None]
    tokens: Sequence[int | None]
    cost_usd: Sequence[float | None]
    gates_passed: Sequence[int]
    gates_failed: Sequence[int]
    gates_not_run: Sequence[int]
    files: Sequence[int]
    chosen: Sequence[bool | None]


class TaskRow(NamedTuple):
    job_id: str
    id: str
    title: str
    depends_on: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSnapshot:
    """All jobs, tasks, and workers of a root job at one moment."""

    #: The root job first; parents before their child jobs.
    jobs: Sequence[JobNode]
    tasks: Sequence[TaskRow]
    #: In the order of their jobs and positions.
    workers: WorkerColumns
    #: Number of the latest event that the rows include.
    last_seq: int


class WorkerOrder(StrEnum):
    #: Order of the tasks.
    INDEX = "index"
    #: The longest run time first.
    SECONDS = "seconds"
    #: The highest cost first.
    COST = "cost"
    #: Failed workers first, then workers that wait or run.
    ATTENTION = "attention"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFilter:
    """The workers of one job to list. An empty filter selects all workers."""

    job_id: str
    statuses: Collection[str] = ()
    agents: Collection[str] = ()
    #: Text that is contained in the worker's id, the task's id or title, or the reason. Case is
    #: ignored.
    text: str = ""
    order: WorkerOrder = WorkerOrder.INDEX


class TaskLabel(NamedTuple):
    title: str = ""
    model: str | None = None
    role: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPage:
    workers: Sequence[WorkerRow]
    #: Labels of the tasks whose workers are on the page, by task id.
    labels: Mapping[str, TaskLabel]
    total: int
    #: Number of the latest event that the rows include.
    last_seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """The jobs to list. A field that is None or empty does not restrict the list."""

    statuses: Collection[str] = ()
    #: Only child jobs of this job.
    parent: str | None = None
    #: Only jobs of this root job's tree.
    root: str | None = None
    depth: int | None = None
    #: Only root jobs that this caller submitted, and their descendants.
    submitted_by: str | None = None
    #: Text that is contained in the request or in the id. Case is ignored.
    text: str = ""
    #: Labels, all of which a job must have.
    labels: Sequence[tuple[str, str]] = ()
    ids: Collection[str] | None = None
    #: Jobs that were created at this time or later.
    since: float | None = None


class StatusCount(NamedTuple):
    """Number and usage of a job's workers with one status.

    Planners and reviewers count in the usage, but not in ``workers``.
    """

    root_id: str
    job_id: str
    status: str
    workers: int
    #: None: unknown.
    cost_usd: float | None
    tokens: int | None
    #: True if a part of the cost is unknown.
    cost_partial: bool


#: Statuses that are counted as another status. Key: the status. Value: the other status.
_COUNTED_AS = {WorkerStatus.RECURSIVE_SUCCESS: WorkerStatus.SUCCESS}
COUNTED = tuple(each for each in WorkerStatus if each not in _COUNTED_AS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    counts: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    tokens: int | None = None
    cost_partial: bool = False

    @classmethod
    def of(cls, counts: Iterable[StatusCount]) -> "Progress":
        """Return the sums of the counts. A status without workers gets 0."""
        numbers = dict.fromkeys(map(str, COUNTED), 0)
        costs, tokens, partial = [], [], False
        for count in counts:
            status = WorkerStatus(count.status)
            numbers[_COUNTED_AS.get(status, status)] += count.workers
            costs += [] if count.cost_usd is None else [count.cost_usd]
            tokens += [] if count.tokens is None else [count.tokens]
            partial |= count.cost_partial
        return cls(
            counts=numbers,
            cost_usd=round(sum(costs), 6) if costs else None,
            tokens=sum(tokens) if tokens else None,
            cost_partial=partial,
        )


class FirstFailure(NamedTuple):
    """The first failed worker of a job, in order of tasks."""

    worker_id: str
    #: The first line of the worker's reason, at most 200 characters.
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCard:
    """One job as a list shows it."""

    job: Job
    #: Progress of the job's own workers.
    own: Progress
    #: Progress of the workers of the job and all of its descendants.
    tree: Progress
    #: Needs of the job and its descendants.
    needs: Sequence[Need] = ()
    #: None while the job is active, or if none of its own workers failed.
    first_failure: FirstFailure | None = None


class ListedJob(NamedTuple):
    id: str
    root_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPage:
    jobs: Sequence[ListedJob]
    total: int


class UsageBy(StrEnum):
    AGENT = "agent"
    MODEL = "model"
    DAY = "day"
    #: Root jobs, with their descendants.
    JOB = "job"
    #: The values of one label of root jobs.
    LABEL = "label"


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageFilter:
    """The usage to list. Workers that never started, such as skipped workers, do not count.

    The usage of an ended worker counts at the time of the worker's end. The usage of a running
    worker counts at the time of the worker's start.
    """

    by: UsageBy
    #: Name of the label, for ``UsageBy.LABEL``.
    label: str = ""
    since: float | None = None
    #: End of the time range, exclusive.
    until: float | None = None
    #: Length of a bucket in seconds; 0: one bucket for the whole time.
    bucket_seconds: int = 0
    #: Only root jobs that this caller submitted, and their descendants.
    submitted_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRow:
    """Usage of one value of ``UsageFilter.by``, such as an agent, in one bucket of time."""

    key: str
    #: Start of the bucket; None: there are no buckets.
    at: float | None
    jobs: int
    #: Number of workers that have started.
    workers: int
    #: Number of these workers that have ended.
    ended: int
    succeeded: int
    tokens_in: int
    tokens_out: int
    cache_read: int
    #: None: unknown.
    cost_usd: float | None
    #: True if a part of the cost was computed from a price table.
    estimated: bool
    #: Number of workers whose cost is unknown or only partly known. Unlike ``workers``, this number
    #: includes planners and reviewers.
    incomplete: int

    @property
    def partial(self) -> bool:
        """True if a part of the cost is unknown."""
        return self.incomplete > 0
