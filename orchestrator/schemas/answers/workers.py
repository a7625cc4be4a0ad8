"""Answers with pages of workers, and with one worker."""

from datetime import datetime

from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports.read_models import StepKind
from orchestrator.schemas.answers.answer import Answer, Usd
from orchestrator.schemas.answers.job import WorkerAnswer


class GateCountsAnswer(Answer):
    """Numbers of gates by outcome."""

    passed: int
    failed: int
    did_not_run: int


class WorkerUsage(Answer):
    """Known usage; unknown values are omitted."""

    steps: int | None = None
    tokens: int | None = None
    """Known tokens that count toward max_tokens."""
    cost_usd: Usd | None = None


class WorkerRowAnswer(Answer):
    """A worker in a list."""

    worker_id: str
    job_id: str
    task_id: str
    title: str
    """Title of the task; if it has no title, the beginning of its prompt or command."""
    agent: str
    model: str | None = None
    """Model that the task names; omitted if the task names no model."""
    role: str | None = None
    status: WorkerStatus
    reason: str
    """The first 200 characters of the reason."""
    attempt: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    """Seconds of the worker's attempts, including a running attempt so far; omitted between
    two attempts."""
    usage: WorkerUsage
    gates: GateCountsAnswer
    files: int
    """Number of created or changed files."""
    child_job_ids: list[str]
    chosen: bool | None = None
    """True for a task's chosen candidate; omitted before the choice, or if there is one worker."""


class WorkersAnswer(Answer):
    """A page of a job's workers."""

    workers: list[WorkerRowAnswer]
    total: int
    page: int
    page_size: int
    seq: int
    """Id of the latest event that the page shows."""


class OneWorkerAnswer(WorkerAnswer):
    """All details of a worker, with links."""

    job_id: str
    title: str
    """Title of the task; if it has no title, the beginning of its prompt or command."""
    prompt_url: str
    log_url: str
    can: list[str]
    """Calls that are possible in the worker's current state, such as rollback or choose."""


class LogLinesAnswer(Answer):
    """The lines of a log that contain the text `q`."""

    lines: list[int]
    """Numbers of the first 1,000 lines that contain the text; line numbers start at 1."""
    total: int


class StepAnswer(Answer):
    """One step of an agent."""

    kind: StepKind
    """said: text of the model. tool: call of a tool. trouble: error that the agent's program
    retries. result: the final answer."""
    text: str
    """The first 2,000 characters of the step's text."""
    tool: str | None = None


class TranscriptAnswer(Answer):
    """The agent's steps in a worker's latest attempt: its texts and tool uses."""

    steps: list[StepAnswer]
