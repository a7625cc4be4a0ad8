"""Calls about webhooks, deliveries, and notifications. Each call needs the scope admin."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.serializers.answer_parts import moment, moment_or_none
from orchestrator.core.ports.outbox import (
    EntryFilter,
    EntryState,
    OutboxCalls,
    OutboxEntry,
    TestResult,
)
from orchestrator.schemas import requests, requests_with_answers
from orchestrator.schemas.requests.query_parameters import DeliveriesQuery, NoQuery

blueprint = Blueprint("outbox", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)


def _outbox() -> OutboxCalls:
    service().access.check_admin(caller(), "list or change webhooks")
    return service().outbox


@blueprint.get("/webhooks")
def list_webhooks() -> Response:
    reading.query(NoQuery)
    endpoints = [
        requests_with_answers.outbox.EndpointAnswer(
            name=each.name,
            kind=each.kind,
            address=each.address,
            events=list(each.topics),
            off=each.off,
            counts=dict(each.counts),
        )
        for each in _outbox().endpoints()
    ]
    return json_answer(requests_with_answers.outbox.EndpointsAnswer(endpoints=endpoints))


@blueprint.post("/webhooks/<endpoint>/test")
def test_webhook(endpoint: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    return json_answer(_test_answer(endpoint, _outbox().test(endpoint)))


@blueprint.get("/webhooks/deliveries")
def list_deliveries() -> Response:
    query = reading.query(DeliveriesQuery)
    entry_filter = EntryFilter(endpoint=query.endpoint, state=query.state or "", job_id=query.job)
    outbox = _outbox()
    if query.job:
        service().access.job(caller(), query.job)
    page = outbox.deliveries(entry_filter, (query.page - 1) * query.page_size, query.page_size)
    return json_answer(
        requests_with_answers.outbox.DeliveriesAnswer(
            deliveries=list(map(_delivery, page.entries)),
            total=page.total,
            page=query.page,
            page_size=query.page_size,
        )
    )


@blueprint.post("/webhooks/deliveries/<delivery_id>/redeliver")
def redeliver(delivery_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    return json_answer(_delivery(_outbox().redeliver(delivery_id)), HTTPStatus.ACCEPTED)


@blueprint.post("/notifications/test")
def test_notifications() -> Response:
    reading.query(NoQuery)
    name = reading.body(requests_with_answers.outbox.NotifyTestRequest, optional=True).name
    results = _outbox().test_notifications(name)
    return json_answer(
        requests_with_answers.outbox.TestsAnswer(
            tests=[_test_answer(name, each) for name, each in results.items()]
        )
    )


def _test_answer(name: str, result: TestResult) -> requests_with_answers.outbox.TestAnswer:
    return requests_with_answers.outbox.TestAnswer(
        name=name,
        delivered=result.delivered,
        status=result.status,
        error=result.error,
        seconds=round(result.seconds, 3),
    )


def _delivery(entry: OutboxEntry) -> requests_with_answers.outbox.DeliveryAnswer:
    pending = entry.state is EntryState.PENDING
    return requests_with_answers.outbox.DeliveryAnswer(
        id=entry.id,
        job_id=entry.job_id,
        root_job_id=entry.root_id,
        seq=entry.seq,
        endpoint=entry.endpoint,
        event=entry.topic,
        state=entry.state,
        attempts=entry.attempts,
        created_at=moment(entry.created_at),
        due_at=moment(entry.due_at) if pending else None,
        done_at=moment_or_none(entry.done_at),
        status=entry.last_status,
        error=entry.last_error,
        answer=entry.answer,
    )
