"""Calls that create a job, control it, or change its results."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.schemas import merging
from orchestrator.schemas.answers import common
from orchestrator.schemas.answers import human_input as feedback_answers
from orchestrator.schemas.answers import human_input as message_answers
from orchestrator.schemas.answers import job as job_answers
from orchestrator.schemas.requests import human_input as feedback_requests
from orchestrator.schemas.requests import human_input as message_requests
from orchestrator.schemas.requests import job as requests
from orchestrator.schemas.requests.human_input import AnswerRequest

STEERING = (
    Operation(
        method="post",
        path="/api/v1/orchestrate",
        id="orchestrate",
        tag="jobs",
        summary="Submit a job",
        description=(
            "202: the job is stored and will run. A call with a worker's key starts a child job. "
            '422: a limit was reached; "remaining" contains the unused quota ("left" is an alias).'
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
        headers={
            "Idempotency-Key": "Unique key (1 to 200 characters) of the job; a repeated call with "
            "the same key starts no second job."
        },
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path="/api/v1/usage",
        id="tellUsage",
        tag="jobs",
        summary="Report the usage of the calling worker",
        description=(
            "For workers, with their own key: cumulative steps, tokens, and cost of the current "
            "attempt; idempotent. The answer says if a cap of the task, the job, or a job above "
            "it is reached."
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
        summary="Cancel a job (same as POST cancel)",
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.CancelAnswer, OK: common.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/cancel",
        id="cancelJob",
        tag="jobs",
        summary="Cancel a job and its descendants, and stop their processes",
        description="202: the job is being stopped. 200: the job had already ended.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.CancelAnswer, OK: common.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/approve",
        id="approveJob",
        tag="jobs",
        summary="Approve the plan of a job, and start its tasks",
        description="409: the job does not wait for approval. 403: the caller is a worker.",
        body=AnswerRequest,
        examples={"without a comment": {}, "with a comment": {"comment": "as discussed"}},
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/reject",
        id="rejectJob",
        tag="jobs",
        summary="Reject the plan of a job, and end the job",
        description="409: the job does not wait for approval. 403: the caller is a worker.",
        body=AnswerRequest,
        examples={"without a comment": {}, "with a comment": {"comment": "as discussed"}},
        answers={ACCEPTED: common.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/retry",
        id="retryJob",
        tag="jobs",
        summary="Retry the tasks of a job that did not succeed",
        body=requests.RetryRequest,
        examples={"unchanged": {}, "with more time": {"config": {"default_timeout": 600}}},
        answers={ACCEPTED: common.AcceptedAnswer},
        errors=(CONFLICT,),
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path=f"{JOB}/merge",
        id="mergeJob",
        tag="jobs",
        summary="Repeat the merge of an ended job",
        description="202: the merge is still running; GET conflicts shows when it has ended. "
        "The previous result stays on a ref.",
        body=merging.MergeRequest,
        examples={"another strategy": {"strategy": "theirs"}},
        answers={OK: merging.ConflictsAnswer, ACCEPTED: merging.ConflictsAnswer},
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
        body=merging.ChoiceRequest,
        body_required=True,
        examples={"the second candidate": {"worker_id": "worker_2", "reason": "simpler"}},
        answers={OK: merging.ConflictsAnswer, ACCEPTED: merging.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/tasks/{{task_id}}/choice",
        id="chooseCandidateAlias",
        tag="jobs",
        summary="Choose another candidate of a task (same as POST choose)",
        description="Repeats the merge of the ended job with this candidate. 202: the merge is "
        "still running. 409: the candidate did not succeed, or the job is running. 422: the worker "
        "is not a candidate of the task.",
        body=merging.ChoiceRequest,
        body_required=True,
        examples={"the second candidate": {"worker_id": "worker_2"}},
        answers={OK: merging.ConflictsAnswer, ACCEPTED: merging.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/remove",
        id="removeJob",
        tag="jobs",
        summary="Remove an ended root job from disk and database",
        description="Changes that are in no result and on no branch of the user stay on git refs. "
        "403: the caller is a worker. 409: the job has not ended.",
        body=requests.EmptyRequest,
        answers={OK: job_answers.RemovedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/land",
        id="landJob",
        tag="jobs",
        summary="Land the result of a job on the branch that is checked out",
        description=(
            "Only with a key of scope admin, never for a worker. Fast-forwards the branch if "
            "possible; otherwise creates a merge commit. Nothing changes in case of an error. "
            '409: "dirty-checkout" or "merge-conflict", with the paths in "files"; "partial": the '
            'job is not completed; "other-branch": the job started from another branch than the '
            "one that is checked out."
        ),
        body=merging.LandBody,
        examples={"check only": {"check": True}, "one commit": {"squash": True}},
        answers={OK: merging.LandAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/undo",
        id="undoLanding",
        tag="jobs",
        summary="Undo the landing of a job",
        description=(
            "Only with a key of scope admin, never for a worker. 404: the result was not landed. "
            '409: the branch has newer commits, or "dirty-checkout", with the paths in "files".'
        ),
        body=requests.EmptyRequest,
        answers={OK: merging.UndoAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/discard",
        id="discardJob",
        tag="jobs",
        summary="Remove the branches, worktrees, and refs of an ended root job",
        description="Landed changes, the job itself, and its reports are not removed. 403: the "
        "caller is a worker. 409: the job has not ended.",
        body=requests.EmptyRequest,
        answers={OK: job_answers.DiscardedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/feedback",
        id="giveFeedback",
        tag="jobs",
        summary="Send comments on a worker's change back to the worker",
        description=(
            "One more attempt on the worker's branch gets the comments, with path, line, and code; "
            "an ended job runs again (run + 1) and is merged again. 409: outdated (the branch has "
            "moved; commit has its head), running (the worker has not ended), or no-repository. "
            "422: a path or line does not exist. 403: the caller is a worker."
        ),
        body=feedback_requests.FeedbackBody,
        body_required=True,
        examples={
            "one line": {
                "comments": [{"path": "src/app.py", "line": 12, "text": "Use the constant."}],
                "commit": "0123456789abcdef0123456789abcdef01234567",
            }
        },
        answers={ACCEPTED: feedback_answers.FeedbackGivenAnswer},
        errors=(CONFLICT,),
        headers={
            "Idempotency-Key": "Unique key (1 to 200 characters) of the comments; a repeated call "
            "with the same key begins no second attempt."
        },
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/retry",
        id="retryWorker",
        tag="jobs",
        summary="Retry one worker that did not succeed",
        description=(
            "Tasks that were skipped because of this worker run as well. An ended job runs again "
            "(run + 1). "
            "409: the worker succeeded, has not ended, or depends on a task that did not succeed. "
            "403: the caller is a worker."
        ),
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.AcceptedAnswer},
        errors=(CONFLICT,),
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/cancel",
        id="cancelWorker",
        tag="jobs",
        summary="Cancel one worker and its child jobs",
        description=(
            "The other workers of the job continue; tasks that depend on the worker's task are "
            "skipped. An ended worker is unchanged. 403: the caller is a worker."
        ),
        body=requests.EmptyRequest,
        answers={ACCEPTED: common.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/message",
        id="messageWorker",
        tag="jobs",
        summary="Send a message to a worker that has not ended",
        description=(
            "The worker's agent reads the message before its next call of the model, as data. "
            "Agents that read messages: anthropic, openai-compatible, ollama, and claude. The "
            "message is stored, and survives restarts and retries. `messages` of the worker has "
            "the time of delivery. 409: cannot-message, with what to do instead. 403: the caller "
            "is a worker."
        ),
        body=message_requests.MessageBody,
        body_required=True,
        examples={"a hint": {"text": "Use the existing helper in src/paths.py."}},
        answers={ACCEPTED: message_answers.MessageSentAnswer},
        errors=(CONFLICT,),
        headers={
            "Idempotency-Key": "Unique key (1 to 200 characters) of the message; a repeated call "
            "with the same key sends no second message."
        },
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path="/api/v1/messages",
        id="tellMessagesRead",
        tag="jobs",
        summary="Report messages that the calling worker's agent has read",
        description="For workers, with their own key; idempotent.",
        body=message_requests.MessagesReadBody,
        body_required=True,
        examples={"one": {"delivered": ["0f7a3a5e-2c2b-4b0e-9f0a-6d0c7c1f9b11"]}},
        answers={OK: message_answers.MessagesReadAnswer},
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/rollback",
        id="rollBackWorker",
        tag="jobs",
        summary="Restore a worker's changes to a checkpoint",
        description=(
            "The present state is saved as another checkpoint. The merged result of an ended job "
            "does not change. 409: the worker is running."
        ),
        body=requests.RollbackRequest,
        examples={"the start of the first attempt": {"checkpoint": "1-before"}},
        answers={OK: job_answers.RolledBackAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/recount",
        id="recountWorker",
        tag="jobs",
        summary="Update a worker's files from the commits on its branch",
        description=(
            "For commits that were made after the end of the worker. Lists and reports then "
            "contain their files. The merged result does not change. 409: the worker is running."
        ),
        answers={OK: job_answers.RecountedAnswer},
        errors=(CONFLICT,),
    ),
)
