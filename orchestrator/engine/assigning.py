"""What a worker is told when it starts."""

from orchestrator.core.model import TaskSpec, Worker
from orchestrator.core.ports import Assignment, Finding, Workspace
from orchestrator.core.scheduler import Scheduler


def assignment_for(scheduler: Scheduler, worker: Worker, workspace: Workspace) -> Assignment:
    """Its task, with what the tasks it depends on came back with."""
    task = scheduler.forest.task_of(worker)
    return Assignment(
        job=scheduler.forest.job_of(worker),
        worker=worker,
        task=task,
        findings=_findings(scheduler, worker, task, workspace),
        previous_failure=_previous_failure(worker),
    )


def _findings(
    scheduler: Scheduler, worker: Worker, task: TaskSpec, workspace: Workspace
) -> dict[str, Finding]:
    plan, workers = scheduler.forest.plans[worker.job_id], scheduler.ledger.workers
    found: dict[str, Finding] = {}
    for needed in task.depends_on:
        candidates = [workers[key] for key in plan.workers_of(needed)]
        best = next(each for each in candidates if each.status.succeeded)
        found[needed] = Finding(
            worker_id=best.id,
            directory=workspace.worker_directory(best),
            output=best.result.output if best.result else "",
            files_created=best.result.files_created if best.result else (),
        )
    return found


def _previous_failure(worker: Worker) -> str:
    if worker.attempt < 2 or worker.result is None:
        return ""
    code, signal = worker.result.exit_code, worker.result.signal
    how = f"killed by signal {signal}" if signal else f"exit code {code}"
    return f"It ended with {how}. The end of its output:\n\n{worker.result.output[-2000:]}"
