"""The call that submits a job: ``POST /api/v1/orchestrate``."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, Operation
from orchestrator.schemas.answers import submission
from orchestrator.schemas.requests import job as job_requests

SUBMISSION = (
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
        body=job_requests.OrchestrateRequest,
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
        answers={ACCEPTED: submission.AcceptedAnswer},
        errors=(CONFLICT,),
        headers={
            "Idempotency-Key": "Unique key (1 to 200 characters) of the job; a repeated call with "
            "the same key starts no second job. 422: the key was used for another request."
        },
        leads_to_job=True,
    ),
)
