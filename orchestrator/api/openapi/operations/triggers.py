"""The call with which an external service sends an event to a trigger."""

from http import HTTPStatus

from orchestrator.api.openapi.operations.operation import ACCEPTED, OK, Operation
from orchestrator.schemas.answers.submission import TriggerAnswer

TRIGGERS = (
    Operation(
        method="post",
        path="/api/v1/triggers/{trigger_name}",
        id="receiveEvent",
        tag="triggers",
        summary="Receive an event of GitHub, GitLab, or another service",
        description=(
            "Needs no API key: the sender signs the event with the trigger's secret (`triggers` in "
            "config.yaml). The body is the event as JSON, at most 1 MiB. 200 `duplicate`: this "
            "delivery id was received before. 200 `ignored`: a condition of the trigger is false. "
            "204: the event is a ping."
        ),
        answers={
            OK: TriggerAnswer,
            ACCEPTED: TriggerAnswer,
            HTTPStatus.NO_CONTENT: (),
        },
        errors=(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
        ),
        needs_key=False,
    ),
)
