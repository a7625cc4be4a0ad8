"""The records of a job that an agent plans, or whose tasks wait for approval."""

from typing import Any

from orchestrator.core.dataclass import changed
from orchestrator.core.model.job import PLANNER, PLANNER_INDEX, Job, Worker
from orchestrator.core.model.states import WorkerKind
from orchestrator.core.outcome.job.reason import reason_of


def planner_of(job: Job, agent: str, name: str) -> Worker:
    return Worker(
        id=name,
        job_id=job.id,
        root_id=job.root_id,
        task_id=PLANNER,
        index=PLANNER_INDEX,
        kind=WorkerKind.PLANNER,
        depth=job.depth,
        agent=agent,
    )


def held_for_approval(job: Job) -> dict[str, Any]:
    """Return the fields that change in a job whose tasks wait for approval."""
    return {"awaits_approval": True, "reason": reason_of(changed(job, awaits_approval=True))}
