"""Calls with which people approve or reject a job's plan and questions, or edit the plan."""

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.request import checked_job_id
from orchestrator.api.routes.job_control import job_accepted
from orchestrator.api.routes.json_answers import json_answer, tagged_answer
from orchestrator.api.serializers.answer_parts import question_answer
from orchestrator.api.serializers.plan import plan_answer
from orchestrator.core.model.human_input.question import Decision
from orchestrator.schemas import requests
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("approvals", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)


@blueprint.get("/jobs/<job_id>/plan")
def get_plan(job_id: str) -> Response:
    reading.query(NoQuery)
    checked_job_id(job_id)
    return tagged_answer(lambda: plan_answer(service().job_details.detail(caller(), job_id)))


@blueprint.put("/jobs/<job_id>/plan")
def edit_plan(job_id: str) -> Response:
    reading.query(NoQuery)
    plan = reading.body(requests.job_control.PlanRequest)
    tasks, version, keeps_env = plan.to_tasks(), plan.version, plan.keeps_env
    service().plans.edit(caller(), checked_job_id(job_id), tasks, version, keeps_env)
    return json_answer(plan_answer(service().job_details.detail(caller(), job_id)))


@blueprint.post("/jobs/<job_id>/approve")
def approve_job(job_id: str) -> Response:
    reading.query(NoQuery)
    approval = reading.body(requests.job_control.ApprovalRequest, optional=True)
    job = service().plans.approve(
        caller(), checked_job_id(job_id), approval.comment, approval.version
    )
    return job_accepted(job)


@blueprint.post("/jobs/<job_id>/reject")
def reject_job(job_id: str) -> Response:
    reading.query(NoQuery)
    comment = reading.body(requests.job_control.AnswerRequest, optional=True).comment
    return job_accepted(service().plans.reject(caller(), checked_job_id(job_id), comment))


@blueprint.get("/jobs/<job_id>/tasks/<task_id>/question")
def get_question(job_id: str, task_id: str) -> Response:
    reading.query(NoQuery)
    asked_question = service().questions.question(caller(), checked_job_id(job_id), task_id)
    return tagged_answer(
        lambda: question_answer(
            asked_question.question, asked_question.text, asked_question.results
        )
    )


@blueprint.post("/jobs/<job_id>/tasks/<task_id>/approve")
def approve_task(job_id: str, task_id: str) -> Response:
    return _answer_question(job_id, task_id, Decision.APPROVE)


@blueprint.post("/jobs/<job_id>/tasks/<task_id>/reject")
def reject_task(job_id: str, task_id: str) -> Response:
    return _answer_question(job_id, task_id, Decision.REJECT)


def _answer_question(job_id: str, task_id: str, decision: Decision) -> Response:
    reading.query(NoQuery)
    comment = reading.text_body(requests.job_control.AnswerRequest, optional=True).comment
    job = service().questions.answer(caller(), checked_job_id(job_id), task_id, decision, comment)
    return job_accepted(job)
