"""Calls about one worker, and calls of running workers."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, JOB, OK, Operation
from orchestrator.core.model.known_agents import KNOWN
from orchestrator.schemas.answers import checkpoints, job_control, status, submission
from orchestrator.schemas.answers import messages_and_feedback as message_answers
from orchestrator.schemas.requests import job as job_requests
from orchestrator.schemas.requests import messages_and_feedback as message_requests
from orchestrator.schemas.requests import worker_control as worker_requests

_READERS = ", ".join(each.name for each in KNOWN if each.reads_messages)

OF_WORKERS = (
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/feedback",
        id="giveFeedback",
        tag="jobs",
        summary="Send comments on a worker's change back to the worker",
        description=(
            "Starts another attempt on the worker's branch, with the comments, their lines, and "
            "the code. An ended job runs again (run + 1), and is merged again. 409 `outdated`: the "
            "branch has moved; `commit` has its head. 409 `running`: the worker has not ended. "
            "409 `no-repository`: the job does not use git. "
            "422: a path or line does not exist. 403: the caller is a worker."
        ),
        body=message_requests.FeedbackBody,
        body_required=True,
        examples={
            "one line": {
                "comments": [{"path": "src/app.py", "line": 12, "text": "Use the constant."}],
                "commit": "0123456789abcdef0123456789abcdef01234567",
            }
        },
        answers={ACCEPTED: message_answers.FeedbackGivenAnswer},
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
        summary="Retry one unsuccessful worker",
        description=(
            "Also runs the tasks that were skipped because of this worker. An ended job runs again "
            "(run + 1). "
            "409: the worker succeeded, has not ended, or depends on a task that did not succeed. "
            "403: the caller is a worker."
        ),
        body=job_requests.EmptyRequest,
        answers={ACCEPTED: submission.AcceptedAnswer},
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
        body=job_requests.EmptyRequest,
        answers={ACCEPTED: job_control.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/message",
        id="messageWorker",
        tag="jobs",
        summary="Send a message to a worker that has not ended",
        description=(
            "The worker's agent reads the message, as data, before it calls the model again. "
            f"Agents that read messages: {_READERS}. The "
            "message is stored, and survives restarts and retries. The worker's field `messages` "
            "shows when the message was delivered. 409 `cannot-message`: the worker's agent reads "
            "no messages; `detail` says what to do instead. 403: the caller is a worker."
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
        path=f"{JOB}/workers/{{worker_id}}/rollback",
        id="rollBackWorker",
        tag="jobs",
        summary="Restore a worker's changes to a checkpoint",
        description=(
            "The present state is saved as another checkpoint. The merged result of an ended job "
            "does not change. 409: the worker is running."
        ),
        body=worker_requests.RollbackRequest,
        examples={"the start of the first attempt": {"checkpoint": "1-before"}},
        answers={OK: checkpoints.RolledBackAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/recount",
        id="recountWorker",
        tag="jobs",
        summary="Update a worker's files from the commits on its branch",
        description=(
            "For commits that were added to the branch after the worker's end: lists and reports "
            "then include their files. The merged result does not change. 409: the worker is "
            "running."
        ),
        answers={OK: checkpoints.RecountedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path="/api/v1/usage",
        id="tellUsage",
        tag="jobs",
        summary="Report the usage of the calling worker",
        description=(
            "For workers, with their own key: cumulative steps, tokens, and cost of the current "
            "attempt. Idempotent. The answer shows if a cap of the task, the job, or an ancestor "
            "is reached."
        ),
        body=worker_requests.UsageRequest,
        body_required=True,
        examples={"usage": {"steps": 3, "input_tokens": 1200, "output_tokens": 80}},
        answers={OK: status.UsedAnswer},
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
)
