"""Calls a model: sends the request, retries a few times, and parses the answer as JSON."""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.agents.activity.agent_events import AgentEvent, RetryEvent
from orchestrator.agents.model_loop.model_http import http_post
from orchestrator.agents.model_loop.model_http.call_failure import ModelFailure, failure_of_status
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.core.text import json_values

Emit = Callable[[AgentEvent], None]

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class ModelCaller:
    """Calls one model server.

    The constructor raises ModelFailure (config, auth) if no call can succeed with these settings.
    """

    def __init__(self, settings: LoopSettings, headers: Mapping[str, str], emit: Emit) -> None:
        self._settings = settings
        self._to = http_post.endpoint(settings.base_url)
        self._headers = {"content-type": "application/json", "user-agent": "orchestrator"}
        self._headers.update({**headers, **settings.headers})
        self._emit = emit
        #: True if a failed call may have used tokens that no answer reports.
        self.has_unreported_usage = False
        self._check_key()
        self._check_headers()

    def _check_key(self) -> None:
        to, settings = self._to, self._settings
        in_the_clear = to.scheme == "http" and not to.loopback and not settings.allow_plain_http
        if in_the_clear and settings.api_key:
            words = f"refusing to send a key to {to} without TLS; use an https address"
            raise ModelFailure(ErrorClass.CONFIG, words)
        if settings.key_needed and not settings.api_key and not to.loopback:
            words = f"no API key; set {settings.api_key_env}"
            raise ModelFailure(ErrorClass.AUTH, words)

    def _check_headers(self) -> None:
        for name, value in self._headers.items():
            if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
                words = f"the header {name!r}, or the key in it, has characters that HTTP forbids"
                raise ModelFailure(ErrorClass.CONFIG, words)

    def call(self, path: str, value: Mapping[str, Any]) -> object:
        """Send ``value`` as JSON to ``path``, and return the parsed JSON answer.

        Raise ModelFailure if the last retry failed, or if a retry cannot help. Also raise
        ModelFailure if the pause before a retry would be longer than ``longest_pause``.
        """
        body = json.dumps(value).encode()
        for retries_made in range(self._settings.retries + 1):
            try:
                return self._call_once(path, body)
            except ModelFailure as failure:
                self.has_unreported_usage |= failure.may_have_used_tokens
                pause = self._seconds_to_retry(failure, retries_made)
                if pause is None:
                    raise
                self._emit(RetryEvent(failure.message, failure.kind, pause))
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _call_once(self, path: str, body: bytes) -> object:
        times = self._settings.timeouts
        full_path = self._to.path + path
        reply = http_post.post(
            self._to, full_path, self._headers, body, connect=times.connect, call=times.call
        )
        if not 200 <= reply.status < 300:
            raise failure_of_status(
                reply.status, reply.headers, reply.body, f"{self._to}{full_path}"
            )
        try:
            return json_values.decoded(reply.body)
        except ValueError as error:
            words = f"{self._to}{full_path} returned an answer that is not JSON"
            raise ModelFailure(
                ErrorClass.API, words, retryable=True, may_have_used_tokens=True
            ) from error

    def _seconds_to_retry(self, failure: ModelFailure, retries_made: int) -> float | None:
        """Return the seconds until the next retry; None for no retry.

        ``retries_made``: the number of retries so far.
        """
        times = self._settings.timeouts
        if not failure.retryable or retries_made >= self._settings.retries:
            return None
        pause = times.pause * 2.0**retries_made if failure.pause is None else failure.pause
        return pause if pause <= times.longest_pause else None
