"""Calls of running workers with their own keys: they report usage and read messages."""

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request as reading
from orchestrator.api.routes.response import json_answer
from orchestrator.schemas.answers.human_input import MessagesReadAnswer
from orchestrator.schemas.answers.status import UsedAnswer
from orchestrator.schemas.requests.human_input import MessagesReadBody
from orchestrator.schemas.requests.job import UsageRequest
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("worker_reports", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)


@blueprint.post("/usage")
def tell_usage() -> Response:
    reading.query(NoQuery)
    usage = reading.body(UsageRequest).to_usage()
    used = service().used(caller(), usage)
    return json_answer(UsedAnswer(stop=used.stop, waiting=used.waiting, capped=used.capped))


@blueprint.post("/messages")
def tell_messages_read() -> Response:
    reading.query(NoQuery)
    ids = reading.body(MessagesReadBody).delivered
    service().messages_read(caller(), ids)
    return json_answer(MessagesReadAnswer(delivered=len(ids)))
