"""The outcomes of ``land`` and ``undo`` as answers, for the API and the command line."""

from __future__ import annotations

from orchestrator.api.serializers.answer_parts import links
from orchestrator.core.model.caller import Caller
from orchestrator.core.repository.landing import BranchMove, LandPlan, LandRequest
from orchestrator.engine.service.service import Service
from orchestrator.schemas import requests_with_answers

#: Maximum number of paths in an answer; ``files_changed`` has the number of all paths.
MOST_FILES = 1000


def landing_plan_answer(
    service: Service, caller: Caller, job_id: str, request: LandRequest
) -> requests_with_answers.merge_and_landing.LandAnswer:
    """Check whether a job's result can land, and return the answer. Changes nothing."""
    plan = service.landings.plan_landing(caller, job_id, request)
    text = plan.nothing or f"the result can land on {plan.branch}"
    return _land_answer(job_id, plan, text)


def land_answer(
    service: Service, caller: Caller, job_id: str, request: LandRequest
) -> requests_with_answers.merge_and_landing.LandAnswer:
    plan, moved = service.landings.land(caller, job_id, request)
    return _land_answer(job_id, plan, moved.text, moved)


def _land_answer(
    job_id: str, plan: LandPlan, text: str, moved: BranchMove | None = None
) -> requests_with_answers.merge_and_landing.LandAnswer:
    has_landed = moved is not None and not plan.nothing
    return requests_with_answers.merge_and_landing.LandAnswer(
        job_id=job_id,
        landed=has_landed,
        changed=moved is not None and moved.changed,
        branch=plan.branch,
        base_branch=plan.base_branch,
        result=plan.commit,
        commit=moved.after if moved and has_landed else None,
        before=moved.before if moved and has_landed else None,
        files=list(plan.files[:MOST_FILES]),
        files_changed=len(plan.files),
        nothing_to_land=bool(plan.nothing),
        text=text,
        links=links(job_id),
    )


def undo_answer(
    service: Service, caller: Caller, job_id: str
) -> requests_with_answers.merge_and_landing.UndoAnswer:
    moved = service.landings.undo(caller, job_id)
    return requests_with_answers.merge_and_landing.UndoAnswer(
        job_id=job_id,
        branch=moved.branch,
        commit=moved.after,
        before=moved.before,
        text=moved.text,
        links=links(job_id),
    )
