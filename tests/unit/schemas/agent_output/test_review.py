"""An agent's answer to a request to compare candidates."""

import json

import pytest

from orchestrator.core.errors import InvalidRequest
from orchestrator.schemas.agent_output.review import review_in, review_schema

NAMES = ("worker_1", "worker_2")


def answer(*names: str, **more: str) -> str:
    ranking = [{"worker_id": each, "reason": f"so {each}", **more} for each in names]
    return json.dumps({"ranking": ranking})


@pytest.mark.parametrize("around", ["{}", "Well:\n```json\n{}\n```\nThat is it.", "a {{x}} {}"])
def test_a_review_is_found_in_any_surrounding_text(around: str) -> None:
    review = review_in(around.replace("{}", answer("worker_2", "worker_1"), 1), NAMES)
    assert [each.worker_id for each in review.ranking] == ["worker_2", "worker_1"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("both are fine", "no JSON object with"),
        (answer("worker_1"), "each of worker_1, worker_2 exactly once, but names worker_1"),
        (answer("worker_1", "worker_2", "worker_2"), "each of worker_1, worker_2 exactly once"),
        (answer("worker_1", "worker_3"), "but names worker_1, worker_3"),
        (answer("worker_1", "worker_2", score="9"), "score"),
        (json.dumps({"ranking": ["worker_1", "worker_2"]}), "ranking"),
        (json.dumps({"ranking": []}), "ranking"),
        (answer("worker_1", "worker_2", reason=""), "reason"),
    ],
)
def test_an_invalid_ranking_is_rejected_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        review_in(text, NAMES)


def test_the_schema_requires_a_ranking_with_reasons() -> None:
    schema = json.loads(review_schema())
    assert schema["required"] == ["ranking"]
    assert schema["$defs"]["Ranked"]["required"] == ["worker_id", "reason"]
