"""Calls that merge and land a job's changes, and select candidates."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.schemas.requests import job as job_requests
from orchestrator.schemas.requests_with_answers import merge_and_landing

MERGING = (
    Operation(
        method="post",
        path=f"{JOB}/merge",
        id="mergeJob",
        tag="jobs",
        summary="Repeat the merge of an ended job",
        description="202: the merge is still running; GET conflicts shows when it has ended. "
        "The previous result stays on a ref.",
        body=merge_and_landing.MergeRequest,
        examples={"another strategy": {"strategy": "theirs"}},
        answers={
            OK: merge_and_landing.ConflictsAnswer,
            ACCEPTED: merge_and_landing.ConflictsAnswer,
        },
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/choose",
        id="chooseCandidate",
        tag="jobs",
        summary="Choose another candidate of a task",
        description="Repeats the merge of the ended job with this candidate. 202: the merge is "
        "still running. 409: the candidate did not succeed, or the job is running. 422: the worker "
        "is not a candidate of the task.",
        body=merge_and_landing.ChoiceRequest,
        body_required=True,
        examples={"the second candidate": {"worker_id": "worker_2", "reason": "simpler"}},
        answers={
            OK: merge_and_landing.ConflictsAnswer,
            ACCEPTED: merge_and_landing.ConflictsAnswer,
        },
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/choice",
        id="chooseCandidateAlias",
        tag="jobs",
        summary="Choose another candidate of a task (same as POST .../tasks/{task_id}/choose)",
        description="Repeats the merge of the ended job with this candidate. 202: the merge is "
        "still running. 409: the candidate did not succeed, or the job is running. 422: the worker "
        "is not a candidate of the task.",
        body=merge_and_landing.ChoiceRequest,
        body_required=True,
        examples={"the second candidate": {"worker_id": "worker_2"}},
        answers={
            OK: merge_and_landing.ConflictsAnswer,
            ACCEPTED: merge_and_landing.ConflictsAnswer,
        },
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/land",
        id="landJob",
        tag="jobs",
        summary="Land the result of a job on the branch that is checked out",
        description=(
            "Needs a key of scope admin. Fast-forwards the branch if possible; otherwise creates a "
            "merge commit. An error changes nothing. 409 `dirty-checkout` and `merge-conflict`: "
            "`files` has the paths. 409 `partial`: the job is not completed. 409 `other-branch`: "
            "the job did not start from the branch that is checked out."
        ),
        body=merge_and_landing.LandBody,
        examples={"check only": {"check": True}, "one commit": {"squash": True}},
        answers={OK: merge_and_landing.LandAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/undo",
        id="undoLanding",
        tag="jobs",
        summary="Undo the landing of a job",
        description=(
            "Needs a key of scope admin. 404: the result was not landed. 409: the branch has newer "
            "commits. 409 `dirty-checkout`: `files` has the paths."
        ),
        body=job_requests.EmptyRequest,
        answers={OK: merge_and_landing.UndoAnswer},
        errors=(CONFLICT,),
    ),
)
