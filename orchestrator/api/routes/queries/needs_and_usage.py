"""Calls that list needs, and report usage over time."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.problems import invalid
from orchestrator.api.routes.json_answers import tagged_answer
from orchestrator.api.serializers.answer_parts import moment_or_none
from orchestrator.api.serializers.job_lists import need_answer
from orchestrator.core.ports.read_models import UsageBy, UsageFilter, UsageRow
from orchestrator.core.text.unknown_names import unknown_name
from orchestrator.schemas import answers
from orchestrator.schemas.fields.validation_errors import Fault
from orchestrator.schemas.requests.query_parameters import PageQuery, UsageQuery

blueprint = Blueprint("needs_and_usage", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)


@blueprint.get("/needs")
def list_needs() -> Response:
    query = reading.query(PageQuery)
    this_caller = caller()

    def answer() -> answers.job_list.NeedsAnswer:
        needs = service().job_lists.needs(this_caller)
        start = (query.page - 1) * query.page_size
        return answers.job_list.NeedsAnswer(
            needs=[need_answer(need) for need in needs[start : start + query.page_size]],
            total=len(needs),
            page=query.page,
            page_size=query.page_size,
        )

    return tagged_answer(answer)


DAY_SECONDS = 86_400
_BUCKETS = {None: 0, "hour": 3600, "day": DAY_SECONDS}


@blueprint.get("/usage")
def get_usage() -> Response:
    query = reading.query(UsageQuery)
    by, label = _grouping(query.by)
    seconds = _BUCKETS[query.bucket]
    usage_filter = UsageFilter(
        by=by,
        label=label,
        since=_seconds(query.since),
        until=_seconds(query.until),
        bucket_seconds=seconds or (DAY_SECONDS if by is UsageBy.DAY else 0),
    )
    this_caller = caller()

    def answer() -> answers.job_list.UsageRowsAnswer:
        rows = service().job_lists.usage(this_caller, usage_filter)
        return answers.job_list.UsageRowsAnswer(
            rows=[
                answers.job_list.UsageRowAnswer(
                    **{
                        **asdict(row),
                        "key": _group_name(by, row),
                        "at": moment_or_none(row.at),
                        "partial": row.partial,
                    }
                )
                for row in rows
            ]
        )

    return tagged_answer(answer)


def _grouping(text: str) -> tuple[UsageBy, str]:
    """Return the key by which usage is grouped; for ``label``, also the label's name.

    Raise a 422 for an unknown key.
    """
    kind, _, label = text.partition(":")
    if kind in set(map(str, UsageBy)) and (kind == UsageBy.LABEL) == bool(label):
        return UsageBy(kind), label
    known = [f"{each}:NAME" if each is UsageBy.LABEL else str(each) for each in UsageBy]
    detail = unknown_name("grouping", text, known)
    raise invalid([Fault(location=("by",), detail=detail, type="enum")])


def _group_name(by: UsageBy, row: UsageRow) -> str:
    if by is UsageBy.DAY and row.at is not None:
        return f"{datetime.fromtimestamp(row.at, UTC):%Y-%m-%d}"
    return row.key


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
