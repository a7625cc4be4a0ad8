"""Calls with which people approve or reject a job's plan and questions, or edit the plan."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.schemas.answers import job_control, status
from orchestrator.schemas.requests import job_control as control_requests

_WORKER = "403: the caller is a worker."

_ANSWERS = (
    "409: the task has no question, the question was not asked yet, or the question is already "
    "answered."
)


APPROVALS = (
    Operation(
        method="post",
        path=f"{JOB}/approve",
        id="approveJob",
        tag="jobs",
        summary="Approve the plan of a job, and start its tasks",
        description=(
            "409: the job does not wait for approval. 409 `outdated`: the plan has another version "
            "than `version`. 403: the caller is a worker."
        ),
        body=control_requests.ApprovalRequest,
        examples={
            "without a comment": {},
            "with a comment": {"comment": "as discussed"},
            "of one version": {"version": 1},
        },
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/reject",
        id="rejectJob",
        tag="jobs",
        summary="Reject the plan of a job, and end the job",
        description="409: the job does not wait for approval. 403: the caller is a worker.",
        body=control_requests.AnswerRequest,
        examples={"without a comment": {}, "with a comment": {"comment": "as discussed"}},
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/plan",
        id="getPlan",
        tag="jobs",
        summary="Get the plan of a job, as in a plan file",
        answers={OK: job_control.PlanAnswer},
        tagged=True,
    ),
    Operation(
        method="put",
        path=f"{JOB}/plan",
        id="editPlan",
        tag="jobs",
        summary="Replace the plan of a job that waits for approval",
        description=(
            "The job keeps its id. The planner's cost still counts. Approve the job to start the "
            "tasks. 409 `outdated`: the plan has changed; `version` is the number of the current "
            f"plan. 409: the job does not wait for approval. {_WORKER}"
        ),
        body=control_requests.PlanRequest,
        body_required=True,
        examples={"one task": {"version": 1, "tasks": [{"id": "a", "command": "make test"}]}},
        answers={OK: job_control.PlanAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/tasks/{{task_id}}/question",
        id="getQuestion",
        tag="jobs",
        summary="Get a question, with the results of the task's dependencies",
        description="404: the task has no question, or the question was not asked yet.",
        answers={OK: status.QuestionAnswer},
        tagged=True,
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/approve",
        id="approveTask",
        tag="jobs",
        summary="Approve a task that waits for a person",
        description=f"{_ANSWERS} {_WORKER}",
        body=control_requests.AnswerRequest,
        examples={"with a comment": {"comment": "only to staging"}},
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/reject",
        id="rejectTask",
        tag="jobs",
        summary="Reject a task that waits for a person",
        description=f"Skips the tasks that depend on the rejected task. {_ANSWERS} {_WORKER}",
        body=control_requests.AnswerRequest,
        examples={"with a comment": {"comment": "the totals are wrong"}},
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
)
