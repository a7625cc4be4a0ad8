"""The answer that compares the candidates of a task."""

from orchestrator.core.model.states import WorkerStatus
from orchestrator.schemas.answers.common import Answer


class CandidateAnswer(Answer):
    """One candidate; what is not known, or not yet, is left out."""

    worker_id: str
    agent: str
    status: WorkerStatus
    reason: str
    chosen: bool
    place: int | None = None
    """1 is the best; left out while the choice is open."""
    by: str
    """What told it from the chosen one: success, gates, base_tests, new_tests, lint, review, size,
    cost, time, order; tests in answers on jobs of earlier versions."""
    why: str
    """The same in words."""
    gates_passed: int
    gates_failed: list[str]
    """The names of those that refuse it."""
    failures: int
    """What all gates have found."""
    tests: int | None = None
    """How many passed."""
    base_tests: int | None = None
    """How many of the base's tests pass, with the base's tests and configuration."""
    new_tests: int = 0
    """How many tests pass that the base does not have."""
    new_tests_counted: int = 0
    """How many of the new tests count: they pass on two candidates, or the task names them."""
    review: int | None = None
    """The place that the reviewer gave it."""
    remark: str
    """What the reviewer said of it."""
    files: int | None = None
    lines_added: int | None = None
    lines_removed: int | None = None
    cost_usd: float | None = None
    """With its child jobs, once the choice is made."""
    seconds: float | None = None
    """Of work, summed over all attempts."""
    branch: str
    """What it did; empty for one that had no worktree."""


class ReviewerAnswer(Answer):
    """Who was asked to compare them."""

    worker_id: str
    agent: str
    status: WorkerStatus
    reason: str


class CandidatesAnswer(Answer):
    """Who tried a task, who is taken, and why."""

    job_id: str
    task_id: str
    title: str
    chosen: str | None = None
    """Left out while not all have ended, and where none succeeded."""
    by: str
    why: str
    candidates: list[CandidateAnswer]
    """The best first; in the order of the task's list while the choice is open."""
    reviewer: ReviewerAnswer | None = None
