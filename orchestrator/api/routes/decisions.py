"""Calls of people who control a job: pause, resume, answers, budgets."""

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request as reading
from orchestrator.api.http.request import checked_job_id
from orchestrator.api.routes.response import json_answer, tagged_answer
from orchestrator.api.serializers.common import (
    decided_answer,
    job_path,
    paused_answer,
    question_answer,
)
from orchestrator.api.serializers.plan import plan_answer
from orchestrator.core.model.human_input import Decision, RunningMode
from orchestrator.core.model.job import Job
from orchestrator.schemas.answers.job import ServerPauseAnswer
from orchestrator.schemas.requests.human_input import (
    AnswerRequest,
    BudgetRequest,
    PauseRequest,
    PlanRequest,
)
from orchestrator.schemas.requests.job import EmptyRequest
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("decisions", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)


@blueprint.post("/jobs/<job_id>/pause")
def pause_job(job_id: str) -> Response:
    return _decided(service().pause(caller(), checked_job_id(job_id), _running()))


@blueprint.post("/jobs/<job_id>/resume")
def resume_job(job_id: str) -> Response:
    _empty()
    return _decided(service().resume(caller(), checked_job_id(job_id)))


@blueprint.post("/pause")
def pause_everything() -> Response:
    paused = service().pause_all(caller(), _running())
    return json_answer(ServerPauseAnswer(paused=paused_answer(paused)))


@blueprint.post("/resume")
def resume_everything() -> Response:
    _empty()
    return json_answer(ServerPauseAnswer(paused=paused_answer(service().resume_all(caller()))))


@blueprint.get("/jobs/<job_id>/tasks/<task_id>/question")
def get_question(job_id: str, task_id: str) -> Response:
    reading.query(NoQuery)
    found = service().question(caller(), checked_job_id(job_id), task_id)
    return tagged_answer(lambda: question_answer(found.question, found.text, found.made))


@blueprint.post("/jobs/<job_id>/tasks/<task_id>/approve")
def approve_task(job_id: str, task_id: str) -> Response:
    return _answered(job_id, task_id, Decision.APPROVE)


@blueprint.post("/jobs/<job_id>/tasks/<task_id>/reject")
def reject_task(job_id: str, task_id: str) -> Response:
    return _answered(job_id, task_id, Decision.REJECT)


@blueprint.get("/jobs/<job_id>/plan")
def get_plan(job_id: str) -> Response:
    reading.query(NoQuery)
    checked_job_id(job_id)
    return tagged_answer(lambda: plan_answer(service().detail(caller(), job_id)))


@blueprint.put("/jobs/<job_id>/plan")
def edit_plan(job_id: str) -> Response:
    reading.query(NoQuery)
    plan = reading.body(PlanRequest)
    tasks, version, keeps = plan.to_tasks(), plan.version, plan.keeps_env
    service().edit_plan(caller(), checked_job_id(job_id), tasks, version, keeps)
    return json_answer(plan_answer(service().detail(caller(), job_id)))


@blueprint.post("/jobs/<job_id>/budget")
def raise_budget(job_id: str) -> Response:
    reading.query(NoQuery)
    limits = reading.body(BudgetRequest).to_limits()
    return _decided(service().raise_budget(caller(), checked_job_id(job_id), limits))


def _answered(job_id: str, task_id: str, decision: Decision) -> Response:
    reading.query(NoQuery)
    comment = reading.text_body(AnswerRequest, optional=True).comment
    job = service().answer(caller(), checked_job_id(job_id), task_id, decision, comment)
    return _decided(job)


def _running() -> RunningMode:
    reading.query(NoQuery)
    return RunningMode(reading.body(PauseRequest, optional=True).running)


def _empty() -> None:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)


def _decided(job: Job) -> Response:
    return json_answer(decided_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job.id)}/status")
