"""The call for external services: an event starts a job, or is sent as feedback to a worker.

The trigger's own secret replaces the API key.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, g, request

from orchestrator.api.access.audit import CALLER
from orchestrator.api.access.authentication import caller, service
from orchestrator.api.access.rate_limits import RateLimit
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.problems import ProblemError, limit_fields, unavailable
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.serializers.answer_parts import job_path, links
from orchestrator.api.server_options import MIB, ApiOptions
from orchestrator.core.errors import NotFound, Unauthorized
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.core.text.command_name import COMMAND
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import NoQuery
from orchestrator.security.secrets.trigger_verification import TOLERANCE_SECONDS, Verification

if TYPE_CHECKING:
    from orchestrator.engine.service.triggers.trigger import Trigger, TriggerEvent

blueprint = Blueprint("triggers", __name__, url_prefix="/api/v1/triggers")

MOST_BYTES = MIB
HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Triggers:
    by_name: dict[str, tuple[Trigger, RateLimit]]

    @classmethod
    def of(cls, options: ApiOptions) -> Triggers:
        return cls(
            {
                each.name: (each, RateLimit(each.max_per_hour, period=HOUR_SECONDS))
                for each in options.triggers
            }
        )


@blueprint.post("/<trigger_name>")
def receive_event(trigger_name: str) -> Response:
    reading.query(NoQuery)
    triggers: Triggers = current_app.extensions["orchestrator.triggers"]
    if trigger_name not in triggers.by_name:
        raise NotFound(
            f"unknown trigger {trigger_name[:100]!r}; list triggers: {COMMAND} triggers list"
        )
    trigger, limit = triggers.by_name[trigger_name]
    event = _verified_event(trigger)
    if event.is_ping:
        return Response(status=HTTPStatus.NO_CONTENT)
    if unmet := trigger.unmet(event):
        return _answer(
            trigger,
            answers.submission.TriggerOutcome.IGNORED,
            reason=f"the condition when.{unmet} is false",
        )
    if trigger.template is None:
        return _queue_feedback(trigger, event, limit)
    return _start_job(trigger, event, limit)


def _verified_event(trigger: Trigger) -> TriggerEvent:
    """Return the event of a sender that knows the trigger's secret.

    Raise a 413 for a large body, a 400 for invalid JSON, and a 401 for a wrong secret. The 401 does
    not tell the sender which part is wrong.
    """
    # Imported when needed, because few servers have triggers.
    from orchestrator.engine.service.triggers.trigger import TriggerEvent, unwrapped

    if (request.content_length or 0) > MOST_BYTES:
        raise ProblemError(
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            type="too-large",
            detail=f"event too large: maximum {MOST_BYTES} bytes",
        )
    raw = request.get_data()
    headers = {name.lower(): value for name, value in request.headers.items()}
    if not trigger.is_from_sender(headers, raw, time.time()):
        raise Unauthorized(_refusal(trigger))
    g.caller = Caller(name=trigger.caller_name, scopes=frozenset({Scope.SUBMIT}))
    request.environ[CALLER] = g.caller.full_name
    document = reading.parse_json(unwrapped(raw, request.mimetype))
    return TriggerEvent(headers=headers, document=document)


def _refusal(trigger: Trigger) -> str:
    refusal = "event rejected: its signature or token does not match the trigger's secret"
    if trigger.verify is not Verification.STANDARD:
        return refusal
    return (
        f"{refusal}, or its time differs by more than {TOLERANCE_SECONDS} s from this server's "
        "clock"
    )


def _start_job(trigger: Trigger, event: TriggerEvent, limit: RateLimit) -> Response:
    submission = trigger.submission(event)
    if submission.idempotency_key:
        job = service().submissions.find(caller(), submission.idempotency_key)
        if job is not None:
            return _answer(trigger, answers.submission.TriggerOutcome.DUPLICATE, job.id)
    _take(trigger, limit)
    accepted = service().submissions.submit(caller(), submission)
    if accepted.duplicate:
        return _answer(trigger, answers.submission.TriggerOutcome.DUPLICATE, accepted.job.id)
    return _answer(trigger, answers.submission.TriggerOutcome.ACCEPTED, accepted.job.id)


def _queue_feedback(trigger: Trigger, event: TriggerEvent, limit: RateLimit) -> Response:
    """Queue a comment or failed check of a job's pull request as feedback for the job's worker."""
    from orchestrator.engine.service.triggers.github_remarks import remark_of

    remark = remark_of(event.kind, event.document)
    if isinstance(remark, str):
        return _answer(trigger, answers.submission.TriggerOutcome.IGNORED, reason=remark)
    options: ApiOptions = current_app.extensions["orchestrator.options"]
    if options.event_feedback is None:
        raise unavailable("feedback from events is not available on this server")
    _take(trigger, limit)
    try:
        job_id, is_new = options.event_feedback.put(
            trigger.name, trigger.delivery(event), remark, remark.as_text()
        )
    except NotFound as error:
        return _answer(trigger, answers.submission.TriggerOutcome.IGNORED, reason=error.message)
    outcomes = answers.submission.TriggerOutcome
    return _answer(trigger, outcomes.QUEUED if is_new else outcomes.DUPLICATE, job_id)


def _take(trigger: Trigger, limit: RateLimit) -> None:
    if seconds := ceil(limit.take(trigger.name)):
        most, name = trigger.max_per_hour, f"triggers.{trigger.name}.max_per_hour"
        raise ProblemError(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            type="rate-limit",
            detail=f"limit reached ({name}: {most}); retry in {seconds} s",
            headers={"Retry-After": str(seconds)},
            more=limit_fields(name, most, most, time.time() + seconds),
        )


def _answer(
    trigger: Trigger,
    outcome: answers.submission.TriggerOutcome,
    job_id: str | None = None,
    reason: str = "",
) -> Response:
    answer = answers.submission.TriggerAnswer(
        trigger=trigger.name,
        status=outcome,
        reason=reason,
        job_id=job_id,
        links=None if job_id is None else links(job_id),
    )
    outcomes = answers.submission.TriggerOutcome
    if outcome in (outcomes.ACCEPTED, outcomes.QUEUED) and job_id:
        return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(job_id)}/status")
    return json_answer(answer)
