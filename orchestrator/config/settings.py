"""The settings: each with its default, its bounds, and one line that describes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, create_model, model_validator

from orchestrator.config.agents import AgentPolicy, UserAgent
from orchestrator.config.fields.choices import (
    Attempts,
    Author,
    Containment,
    ExecutionMode,
    GatesByDefault,
    LogLevel,
    OnShutdown,
    Push,
    Unjudged,
    UnknownPrice,
)
from orchestrator.config.fields.kinds import (
    AUTO,
    AgentName,
    Bytes,
    Count,
    CountOrAuto,
    CountOrZero,
    Dollars,
    KeyHash,
    KeyName,
    KeyScope,
    Paths,
    PathText,
    Price,
    Processors,
    Seconds,
    SecondsOrZero,
    Size,
    Word,
    Words,
)
from orchestrator.config.fields.section import Section
from orchestrator.config.fields.text_checks import empty_for_null, upper_case
from orchestrator.core.limits.quotas import MOST_SECONDS
from orchestrator.core.model.known_agents import PROGRAMS, KnownTool
from orchestrator.core.scheduler.queue.slots import LIVE_PER_RUNNING

MIB = 1024 * 1024

Mode = Annotated[ExecutionMode, Field(strict=False)]


class _Workplace(Section, defer_build=True):  # only Orchestrator is used: that saves a millisecond
    execution_mode: Mode = ExecutionMode.NATIVE
    """How workers run: native; wsl (the same inside Linux or WSL); windows (from WSL)."""
    workspace_root: PathText = Path("workspace")
    """The directory that holds all jobs."""


if TYPE_CHECKING:
    _Commands = _Workplace
else:
    # One setting for each built-in agent that is a program, such as claude_command; command_of
    # reads it. It has no source, and the search for its docstrings would take 10 ms.
    _Commands = create_model(
        "_Commands",
        __base__=_Workplace,
        __cls_kwargs__={"use_attribute_docstrings": False},
        **{
            each.command_setting: (
                Word,
                Field(
                    default=each.program,
                    description=f"The command that starts {each.title or each.description}.",
                ),
            )
            for each in PROGRAMS
        },
    )


class Orchestrator(_Commands, defer_build=False, use_attribute_docstrings=True):
    """Where work happens, and for which project."""

    project_root: PathText | None = None
    """The project to work on; null: as README says under "Which project"."""
    keep_jobs_seconds: Annotated[Seconds, Field(ge=1)] | None = None
    """Seconds after which an ended job is removed with its files; null: never."""

    def command_of(self, agent: KnownTool) -> str:
        """The command that starts the agent's program; empty if it has none."""
        return str(getattr(self, agent.command_setting)) if agent.program else ""


class WorkerLimits(Section):
    """What one worker with all that it starts may use; null: no limit."""

    cpu: Annotated[float, Field(ge=0.01, le=100_000)] | None = None
    """Processors: 0.5 is half of one."""
    memory: Annotated[Size, Field(ge=MIB)] | None = None
    """Memory in bytes, or like 512M or 2G."""
    processes: Count | None = None
    """Processes and threads."""
    file_size: Size | None = None
    """Size of each file that it writes, in bytes or like 512M."""
    open_files: Annotated[Count, Field(ge=16)] | None = None
    """Open files of each process."""
    strict: bool = False
    """Refuse to start workers while one of these limits is not held exactly on this machine."""


class Sandbox(Section):
    """What a worker in containment sandbox has of the host."""

    network: bool = True
    """Let it use the network; without it, it cannot start child jobs."""
    hide: Paths = ()
    """Files and directories that it must not see."""
    writable: Paths = ()
    """Directories beside its own that it may write to."""


class ModelPrice(Section):
    """What a model costs, in USD per million tokens; null: as in the built-in table."""

    model: Word
    """Its name, as agents are given it; with or without its provider."""
    input: Price | None = None
    """For tokens that are read anew."""
    output: Price | None = None
    """For tokens that are written."""
    cache_read: Price | None = None
    """For tokens that are read from the provider's cache."""
    cache_write: Price | None = None
    """For tokens that are written into it."""


class Workers(Section):
    """Defaults for jobs; a request may change them up to the ceilings under limits."""

    max_workers: CountOrAuto = 10
    """Workers at the same time, in the whole server and in each job; auto: one per processor."""
    default_timeout: Seconds = 300
    """Seconds one attempt of a worker may take."""
    max_retries: int = Field(default=2, ge=0, le=100)
    """How often a failed worker is tried again."""
    max_live_workers: Count | None = None
    """Workers that exist at all, waiting ones included; null: 4 x max_workers."""
    max_cost_usd: Dollars | None = None
    """Cost cap of a job with its child jobs, in US dollars; null: none."""
    max_tokens: Count | None = None
    """Token cap of a job with its child jobs; null: none."""
    max_steps: Count | None = None
    """Cap on the steps (calls of a model) of a job with its child jobs; null: none."""
    agent: Word = "auto"
    """The agent for tasks that name none; auto: the best one that is installed."""
    planner: Word = "auto"
    """Who splits a request: rules, an agent's name, or auto (the job's agent, else rules)."""
    resolve: Word = "worker"
    """Who resolves merge conflicts: worker (the worker that has them), an agent's name, or off."""
    policy: Annotated[AgentPolicy, Field(strict=False)] = AgentPolicy.FULL
    """What AI agents may do unasked: full (everything), edit (in their directory) or read-only."""
    stall_seconds: SecondsOrZero = 600
    """Seconds of silence after which an AI agent is taken for hung (10 min); 0: never."""
    resume_sessions: bool = True
    """Let a further attempt resume its AI tool's session; false: begin a new session each time."""
    prices: Annotated[tuple[ModelPrice, ...], Field(strict=False)] = ()
    """Prices before the built-in ones, in USD per million: [{model: m, input: 1, output: 5}]."""
    unknown_price: Annotated[UnknownPrice, Field(strict=False)] = UnknownPrice.REFUSE
    """A cost cap and a model of unknown price: refuse the job, or stop after its first worker."""
    roles_dir: PathText | None = None
    """A directory of roles (NAME.md) that replace and add to the built-in ones; null: none."""
    grace_seconds: float = Field(default=5, ge=0, le=600)
    """Seconds between asking a worker to stop and killing it."""
    retry_backoff_seconds: float = Field(default=2, ge=0, le=86400)
    """Seconds before the first retry; doubled for each one after it."""
    log_limit_bytes: Bytes = Field(default=50 * MIB, ge=64 * 1024)
    """Size at which a worker's log is cut off (50 MiB)."""
    containment: Annotated[Containment, Field(strict=False)] = Containment.AUTO
    """How a worker's processes are held: auto, subreaper, cgroup, pidns, sandbox or basic."""
    limits: WorkerLimits = WorkerLimits()
    """What one worker with all that it starts may use; null: no limit."""
    sandbox: Sandbox = Sandbox()
    """What a worker in containment sandbox has of the host."""
    on_shutdown: Annotated[OnShutdown, Field(strict=False)] = OnShutdown.STOP
    """Running workers when the server is stopped: stop (run again after a start) or leave."""
    orphan_lease: SecondsOrZero = 7200
    """Seconds that workers go on when their server is gone (2 h); 0: for ever."""
    min_available_memory_bytes: Bytes = Field(default=256 * MIB, ge=0)
    """What starting a worker must leave available of memory (256 MiB)."""
    max_memory_pressure: float = Field(default=40, ge=0, le=100)
    """No further worker starts while processes wait for memory more percent of the time."""
    min_free_disk_bytes: Bytes = Field(default=256 * MIB, ge=0)
    """No worker starts while the disk of workspace or repository has less left (256 MiB)."""

    @model_validator(mode="before")
    @classmethod
    def live_workers_follow_running_ones(cls, given: Any) -> Any:
        """Put a number for null, so that raising ``max_workers`` alone is enough."""
        if not isinstance(given, Mapping) or given.get("max_live_workers") is not None:
            return given
        running = given.get("max_workers")
        running = Processors.found() if running == AUTO else running
        running = running if isinstance(running, int) else cls.model_fields["max_workers"].default
        return {**given, "max_live_workers": LIVE_PER_RUNNING * max(running, 1)}


class Gates(Section):
    """Checks of what workers changed, before it counts as done (see docs/gates.md)."""

    run: Annotated[GatesByDefault, Field(strict=False)] = GatesByDefault.AUTO
    """For requests that do not say: auto (those found in the repository) or off."""
    timeout: Seconds = 600
    """Seconds one gate may take that has no timeout of its own (10 min)."""
    tests_may_change: bool = False
    """Let any work change the tests that judge it; by default only tasks that promise them may."""
    tests_may_vanish: bool = False
    """Let any work remove or rename tests; by default only tasks that promise the files may."""
    unjudged: Annotated[Unjudged, Field(strict=False)] = Unjudged.TELL
    """Code that no gate, or not every required gate, judged: tell (in the job's reason) or fail."""


class Recursion(Section):
    """Whether workers may start child jobs, and how deep."""

    enable: bool = True
    """Let workers start child jobs."""
    max_depth: CountOrZero = 3
    """How deep child jobs may go; the root job has depth 0."""


class Limits(Section):
    """Ceilings that no request may exceed."""

    max_depth: int = Field(default=10, ge=0, le=1000)
    """Deepest child job."""
    max_workers: int = Field(default=100, ge=1, le=10_000)
    """Workers that run at the same time."""
    max_child_jobs_per_worker: CountOrZero = 20
    """Child jobs that one worker may start."""
    max_child_jobs_per_root: CountOrZero = 1000
    """Child jobs below one root job, at all depths together."""
    max_tasks_per_job: Count = 10_000
    """Tasks in one job."""
    max_wall_seconds: int = Field(default=86_400, ge=1, le=int(MOST_SECONDS))
    """Seconds a job may take from start to end, and so each attempt of a worker (24 h)."""
    max_cost_usd: Dollars | None = None
    """Largest cost cap of a job, in US dollars; a job without a cap gets it; null: any."""
    max_tokens: Count | None = None
    """Largest token cap of a job; a job without a cap gets it; null: any."""
    max_steps: Count | None = None
    """Largest step cap of a job; a job without a cap gets it; null: any."""
    max_cost_usd_per_day: Dollars | None = None
    """What all jobs together may cost in a day of UTC, in US dollars; null: any amount."""
    max_request_bytes: Bytes = Field(default=8 * MIB, ge=1024)
    """Size of one HTTP request's body (8 MiB)."""
    submissions_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = 6000
    """Jobs that one key may submit or retry, a minute's worth at once; null: any number."""
    reads_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Calls of one key that change nothing; null: any number."""


class KeyLimits(Section):
    """What the jobs of one key may use; null: no limit."""

    max_cost_usd_per_day: Dollars | None = None
    """Cost of its jobs in a day of UTC, in US dollars."""
    max_running_jobs: Count | None = None
    """Root jobs that are unfinished at the same time."""
    max_workers: Count | None = None
    """Workers of all its jobs that run at the same time."""
    submissions_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Jobs that it may submit or retry, in place of limits.submissions_per_minute."""


class ApiKey(Section):
    """A further key, for a person or a program; ``orchestrator keys new`` makes one."""

    name: KeyName
    """Whose it is: shown in the audit log and with the jobs that it submits."""
    key_hash: KeyHash | None = None
    """The key's SHA-256; or give the key itself:"""
    key: SecretStr | None = None
    """The key, 16 characters or more, in place of key_hash."""
    scopes: Annotated[tuple[KeyScope, ...], Field(strict=False, min_length=1)]
    """What it is for: read (see everything), submit (submit jobs and steer those), admin."""
    limits: KeyLimits = KeyLimits()
    """What its jobs may use: cost in a day, unfinished jobs, workers, submissions."""


class Tls(Section):
    """Files in PEM form."""

    certificate: PathText
    """The server's certificate, followed by those of its issuers."""
    key: PathText
    """Its private key, without a password."""


class Api(Section):
    """The REST API."""

    host: Word = "localhost"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    api_key: Annotated[SecretStr, BeforeValidator(empty_for_null)] = SecretStr("")
    """Key that callers send as X-API-Key, 16 characters or more; empty: the server makes one."""
    keys: Annotated[tuple[ApiKey, ...], Field(strict=False)] = ()
    """Further keys with names and scopes; make one: bin/orchestrator keys new NAME --scope read."""
    threads: int = Field(default=16, ge=2, le=1000)
    """Threads that answer requests."""
    connection_limit: int = Field(default=2000, ge=10, le=1_000_000)
    """Connections held open at the same time."""
    tls: Tls | None = None
    """Certificate and key, as {certificate: FILE.pem, key: FILE.pem}; null: no https."""
    trusted_proxies: Words = ()
    """Proxies in front that speak https, as addresses or networks: only they may call it then."""
    allowed_hosts: Words = ()
    """Further names by which callers reach the server, as a proxy in front passes them on."""
    insecure: bool = False
    """Allow plain HTTP on a host that other machines can reach: keys can be read on the way."""

    @property
    def has_local_address(self) -> bool:
        """Programs on this machine get an address of their own, in plain HTTP."""
        return self.tls is not None or bool(self.trusted_proxies)

    @model_validator(mode="before")
    @classmethod
    def without_old_keys(cls, given: Any) -> Any:
        """Leave out ``allow_remote``, which every older config.yaml has, and nothing reads."""
        if not isinstance(given, Mapping):
            return given
        return {key: value for key, value in given.items() if key != "allow_remote"}


class Store(Section):
    """Where the state of jobs is kept."""

    url: SecretStr | None = None
    """postgresql+psycopg://USER@HOST/NAME, for this server alone; null: SQLite in the workspace."""


class Logging(Section):
    """The server's own log."""

    level: Annotated[LogLevel, Field(strict=False), BeforeValidator(upper_case)] = LogLevel.INFO
    """DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    enable_structured: bool = True
    """Write JSON, one object a line; false: plain text."""
    log_dir: PathText = Path("logs")
    """The directory of the server's log."""


#: Dependencies, caches, and files of an editor or system.
NEVER_COMMIT = (
    *("node_modules/", ".venv/", "__pycache__/", "*.pyc", ".pytest_cache/", ".mypy_cache/"),
    *(".ruff_cache/", ".tox/", ".nox/", ".eggs/", ".gradle/", ".terraform/", ".parcel-cache/"),
    *(".ipynb_checkpoints/", ".DS_Store"),
)


class Git(Section):
    """What worktrees get of the files that git ignores, what is not committed, and history."""

    copy_ignored: Words = (".env", ".env.*", ".envrc")
    """Ignored files and directories that every worktree gets a copy of, as names or paths."""
    link_ignored: Words = ()
    """The same as links: quick, but a worker that writes there changes your checkout."""
    never_commit: Words = NEVER_COMMIT
    """New files that are not committed, as patterns of .gitignore; [] also commits core dumps."""
    never_commit_over: Size | None = 10 * MIB
    """Size above which a new file is not committed, in bytes or like 10M; null: no limit."""
    setup: Words = ()
    """Commands for bash that prepare each new worktree; then nothing installed is derived."""
    setup_timeout: Seconds = 600.0
    """Seconds that they may take, all together."""
    author: Annotated[Author, Field(strict=False)] = Author.WORKER
    """Author of commits that are landed: worker, or user (with Co-authored-by for the worker)."""
    attempts: Annotated[Attempts, Field(strict=False)] = Attempts.FOLD
    """Commits of an attempt that gates refused: fold (into the next attempt's first) or keep."""
    push: Annotated[Push, Field(strict=False)] = Push.OFF
    """Whether AI agents push by git: off (the push URLs in their environment refuse) or on."""


class Reports(Section):
    """How reports are written."""

    template_dir: PathText | None = None
    """A directory with templates that replace the built-in ones; null: built-in only."""


class Settings(Section):
    """Settings of the orchestrator."""

    orchestrator: Orchestrator = Orchestrator()
    workers: Workers = Workers()
    gates: Gates = Gates()
    recursion: Recursion = Recursion()
    limits: Limits = Limits()
    api: Api = Api()
    store: Store = Store()
    logging: Logging = Logging()
    git: Git = Git()
    reports: Reports = Reports()
    agents: Mapping[AgentName, UserAgent] = Field(default_factory=dict)
    """Agents that you add, by name."""
