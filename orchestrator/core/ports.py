"""What the engine needs from outside, as Protocols; adapters match them by shape."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.core.events import Event
from orchestrator.core.evidence import Evidence, Exit, Usage
from orchestrator.core.lease import Grant, Lease
from orchestrator.core.model import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.views import Availability


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """All that one turn of the supervisor changes; stored in one transaction."""

    new_jobs: Sequence[Job] = ()
    new_tasks: Sequence[tuple[str, int, TaskSpec]] = ()
    new_workers: Sequence[Worker] = ()
    jobs: Sequence[Job] = ()
    workers: Sequence[Worker] = ()
    new_attempts: Sequence[Attempt] = ()
    attempts: Sequence[Attempt] = ()
    events: Sequence[Event] = ()

    @property
    def durable(self) -> bool:
        """Whether it must survive a loss of power, not only a crash.

        What was promised to a caller must: a job taken in, its end. That an attempt began or
        ended need not: after a loss of power nothing runs any more, and exit.json, which is on
        the disk before the end is reported, says how the attempt ended.
        """
        return bool(self.new_jobs or self.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A root job with all its descendants. Workers are in the order of their jobs and index."""

    jobs: Sequence[Job]
    #: By job id, in task order.
    tasks: Mapping[str, Sequence[TaskSpec]]
    workers: Sequence[Worker]
    #: The workers that made the tasks, of those jobs that had one; not among ``workers``.
    planners: Sequence[Worker] = ()
    #: Those that compare candidates, or did; not among ``workers``.
    reviewers: Sequence[Worker] = ()
    #: Attempts in order of (worker, number).
    attempts: Sequence[Attempt] = ()
    last_seq: int = 0

    @property
    def root(self) -> Job:
        return next(job for job in self.jobs if job.is_root)

    @property
    def advisers(self) -> Sequence[Worker]:
        """Those that carry out no task."""
        return (*self.planners, *self.reviewers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    jobs: Sequence[Job]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What agents have cost, as far as it is known."""

    #: None: of none of them.
    usd: float | None = None
    #: A part of it was computed from a price table.
    estimated: bool = False
    #: What some of them cost is not known, or not the whole of it.
    partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreStats:
    """Counts over everything in the store."""

    jobs: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    cost: Cost = field(default_factory=Cost)


class Store(Protocol):
    """Durable state. Writes come from one thread; reads from any.

    Every method raises StoreError when the store cannot be read or written.
    """

    def open(self) -> None:
        """Create or migrate the schema. Idempotent."""

    def close(self) -> None: ...

    def save(self, change: Change) -> None:
        """Store all of a change or nothing of it.

        When it returns, a crash of this process loses nothing of it, and a loss of power nothing
        of a ``durable`` one.
        """

    def forget(self, root_ids: Collection[str]) -> None:
        """Delete root jobs with all that belongs to them. Idempotent.

        Those that have not ended are left, and so are all descendants of others.
        """

    def job(self, job_id: str) -> Job | None: ...

    def ended(self, before: float, limit: int) -> Sequence[Job]:
        """Root jobs that had ended by then, the latest first."""

    def find_idempotent(self, submitted_by: str, idempotency_key: str) -> Job | None: ...

    def list_jobs(
        self,
        *,
        status: str | None,
        parent: str | None,
        root: str | None,
        depth: int | None = None,
        submitted_by: str | None = None,
        offset: int,
        limit: int,
    ) -> Page:
        """Newest first. ``parent`` is a job id: its child jobs; ``root``: only that tree.

        ``submitted_by``: only root jobs submitted so, with all below them.
        """

    def tasks(self, job_id: str) -> Sequence[TaskSpec]:
        """In task order."""

    def workers(self, job_id: str) -> Sequence[Worker]:
        """Of one job, in order of index."""

    def recent_usage(self, agent: str, most: int) -> Sequence[Usage]:
        """What the latest workers of an agent that succeeded have used, the last one first."""

    def planner(self, job_id: str) -> Worker | None:
        """The worker that makes the job's tasks, or made them; it is in no other list."""

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        """The workers that compare the job's candidates, or did; they are in no other list."""

    def workers_in_tree(self, root_id: str) -> Sequence[Worker]:
        """Of a root job and all its descendants, in order of index within each job."""

    def worker(self, key: WorkerKey) -> Worker | None: ...

    def attempts(self, key: WorkerKey) -> Sequence[Attempt]: ...

    def attempt_by_token(self, token_hash: str) -> Attempt | None:
        """The attempt that this key belongs to, while it runs; None once it has ended."""

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        """The tree of a root job, attempts included; with ``job_ids``, only these jobs of it."""

    def unfinished(self) -> Sequence[str]:
        """Ids of root jobs that have not ended."""

    def events(self, root_id: str, after: int, limit: int) -> Sequence[Event]:
        """In order of ``seq``, those with ``seq`` > ``after``."""

    def take_leases(self, owner: Attempt, names: Sequence[str], at: float) -> Grant:
        """Give an attempt all of these locks or none, in one step, whoever else asks.

        What it holds already it keeps. Written like a change: from one thread, and durable.
        """

    def end_leases(self, key: WorkerKey, names: Collection[str]) -> None:
        """Idempotent. Leases also end by themselves, with their attempt."""

    def leases(self) -> Sequence[Lease]:
        """Those that stand, by name: their attempts run."""

    def stats(self) -> StoreStats: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """How an agent carries out a task."""

    argv: tuple[str, ...]
    #: Written into the worker's directory before the start.
    files: Mapping[str, str] = field(default_factory=dict)
    #: Name of one of ``files`` that is given on standard input.
    stdin: str | None = None
    #: Names of variables that are passed through from the server's environment, or patterns of
    #: names like ``OPENAI_*``.
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: Written into the attempt's control directory, which lies outside of where it works.
    control: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a task that another one depends on came back with."""

    worker_id: str
    directory: str
    output: str
    files_created: tuple[str, ...] = ()
    #: As much of the output as a prompt has room for.
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The work of a candidate, as a reviewer is shown it."""

    worker_id: str
    #: What is known of it, each in a line.
    facts: tuple[str, ...] = ()
    files_created: tuple[str, ...] = ()
    #: Where its files are.
    directory: str = ""
    #: As much of its output as there is room for.
    output: str = ""
    #: What it changed, where it had a worktree, and as much of it as there is room for.
    patch: str = ""
    shown: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """What an agent is told of the job its task belongs to."""

    job: Job
    worker: Worker
    task: TaskSpec
    #: What the tasks this one depends on came back with, by task id.
    findings: Mapping[str, Finding] = field(default_factory=dict)
    #: Why the attempt before this one failed; empty for the first.
    previous_failure: str = ""
    #: What all workers of the job are told, byte for byte; only for agents that read a prompt.
    shared: str = ""
    #: The text of the task's role.
    role: str = ""
    #: What the worker may still start and use, by the name of the limit.
    left: Mapping[str, object] = field(default_factory=dict)
    #: The JSON schema that the answer must keep to, for a planner or reviewer; else empty.
    answer_schema: str = ""
    #: What a reviewer is to compare.
    entries: tuple[Entry, ...] = ()


class Agent(Protocol):
    """Turns a task into a command, and what the command left behind into evidence."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def check(self, task: TaskSpec) -> None:
        """Raise InvalidRequest when this agent can never carry out the task."""

    def command(self, assignment: Assignment) -> Command: ...

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        """Read what was left in ``directory``; ``log_tail`` is the end of this attempt's log.

        ``control`` is its control directory, if it was given files there.
        """


class Agents(Protocol):
    """The agents that are known by name."""

    def get(self, name: str) -> Agent:
        """Raise UnknownAgent with the names that exist."""

    def resolve(self, name: str, task: TaskSpec) -> str:
        """The agent's own name for ``auto`` and aliases. Raise UnknownAgent."""

    def names(self) -> Sequence[str]: ...

    def available(self) -> Sequence[Availability]:
        """Every agent with what stands in its way: the AI agents first, best first."""

    def uses_model(self, name: str) -> bool:
        """Whether a language model may be at work in it, which costs tokens."""

    def planner(self, name: str, agent: str) -> str:
        """Who plans a job: ``rules``, or an agent's own name.

        ``auto`` is the job's ``agent`` when that can plan, else rules. Raise UnknownAgent, or
        InvalidRequest for an agent that cannot plan.
        """


class SharedContexts(Protocol):
    """What all workers of a job are told: made once for each job, and kept."""

    def exists(self, job: Job) -> bool: ...

    def command(self, job: Job, root: Job) -> tuple[Path, Command]:
        """The process that makes it, and the directory that it works in. Raise OSError."""

    def make_plain(self, job: Job, root: Job) -> None:
        """Make it without what only that process finds, unless it is there. Raise OSError."""

    def read(self, job: Job) -> str:
        """The same text each time. Raise OSError."""


class Roles(Protocol):
    """What an agent is told of the part that it plays."""

    def check(self, name: str) -> None:
        """Raise InvalidRequest with the roles that there are."""

    def text(self, name: str) -> str:
        """Empty for a role that is not there any more."""


class Planner(Protocol):
    def plan(self, request: str) -> Sequence[TaskSpec]:
        """Split a request into tasks; at least one."""


class Workspace(Protocol):
    """Where a worker's files lie."""

    def prepare_worker(self, worker: Worker, files: Mapping[str, str]) -> str:
        """Where the worker's directory is, made if there are ``files`` to put into it.

        Else it is left to the launcher (``Launch.make_cwd``). Raise OSError.
        """

    def worker_directory(self, worker: Worker) -> str: ...

    def job_directory(self, root_id: str) -> Path: ...

    def log(self, worker: Worker) -> str: ...

    def exit_record(self, worker: Worker, attempt: int) -> str: ...

    def control(self, worker: Worker, attempt: int) -> str: ...

    def prepare_control(self, worker: Worker, attempt: int, files: Mapping[str, str]) -> str:
        """Make an attempt's control directory and put ``files`` into it. Raise OSError."""

    def final_report(self, job: Job) -> Path: ...

    def report(self, job: Job, name: str) -> Path | None:
        """The path of a report; None when no report can have that name."""

    def mark_attempt(self, worker: Worker, number: int) -> None:
        """Write into the log that another attempt begins."""

    def attempt_output(self, worker: Worker, number: int) -> str:
        """The end of what an attempt has printed."""

    def link_recursive(self, worker: Worker) -> None:
        """Show on disk that the worker has started a child job. Idempotent."""

    def snapshot(self, worker: Worker) -> Mapping[str, tuple[int, int]]:
        """The worker's own files: size and time of change, by relative path."""


class JobFiles(Protocol):
    """Removing a root job's directory in steps."""

    def set_aside(self, root_id: str) -> None:
        """Take it out of the way, on record. Idempotent. Raise OSError."""

    def aside(self) -> Sequence[str]:
        """The root jobs whose directories are set aside."""

    def put_back(self, root_id: str) -> None: ...

    def destroy(self, root_id: str) -> Sequence[str]:
        """Remove what was set aside. Idempotent. Raise OSError.

        The names of refs in git under which work is kept.
        """


class Reporter(Protocol):
    def prepare(self) -> None:
        """Do what only the first report would wait for."""

    def render(
        self,
        tree: Tree,
        job_id: str,
        directory: Path,
        *,
        notice: str = "",
        changes: Sequence[str] = (),
    ) -> object:
        """Write the reports of a job whose workers are all done."""


#: Something that is told of what was stored; it may fail without harming a job.
Observer = Callable[[Change], None]
