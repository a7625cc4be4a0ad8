"""The class of failure of an error answer, and the time at which an account is usable again."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.agents.model_loop.json_answer import json_in
from orchestrator.agents.model_loop.model_http import rate_limit_headers
from orchestrator.agents.model_loop.model_http.call_failure import (
    failure_of_status,
    message,
    unexpected_answer,
)
from orchestrator.core.model.attempt.attempt_result import ErrorClass

E = ErrorClass
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "detail", "kind", "again"),
    [
        (400, "messages.2.content: something is wrong", E.API, False),
        (400, "Invalid value: 'max'. Supported values are: 'low'", E.CONFIG, False),
        (400, "API key not valid. Please pass a valid API key.", E.AUTH, False),
        (422, "Unprocessable", E.API, False),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", E.LIMIT, False),
        (400, "This model's maximum context length is 8192 tokens", E.LIMIT, False),
        (400, "Your credit balance is too low to access the API", E.CREDIT, False),
        (400, "Failed to call a function. Please adjust your prompt.", E.API, True),
        (401, "invalid x-api-key", E.AUTH, False),
        (402, "Insufficient Balance", E.CREDIT, False),
        (403, "not allowed", E.AUTH, False),
        (403, "Project `p` does not have access to model `m` (model_not_found)", E.CONFIG, False),
        (403, "You don't have access to the model with the specified model ID.", E.CONFIG, False),
        (404, "model: no such model", E.CONFIG, False),
        (408, "", E.API, True),
        (413, "Request exceeds the maximum size", E.LIMIT, False),
        (429, "slow down", E.RATE_LIMIT, True),
        (429, "You exceeded your current quota (insufficient_quota)", E.CREDIT, False),
        (500, "oops", E.API, True),
        (503, "loading model", E.API, True),
        (529, "Overloaded", E.RATE_LIMIT, True),
        (307, "", E.CONFIG, False),
    ],
)
def test_a_status_has_a_class(status: int, detail: str, kind: ErrorClass, again: bool) -> None:
    body = json.dumps({"error": {"message": detail}}).encode()
    failure = failure_of_status(status, {}, body, "http://x")
    assert (failure.kind, failure.retryable) == (kind, again)
    assert detail in failure.message and str(status) in failure.message


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, E.RATE_LIMIT, "answered 429: slow down"),
        ({"error": {"code": 401, "message": "no"}}, E.AUTH, "answered 401: no"),
        ({"error": {"code": "nope", "message": "no"}}, E.API, "not a poem: no (nope)"),
        ({"error": "broken"}, E.API, "not a poem: broken"),
        (None, E.API, "not a poem"),
    ],
)
def test_a_failure_that_a_gateway_answers_with_status_200_is_read(
    answer: object, kind: ErrorClass, words: str
) -> None:
    failure = unexpected_answer("a poem", answer)
    assert (failure.kind, failure.message.endswith(words)) == (kind, True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_a_pause_is_read_from_headers(headers: Mapping[str, str], seconds: float | None) -> None:
    assert rate_limit_headers.retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "detail", "seconds"),
    [
        ({"anthropic-ratelimit-unified-reset": str(int(NOW) + 600)}, "", 600.0),
        ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:00Z"}, "", 60.0),
        ({"x-ratelimit-reset-tokens": "6m0s"}, "", 360.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "90ms"}, "", 1.0),
        ({}, "Please try again in 20s.", 20.0),
        ({}, "Please try again in 1m2.5s. Visit ...", 62.5),
        ({}, "Your limit resets at 2027-01-15T09:00:00Z", 3600.0),
        ({}, f"usage limit reached|{int(NOW) + 50}", 50.0),
        ({"anthropic-ratelimit-unified-reset": "99999999999999"}, "", None),
        ({"anthropic-ratelimit-tokens-reset": "tomorrow"}, "resets at noon", None),
    ],
)
def test_the_reset_time_is_read(
    headers: Mapping[str, str], detail: str, seconds: float | None
) -> None:
    found = rate_limit_headers.resets_at(headers, detail, NOW)
    assert found == (None if seconds is None else pytest.approx(NOW + seconds))


def test_a_limit_without_a_date_resets_after_its_pause() -> None:
    failure = failure_of_status(429, {"retry-after": "30"}, b"", "http://x")
    assert failure.resets_at is not None
    assert 0 < failure.resets_at - time.time() <= 30


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "model not found"}', "model not found"),
        (b'{"error": {"message": "no", "code": "bad_key"}}', "no (bad_key)"),
        (b'{"type": "error", "error": {"type": "overloaded_error"}}', "overloaded_error"),
        (b'[{"error": {"message": "from a list"}}]', "from a list"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<html>\n Bad  Gateway</html>", "<html> Bad Gateway</html>"),
        (b'{"error": {"message": 5, "code": []}}', ""),
        (b"5", ""),
        (b"[" * 100_000, "[" * 600),
        (b"", ""),
    ],
)
def test_words_are_found_in_any_error(body: bytes, words: str) -> None:
    assert message(body) == words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here it is:\n```json\n{"a": [1, 2]}\n```\nDone.', {"a": [1, 2]}),
        ('For {x} and [y]: {"tasks": []} or so', {"tasks": []}),
        ('[] first, then {"tasks": [{"id": "a"}]}', {"tasks": [{"id": "a"}]}),
        ("no JSON {here", None),
        ("{" * 10_000, None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_json_is_found_in_words(text: str, value: Any) -> None:
    assert json_in(text) == value
