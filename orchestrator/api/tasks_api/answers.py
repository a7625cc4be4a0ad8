"""Jobs as answers of ``/api/v1/tasks``."""

from collections.abc import Iterator, Sequence
from typing import Literal

from orchestrator.api.serializers.answer_parts import (
    moment,
    moment_or_none,
    result_of,
    seconds_between,
    worker_seconds,
)
from orchestrator.api.tasks_api.submission import CLI, OBSTACLE, task_uuid
from orchestrator.core.errors import Conflict, InvalidRequest
from orchestrator.core.model.attempt.usage_sums import known_sum
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.question import PERSON
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.ports.read_models import UsageBy, UsageFilter
from orchestrator.core.repository.git_refs import short, worker_branch
from orchestrator.engine.service.service import Service
from orchestrator.schemas.requests_with_answers.tasks_api import (
    AdapterStats,
    CliResult,
    ExecutorStats,
    Task,
    TaskConflicts,
    TaskMerged,
    TaskStatus,
)

STATUS_OF = {
    JobStatus.PENDING: TaskStatus.PENDING,
    JobStatus.PLANNING: TaskStatus.RUNNING,
    JobStatus.RUNNING: TaskStatus.RUNNING,
    JobStatus.COMPLETED: TaskStatus.COMPLETED,
    JobStatus.PARTIAL: TaskStatus.COMPLETED,
    JobStatus.FAILED: TaskStatus.FAILED,
    JobStatus.CANCELLED: TaskStatus.CANCELLED,
}
_CLI_STATUS: dict[WorkerStatus, Literal["timeout", "cancelled", "blocked"]] = {
    WorkerStatus.TIMEOUT: "timeout",
    WorkerStatus.CANCELLED: "cancelled",
    WorkerStatus.SKIPPED: "blocked",
}


def clis(job: Job, workers: Sequence[Worker]) -> Iterator[tuple[str, Worker | None, str]]:
    """Yield the name, the worker, and the obstacle of each tool of a task.

    The caller chose the name. The obstacle is the reason why a tool is unavailable; "" for an
    available tool. The worker of an unavailable tool is None.
    """
    labels, remaining = job.config.labels, iter(workers)
    position = 0
    while (name := labels.get(f"{CLI}{position}")) is not None:
        obstacle = labels.get(f"{OBSTACLE}{position}", "")
        yield name, None if obstacle else next(remaining, None), obstacle
        position += 1


def task_answer(job: Job, workers: Sequence[Worker]) -> Task:
    results = [_result(*each) for each in clis(job, workers)] if job.status.ended else None
    succeeded = sum(each.status == "success" for each in results or ())
    is_partial = job.status is JobStatus.PARTIAL
    tool_names = {each.id: name for name, each, _ in clis(job, workers) if each is not None}
    best = best_worker(workers) if results else None
    return Task(
        id=task_uuid(job.id),
        description=job.request,
        status=STATUS_OF[job.status],
        created_at=moment(job.created_at),
        updated_at=moment(job.ended_at or job.started_at or job.created_at),
        started_at=moment_or_none(job.started_at),
        completed_at=moment_or_none(job.ended_at),
        cli_results=results,
        success_count=None if results is None else succeeded,
        # A partial result counts as at least one failure, even if each tool succeeded.
        failure_count=None if results is None else max(int(is_partial), len(results) - succeeded),
        total_cost=known_sum(each.cost for each in results or ()),
        total_duration=seconds_between(job.started_at, job.ended_at),
        best_cli=tool_names.get(best.id) if best else None,
        error=None if job.status is JobStatus.COMPLETED else (job.reason or None),
    )


def _result(name: str, worker: Worker | None, obstacle: str) -> CliResult:
    if worker is None:
        return CliResult(cli_name=name, status="failure", error=obstacle or "not started")
    succeeded = worker.status.succeeded
    return CliResult(
        cli_name=name,
        status="success" if succeeded else _CLI_STATUS.get(worker.status, "failure"),
        files_modified=list(result_of(worker).files_created),
        cost=worker.cost_usd,
        duration=worker_seconds(worker) or 0.0,
        retries=max(0, worker.attempt - 1),
        error=None if succeeded else worker.reason or None,
    )


def best_worker(workers: Sequence[Worker]) -> Worker | None:
    return next((each for each in workers if each.belongs_to_result), None)


def merged_cli(job: Job, workers: Sequence[Worker], cli_name: str | None) -> tuple[str, Worker]:
    """Return the name of the tool whose changes are merged, and the tool's worker.

    ``cli_name``: the name of the tool; None: the tool with the best result.

    Raise Conflict if the task is not completed, or if the tool did not succeed. Raise
    InvalidRequest for an unknown tool.
    """
    status, task_id = STATUS_OF[job.status], task_uuid(job.id)
    if status is not TaskStatus.COMPLETED:
        raise Conflict(f"task {task_id} is {status}; only a completed task can be merged")
    best, tools = best_worker(workers), list(clis(job, workers))
    for name, worker, obstacle in tools:
        if (worker is best and best is not None) if cli_name is None else name == cli_name:
            if worker is None or not worker.status.succeeded:
                reason = obstacle if worker is None else worker.reason
                raise Conflict(
                    f"tool {name} did not succeed: {reason}; send the cli_name of a successful tool"
                )
            return name, worker
    if cli_name is None:
        raise Conflict(f"task {task_id} has no successful result to merge")
    names = ", ".join(name for name, _, _ in tools)
    raise InvalidRequest(
        f"{cli_name[:100]!r} is not a tool of this task; its tools: {names}", field="cli_name"
    )


def conflicts_answer(
    service: Service, caller: Caller, job: Job, name: str, worker: Worker
) -> TaskConflicts:
    conflicts = _conflicts(service, caller, job, worker)
    return TaskConflicts(
        task_id=task_uuid(job.id),
        cli_name=name,
        source_branch=short(worker_branch(worker)) if has_worktree(worker) else "",
        can_auto_merge=not conflicts,
        conflicts=conflicts,
        files_changed=list(result_of(worker).files_created),
        message=f"files in conflict: {len(conflicts)}" if conflicts else "no conflicts",
    )


def merged_answer(
    service: Service, caller: Caller, job: Job, name: str, worker: Worker, *, done: bool
) -> TaskMerged:
    task_id, record = (
        task_uuid(job.id),
        service.job_details.merge_record(caller, job.id) if done else {},
    )
    merged, conflicts = worker.id in record.get("merged", ()), []
    message = f"The merge of task {task_id} is still running; see GET /api/v1/tasks/{task_id}"
    if done:
        conflicts = _conflicts(service, caller, job, worker)
        reason = record.get("reasons", {}).get(worker.id) or "conflicts" * bool(conflicts)
        outcome = "" if merged else f": not merged ({reason or 'merge_strategy is manual'})"
        message = f"Merge task {task_id} results from {name}{outcome}"
    return TaskMerged(
        task_id=task_id,
        strategy=record.get("strategy") or job.config.merge_strategy,
        success=merged,
        merged_files=list(result_of(worker).files_created) if merged else [],
        conflicts=conflicts,
        commit_hash=record.get("commit") or None,
        message=message,
    )


def _conflicts(service: Service, caller: Caller, job: Job, worker: Worker) -> list[str]:
    conflicts = service.job_details.merge_record(caller, job.id).get("conflicts", ())
    own_conflicts = (each for each in conflicts if each["worker_id"] == worker.id)
    return sorted({each["path"] for each in own_conflicts if not each.get("resolved")})


def executor_stats(service: Service, caller: Caller) -> ExecutorStats:
    usage = service.job_lists.usage(caller, UsageFilter(by=UsageBy.AGENT))
    # A question to a person is also a worker, but no tool runs it.
    rows = [row for row in usage if row.key != PERSON]
    executions = sum(row.workers for row in rows)
    cost = known_sum(row.cost_usd for row in rows)
    return ExecutorStats(
        total_executions=executions,
        total_cost=cost,
        # Planners and reviewers have a cost, but are no executions.
        average_cost=None if cost is None or not executions else cost / executions,
        adapter_stats={
            row.key: AdapterStats(
                cli_name=row.key, execution_count=row.workers, total_cost=row.cost_usd
            )
            for row in rows
        },
    )
