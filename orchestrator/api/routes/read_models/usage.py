"""Usage of workers over time."""

from dataclasses import asdict
from datetime import UTC, datetime

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.problems import invalid
from orchestrator.api.routes.response import tagged_answer
from orchestrator.api.serializers.common import moment_or_none
from orchestrator.core.ports.listings import UsageBy, UsageFilter, UsageRow
from orchestrator.schemas.answers.common import UsageRowAnswer, UsageRowsAnswer
from orchestrator.schemas.fields.validation_errors import Fault, unknown_name
from orchestrator.schemas.requests.queries import UsageQuery

blueprint = Blueprint("usage", __name__, url_prefix="/api/v1/usage")
blueprint.before_request(authenticate)

DAY_SECONDS = 86_400
_BUCKETS = {None: 0, "hour": 3600, "day": DAY_SECONDS}


@blueprint.get("")
def get_usage() -> Response:
    query = request.query(UsageQuery)
    by, label = _by(query.by)
    seconds = _BUCKETS[query.bucket]
    wanted = UsageFilter(
        by=by,
        label=label,
        since=_seconds(query.since),
        until=_seconds(query.until),
        bucket_seconds=seconds or (DAY_SECONDS if by is UsageBy.DAY else 0),
    )
    who = caller()

    def answer() -> UsageRowsAnswer:
        rows = service().reads.usage(who, wanted)
        return UsageRowsAnswer(
            rows=[
                UsageRowAnswer(
                    **{**asdict(row), "key": _key(by, row), "at": moment_or_none(row.at)}
                )
                for row in rows
            ]
        )

    return tagged_answer(answer)


def _by(text: str) -> tuple[UsageBy, str]:
    """Return the kind of key and the label. Raise a 422 with the known kinds."""
    kind, _, label = text.partition(":")
    if kind in set(map(str, UsageBy)) and (kind == UsageBy.LABEL) == bool(label):
        return UsageBy(kind), label
    known = [f"{each}:NAME" if each is UsageBy.LABEL else str(each) for each in UsageBy]
    detail = unknown_name("key", text, known)
    raise invalid([Fault(place=("by",), detail=detail, type="enum")])


def _key(by: UsageBy, row: UsageRow) -> str:
    if by is UsageBy.DAY and row.at is not None:
        return f"{datetime.fromtimestamp(row.at, UTC):%Y-%m-%d}"
    return row.key


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
