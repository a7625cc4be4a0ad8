"""The answer that compares the candidates of a task."""

from orchestrator.core.model.states import WorkerStatus
from orchestrator.schemas.answers.answer import Answer, Usd


class CandidateAnswer(Answer):
    """One candidate; unknown values are omitted."""

    worker_id: str
    agent: str
    status: WorkerStatus
    reason: str
    chosen: bool
    place: int | None = None
    """Rank; 1 is the best. Omitted before the comparison."""
    by: str
    """Criterion by which the chosen candidate won: success, gates, base_tests, new_tests, lint,
    review, size, cost, time, order, or person. In jobs of earlier versions also: tests."""
    why: str
    """The criterion as text."""
    gates_passed: int
    gates_failed: list[str]
    """Names of the gates that failed."""
    failures: int
    """Number of findings of all gates."""
    tests: int | None = None
    """Number of tests that passed."""
    base_tests: int | None = None
    """Number of the base commit's tests that pass on the candidate's code. Test files and
    configuration are those of the base commit."""
    new_tests: int = 0
    """Number of tests that pass and do not exist on the base commit."""
    new_tests_counted: int = 0
    """Number of new tests that count: tests that the task names, or that at least two candidates
    pass."""
    review: int | None = None
    """Rank in the review."""
    remark: str
    """Remark of the reviewer."""
    files: int | None = None
    lines_added: int | None = None
    lines_removed: int | None = None
    cost_usd: Usd | None = None
    """Cost of the candidate and its child jobs; omitted before the comparison."""
    seconds: float | None = None
    """Work time of all attempts."""
    branch: str
    """Branch with the candidate's changes; empty for a worker without a worktree."""


class ReviewerAnswer(Answer):
    """The worker that reviews the candidates."""

    worker_id: str
    agent: str
    status: WorkerStatus
    reason: str


class CandidatesAnswer(Answer):
    """The candidates of a task, the chosen candidate, and the reason for the choice."""

    job_id: str
    task_id: str
    title: str
    chosen: str | None = None
    """The chosen worker; omitted before all candidates have ended, or if none succeeded."""
    by: str
    why: str
    candidates: list[CandidateAnswer]
    """The candidates, the best first. Before the comparison: in the order of the task's agents."""
    reviewer: ReviewerAnswer | None = None
