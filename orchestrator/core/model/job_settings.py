"""The settings of a job, in one table: ``JobConfig``. A row is a field with its ``Setting``.

Derived from the table: requests, the options of ``run`` and ``submit``, defaults, ceilings,
inheritance by child jobs, and changes allowed in a retry. For a new row see CONTRIBUTING.md.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, replace
from math import inf
from typing import Any

from orchestrator.core.model.gate import Gate
from orchestrator.core.model.setting import (
    DECLARED,
    Inheritance,
    Kind,
    Option,
    Setting,
    setting,
)

#: In place of an agent that resolves conflicts: the worker that has them; none.
RESOLVE_WORKER, RESOLVE_OFF = "worker", "off"
#: The limits on agents' usage, as settings name them.
BUDGET_LIMITS = ("max_steps", "max_tokens", "max_cost_usd")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """A job's settings after defaults, ceilings and its parent's have been applied.

    Fields without a row are facts about the job, which no caller sets.
    """

    max_workers: int = setting(
        Kind.COUNT,
        "Workers of this job that run at the same time.",
        default=10,
        server="workers.max_workers",
        ceiling="max_workers",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-workers", "Workers at once.", "N"),
    )
    default_timeout: float = setting(
        Kind.SECONDS,
        "Seconds one attempt of a worker may take.",
        default=300.0,
        server="workers.default_timeout",
        ceiling="max_wall_seconds",
        on_retry=True,
        option=Option("--timeout", "Seconds that one worker may take.", "S"),
    )
    execution_mode: str = setting(
        ("native", "wsl", "windows"),
        "Where a worker's tool runs.",
        default="native",
        server="orchestrator.execution_mode",
    )
    enable_recursion: bool = setting(
        Kind.FLAG,
        "Whether workers may start child jobs.",
        default=True,
        server="recursion.enable",
        child=Inheritance.AT_MOST,
    )
    max_depth: int = setting(
        Kind.COUNT_OR_ZERO,
        "Depth of the deepest child job, counted from the root.",
        wire="max_recursion_depth",
        default=3,
        server="recursion.max_depth",
        ceiling="max_depth",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-depth", "Depth of the deepest child job.", "N"),
    )
    #: Depth that the caller of a root job claimed; its workers count their depth from there.
    claimed_depth: int = setting(
        Kind.COUNT_OR_ZERO,
        "Depth of the new job: ORCHESTRATOR_DEPTH + 1 in a worker, whose other values are "
        "refused.\n\n"
        "From an API key it is a claim: above max_recursion_depth the job is refused, else "
        "it has what\n"
        "is left of the depth.",
        wire="current_depth",
        default=0,
        child=Inheritance.PARENT,
    )
    agent: str = setting(
        Kind.NAME,
        "The agent for tasks that name none.",
        default="auto",
        server="workers.agent",
        option=Option("--agent", "Agent for tasks that name none.", "NAME"),
    )
    max_retries: int = setting(
        Kind.COUNT_OR_ZERO,
        "How often a failed worker is tried again.",
        default=2,
        server="workers.max_retries",
        on_retry=True,
    )
    #: The caller set the number of retries; otherwise they stop early when nothing changes.
    retries_asked: bool = False
    merge_strategy: str = setting(
        ("theirs", "auto", "manual"),
        "How workers' changes are merged.",
        default="auto",
    )
    history: str = setting(
        ("merge", "linear"),
        "Whether the merged result has merge commits, or tells the workers' commits in one line.",
        default="merge",
    )
    #: RESOLVE_WORKER, or an agent; empty: conflicts are not merged.
    resolve: str = setting(
        Kind.NAME,
        "Who resolves conflicts, for a retry of the worker that has them: worker, an agent, off.",
        default=RESOLVE_WORKER,
        older="",
        server="workers.resolve",
        option=Option(
            "--resolve",
            "Who resolves merge conflicts; default: the worker that has them.",
            "worker|AGENT|off",
        ),
    )
    #: core.repository.GitUse.
    git: str = setting(
        ("auto", "on", "off"),
        "Which workers get worktrees of the host project's repository; auto: not shell and survey.",
        default="auto",
        child=Inheritance.PARENT,
    )
    #: The commit from which workers' worktrees start; empty: they have plain directories.
    base: str = setting(
        Kind.REVISION,
        "The branch, tag or commit that workers start from; the checkout's HEAD if absent.",
        default="",
        resolved=True,
        option=Option("--base", "Branch, tag or commit to start from.", "REV"),
    )
    #: The user's branch that the job started from; empty: a commit or tag, or not known.
    base_branch: str = ""
    #: The base includes uncommitted changes of the user's checkout.
    include_dirty: bool = setting(
        Kind.FLAG,
        "Workers start from the checkout as it is, uncommitted work included.",
        default=False,
        resolved=True,
        option=Option("--include-dirty", "Start with what is uncommitted, too."),
    )
    #: A note on the base, as text.
    git_note: str = ""
    #: Gates for the result of every worker, and for the merged result.
    gates: tuple[Gate, ...] = setting(
        Kind.GATES,
        "Checks every result must pass: auto (those found in the repository), off, or a list.",
        default=(),
        resolved=True,
        option=Option(
            "--gate",
            "Check of results: a command or name; auto or off. May be given again.",
            "GATE",
        ),
    )
    #: No gates except those that tasks request themselves.
    gates_off: bool = False
    unjudged: str = setting(
        ("tell", "fail"),
        "What becomes of a job whose result changes code that no gate has judged.",
        default="tell",
        server="gates.unjudged",
        child=Inheritance.AT_LEAST,
    )
    planner: str = setting(
        Kind.NAME,
        "Who splits the request into tasks: rules, an agent's name, or auto.",
        default="auto",
        older="rules",
        server="workers.planner",
        option=Option("--planner", "Who splits it: rules, auto or an agent.", "NAME"),
    )
    approve: bool = setting(
        Kind.FLAG,
        "The plan waits until a person approves it.",
        default=False,
        child=Inheritance.NONE,
        option=Option("--approve", "Wait until a person approves the plan."),
    )
    max_total_workers: int | None = setting(
        Kind.COUNT,
        "Workers of the whole tree together.",
        default=None,
        child=Inheritance.AT_MOST,
    )
    max_steps: int | None = setting(
        Kind.COUNT,
        "Steps of agents, all workers together.",
        default=None,
        server="workers.max_steps",
        ceiling="max_steps",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option(
            "--max-steps", "Stop the job when its agents have called a model N times.", "N"
        ),
    )
    max_tokens: int | None = setting(
        Kind.COUNT,
        "Tokens of agents, all workers together.",
        default=None,
        server="workers.max_tokens",
        ceiling="max_tokens",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-tokens", "Stop the job when its agents have used N tokens.", "N"),
    )
    max_cost_usd: float | None = setting(
        Kind.MONEY,
        "Cost of agents in US dollars, all workers together.",
        default=None,
        server="workers.max_cost_usd",
        ceiling="max_cost_usd",
        child=Inheritance.AT_MOST,
        on_retry=True,
        option=Option("--max-cost", "Stop the job when its agents have cost so much.", "USD"),
    )
    #: A child job with requested limits of its own: they are reserved for it.
    budget_asked: bool = False
    max_wall_seconds: float = setting(
        Kind.SECONDS,
        "Seconds the job may take from start to end.",
        default=inf,
        ceiling="max_wall_seconds",
        child=Inheritance.AT_MOST,
        on_retry=True,
    )
    context: str = setting(
        Kind.TEXT,
        "What every worker of the job is told, beside the request; not inherited by child jobs.",
        default="",
        child=Inheritance.NONE,
    )
    context_files: tuple[str, ...] = setting(
        Kind.PATHS,
        "Files of the project, or of this job's workspace, that every worker is given to read.",
        default=(),
        child=Inheritance.NONE,
    )
    labels: Mapping[str, str] = setting(
        Kind.LABELS,
        "Names and values of your own, kept with the job.",
        default={},
        child=Inheritance.BOTH,
    )
    #: The request asks to make or change something.
    asks_to_build: bool = False
    project: str = setting(
        Kind.TEXT,
        "The host project, if --project or orchestrator.project_root named it: a folder that "
        "finds its project by itself may be moved with it.",
        default="",
        server="orchestrator.project_root",
        child=Inheritance.PARENT,
        in_request=False,
    )


def _row(each: "Field[Any]") -> Setting:
    row: Setting = each.metadata[DECLARED]
    return replace(row, name=each.name, wire=row.wire or each.name)


#: The rows of the table, in its order.
SETTINGS = tuple(_row(each) for each in fields(JobConfig) if DECLARED in each.metadata)
#: The settings in requests, by their names there.
BY_WIRE_NAME: Mapping[str, Setting] = {each.wire: each for each in SETTINGS if each.in_request}
_BUILT_IN: dict[str, Any] = {each.name: each.default for each in SETTINGS}


def default_config(**changes: Any) -> JobConfig:
    """Return the settings of a new job that sets none, if config.yaml sets only ``changes``."""
    return JobConfig(**_BUILT_IN | changes)
