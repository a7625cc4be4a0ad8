"""The port to agents: their assignment, their command, and the evidence of their work."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from orchestrator.core.gates.gate import Gate
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.ports.agent_availability import Availability
from orchestrator.core.repository.repository import BranchWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """The command with which an agent runs a task, with its files and environment variables."""

    argv: tuple[str, ...]
    #: Files to write into the worker's directory before the start: text by name.
    files: Mapping[str, str] = field(default_factory=dict)
    #: Name of the entry of ``files`` that is passed as standard input; None: /dev/null.
    stdin: str | None = None
    #: Variables to pass through from the server's environment: names, or patterns of names such as
    #: ``OPENAI_*``.
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: Files to write into the attempt's control directory, which is outside its working directory.
    control: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DependencyResult:
    worker_id: str
    #: The worker's directory, with its output. Without a worktree, the directory also has the files
    #: that the worker created.
    directory: str
    output: str
    #: The branch with the worker's changes; empty without a worktree.
    branch: str = ""
    commit: str = ""
    files_created: tuple[str, ...] = ()
    #: The worker's output, shortened to fit into a prompt.
    summary: str = ""
    #: True if the dependent worker's files lack the changes, because the changes conflict with the
    #: changes of another dependency.
    is_omitted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewedCandidate:
    """A candidate's work, as its reviewer sees it."""

    worker_id: str
    #: Facts about the candidate, one per item.
    facts: tuple[str, ...] = ()
    files_created: tuple[str, ...] = ()
    #: The directory of the candidate's files.
    directory: str = ""
    #: The candidate's output, shortened to fit into a prompt.
    output: str = ""
    #: The candidate's changes as a diff, cut if it is very long; empty without a worktree.
    patch: str = ""
    #: The beginning of ``patch`` that fits into the prompt.
    shown: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviousSession:
    """The session of an earlier attempt, and how the attempt ended."""

    session: Session
    #: Why the earlier attempt ended: a key of
    #: ``core.model.attempt.agent_session.RESUMED_AFTER``; empty if the attempt did not fail.
    cause: str
    #: True if the worker's files were restored from a checkpoint from before the session's end.
    rolled_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """A worker's task, with all information for the worker's agent.

    ``role``, ``left``, ``gates``, and ``sessions`` are empty if the agent reads no prompt.
    """

    job: Job
    worker: Worker
    task: TaskSpec
    #: Results of the task's dependencies, by task id.
    dependency_results: Mapping[str, DependencyResult] = field(default_factory=dict)
    #: Why the previous attempt failed; empty for the first attempt.
    previous_failure: str = ""
    #: Advice of the orchestrator on how to avoid the previous failure.
    advice: str = ""
    #: True if the previous attempt succeeded, but its changes cannot be merged.
    sent_back: bool = False
    #: Comments from people that no attempt has answered yet, in order.
    feedback: tuple[Feedback, ...] = ()
    #: The job's shared context, byte for byte; only for agents that read a prompt.
    shared: str = ""
    #: The text of the task's role.
    role: str = ""
    #: The worker's remaining quota, by the name of the limit.
    left: Mapping[str, object] = field(default_factory=dict)
    #: The JSON schema of the answer, for a planner or reviewer; otherwise empty.
    answer_schema: str = ""
    #: Gates for the task's result, without the scan for secrets.
    gates: tuple[Gate, ...] = ()
    #: The candidates that a reviewer compares.
    entries: tuple[ReviewedCandidate, ...] = ()
    #: The session that this attempt may resume; None: no session.
    previous: PreviousSession | None = None
    #: Commits and changes of the worker's branch so far; None if there are no commits, or if the
    #: worker has no worktree.
    committed: BranchWork | None = None
    #: A directory for the tool's sessions. All attempts of the worker use the same directory.
    sessions: str = ""


#: Kind of the error that ``Agent.check`` raises if the agent cannot run a command.
COMMAND_WITHOUT_SHELL = "command-without-shell"


class Agent(Protocol):
    """Turns a task into a command, and reads evidence from the command's output and files."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def check(self, task: TaskSpec) -> None:
        """Raise InvalidRequest if this agent can never run the task."""

    def command(self, assignment: Assignment) -> Invocation: ...

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        """Return the evidence of an ended attempt.

        ``directory``: the worker's directory. ``log_tail``: the end of the attempt's log.
        ``control``: the attempt's control directory. The directory does not exist if
        ``Invocation.control`` has no files.
        """


class Agents(Protocol):
    def get(self, name: str) -> Agent:
        """Return the agent with this name.

        Raise UnknownAgent, with the existing names, if no agent has this name.
        """

    def resolve(self, name: str, task: TaskSpec, refused: Collection[str] = ()) -> str:
        """Return the name of the agent that ``name`` selects for a task; never an alias.

        Raise UnknownAgent if there is no such agent. ``name``: an agent's name, an alias, or
        ``auto``. ``refused``: agents whose login failed. ``auto`` selects a refused agent only if
        the settings name it as the default agent, or if no other AI agent can work.
        """

    def names(self) -> Sequence[str]: ...

    def available(self) -> Sequence[Availability]:
        """Return the readiness of every agent. AI agents come first, sorted from best to worst."""

    def is_priced(self, name: str, model: str | None) -> bool | None:
        """Return True if the cost of the agent's usage will be known, otherwise False.

        The cost is known if the agent uses no model, reports its cost, or uses a model with a known
        price. Return None if the model is unknown until the agent reports its usage. ``model``:
        None for the agent's default model.
        """

    def uses_model(self, name: str) -> bool:
        """Return True if the agent may use a language model, which costs tokens."""

    def takes_model(self, name: str) -> bool:
        """Return True if the agent uses the model that a task names."""

    def reads_prompt(self, name: str) -> bool:
        """Return True if the agent accepts a prompt, not only a command."""

    def planner(self, name: str, agent: str, refused: Collection[str] = ()) -> str:
        """Return the planner of a job: ``rules``, or the name of an agent.

        ``name``: the requested planner. ``auto`` means the job's ``agent`` if this agent may plan
        every job, otherwise ``rules``. ``refused``: agents whose login failed.

        Raise UnknownAgent for an unknown name. Raise InvalidRequest for an agent that cannot plan.
        """


#: Seconds after which the other workers of a job start, even if the model has not answered the
#: job's first worker.
AHEAD_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompting:
    """How agents and their providers treat prompts. Each function gets the name of an agent."""

    #: Function that returns True if the agent reads a prompt. Prompts begin with the job's shared
    #: context.
    reads: Callable[[str], bool] = lambda agent: False
    #: Function that returns True if the agent's provider caches the beginning of prompts. Cached
    #: tokens cost less.
    caches: Callable[[str], bool] = lambda agent: False
    ahead_seconds: float = AHEAD_SECONDS


class SharedContexts(Protocol):
    def exists(self, job: Job) -> bool: ...

    def command(self, job: Job, root: Job) -> tuple[Path, Invocation]:
        """Return the directory and the command of the process that creates the context.

        Raise OSError if a file cannot be read or written.
        """

    def make_plain(self, job: Job, root: Job) -> None:
        """If the context is missing, create the context in this process.

        The created context has no project digest and no files. Only the process from ``command``
        adds these. Raise OSError if a file cannot be read or written.
        """

    def read(self, job: Job) -> str:
        """Return the context, which never changes. Raise OSError if it cannot be read."""


class Roles(Protocol):
    def check(self, name: str) -> None:
        """Raise InvalidRequest, with the existing roles, if no role has this name."""

    def text(self, name: str) -> str:
        """Return the role's text; empty for a role that no longer exists."""


class Planner(Protocol):
    def plan(self, request: str) -> Sequence[TaskSpec]:
        """Split a request into tasks. Return at least one task."""
