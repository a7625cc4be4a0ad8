"""Calls about webhooks, deliveries, and notifications."""

from http import HTTPStatus

from orchestrator.api.openapi.operations.operation import ACCEPTED, OK, Operation
from orchestrator.schemas.requests import query_parameters
from orchestrator.schemas.requests.job import EmptyRequest
from orchestrator.schemas.requests_with_answers import outbox

_ADMIN = "403: the key lacks the scope admin."
_MISSING = (HTTPStatus.NOT_FOUND,)

OUTBOX = (
    Operation(
        method="get",
        path="/api/v1/webhooks",
        id="listWebhooks",
        tag="server",
        summary="List the receivers of messages, with counts of deliveries",
        description=_ADMIN,
        answers={OK: outbox.EndpointsAnswer},
    ),
    Operation(
        method="post",
        path="/api/v1/webhooks/{endpoint}/test",
        id="testWebhook",
        tag="server",
        summary="Send a test message to a webhook, and wait for the answer",
        description=(f"Turns the endpoint on if an answer 410 Gone had turned it off. {_ADMIN}"),
        body=EmptyRequest,
        answers={OK: outbox.TestAnswer},
    ),
    Operation(
        method="get",
        path="/api/v1/webhooks/deliveries",
        id="listDeliveries",
        tag="server",
        summary="List messages to receivers, the latest first",
        description=_ADMIN,
        query=query_parameters.DeliveriesQuery,
        answers={OK: outbox.DeliveriesAnswer},
        errors=_MISSING,
    ),
    Operation(
        method="post",
        path="/api/v1/webhooks/deliveries/{delivery_id}/redeliver",
        id="redeliver",
        tag="server",
        summary="Send a message again, with the same id; a pending message is sent now",
        description=_ADMIN,
        body=EmptyRequest,
        answers={ACCEPTED: outbox.DeliveryAnswer},
    ),
    Operation(
        method="post",
        path="/api/v1/notifications/test",
        id="testNotifications",
        tag="server",
        summary="Send a test notification to one target, or to all",
        description=_ADMIN,
        body=outbox.NotifyTestRequest,
        examples={"all targets": {}},
        answers={OK: outbox.TestsAnswer},
    ),
)
