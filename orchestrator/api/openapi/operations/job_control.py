"""Calls that retry, pause, stop, and remove jobs, and that change their limits."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.schemas.answers import job_control, submission
from orchestrator.schemas.requests import job as job_requests
from orchestrator.schemas.requests import job_control as control_requests

_WORKER = "403: the caller is a worker."


JOB_CONTROL = (
    Operation(
        method="delete",
        path=JOB,
        id="deleteJob",
        tag="jobs",
        summary="Cancel a job (same as POST /api/v1/jobs/{job_id}/cancel)",
        body=job_requests.EmptyRequest,
        answers={ACCEPTED: job_control.CancelAnswer, OK: job_control.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/cancel",
        id="cancelJob",
        tag="jobs",
        summary="Cancel a job and its descendants, and stop their processes",
        description="202: the job is being stopped. 200: the job had already ended.",
        body=job_requests.EmptyRequest,
        answers={ACCEPTED: job_control.CancelAnswer, OK: job_control.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/retry",
        id="retryJob",
        tag="jobs",
        summary="Retry the unsuccessful tasks of a job",
        body=job_requests.RetryRequest,
        examples={"unchanged": {}, "with more time": {"config": {"default_timeout": 600}}},
        answers={ACCEPTED: submission.AcceptedAnswer},
        errors=(CONFLICT,),
        leads_to_job=True,
    ),
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
        body=control_requests.PauseRequest,
        examples={"running workers finish": {}, "stop": {"running": "stop"}},
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/resume",
        id="resumeJob",
        tag="jobs",
        summary="Resume a paused job and its descendants",
        description=(
            "If the job is a child job, its parent job stays paused. Idempotent. "
            "409: the job has ended, all jobs are paused, or the job is paused at a limit (raise "
            f"the limit: `POST {JOB}/budget`). {_WORKER}"
        ),
        body=job_requests.EmptyRequest,
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/budget",
        id="raiseBudget",
        tag="jobs",
        summary="Raise caps or the maximum wall time of a job",
        description=(
            "If the job is paused at a limit (`on_limit: ask`), this call resumes the job. "
            "409: the job has ended. 422: a new limit is not larger than before, or is above the "
            f"server's ceiling. {_WORKER}"
        ),
        body=control_requests.BudgetRequest,
        body_required=True,
        examples={"a higher cost cap": {"max_cost_usd": 5.0}},
        answers={ACCEPTED: job_control.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path="/api/v1/pause",
        id="pauseEverything",
        tag="server",
        summary="Pause all jobs, and jobs that are submitted later",
        description="Idempotent. 403: the key lacks the scope admin.",
        body=control_requests.PauseRequest,
        examples={"running workers finish": {}, "stop": {"running": "stop"}},
        answers={OK: job_control.ServerPauseAnswer},
    ),
    Operation(
        method="post",
        path="/api/v1/resume",
        id="resumeEverything",
        tag="server",
        summary="End the pause of all jobs",
        description=(
            "Idempotent. Jobs that were paused individually stay paused. 403: the key lacks the "
            "scope admin."
        ),
        body=job_requests.EmptyRequest,
        answers={OK: job_control.ServerPauseAnswer},
    ),
    Operation(
        method="post",
        path=f"{JOB}/remove",
        id="removeJob",
        tag="jobs",
        summary="Remove an ended root job from disk and database",
        description=(
            "Changes that were not landed stay on git refs. 403: the caller is a worker. "
            "409: the job has not ended."
        ),
        body=job_requests.EmptyRequest,
        answers={OK: job_control.RemovedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/discard",
        id="discardJob",
        tag="jobs",
        summary="Remove the branches, worktrees, and refs of an ended root job",
        description=(
            "Keeps landed changes, the job itself, and its reports. 403: the caller is a worker. "
            "409: the job has not ended."
        ),
        body=job_requests.EmptyRequest,
        answers={OK: job_control.DiscardedAnswer},
        errors=(CONFLICT,),
    ),
)
