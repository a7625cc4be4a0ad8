"""The settings of a job, in one table: ``JobConfig``. A row is a field with its ``Setting``.

Requests, options of ``run``, defaults, ceilings, child jobs, and retries use this table.
CONTRIBUTING.md explains how to add a row.
"""

from collections.abc import Mapping
from dataclasses import Field, field, fields, replace
from enum import Enum, StrEnum, auto
from math import inf
from typing import Any

from orchestrator.core.gates.gate import Gate
from orchestrator.core.lazy_dataclass import dataclass

#: Value in place of an agent's name: the best agent that can work is used. For a planner: the job's
#: agent.
AUTO = "auto"

#: Largest value of a limit. A store's integer column and a float represent this number exactly.
LARGEST_COUNT = 2**31 - 1
#: Largest duration in seconds, about thirty years.
MOST_SECONDS = 1e9

#: Key under which a field's metadata has its ``Setting``.
DECLARED = "setting"


class ValueKind(Enum):
    """Type of a value. ``schemas/requests`` and ``cli/plan`` have a Python type for each kind."""

    #: A whole number, at least 1.
    COUNT = auto()
    #: A whole number, at least 0.
    COUNT_OR_ZERO = auto()
    #: Seconds, greater than 0.
    SECONDS = auto()
    #: US dollars, greater than 0.
    MONEY = auto()
    #: True or false.
    FLAG = auto()
    #: A word, such as an agent's name.
    NAME = auto()
    #: Any text.
    TEXT = auto()
    #: A branch, tag, or commit.
    REVISION = auto()
    #: Paths of files.
    PATHS = auto()
    #: The caller's own names and values.
    LABELS = auto()
    #: Gates for results.
    GATES = auto()


class Inheritance(Enum):
    """The rule that combines a child job's requested value with the parent job's value."""

    #: The requested value; otherwise the parent job's.
    ASKED = auto()
    #: The parent job's value, or a smaller requested value.
    AT_MOST = auto()
    #: The parent job's value, or a requested value that comes later in ``Setting.values``.
    AT_LEAST = auto()
    #: The parent job's value, whatever the child job requests.
    PARENT = auto()
    #: ``on`` if the child job requests ``on``, and the parent job has ``auto``; otherwise the
    #: parent job's value.
    AUTO_TO_ON = auto()
    #: The parent job's value and the requested value together.
    BOTH = auto()
    #: The requested value; otherwise the default of the table.
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Option:
    flag: str
    help: str
    #: Placeholder of the value in ``--help``.
    value: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting of a job that a caller can set, or that config.yaml sets for all jobs."""

    #: Name of the setting's field in ``JobConfig``; set when the table is built.
    name: str = ""
    #: Name in requests and answers; default: the name of the field.
    wire: str = ""
    description: str
    #: The kind of value, or the values that can be chosen.
    values: ValueKind | tuple[str, ...]
    #: Value of a new job if neither its request nor config.yaml sets it.
    default: object
    #: The key of config.yaml with the default for all jobs, such as ``workers.agent``.
    server: str = ""
    #: The setting's ceiling: the name of a field of ``core.limits.effective_settings.Ceilings``.
    ceiling: str = ""
    child: Inheritance = Inheritance.ASKED
    #: True if the retry of a job may change the setting.
    on_retry: bool = False
    #: True if requests may contain the setting.
    in_request: bool = True
    #: True if ``engine/submission`` computes the job's value from the request.
    resolved: bool = False
    #: The option of ``run`` and ``submit``; None: no option.
    option: Option | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        return () if isinstance(self.values, ValueKind) else self.values


def setting(
    values: ValueKind | tuple[str, ...],
    description: str,
    *,
    default: object,
    older: object = None,
    wire: str = "",
    server: str = "",
    ceiling: str = "",
    child: Inheritance = Inheritance.ASKED,
    on_retry: bool = False,
    in_request: bool = True,
    resolved: bool = False,
    option: Option | None = None,
) -> Any:
    """Return a dataclass field for ``JobConfig``, with a ``Setting`` in its metadata.

    ``older``: value for jobs that were stored before the setting existed; None: the default.
    """
    row = Setting(
        values=values,
        description=description,
        default=default,
        wire=wire,
        server=server,
        ceiling=ceiling,
        child=child,
        on_retry=on_retry,
        in_request=in_request,
        resolved=resolved,
        option=option,
    )
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={DECLARED: row})
    return field(default=default if older is None else older, metadata={DECLARED: row})


#: Values of ``resolve`` that name no agent. RESOLVE_WORKER: the worker in conflict resolves the
#: conflict. RESOLVE_OFF: no agent resolves it.
RESOLVE_WORKER, RESOLVE_OFF = "worker", "off"
#: Names of the caps on agents' usage in settings.
CAPS = ("max_steps", "max_tokens", "max_cost_usd")
#: Limits that a person can raise while the job runs, by their names in requests.
RAISABLE = ("max_cost_usd", "max_tokens", "max_steps", "max_wall_seconds")


class GitUse(StrEnum):
    """Which workers get a worktree, as set by a job or task."""

    #: workers of agents that may change files
    AUTO = "auto"
    #: workers of every agent, so that changes by shell commands are merged as well
    ON = "on"
    #: no worker
    OFF = "off"


class Workdir(StrEnum):
    #: the worker's own directory, or a worktree if its agent gets a worktree
    OWN = "own"
    #: the user's checkout in its present state
    PROJECT = "project"
    #: another spelling of the task field ``git: on``
    WORKTREE = "worktree"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """A job's settings, after defaults, ceilings, and the parent job's settings were applied.

    Fields without a ``Setting`` are facts about the job, which no caller sets.
    """

    max_workers: int = setting(
        ValueKind.COUNT,
        "Maximum number of workers of this job that run in parallel.",
        default=10,
        server="workers.max_workers",
        ceiling="max_workers",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-workers", "Maximum number of workers that run in parallel.", "N"),
    )
    default_timeout: float = setting(
        ValueKind.SECONDS,
        "Timeout of one attempt of a worker, in seconds.",
        default=300.0,
        server="workers.default_timeout",
        ceiling="max_wall_seconds",
        on_retry=True,
        option=Option("--timeout", "Timeout of one attempt, in seconds.", "S"),
    )
    execution_mode: str = setting(
        ("native", "wsl", "windows"),
        "Platform on which agents run: native, wsl, or windows.",
        default="native",
        server="orchestrator.execution_mode",
    )
    enable_recursion: bool = setting(
        ValueKind.FLAG,
        "Allow workers to start child jobs.",
        default=True,
        server="recursion.enable",
        child=Inheritance.AT_MOST,
    )
    max_depth: int = setting(
        ValueKind.COUNT_OR_ZERO,
        "Maximum depth of child jobs, counted from the root job.",
        wire="max_recursion_depth",
        default=3,
        server="recursion.max_depth",
        ceiling="max_depth",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-depth", "Maximum depth of child jobs; 0: none.", "N"),
    )
    #: Depth that the caller stated for a root job. Workers get the depth of their job in the tree
    #: plus this depth.
    claimed_depth: int = setting(
        ValueKind.COUNT_OR_ZERO,
        "Depth of the new job. A worker must send ORCHESTRATOR_DEPTH + 1, or omit the field.\n\n"
        "A caller with an API key may state a depth. A depth above max_recursion_depth is\n"
        "rejected; any other depth reduces the remaining depth of the job.",
        wire="current_depth",
        default=0,
        child=Inheritance.PARENT,
    )
    agent: str = setting(
        ValueKind.NAME,
        "Agent of tasks that name no agent.",
        default="auto",
        server="workers.agent",
        option=Option("--agent", "Agent of tasks that name no agent.", "NAME"),
    )
    max_retries: int = setting(
        ValueKind.COUNT_OR_ZERO,
        "Maximum number of retries of a failed worker.",
        default=2,
        server="workers.max_retries",
        on_retry=True,
    )
    retry_backoff_seconds: float = setting(
        ValueKind.SECONDS,
        "Seconds before a worker's first retry; doubled before each further retry, at most 60.",
        default=2.0,
        server="workers.retry_backoff_seconds",
        on_retry=True,
    )
    #: True if the caller set ``max_retries``. Attempts that time out are then retried, too, and a
    #: command is retried even if the same failure repeats.
    retries_asked: bool = False
    #: True if a retry of the job set ``default_timeout``, which then replaces the tasks' timeouts.
    timeout_replaced: bool = False
    #: True if a retry of the job set ``max_retries``, which then replaces the tasks' own numbers.
    retries_replaced: bool = False
    merge_strategy: str = setting(
        ("theirs", "auto", "manual"),
        "Merge strategy: auto (all branches without conflict), theirs (all branches; the better "
        "side wins a conflict), or manual (no branch).",
        default="auto",
    )
    history: str = setting(
        ("merge", "linear"),
        "History of the merged result: merge (merge commits) or linear (no merge commits).",
        default="merge",
    )
    #: RESOLVE_WORKER, or an agent; empty: conflicts are not resolved.
    resolve: str = setting(
        ValueKind.NAME,
        "Resolver of merge conflicts: worker (the worker in conflict), an agent's name, or off.",
        default=RESOLVE_WORKER,
        older="",
        server="workers.resolve",
        option=Option(
            "--resolve",
            "Resolver of merge conflicts (default: the worker in conflict).",
            "worker|AGENT|off",
        ),
    )
    #: A value of ``GitUse``.
    git: str = setting(
        ("auto", "on", "off"),
        "Worktrees for workers: on, off, or auto (for all agents except shell and survey).",
        default="auto",
        child=Inheritance.AUTO_TO_ON,
    )
    #: The commit from which workers' worktrees start; empty: workers have plain directories, no
    #: worktrees.
    base: str = setting(
        ValueKind.REVISION,
        "Branch, tag, or commit to start from (default: HEAD of the checkout).",
        default="",
        resolved=True,
        option=Option("--base", "Branch, tag, or commit to start from.", "REV"),
    )
    #: The user's branch from which the job started; empty: a commit or tag, or unknown.
    base_branch: str = ""
    #: True if the base includes uncommitted changes of the user's checkout.
    include_dirty: bool = setting(
        ValueKind.FLAG,
        "Include uncommitted changes of the checkout.",
        default=False,
        resolved=True,
        option=Option("--include-dirty", "Include uncommitted changes."),
    )
    #: A note on the base, as text.
    git_note: str = ""
    #: True if the base has submodules, which are not copied to nodes with their own file systems.
    has_submodules: bool = False
    #: Gates for the result of every worker, and for the merged result.
    gates: tuple[Gate, ...] = setting(
        ValueKind.GATES,
        "Gates for every result: auto (found in the repository), off, or a list.",
        default=(),
        resolved=True,
        option=Option(
            "--gate",
            "Gate for results: a command, a gate's name, auto, or off (repeatable).",
            "GATE",
        ),
    )
    #: True if the request switched gates off. Then only the gates that a person requested for a
    #: task run.
    gates_off: bool = False
    unjudged: str = setting(
        ("tell", "fail"),
        "Effect of unjudged code: tell (the job's reason names it) or fail (the job fails).",
        default="tell",
        server="gates.unjudged",
        child=Inheritance.AT_LEAST,
    )
    planner: str = setting(
        ValueKind.NAME,
        "Planner of the tasks: rules, an agent's name, or auto.",
        default="auto",
        older="rules",
        server="workers.planner",
        option=Option("--planner", "Planner: rules, auto, or an agent's name.", "NAME"),
    )
    approve: bool = setting(
        ValueKind.FLAG,
        "Require a person's approval of the plan before tasks start.",
        default=False,
        child=Inheritance.NONE,
        option=Option("--approve", "Require approval of the plan before tasks start."),
    )
    max_total_workers: int | None = setting(
        ValueKind.COUNT,
        "Maximum number of workers in the whole job tree.",
        default=None,
        child=Inheritance.AT_MOST,
    )
    max_steps: int | None = setting(
        ValueKind.COUNT,
        "Step cap of the job and its child jobs; a step is one call of a model.",
        default=None,
        server="workers.max_steps",
        ceiling="max_steps",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-steps", "Cap on model calls of the job and its child jobs.", "N"),
    )
    max_tokens: int | None = setting(
        ValueKind.COUNT,
        "Token cap of the job and its child jobs.",
        default=None,
        server="workers.max_tokens",
        ceiling="max_tokens",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-tokens", "Token cap of the job and its child jobs.", "N"),
    )
    max_cost_usd: float | None = setting(
        ValueKind.MONEY,
        "Cost cap of the job and its child jobs, in US dollars.",
        default=None,
        server="workers.max_cost_usd",
        ceiling="max_cost_usd",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-cost", "Cost cap of the job and its child jobs.", "USD"),
    )
    #: True if a child job requested its own caps on usage, which are reserved for the child job.
    budget_asked: bool = False
    max_wall_seconds: float = setting(
        ValueKind.SECONDS,
        "Maximum wall time of the job, in seconds.",
        default=inf,
        ceiling="max_wall_seconds",
        child=Inheritance.AT_MOST,
        on_retry=True,
    )
    on_limit: str = setting(
        ("stop", "ask"),
        "Action at a cap or the end of the wall time: stop (the job), or ask (pause, and ask a "
        "person).",
        default="stop",
        on_retry=True,
        option=Option(
            "--on-limit",
            "Action at a cap: stop (the job), or ask (pause the job, and ask a person).",
            value="stop|ask",
        ),
    )
    ask_seconds: float = setting(
        ValueKind.SECONDS,
        "Maximum seconds for which a job waits for a person after 'on_limit: ask' has paused it.",
        default=3600.0,
        on_retry=True,
    )
    context: str = setting(
        ValueKind.TEXT,
        "Shared context for all workers of the job, as text; child jobs do not inherit it.",
        default="",
        child=Inheritance.NONE,
    )
    context_files: tuple[str, ...] = setting(
        ValueKind.PATHS,
        "Paths of files that all workers read, in the project or in the root job's directory.",
        default=(),
        child=Inheritance.NONE,
    )
    labels: Mapping[str, str] = setting(
        ValueKind.LABELS,
        "Names and values that the caller chooses, stored with the job.",
        default={},
        child=Inheritance.BOTH,
    )
    #: True if the request may ask to create or change something.
    asks_to_build: bool = False
    #: Fingerprint of the requested settings and callback address, for a repeated Idempotency-Key.
    requested: str = ""
    project: str = setting(
        ValueKind.TEXT,
        "Path of the project, if --project or orchestrator.project_root named it. Otherwise "
        "empty: the product's folder and the project can then be moved together.",
        default="",
        server="orchestrator.project_root",
        child=Inheritance.PARENT,
        in_request=False,
    )


def _named_setting(config_field: "Field[Any]") -> Setting:
    row: Setting = config_field.metadata[DECLARED]
    return replace(row, name=config_field.name, wire=row.wire or config_field.name)


#: The rows of the table, in its order.
SETTINGS = tuple(_named_setting(each) for each in fields(JobConfig) if DECLARED in each.metadata)
#: The settings that requests can set, by their names in requests.
BY_WIRE_NAME: Mapping[str, Setting] = {each.wire: each for each in SETTINGS if each.in_request}
#: The default of each setting, by the setting's name.
BUILT_IN: Mapping[str, Any] = {each.name: each.default for each in SETTINGS}


def default_config(**changes: Any) -> JobConfig:
    """Return the settings of a job whose request sets nothing.

    ``changes``: the settings that config.yaml sets.
    """
    return JobConfig(**{**BUILT_IN, **changes})
