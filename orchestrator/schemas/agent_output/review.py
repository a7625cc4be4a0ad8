"""The answer of a reviewing agent: a ranking as JSON. Its schema is ``review.schema.json``."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator.core.errors import InvalidRequest
from orchestrator.schemas.agent_output.plan import objects_in
from orchestrator.schemas.fields.bounded_types import StrictModel, Text
from orchestrator.schemas.fields.validation_errors import faults

KIND = "invalid-review"
MOST_FAULTS_LISTED = 10


class Ranked(StrictModel):
    """A candidate with its rank."""

    worker_id: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of the candidate, as in the prompt."""
    reason: Annotated[Text, Field(min_length=1, max_length=2000)]
    """Reason for the candidate's rank, in one or two sentences."""


class Review(StrictModel):
    """A ranking of all candidates."""

    ranking: Annotated[tuple[Ranked, ...], Field(strict=False, min_length=1, max_length=1000)]
    """All candidates, the best first; each candidate once."""


def review_schema() -> str:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = {**head, **Review.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def review_in(text: str, candidates: Collection[str]) -> Review:
    """Return the review in an agent's answer: the last JSON object with ``ranking``.

    If the review is invalid, raise InvalidRequest, which lists the errors. A review is also invalid
    if a candidate is missing or ranked twice.
    """
    answer = None
    for value in objects_in(text):
        answer = value if "ranking" in value else answer
    if answer is None:
        raise InvalidRequest(
            'the answer has no JSON object with the field "ranking"; write such an object',
            kind=KIND,
        )
    try:
        review = Review.model_validate(answer)
    except ValidationError as error:
        messages = [str(fault) for fault in faults(error, Review)[:MOST_FAULTS_LISTED]]
        raise InvalidRequest("; ".join(messages), kind=KIND) from error
    _check_names([each.worker_id for each in review.ranking], candidates)
    return review


def _check_names(names: list[str], candidates: Collection[str]) -> None:
    if Counter(names) != Counter(candidates):
        raise InvalidRequest(
            f"'ranking' must name each of {', '.join(candidates)} exactly once, but names "
            f"{', '.join(names[:MOST_FAULTS_LISTED])}",
            kind=KIND,
        )
