"""Calls of people who control a job: pause, resume, answers, budgets."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.schemas.answers import common, job
from orchestrator.schemas.requests import human_input as requests
from orchestrator.schemas.requests.job import EmptyRequest

_WORKER = "403: the caller is a worker."
_ANSWERS = (
    "409: the task has no question, the question was not asked yet, or it is already answered."
)

DECIDING = (
    Operation(
        method="post",
        path=f"{JOB}/pause",
        id="pauseJob",
        tag="jobs",
        summary="Pause a job and its descendants",
        description=(
            "No worker starts until the job resumes; the pause does not count as wall time. "
            "Idempotent. "
            f"409: the job has ended. {_WORKER}"
        ),
        body=requests.PauseRequest,
        examples={"running workers finish": {}, "stop": {"running": "stop"}},
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/resume",
        id="resumeJob",
        tag="jobs",
        summary="Resume a paused job and its descendants",
        description=(f"Idempotent. 409: the job has ended, or all jobs are paused. {_WORKER}"),
        body=EmptyRequest,
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/plan",
        id="getPlan",
        tag="jobs",
        summary="Get the plan of a job, as in a plan file",
        answers={OK: job.PlanAnswer},
        tagged=True,
    ),
    Operation(
        method="put",
        path=f"{JOB}/plan",
        id="editPlan",
        tag="jobs",
        summary="Replace the plan of a job that waits for approval",
        description=(
            "The job keeps its id and its planner's cost. Approve the job to start the tasks. "
            "409: outdated (version has the present version of the plan), or the job does not "
            "wait for approval. {_WORKER}"
        ),
        body=requests.PlanRequest,
        body_required=True,
        examples={"one task": {"version": 1, "tasks": [{"id": "a", "command": "make test"}]}},
        answers={OK: job.PlanAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/budget",
        id="raiseBudget",
        tag="jobs",
        summary="Raise limits of a job",
        description=(
            "A job with on_limit: ask, which is paused at a limit, continues. 409: the job has "
            "ended. 422: a limit is not larger, or above the server's ceiling. "
            f"{_WORKER}"
        ),
        body=requests.BudgetRequest,
        body_required=True,
        examples={"a higher cost cap": {"max_cost_usd": 5.0}},
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/tasks/{{task_id}}/question",
        id="getQuestion",
        tag="jobs",
        summary="Get a question, with the results of the task's dependencies",
        description="404: the task has no question, or it was not asked yet.",
        answers={OK: common.QuestionAnswer},
        tagged=True,
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/approve",
        id="approveTask",
        tag="jobs",
        summary="Approve a task that waits for a person",
        description=f"{_ANSWERS} {_WORKER}",
        body=requests.AnswerRequest,
        examples={"with a comment": {"comment": "only to staging"}},
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/reject",
        id="rejectTask",
        tag="jobs",
        summary="Reject a task that waits for a person",
        description=f"The tasks that depend on it are skipped. {_ANSWERS} {_WORKER}",
        body=requests.AnswerRequest,
        examples={"with a comment": {"comment": "the totals are wrong"}},
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path="/api/v1/pause",
        id="pauseEverything",
        tag="server",
        summary="Pause all jobs, and jobs that are submitted later",
        description="Idempotent. 403: the key lacks the scope admin.",
        body=requests.PauseRequest,
        examples={"running workers finish": {}, "stop": {"running": "stop"}},
        answers={OK: job.ServerPauseAnswer},
    ),
    Operation(
        method="post",
        path="/api/v1/resume",
        id="resumeEverything",
        tag="server",
        summary="End the pause of all jobs",
        description=(
            "Idempotent. Jobs that were paused one by one stay paused. 403: the key lacks the "
            "scope admin."
        ),
        body=EmptyRequest,
        answers={OK: job.ServerPauseAnswer},
    ),
)
