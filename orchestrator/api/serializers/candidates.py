"""The answer about the candidates of one task."""

from dataclasses import asdict

from orchestrator.core.candidates.comparison import compared
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.model.submission import Caller
from orchestrator.engine.service.service import Service
from orchestrator.schemas.answers.candidates import CandidatesAnswer


def candidates_answer(
    service: Service, caller: Caller, job_id: str, task_id: str
) -> CandidatesAnswer:
    """Return the answer. Raise NotFound for a task that the job does not have, Conflict before the
    job has tasks.
    """
    detail = service.detail(caller, job_id)
    if not detail.tasks:
        raise Conflict(f"job {job_id} has no tasks yet; retry after its planning")
    task = next((each for each in detail.tasks if each.id == task_id), None)
    if task is None:
        known = ", ".join(each.id for each in detail.tasks[:20])
        raise NotFound(f"job {job_id} has no task {task_id!r}; it has {known}")
    comparison = compared(task, detail.workers, detail.reviewers)
    return CandidatesAnswer.model_validate(asdict(comparison))
