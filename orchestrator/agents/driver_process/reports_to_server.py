"""Reports of the driver to the server: the attempt's usage, and the messages that were read.

The driver repeats a report until the server accepts the report (status 200). If the server rejects
a report permanently, for example because the server is too old for such reports, the driver sends
no more reports of this kind. Errors do not affect the agent.
"""

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.core.model.attempt.attempt_result import Usage

#: Seconds between two reports, even if the server did not answer.
PAUSE_SECONDS = 1.0
CALL_SECONDS = 5.0
LAST_CALL_SECONDS = 2.0
#: Statuses 4xx after which the server may accept the same report later.
TEMPORARY_STATUSES = frozenset({408, 425, 429})
USAGE_PATH = "/api/v1/usage"
MESSAGES_PATH = "/api/v1/messages"


class ServerReporter(ABC):
    """Sends reports to the server in a background thread. The first report starts the thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._url = environ.get("ORCHESTRATOR_API_URL", "")
        self._key = environ.get("ORCHESTRATOR_API_KEY", "")
        #: Guards the reports that are not sent yet, and ``_done``.
        self._changed = threading.Condition()
        self._done = False
        #: True if the server has rejected a report permanently.
        self._is_rejected = False
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _has_report(self) -> bool:
        """True if there is a report to send. The caller holds ``_changed``."""

    @abstractmethod
    def _send(self, is_last: bool) -> bool:
        """Send the reports. Return True if the thread may call this method again without a pause.

        If the result is False, the thread pauses before the next call. If the reporter is closing
        (``is_last``), the thread ends instead.
        """

    @property
    def _is_on(self) -> bool:
        return bool(self._url and self._key) and not self._is_rejected

    def _start(self) -> None:
        """Let the background thread send the new report. The first call starts the thread."""
        with self._changed:
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def _stop(self, seconds: float) -> None:
        """Send the last reports, and wait at most ``seconds`` for the background thread."""
        with self._changed:
            self._done = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._done or self._has_report())
                is_last = self._done
            if self._send(is_last):
                continue
            if is_last or self._is_rejected:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._done, PAUSE_SECONDS)

    def _call(self, path: str, body: Mapping[str, Any], seconds: float) -> Mapping[str, Any] | None:
        """Send a report. Return the server's answer; None if the report was not accepted."""
        # Imported here, because some attempts do not need this module.
        from orchestrator.system.http_client.stdlib_client import StdlibClient

        try:
            client = StdlibClient(self._url, self._key)
            reply = client.request("POST", path, body, timeout=seconds)
        except Exception:  # no error here may stop an agent
            return None
        if 400 <= reply.status < 500 and reply.status not in TEMPORARY_STATUSES:
            self._is_rejected = True
            sys.stderr.write(
                f"! the server rejected a report to {path} (HTTP {reply.status}); "
                "no more such reports are sent\n"
            )
        return reply.document if reply.status == 200 else None


class UsageReporter(ServerReporter):
    """Reports the attempt's usage while it runs. The server may answer "stop"."""

    def __init__(self, environ: Mapping[str, str], stop: Callable[[str], None]) -> None:
        super().__init__(environ)
        self._stop_agent = stop
        self._latest: Usage | None = None

    def report(self, usage: Usage) -> None:
        """Queue the usage totals for a report. Later totals replace queued totals."""
        if not self._is_on:
            return
        with self._changed:
            self._latest = usage
        self._start()

    def close(self, usage: Usage, seconds: float = CALL_SECONDS) -> None:
        """Wait at most ``seconds`` for a running report. Then send the final totals.

        The timeout for the final totals is ``seconds``, but at most LAST_CALL_SECONDS.
        """
        self._stop(seconds)
        if self._is_on and usage != Usage():
            self._send_totals(usage, min(seconds, LAST_CALL_SECONDS))

    def waits(self, usage: Usage) -> bool:
        """Send the totals. Return True if the server answers that the worker is waiting.

        A waiting worker waits for child jobs or a lock, so its silence is normal.
        """
        return self._is_on and self._send_totals(usage, CALL_SECONDS).get("waiting") is True

    def _has_report(self) -> bool:
        return self._latest is not None

    def _send(self, is_last: bool) -> bool:
        with self._changed:
            usage, self._latest = self._latest, None
        if usage is None or is_last:  # ``close`` sends the final totals
            return False
        answer = self._send_totals(usage, CALL_SECONDS)
        if not answer:
            # Send the totals again later: the server did not receive them, and may be restarting.
            with self._changed:
                self._latest = self._latest or usage
        why = str(answer.get("stop") or "")
        if why:
            self._stop_agent(why)
        return answer.get("capped") is True

    def _send_totals(self, usage: Usage, seconds: float) -> Mapping[str, Any]:
        """Send totals. Return the server's answer; empty if the server did not accept them."""
        return self._call(USAGE_PATH, asdict(usage), seconds) or {}


class ReceiptReporter(ServerReporter):
    """Reports which messages the agent has read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self._ids: list[str] = []

    def report(self, ids: Sequence[str]) -> None:
        if not self._is_on:
            return
        with self._changed:
            self._ids.extend(ids)
        self._start()

    def close(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the last report."""
        self._stop(seconds)

    def _has_report(self) -> bool:
        return bool(self._ids)

    def _send(self, is_last: bool) -> bool:
        with self._changed:
            ids = list(self._ids)
        if not ids or self._call(MESSAGES_PATH, {"delivered": ids}, CALL_SECONDS) is None:
            return False
        with self._changed:
            self._ids = self._ids[len(ids) :]
        return True
