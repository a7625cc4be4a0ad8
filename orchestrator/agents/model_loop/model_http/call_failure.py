"""Failures of model calls, and their kinds."""

import json
import re
import time
from collections.abc import Mapping

from orchestrator.agents.ai_tools.reader_parts.error_classification import classify
from orchestrator.agents.model_loop.model_http import rate_limit_headers
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.core.text import json_values
from orchestrator.core.text.formatting import one_line

_LONGEST = 600
_RATE = frozenset((429, 529))
_OVERFLOW = re.compile(
    r"prompt is too long|context[ _](length|window|size)|maximum context|context_length_exceeded"
    r"|too many (input |total )?tokens|exceeds? the (available |model'?s )?context"
    r"|input is too long",
    re.IGNORECASE,
)
_UNPAID = re.compile(r"credit balance|insufficient_quota|billing|payment", re.IGNORECASE)
#: Matches errors with status 429 that mean an account without credit. Other words about billing are
#: excluded, because they also occur in messages about temporary rate limits.
_USED_UP = re.compile(r"credit balance is too low|insufficient_quota|billing_hard_limit", re.I)
#: Matches errors of a server that could not parse the model's tool call. After a retry, the model
#: may write a valid tool call.
_MISCALLED = re.compile(r"tool_use_failed|failed to call a function", re.I)
_OVERFLOWS = "the conversation exceeds the model's context window"


class ModelFailure(Exception):
    """A failed model call. The message is for the user."""

    def __init__(
        self,
        kind: ErrorClass,
        message: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        pause: float | None = None,
        resets_at: float | None = None,
        may_have_used_tokens: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        #: True if a retry of the call may succeed.
        self.retryable = retryable
        self.status = status
        #: Seconds to wait before the retry, according to the server; None: unknown.
        self.pause = pause
        #: When the account may be used again: Unix time.
        self.resets_at = resets_at
        #: True if the model may already have used tokens that no answer reports.
        self.may_have_used_tokens = may_have_used_tokens


def failure_of_status(
    status: int, headers: Mapping[str, str], body: bytes, url: str
) -> ModelFailure:
    """Return the failure for an answer whose status is not 2xx.

    ``headers``: names in lower case.
    """
    detail = message(body)
    words = f"{url} answered {status}: {detail}" if detail else f"{url} answered {status}"
    if 300 <= status < 400:
        where = headers.get("location", "elsewhere")[:200]
        return ModelFailure(
            ErrorClass.CONFIG, f"{words}, a redirect to {where}; use this address as the base URL"
        )
    if status in _RATE:
        return _limit_failure(words, status, headers, detail)
    if _UNPAID.search(detail) or status == 402:
        return ModelFailure(ErrorClass.CREDIT, words, status=status)
    if status == 413 or (status < 500 and _OVERFLOW.search(detail)):
        return ModelFailure(ErrorClass.LIMIT, f"{_OVERFLOWS} ({words})", status=status)
    if status in (408, 409, 425) or status >= 500 or _MISCALLED.search(detail):
        pause = rate_limit_headers.retry_after(headers, time.time())
        return ModelFailure(ErrorClass.API, words, retryable=True, status=status, pause=pause)
    # A retry of the same request would also be rejected. Another attempt of the worker may succeed,
    # because it sends other requests.
    return ModelFailure(classify(detail, status), words, status=status)


def _limit_failure(
    words: str, status: int, headers: Mapping[str, str], detail: str
) -> ModelFailure:
    if _USED_UP.search(detail):
        # Waiting does not help an account without credit.
        return ModelFailure(ErrorClass.CREDIT, words, status=status)
    now = time.time()
    pause = rate_limit_headers.retry_after(headers, now)
    reset = rate_limit_headers.resets_at(headers, detail, now)
    return ModelFailure(
        ErrorClass.RATE_LIMIT,
        words,
        retryable=True,
        status=status,
        pause=pause,
        resets_at=reset if reset is not None else (now + pause if pause else None),
    )


def unexpected_answer(expected: str, answer: object) -> ModelFailure:
    """Return the failure for an answer with status 200 whose content is unexpected.

    ``expected``: the expected content, as text for the message. If the body contains an error with
    a status, return the failure for this status: some gateways send every error with status 200.
    """
    status, detail = json_values.count(answer, "error", "code") or 0, _error_text(answer)[:_LONGEST]
    if 400 <= status < 600:
        return failure_of_status(
            status, {}, json.dumps(answer).encode(), "the service (HTTP status 200)"
        )
    return ModelFailure(
        ErrorClass.API, f"the answer of the service is not {expected}: {detail}".rstrip(": ")
    )


def overflow(detail: str) -> ModelFailure:
    return ModelFailure(ErrorClass.LIMIT, f"{_OVERFLOWS} ({detail})")


def declined(text: str) -> ModelFailure:
    """Return the failure for an answer with which the model declines the request."""
    return ModelFailure(ErrorClass.DECLINED, one_line(text)[:300] or "no reason given")


def message(body: bytes) -> str:
    """Return the error message in the body of an answer, which may be JSON or any other text."""
    try:
        value = json_values.decoded(body)
    except ValueError:
        return one_line(body.decode("utf-8", "replace"))[:_LONGEST]
    return one_line(_error_text(value))[:_LONGEST]


def _error_text(value: object) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    fields = json_values.mapping(value)
    error = fields.get("error", fields.get("detail", fields.get("message", "")))
    inner = json_values.mapping(error)
    if inner:
        code = json_values.text(inner.get("code") or inner.get("type"))
        detail = json_values.text(inner, "message")
        return f"{detail} ({code})" if code and detail else detail or code
    return json_values.text(error)
