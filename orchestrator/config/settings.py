"""The settings: each with its default, its bounds, and one line that describes it."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)

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
from orchestrator.config.fields.value_types import (
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
    MachineLabels,
    Paths,
    PathText,
    Price,
    Processors,
    Seconds,
    SecondsOrZero,
    Section,
    Size,
    Word,
    Words,
    empty_for_null,
    upper_case,
)
from orchestrator.config.sections.agents import AgentPolicy, UserAgent
from orchestrator.config.sections.triggers import TriggerSettings
from orchestrator.config.sections.webhooks_and_notifications import Notify, WebhookSettings
from orchestrator.core.model.job_settings import MOST_SECONDS
from orchestrator.core.model.known_agents import PROGRAMS, KnownTool
from orchestrator.core.model.machines import LIVE_PER_RUNNING

MIB = 1024 * 1024

Mode = Annotated[ExecutionMode, Field(strict=False)]


class _Workplace(Section):
    execution_mode: Mode = ExecutionMode.NATIVE
    """Platform of AI tools: native, wsl (same as native), or windows (server in WSL)."""
    workspace_root: PathText = Path("workspace")
    """Directory for the files of all jobs."""


if TYPE_CHECKING:
    _Commands = _Workplace
else:
    # One setting for each built-in agent that is a program, such as claude_command. The method
    # command_of reads these settings.
    _Commands = create_model(
        "_Commands",
        __base__=_Workplace,
        **{
            each.command_setting: (
                Word,
                Field(
                    default=each.program,
                    description=f"Command that starts {each.title or each.description}.",
                ),
            )
            for each in PROGRAMS
        },
    )


class Orchestrator(_Commands):
    """Project, workspace, and agent programs."""

    project_root: PathText | None = None
    """Directory of the project; null: the rules under "Which project" in README.md decide."""
    keep_jobs_seconds: Annotated[Seconds, Field(ge=1)] | None = None
    """Retention of ended jobs, in seconds; null: keep forever."""

    def command_of(self, agent: KnownTool) -> str:
        return str(getattr(self, agent.command_setting)) if agent.program else ""


class WorkerLimitSettings(Section):
    """Limits of one worker and all its processes; null: no limit."""

    cpu: Annotated[float, Field(ge=0.01, le=100_000)] | None = None
    """Maximum number of processors, such as 0.5."""
    memory: Annotated[Size, Field(ge=MIB)] | None = None
    """Maximum memory, in bytes or as in 512M or 2G."""
    processes: Count | None = None
    """Maximum number of processes and threads."""
    file_size: Size | None = None
    """Maximum size of each file that the worker writes, in bytes or as in 512M."""
    open_files: Annotated[Count, Field(ge=16)] | None = None
    """Maximum number of open files of each process."""
    strict: bool = False
    """Start the server only if this machine can enforce each of these limits exactly."""


class SandboxSettings(Section):
    """Access of workers to the host, if containment is sandbox."""

    network: bool = True
    """Allow network access; workers without a network cannot start child jobs."""
    hide: Paths = ()
    """Files and directories that are hidden from workers."""
    writable: Paths = ()
    """Writable directories, in addition to the worker's own directory."""


class ModelPrice(Section):
    """Prices of a model, in USD per million tokens; null: the built-in price."""

    model: Word
    """Name of the model, with or without its provider."""
    input: Price | None = None
    """Price of uncached input tokens."""
    output: Price | None = None
    """Price of output tokens."""
    cache_read: Price | None = None
    """Price of input tokens from the provider's cache."""
    cache_write: Price | None = None
    """Price of input tokens that are written to the provider's cache."""


class Workers(Section):
    """Defaults for jobs; a request can change them, up to the ceilings in limits."""

    max_workers: CountOrAuto = 10
    """Maximum number of parallel workers, in total and in each job; auto: one per processor."""
    default_timeout: Seconds = 300.0
    """Timeout of one attempt of a worker, in seconds."""
    max_retries: int = Field(default=2, ge=0, le=100)
    """Maximum number of retries of a failed worker."""
    max_live_workers: Count | None = None
    """Maximum number of workers with a process, running and waiting; null: 4 x max_workers."""
    max_cost_usd: Dollars | None = None
    """Cost cap of a job and its child jobs, in US dollars; null: none."""
    max_tokens: Count | None = None
    """Token cap of a job and its child jobs; null: none."""
    max_steps: Count | None = None
    """Step cap of a job and its child jobs (a step is one model call); null: none."""
    agent: Word = "auto"
    """Agent of tasks that name no agent; auto: the best available agent."""
    planner: Word = "auto"
    """Planner: rules, an agent's name, or auto (the job's agent; rules for simple requests)."""
    resolve: Word = "worker"
    """Resolver of merge conflicts: worker (the worker in conflict), an agent's name, or off."""
    policy: Annotated[AgentPolicy, Field(strict=False)] = AgentPolicy.FULL
    """What agents may do without asking: full, edit (write files in their directory), read-only."""
    stall_seconds: SecondsOrZero = 600.0
    """Seconds without output after which an AI agent is stopped (default 10 min); 0: never."""
    resume_sessions: bool = True
    """Allow retries to resume the session of the AI tool; false: start a new session."""
    prices: Annotated[tuple[ModelPrice, ...], Field(strict=False)] = ()
    """USD per million tokens, in place of built-in prices: [{model: m, input: 1, output: 5}]"""
    unknown_price: Annotated[UnknownPrice, Field(strict=False)] = UnknownPrice.REFUSE
    """Jobs with a cost cap and an unknown price: refuse, or first (stop after the first worker)."""
    roles_dir: PathText | None = None
    """Directory of your roles (NAME.md); null: .orchestrator/roles of the project."""
    grace_seconds: float = Field(default=5.0, ge=0, le=600)
    """Seconds between SIGTERM and SIGKILL to a worker."""
    retry_backoff_seconds: float = Field(default=2.0, ge=0, le=86400)
    """Seconds before the first retry of a worker; doubled before each further retry."""
    log_limit_bytes: Bytes = Field(default=50 * MIB, ge=64 * 1024)
    """Maximum size of a worker's log, in bytes (default 50 MiB)."""
    containment: Annotated[Containment, Field(strict=False)] = Containment.AUTO
    """Mechanism that ends a worker's processes: auto, subreaper, cgroup, pidns, sandbox, basic."""
    limits: WorkerLimitSettings = WorkerLimitSettings.by_default()
    """Limits of one worker and all its processes; null: no limit."""
    sandbox: SandboxSettings = SandboxSettings.by_default()
    """Access of workers to the host, if containment is sandbox."""
    on_shutdown: Annotated[OnShutdown, Field(strict=False)] = OnShutdown.STOP
    """Running workers at server shutdown: stop (restarted later) or leave (keep running)."""
    orphan_timeout: SecondsOrZero = 7200.0
    """Seconds that workers keep running after their server crashed (default 2 h); 0: no limit."""
    min_available_memory_bytes: Bytes = Field(default=256 * MIB, ge=0)
    """Minimum free memory after a worker starts, in bytes (default 256 MiB)."""
    max_memory_pressure: float = Field(default=40.0, ge=0, le=100)
    """Maximum memory pressure at which workers start (Linux PSI "some", in percent)."""
    min_free_disk_bytes: Bytes = Field(default=256 * MIB, ge=0)
    """Minimum free space on the disks of workspace and repository, in bytes (default 256 MiB)."""

    @classmethod
    def by_default(cls) -> Self:
        running: int = cls.model_fields["max_workers"].default
        return cls.model_construct(max_live_workers=LIVE_PER_RUNNING * running)

    @model_validator(mode="before")
    @classmethod
    def derive_max_live_workers(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("max_live_workers") is not None:
            return values
        running = values.get("max_workers")
        running = Processors.available() if running == AUTO else running
        running = running if isinstance(running, int) else cls.model_fields["max_workers"].default
        return {**values, "max_live_workers": LIVE_PER_RUNNING * max(running, 1)}


class GateSettings(Section):
    """Gates: checks of changes before the changes are accepted (see docs/gates.md)."""

    run: Annotated[GatesByDefault, Field(strict=False)] = GatesByDefault.AUTO
    """Gates of jobs that name no gates: auto (found in the repository) or off."""
    timeout: Seconds = 600.0
    """Timeout of a gate without its own timeout, in seconds (default 10 min)."""
    tests_may_change: bool = False
    """Allow all tasks to change tests; false: only tasks that list the test files under writes."""
    tests_may_vanish: bool = False
    """Allow all tasks to remove tests; false: only tasks that list the test files under writes."""
    unjudged: Annotated[Unjudged, Field(strict=False)] = Unjudged.TELL
    """Effect of changes that no gate checked: tell (a note in the reason) or fail (the job)."""


class Recursion(Section):
    """Child jobs of workers."""

    enable: bool = True
    """Allow workers to start child jobs."""
    max_depth: CountOrZero = 3
    """Maximum depth of child jobs; the root job has depth 0."""


class Limits(Section):
    """Ceilings that no request may exceed."""

    max_depth: int = Field(default=10, ge=0, le=1000)
    """Maximum depth of child jobs."""
    max_workers: int = Field(default=100, ge=1, le=10_000)
    """Maximum number of parallel workers."""
    max_child_jobs_per_worker: CountOrZero = 20
    """Maximum number of child jobs of one worker."""
    max_child_jobs_per_root: CountOrZero = 1000
    """Maximum number of child jobs in one job tree."""
    max_tasks_per_job: Count = 10_000
    """Maximum number of tasks in one job."""
    max_wall_seconds: int = Field(default=86_400, ge=1, le=int(MOST_SECONDS))
    """Maximum wall time of a job and of each attempt, in seconds (default 24 h)."""
    max_cost_usd: Dollars | None = None
    """Largest cost cap that a job may set, and the default cap, in US dollars; null: no limit."""
    max_tokens: Count | None = None
    """Largest token cap that a job may set, and the default cap; null: no limit."""
    max_steps: Count | None = None
    """Largest step cap that a job may set, and the default cap; null: no limit."""
    max_cost_usd_per_day: Dollars | None = None
    """Maximum cost of all jobs per day (UTC), in US dollars; null: no limit."""
    max_request_bytes: Bytes = Field(default=8 * MIB, ge=1024)
    """Maximum size of an HTTP request's body, in bytes (default 8 MiB)."""
    submissions_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = 6000
    """Maximum number of submissions and retries per key and minute; null: no limit."""
    reads_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Maximum number of read-only calls per key and minute; null: no limit."""


class KeyLimitSettings(Section):
    """Limits of one key and its jobs; null: no limit."""

    max_cost_usd_per_day: Dollars | None = None
    """Maximum cost of the key's jobs per day (UTC), in US dollars."""
    max_running_jobs: Count | None = None
    """Maximum number of unfinished root jobs."""
    max_workers: Count | None = None
    """Maximum number of parallel workers of the key's jobs."""
    submissions_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Maximum submissions and retries per minute, instead of limits.submissions_per_minute."""


class ApiKey(Section):
    """A further API key, for a person or a program; ``orchestrator keys new`` creates it."""

    name: KeyName
    """Name of the key's owner. The audit log and the jobs that use this key show it."""
    key_hash: KeyHash | None = None
    """SHA-256 hash of the key; set either key_hash or key."""
    key: SecretStr | None = None
    """The key, 16 characters or more; set either key_hash or key."""
    scopes: Annotated[tuple[KeyScope, ...], Field(strict=False, min_length=1)]
    """Scopes: read (all jobs), submit (own jobs: submit and control), or admin (everything)."""
    limits: KeyLimitSettings = KeyLimitSettings.by_default()
    """Limits of the key: cost per day, unfinished jobs, workers, and submissions."""


class Tls(Section):
    """Certificate and private key of the server, as files in PEM format."""

    certificate: PathText
    """Certificate of the server, followed by the certificates of its issuers."""
    key: PathText
    """Private key of the certificate, without a password."""


class Api(Section):
    """The REST API."""

    host: Word = "localhost"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0: any free port."""
    api_key: Annotated[SecretStr, BeforeValidator(empty_for_null)] = SecretStr("")
    """API key (header X-API-Key), 16 characters or more; empty: created at the next start."""
    keys: Annotated[tuple[ApiKey, ...], Field(strict=False)] = ()
    """Further API keys with names and scopes; to create a key: bin/orchestrator keys new NAME"""
    threads: int = Field(default=16, ge=2, le=1000)
    """Number of threads that answer requests."""
    connection_limit: int = Field(default=2000, ge=10, le=1_000_000)
    """Maximum number of open connections."""
    tls: Tls | None = None
    """Certificate and key for https: {certificate: FILE.pem, key: FILE.pem}; null: no https."""
    trusted_proxies: Words = ()
    """Addresses or networks of https proxies; if set, other machines are rejected."""
    allowed_hosts: Words = ()
    """Further host names of the server, such as the public name behind a proxy."""
    public_url: Word | None = None
    """Address for links in messages: https://jobs.example.org; null: address on this machine."""
    allowed_origins: Words = ()
    """Origins of other sites whose pages may call the API with a key: https://app.example.org."""
    insecure: bool = False
    """Allow plain HTTP from other machines (others on the network can then read the keys)."""

    @property
    def has_local_address(self) -> bool:
        """True if the server has a second address, in plain HTTP, for programs on this machine."""
        return self.tls is not None or bool(self.trusted_proxies)

    @model_validator(mode="before")
    @classmethod
    def remove_old_keys(cls, values: Any) -> Any:
        """Remove the key ``allow_remote``, which older versions wrote and no code reads."""
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if key != "allow_remote"}


class StoreSettings(Section):
    """Database with the state of all jobs."""

    url: SecretStr | None = None
    """Database: postgresql+psycopg://USER@HOST/NAME, used by no other server; null: SQLite."""


class Logging(Section):
    """Log of the server."""

    level: Annotated[LogLevel, Field(strict=False), BeforeValidator(upper_case)] = LogLevel.INFO
    """Minimum level: DEBUG, INFO, WARNING, ERROR, or CRITICAL."""
    enable_structured: bool = True
    """Write JSON, one object per line; false: plain text."""
    log_dir: PathText = Path("logs")
    """Directory of the server's log."""


#: Patterns of dependencies, caches, and files of an editor or system.
NEVER_COMMIT = (
    *("node_modules/", ".venv/", "__pycache__/", "*.pyc", ".pytest_cache/", ".mypy_cache/"),
    *(".ruff_cache/", ".tox/", ".nox/", ".eggs/", ".gradle/", ".terraform/", ".parcel-cache/"),
    *(".ipynb_checkpoints/", ".DS_Store"),
)


class GitSection(Section):
    """Worktrees, commits, and pushes."""

    copy_ignored: Words = (".env", ".env.*", ".envrc")
    """Names or paths of git-ignored files and directories to copy into each worktree."""
    link_ignored: Words = ()
    """Names or paths of ignored files to link, not copy: fast, but workers change your files."""
    never_commit: Words = NEVER_COMMIT
    """Patterns (as in .gitignore) of new files that are not committed; []: commit all new files."""
    never_commit_over: Size | None = 10 * MIB
    """Maximum size of a new file to commit, in bytes or as in 10M; null: no limit."""
    setup: Words = ()
    """Bash commands to prepare new worktrees; if set, your installed packages are not linked."""
    setup_timeout: Seconds = 600.0
    """Timeout of all setup commands together, in seconds."""
    author: Annotated[Author, Field(strict=False)] = Author.WORKER
    """Author of landed commits: worker, or user (with Co-authored-by for the worker)."""
    attempts: Annotated[Attempts, Field(strict=False)] = Attempts.FOLD
    """Commits of an attempt that gates rejected: fold (into the next commit) or keep (separate)."""
    push: Annotated[Push, Field(strict=False)] = Push.OFF
    """Git pushes of AI agents: off (their push URLs are disabled) or on."""


class ReportSettings(Section):
    """Reports of jobs."""

    template_dir: PathText | None = None
    """Directory of your report templates, which replace the built-in templates; null: none."""


class AdaptSettings(Section):
    """Minimum and maximum number of workers of the Dask cluster."""

    minimum: CountOrZero = 0
    """Minimum number of Dask's workers."""
    maximum: Count
    """Maximum number of Dask's workers."""


class ClusterSection(Section):
    """Cluster: further machines that run workers (see docs/cluster.md)."""

    listen: Word | None = None
    """Address to listen on for nodes, such as 0.0.0.0:8786; null: no nodes."""
    certificates: PathText = Path("cluster")
    """Directory of the cluster's certificates and nodes; created by: bin/orchestrator nodes init"""
    slots_here: CountOrZero | None = None
    """Maximum number of workers on the server's own machine; null: workers.max_workers."""
    labels_here: MachineLabels = Field(default_factory=dict)
    """Labels of the server's own machine, for tasks with requires: {gpu: true}."""
    lease: float = Field(default=8.0, ge=3.0, le=3600.0)
    """Seconds that a node's workers continue without an answer from this server (default 8)."""
    server_lease: Annotated[float, Field(ge=3.0, le=3600.0)] | None = None
    """Server lease: seconds without PostgreSQL until a standby takes over; null: no lease."""
    refusal_is_absence: bool = True
    """Workers continue while the server refuses connections; set false if nodes use a proxy."""
    scheduler: Word | None = None
    """Dask scheduler: tls://HOST:PORT (each Dask worker runs a node; needs listen); null: none."""
    adapt: AdaptSettings | None = None
    """Range for the number of Dask's workers: {minimum: 0, maximum: 10}; null: no scaling."""


#: Sections whose entries have names that the user chooses.
NAMED = ("agents", "triggers")


class Settings(Section):
    """Settings of the orchestrator."""

    orchestrator: Orchestrator = Orchestrator.by_default()
    workers: Workers = Workers.by_default()
    gates: GateSettings = GateSettings.by_default()
    recursion: Recursion = Recursion.by_default()
    limits: Limits = Limits.by_default()
    api: Api = Api.by_default()
    store: StoreSettings = StoreSettings.by_default()
    logging: Logging = Logging.by_default()
    git: GitSection = GitSection.by_default()
    reports: ReportSettings = ReportSettings.by_default()
    webhooks: WebhookSettings = WebhookSettings.by_default()
    notify: Notify = Notify.by_default()
    cluster: ClusterSection = ClusterSection.by_default()
    agents: Mapping[AgentName, UserAgent] = Field(default_factory=dict)
    """Agents that you add, by name."""
    triggers: Mapping[AgentName, TriggerSettings] = Field(default_factory=dict)
    """Triggers by name: events from outside that start a job (see docs/triggers.md)."""

    @classmethod
    def from_sections(cls, sections: Mapping[str, Any]) -> Self:
        """Return the settings with ``sections``, and with defaults for all other sections.

        Raise ValidationError if one of ``sections`` is invalid. The defaults are not checked,
        because building the validators of all sections would take 2 % of a server's start time.
        """
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        if sections.keys() <= kinds.keys() - set(NAMED):
            with suppress(ValidationError):
                checked = {name: kinds[name].model_validate(sections[name]) for name in sections}  # type: ignore[union-attr]
                return cls.model_construct(**checked)
        # Check again, because the errors of this check name the section.
        return cls.model_validate(sections)
