"""Finds out why a job makes no progress. The display shows the reason after some quiet seconds."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.api.client import OrchestratorClient
from orchestrator.api.client.client import ClientError
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import first_line, local_time, pasteable

#: Seconds without an event before the first call to the server, and seconds between two calls.
QUIET_SECONDS = 3.0
SHOWN_CHARACTERS = 200

#: Cause of a wait: the worker, the kind of the wait, and the name of what the worker waits for.
Cause = tuple[str, str, str]


class BlockedWorkers:
    """Reports why workers of a job wait. A cause is not reported twice in a row."""

    def __init__(self, client: OrchestratorClient, job_id: str) -> None:
        self._client, self._job_id = client, job_id
        self._quiet_since = time.monotonic()
        self._shown: Cause | None = None

    def note_event(self) -> None:
        """Record that an event arrived: the quiet time begins again."""
        self._quiet_since = time.monotonic()

    def next_line(self) -> str | None:
        """Return a line with the reason why a worker waits.

        Return None if the latest event is recent, or if the server does not answer. Also return
        None if no worker waits, or if the previous line has the same cause.
        """
        if time.monotonic() - self._quiet_since < QUIET_SECONDS:
            return None
        self._quiet_since = time.monotonic()
        try:
            cause, line = next(waiting_workers(self._client.tree(self._job_id)), (None, None))
        except ClientError:
            return None
        if cause == self._shown:
            return None
        self._shown = cause
        return line


def no_answer_line(context: CliContext, url: str, seconds: float) -> str:
    """Return a message that the server does not answer, and that calls are retried.

    The message has the command that starts the server, unless the environment names the server.
    ``seconds``: remaining time for which calls are retried.
    """
    line = f"no answer from {url}; retrying until {local_time(time.time() + seconds)}"
    if context.environ.get("ORCHESTRATOR_API_URL"):
        return line
    return f"{line}; if the server has stopped, start it: {COMMAND} serve"


def waiting_workers(tree: Mapping[str, Any]) -> Iterator[tuple[Cause, str]]:
    """Yield the cause of the wait, and a message, for each waiting worker of a job tree."""
    for worker in tree["workers"]:
        reason = pasteable(str(worker.get("reason") or ""))
        waiting = worker.get("waiting_for") or {}
        # A worker with a running attempt is blocked only if it waits for disk space.
        if waiting and (worker["status"] == "pending" or waiting["kind"] == "disk"):
            cause = (str(worker["worker_id"]), str(waiting["kind"]), str(waiting.get("name")))
            yield cause, f"{worker['worker_id']} {first_line(reason, SHOWN_CHARACTERS)}"
        for job in worker.get("child_jobs") or ():
            yield from waiting_workers(job)
