"""Calls that create a job, control it, or change its results."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.schemas import merging
from orchestrator.schemas.answers import common
from orchestrator.schemas.answers import job as job_answers
from orchestrator.schemas.requests import job as requests

STEERING = (
    Operation(
        method="post",
        path="/api/v1/orchestrate",
        id="orchestrate",
        tag="jobs",
        summary="Submit a job",
        description=(
            "Once it is answered, the job is stored and will be carried out. A worker that calls "
            "with its own key starts a child job. A limit that is hit is a 422 whose left says "
            "what may still be done."
        ),
        body=requests.OrchestrateRequest,
        body_required=True,
        examples={
            "words": {"request": "Survey this repository"},
            "tasks": {
                "request": "Say hello",
                "config": {"max_workers": 4, "default_timeout": 300},
                "tasks": [
                    {"id": "hello", "command": "echo hello"},
                    {"id": "again", "command": "echo hello again", "depends_on": ["hello"]},
                ],
            },
        },
        answers={ACCEPTED: common.AcceptedAnswer},
        errors=(CONFLICT,),
        headers={"Idempotency-Key": "The same key never makes a second job (1 to 200 characters)."},
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path="/api/v1/usage",
        id="tellUsage",
        tag="jobs",
        summary="Tell what the calling worker has used so far",
        description=(
            "For workers, with their own key: steps, tokens and money of the present attempt in "
            "all, so that telling it twice changes nothing. The answer says whether a limit of "
            "the task, the job or a job above it is reached."
        ),
        body=requests.UsageRequest,
        body_required=True,
        examples={"usage": {"steps": 3, "input_tokens": 1200, "output_tokens": 80}},
        answers={OK: common.UsedAnswer},
    ),
    Operation(
        method="delete",
        path=JOB,
        id="deleteJob",
        tag="jobs",
        summary="Cancel a job, as POST cancel does",
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.CancelAnswer, OK: common.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/cancel",
        id="cancelJob",
        tag="jobs",
        summary="Stop a job and all its descendants, processes included",
        description="202 when it is being stopped, 200 when it had ended already.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.CancelAnswer, OK: common.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/approve",
        id="approveJob",
        tag="jobs",
        summary="Let the tasks of a job start that waits for approval",
        description="409 when it does not wait for approval, 403 for a worker.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/reject",
        id="rejectJob",
        tag="jobs",
        summary="End a job that waits for approval; nothing of it has run but its planner",
        description="409 when it does not wait for approval, 403 for a worker.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/retry",
        id="retryJob",
        tag="jobs",
        summary="Run again what did not succeed",
        body=requests.RetryRequest,
        examples={"as it was": {}, "with more time": {"config": {"default_timeout": 600}}},
        answers={ACCEPTED: common.AcceptedAnswer},
        errors=(CONFLICT,),
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path=f"{JOB}/merge",
        id="mergeJob",
        tag="jobs",
        summary="Merge the branches of a job that has ended once more",
        description="202 while it takes its time: GET conflicts tells when it is done. "
        "The result before is kept.",
        body=merging.MergeRequest,
        examples={"another way": {"strategy": "theirs"}},
        answers={OK: merging.ConflictsAnswer, ACCEPTED: merging.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/choice",
        id="chooseCandidate",
        tag="jobs",
        summary="Choose another candidate of a task than the comparison did",
        description="The job, which has ended, is merged again with this candidate. 202 while that "
        "takes its time. 409 for a candidate that did not succeed, or while the job runs; 422 for "
        "a worker that is no candidate of the task.",
        body=merging.ChoiceRequest,
        body_required=True,
        examples={"the second": {"worker_id": "worker_2"}},
        answers={OK: merging.ConflictsAnswer, ACCEPTED: merging.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/remove",
        id="removeJob",
        tag="jobs",
        summary="Remove a root job that has ended, from disk and database",
        description="Work that is in no result and on no branch of the user's is kept in git, as "
        "`clean` does. 403 for a worker, 409 for a job that has not ended.",
        body=requests.EmptyRequest,
        answers={OK: job_answers.RemovedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/discard",
        id="discardJob",
        tag="jobs",
        summary="Remove the branches, worktrees, and kept refs of a root job that has ended",
        description="What has landed stays, and so do the job and its reports. 403 for a worker, "
        "409 for a job that has not ended.",
        body=requests.EmptyRequest,
        answers={OK: job_answers.DiscardedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/rollback",
        id="rollBackWorker",
        tag="jobs",
        summary="Have what a worker did as it was in a checkpoint",
        description=(
            "409 while the worker runs. What was there is kept as another checkpoint. The merged "
            "result of a job that has ended stays as it is."
        ),
        body=requests.RollbackRequest,
        examples={"before it began": {"checkpoint": "1-before"}},
        answers={OK: job_answers.RolledBackAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/recount",
        id="recountWorker",
        tag="jobs",
        summary="Count what was committed on a worker's branch since its end",
        description=(
            "409 while the worker runs. Lists and reports name its files then. The merged result "
            "stays as it is."
        ),
        answers={OK: job_answers.RecountedAnswer},
        errors=(CONFLICT,),
    ),
)
