"""What jobs wait for from a person."""

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.routes.response import tagged_answer
from orchestrator.api.serializers.job_cards import need_answer
from orchestrator.schemas.answers.common import NeedsAnswer
from orchestrator.schemas.requests.queries import PageQuery

blueprint = Blueprint("needs", __name__, url_prefix="/api/v1/needs")
blueprint.before_request(authenticate)


@blueprint.get("")
def list_needs() -> Response:
    query = request.query(PageQuery)
    who = caller()

    def answer() -> NeedsAnswer:
        found = service().reads.needs(who)
        start = (query.page - 1) * query.page_size
        return NeedsAnswer(
            needs=[need_answer(need) for need in found[start : start + query.page_size]],
            total=len(found),
            page=query.page,
            page_size=query.page_size,
        )

    return tagged_answer(answer)
