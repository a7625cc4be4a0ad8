"""The port to agents: what they are told, and what they make of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.attempt.session import Session
from orchestrator.core.model.gate import Gate
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.ports.read_models import Availability
from orchestrator.core.repository.repository import BranchWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
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
    #: What it printed and left there; without a worktree, also the files that it made.
    directory: str
    output: str
    #: Where its changes are, in the project's repository; empty without a worktree.
    branch: str = ""
    commit: str = ""
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
class Previous:
    """The session that an attempt may resume, and what happened since."""

    session: Session
    #: By which the attempt that had it ended: a key of
    #: ``core.model.attempt.session.RESUMED_AFTER``.
    cause: str
    #: The worker's files are those of a checkpoint before the session's end.
    rolled_back: bool = False


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
    #: What to do about that, in the product's own words.
    advice: str = ""
    #: That attempt succeeded, and what it changed cannot be merged.
    sent_back: bool = False
    #: What all workers of the job are told, byte for byte; only for agents that read a prompt.
    shared: str = ""
    #: The text of the task's role.
    role: str = ""
    #: What the worker may still start and use, by the name of the limit.
    left: Mapping[str, object] = field(default_factory=dict)
    #: The JSON schema that the answer must keep to, for a planner or reviewer; else empty.
    answer_schema: str = ""
    #: What its result has to pass.
    gates: tuple[Gate, ...] = ()
    #: What a reviewer is to compare.
    entries: tuple[Entry, ...] = ()
    #: None: there is no session to resume.
    previous: Previous | None = None
    #: None: nothing yet, or it has no worktree.
    committed: BranchWork | None = None
    #: A directory for the tool's sessions, the same for all attempts of the worker.
    sessions: str = ""


class Agent(Protocol):
    """Turns a task into a command, and what the command left behind into evidence."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def check(self, task: TaskSpec) -> None:
        """Raise InvalidRequest when this agent can never carry out the task."""

    def command(self, assignment: Assignment) -> Invocation: ...

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        """Read what was left in ``directory``; ``log_tail`` is the end of this attempt's log.

        ``control`` is its control directory, if it was given files there.
        """


class Agents(Protocol):
    """The agents that are known by name."""

    def get(self, name: str) -> Agent:
        """Raise UnknownAgent with the names that exist."""

    def resolve(self, name: str, task: TaskSpec, refused: Collection[str] = ()) -> str:
        """The agent's own name for ``auto`` and aliases. Raise UnknownAgent.

        ``auto`` passes over those whose login was ``refused``, as long as there are others.
        """

    def names(self) -> Sequence[str]: ...

    def available(self) -> Sequence[Availability]:
        """Every agent with what stands in its way: the AI agents first, best first."""

    def is_priced(self, name: str, model: str | None) -> bool | None:
        """Whether it is known what the agent costs with a model (None: the agent's own model).

        None: only its usage can tell.
        """

    def uses_model(self, name: str) -> bool:
        """Whether a language model may be at work in it, which costs tokens."""

    def reads_prompt(self, name: str) -> bool:
        """Whether it can be told what to do, and not only what to run."""

    def planner(self, name: str, agent: str, refused: Collection[str] = ()) -> str:
        """Who plans a job: ``rules``, or an agent's own name.

        ``auto`` is the job's ``agent`` when that can plan, else rules. Raise UnknownAgent, or
        InvalidRequest for an agent that cannot plan.
        """


class SharedContexts(Protocol):
    """What all workers of a job are told: made once for each job, and kept."""

    def exists(self, job: Job) -> bool: ...

    def command(self, job: Job, root: Job) -> tuple[Path, Invocation]:
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
