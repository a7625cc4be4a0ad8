"""The port to agents: their assignment, their command, and the evidence of their work."""

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
    """The command by which an agent runs a task."""

    argv: tuple[str, ...]
    #: Written into the worker's directory before the start.
    files: Mapping[str, str] = field(default_factory=dict)
    #: Name of one of ``files`` to pass on standard input.
    stdin: str | None = None
    #: Names of variables that are passed through from the server's environment, or patterns of
    #: names like ``OPENAI_*``.
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: Written to the attempt's control directory, which is outside its working directory.
    control: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Result of a task that another task depends on."""

    worker_id: str
    #: Its output and files there; without a worktree, also the files that it created.
    directory: str
    output: str
    #: The branch with its changes in the project's repository; empty without a worktree.
    branch: str = ""
    commit: str = ""
    files_created: tuple[str, ...] = ()
    #: As much of the output as a prompt has room for.
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A candidate's work, as a reviewer sees it."""

    worker_id: str
    #: Known facts about it, one per line.
    facts: tuple[str, ...] = ()
    files_created: tuple[str, ...] = ()
    #: The directory of its files.
    directory: str = ""
    #: As much of its output as there is room for.
    output: str = ""
    #: As much of its changes as there is room for, if it had a worktree.
    patch: str = ""
    shown: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Previous:
    """The session that an attempt may resume, and events since then."""

    session: Session
    #: By which the attempt that had it ended: a key of
    #: ``core.model.attempt.session.RESUMED_AFTER``.
    cause: str
    #: The worker's files are from a checkpoint before the session's end.
    rolled_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """An agent's information about its task's job."""

    job: Job
    worker: Worker
    task: TaskSpec
    #: Results of the tasks this one depends on, by task id.
    findings: Mapping[str, Finding] = field(default_factory=dict)
    #: Why the attempt before this one failed; empty for the first.
    previous_failure: str = ""
    #: What to do about that, in the product's own words.
    advice: str = ""
    #: That attempt succeeded, but its changes cannot be merged.
    sent_back: bool = False
    #: The job's shared context, byte for byte; only for agents that read a prompt.
    shared: str = ""
    #: The text of the task's role.
    role: str = ""
    #: The worker's remaining quota, by the name of the limit.
    left: Mapping[str, object] = field(default_factory=dict)
    #: The JSON schema of the answer, for a planner or reviewer; otherwise empty.
    answer_schema: str = ""
    #: Gates for its result.
    gates: tuple[Gate, ...] = ()
    #: The candidates that a reviewer compares.
    entries: tuple[Entry, ...] = ()
    #: None: there is no session to resume.
    previous: Previous | None = None
    #: None: nothing yet, or it has no worktree.
    committed: BranchWork | None = None
    #: A directory for the tool's sessions, the same for all attempts of the worker.
    sessions: str = ""


class Agent(Protocol):
    """Turns a task into a command, and the command's output and files into evidence."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def check(self, task: TaskSpec) -> None:
        """Raise InvalidRequest if this agent can never run the task."""

    def command(self, assignment: Assignment) -> Invocation: ...

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        """Read the evidence in ``directory``; ``log_tail`` is the end of this attempt's log.

        ``control`` is its control directory, if it was given files there.
        """


class Agents(Protocol):
    """The agents, by name."""

    def get(self, name: str) -> Agent:
        """Return an agent. Raise UnknownAgent with the existing names."""

    def resolve(self, name: str, task: TaskSpec, refused: Collection[str] = ()) -> str:
        """Return the agent's own name for ``auto`` and aliases. Raise UnknownAgent.

        ``auto`` skips agents whose login was ``refused``, as long as there are others.
        """

    def names(self) -> Sequence[str]: ...

    def available(self) -> Sequence[Availability]:
        """Return every agent with its obstacles: the AI agents first, best first."""

    def is_priced(self, name: str, model: str | None) -> bool | None:
        """True if the agent's price is known for a model (None: the agent's own model).

        None if only the agent's usage can show it.
        """

    def uses_model(self, name: str) -> bool:
        """True if the agent may use a language model, which costs tokens."""

    def reads_prompt(self, name: str) -> bool:
        """True if the agent accepts a prompt, not only a command."""

    def planner(self, name: str, agent: str, refused: Collection[str] = ()) -> str:
        """Return the planner of a job: ``rules``, or an agent's own name.

        ``auto`` is the job's ``agent`` if it can plan, otherwise rules. Raise UnknownAgent, or
        InvalidRequest for an agent that cannot plan.
        """


class SharedContexts(Protocol):
    """The shared contexts of jobs: created once for each job, and stored."""

    def exists(self, job: Job) -> bool: ...

    def command(self, job: Job, root: Job) -> tuple[Path, Invocation]:
        """Return the process that creates the context, and its directory. Raise OSError."""

    def make_plain(self, job: Job, root: Job) -> None:
        """Create the context, if missing, without what only that process finds. Raise OSError."""

    def read(self, job: Job) -> str:
        """Return the context; the same text each time. Raise OSError."""


class Roles(Protocol):
    """The texts of roles."""

    def check(self, name: str) -> None:
        """Raise InvalidRequest with the existing roles."""

    def text(self, name: str) -> str:
        """Return the role's text; empty for a role that no longer exists."""


class Planner(Protocol):
    def plan(self, request: str) -> Sequence[TaskSpec]:
        """Split a request into tasks; at least one."""
