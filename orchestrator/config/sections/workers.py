"""The section ``workers``: defaults for jobs, limits of one worker, sandbox, and prices."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from orchestrator.config.fields.choices import Containment, OnShutdown, UnknownPrice
from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import (
    AUTO,
    MIB,
    Bytes,
    Count,
    CountOrAuto,
    Dollars,
    Paths,
    PathText,
    Price,
    Processors,
    Seconds,
    SecondsOrZero,
    Size,
    Word,
)
from orchestrator.config.sections.agents import AgentPolicy
from orchestrator.core.model.machines import LIVE_PER_RUNNING


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
    """Prices instead of built-in ones, USD per million tokens: [{model: m, input: 1, output: 5}]"""
    unknown_price: Annotated[UnknownPrice, Field(strict=False)] = UnknownPrice.REFUSE
    """Jobs with a cost cap and an unpriced model: refuse, or first (stop after one worker)."""
    roles_dir: PathText | None = None
    """Directory of your roles (NAME.md); null: .orchestrator/roles of the project."""
    grace_seconds: float = Field(default=5.0, ge=0, le=600)
    """Seconds between SIGTERM and SIGKILL to a worker."""
    retry_backoff_seconds: float = Field(default=2.0, ge=0, le=86400)
    """Seconds before a worker's first retry; doubled before each further retry, at most 60."""
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
