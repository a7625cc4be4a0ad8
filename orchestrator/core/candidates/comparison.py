"""Comparison of a task's candidates: which candidate was selected, and why."""

from collections.abc import Sequence

from orchestrator.core.candidates.selection import chosen, counted_new_tests
from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.repository.git_refs import short, worker_branch


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateRow:
    """One candidate in a comparison. A field is None if its value is unknown."""

    worker_id: str
    agent: str
    status: WorkerStatus
    reason: str
    chosen: bool
    place: int | None
    #: The criterion that decided the candidate's place; empty without a place.
    by: str
    #: The reason for the place, as text.
    why: str
    #: Number of gates that the candidate passed, and names of the gates that reject the candidate.
    gates_passed: int
    gates_failed: tuple[str, ...]
    failures: int
    #: Number of passed tests. ``base_tests`` counts only tests of the base commit, run with the
    #: base commit's versions of tests and configuration.
    tests: int | None
    base_tests: int | None
    #: Number of new tests, and how many of them count (see ``selection.counted_new_tests``).
    new_tests: int
    new_tests_counted: int
    #: The candidate's place in the review, and the reviewer's reason.
    review: int | None
    remark: str
    files: int | None
    lines_added: int | None
    lines_removed: int | None
    cost_usd: float | None
    seconds: float | None
    #: The branch with the candidate's changes; empty without a worktree.
    branch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewerRow:
    worker_id: str
    agent: str
    status: WorkerStatus
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Comparison of one task's candidates. The chosen candidate, if any, comes first."""

    job_id: str
    task_id: str
    title: str
    #: The chosen candidate; None if some candidates have not ended, or none succeeded.
    chosen: str | None
    by: str
    why: str
    candidates: tuple[CandidateRow, ...]
    #: The reviewer; None if no review was requested.
    reviewer: ReviewerRow | None

    @property
    def review_ignored(self) -> bool:
        """True if the reviewer has ended without success, so that there is no review."""
        return self.reviewer is not None and (
            self.reviewer.status.ended and not self.reviewer.status.succeeded
        )


def comparisons(
    tasks: Sequence[TaskSpec], workers: Sequence[Worker], reviewers: Sequence[Worker] = ()
) -> list[Comparison]:
    """Compare the candidates of each task. Return one comparison for each task, in task order.

    ``workers`` and ``reviewers``: all workers and reviewers of the tasks' job.
    """
    by_task: dict[str, list[Worker]] = {task.id: [] for task in tasks}
    for worker in workers:
        by_task.setdefault(worker.task_id, []).append(worker)
    reviewer_by_task = {reviewer.task_id: reviewer for reviewer in reviewers}
    return [_comparison(task, by_task[task.id], reviewer_by_task.get(task.id)) for task in tasks]


def comparison_of(
    task: TaskSpec, workers: Sequence[Worker], reviewers: Sequence[Worker] = ()
) -> Comparison:
    """Return the comparison of one task's candidates.

    ``workers`` and ``reviewers``: all workers and reviewers of the task's job.
    """
    return comparisons([task], workers, reviewers)[0]


def _comparison(task: TaskSpec, workers: Sequence[Worker], reviewer: Worker | None) -> Comparison:
    is_ranked = any(each.result and each.result.standing for each in workers)
    all_ended = all(each.status.ended for each in workers)
    best = chosen(workers) if is_ranked or (all_ended and len(workers) == 1) else None
    new_tests = counted_new_tests(workers, task.words)
    rows = sorted(
        (_candidate_row(each, best, len(new_tests[each.id])) for each in workers),
        key=lambda row: float("inf") if row.place is None else row.place,
    )
    return Comparison(
        job_id=workers[0].job_id if workers else "",
        task_id=task.id,
        title=task.title,
        chosen=best.id if best else None,
        by=rows[0].by if best else "",
        why=rows[0].why if best else "",
        candidates=tuple(rows),
        reviewer=_reviewer_row(reviewer) if reviewer else None,
    )


def _candidate_row(worker: Worker, best: Worker | None, new_tests_counted: int) -> CandidateRow:
    result = worker.result or WorkerResult()
    standing, change = result.standing, result.change
    test_counts = [gate.tests for gate in result.gates if gate.tests is not None]
    base_test_counts = [gate.base_tests for gate in result.gates if gate.base_tests is not None]
    cost = standing.cost_usd if standing else None
    return CandidateRow(
        worker_id=worker.id,
        agent=worker.agent,
        status=worker.status,
        reason=worker.reason,
        chosen=best is worker,
        place=standing.place if standing else None,
        by=str(standing.by) if standing else "",
        why=standing.why if standing else "",
        gates_passed=sum(gate.outcome is GateOutcome.PASSED for gate in result.gates),
        gates_failed=tuple(gate.name for gate in result.gates if gate.blocks),
        failures=sum(len(gate.failures) for gate in result.gates),
        tests=sum(test_counts) if test_counts else None,
        base_tests=sum(base_test_counts) if base_test_counts else None,
        new_tests=len({test for gate in result.gates for test in gate.new_tests}),
        new_tests_counted=new_tests_counted,
        review=standing.review if standing else None,
        remark=standing.remark if standing else "",
        files=change.files if change else len(result.files_created) if worker.result else None,
        lines_added=change.added if change else None,
        lines_removed=change.removed if change else None,
        cost_usd=worker.cost_usd if cost is None else cost,
        seconds=result.work_seconds if worker.result else None,
        branch=short(worker_branch(worker)) if change else "",
    )


def _reviewer_row(reviewer: Worker) -> ReviewerRow:
    return ReviewerRow(
        worker_id=reviewer.id,
        agent=reviewer.agent,
        status=reviewer.status,
        reason=reviewer.reason,
    )
