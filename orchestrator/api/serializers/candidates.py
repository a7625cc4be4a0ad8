"""The answer that compares the candidates of a task."""

from __future__ import annotations

from dataclasses import asdict

from orchestrator.core.candidates.comparison import comparison_of
from orchestrator.core.errors import Conflict
from orchestrator.core.model.caller import Caller
from orchestrator.engine.service.queries.job_details import no_such_task
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers


def candidates_answer(
    service: Service, caller: Caller, job_id: str, task_id: str
) -> answers.candidates.CandidatesAnswer:
    """Return the comparison of a task's candidates.

    Raise NotFound for a task that the job does not have, and Conflict before the job has tasks.
    """
    detail = service.job_details.detail(caller, job_id)
    if not detail.tasks:
        raise Conflict(f"job {job_id} has no tasks yet; retry after its planning")
    task = next((each for each in detail.tasks if each.id == task_id), None)
    if task is None:
        raise no_such_task(job_id, task_id, (each.id for each in detail.tasks))
    comparison = comparison_of(task, detail.workers, detail.reviewers)
    return answers.candidates.CandidatesAnswer.model_validate(asdict(comparison))
