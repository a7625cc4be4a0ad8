"""Reports the attempt's usage to the server while it runs. The server may answer "stop".

Errors do not affect the agent, because the server may be restarting, or too old for this call.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.core.model.attempt.attempt_result import Usage

#: Seconds between two calls if no cap applies to the worker.
EVERY_SECONDS = 1.0
CALL_SECONDS = 5.0
LAST_CALL_SECONDS = 2.0
PATH = "/api/v1/usage"


class UsageReporter:
    """Reports usage to the server from a background thread, which starts with the first usage."""

    def __init__(self, environ: Mapping[str, str], stop: Callable[[str], None]) -> None:
        self._url = environ.get("ORCHESTRATOR_API_URL", "")
        self._key = environ.get("ORCHESTRATOR_API_KEY", "")
        self._stop = stop
        self._latest: Usage | None = None
        self._changed = threading.Condition()
        self._done = False
        self._thread: threading.Thread | None = None

    def report(self, usage: Usage) -> None:
        """Queue the usage totals for a report. Later totals replace queued totals."""
        if not self._url or not self._key:
            return
        with self._changed:
            self._latest = usage
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def close(self, usage: Usage, seconds: float = CALL_SECONDS) -> None:
        """Send the final totals, after waiting at most ``seconds`` for a running report.

        The timeout of the final call is ``seconds``, but at most LAST_CALL_SECONDS.
        """
        with self._changed:
            self._done = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)
        if self._url and self._key and usage != Usage():
            self._call(usage, min(seconds, LAST_CALL_SECONDS))

    def waits(self, usage: Usage) -> bool:
        """True if the server reports that this worker waits for child jobs or a lock."""
        reachable = bool(self._url and self._key)
        return reachable and self._call(usage, CALL_SECONDS).get("waiting") is True

    def _run(self) -> None:
        while (usage := self._next()) is not None:
            answer = self._call(usage, CALL_SECONDS)
            if not answer:
                # The server did not receive the totals; it may be restarting.
                with self._changed:
                    self._latest = self._latest or usage
            why = str(answer.get("stop") or "")
            if why:
                self._stop(why)
            if answer.get("capped") is not True:
                with self._changed:
                    self._changed.wait_for(lambda: self._done, EVERY_SECONDS)

    def _next(self) -> Usage | None:
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._latest is not None)
            usage, self._latest = self._latest, None
            return None if self._done else usage

    def _call(self, usage: Usage, seconds: float) -> Mapping[str, Any]:
        """Send totals. Return the server's answer; empty if it did not answer."""
        # not every attempt needs this module
        from orchestrator.security.stdlib_client import StdlibClient

        try:
            client = StdlibClient(self._url, self._key)
            reply = client.request("POST", PATH, asdict(usage), timeout=seconds)
        except Exception:  # no error here may stop an agent
            return {}
        return reply.document if reply.status == 200 else {}
