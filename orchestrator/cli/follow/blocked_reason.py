"""The reason why a job makes no progress, requested when there are no events."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.api.client import OrchestratorClient
from orchestrator.api.client.client import ClientError
from orchestrator.cli.output.terminal import first_line, local_time

#: How long nothing happens before the server is asked, and then how often.
QUIET_SECONDS = 3.0
SHOWN_CHARACTERS = 200


class BlockedWorkers:
    """Reports each cause once, also when its figures change."""

    def __init__(self, client: OrchestratorClient, job_id: str) -> None:
        self._client, self._job_id = client, job_id
        self._asked_at = time.monotonic()
        self._said = ""

    def news(self) -> None:
        self._asked_at = time.monotonic()

    def ask(self) -> str | None:
        """Return a new line; None if it is too early, or there is none."""
        if time.monotonic() - self._asked_at < QUIET_SECONDS:
            return None
        self.news()
        try:
            line = next(held_back(self._client.tree(self._job_id)), "")
        except ClientError:
            return None
        cause = line.partition(":")[0]
        if cause == self._said:
            return None
        self._said = cause
        return line or None


def server_awaited(client: OrchestratorClient, seconds: float) -> str:
    """The line shown while the server does not answer and the call is retried for N seconds."""
    until = local_time(time.time() + seconds)
    return f"the server at {client.api_url} does not answer; waiting for it until {until}"


def held_back(tree: Mapping[str, Any]) -> Iterator[str]:
    """Such as ``worker_1 waits for disk space: ...``, for each worker in a tree that waits."""
    for worker in tree["workers"]:
        reason = str(worker.get("reason") or "")
        waiting = worker.get("waiting_for") or {}
        # A worker whose attempt has begun waits for disk space only.
        if waiting and (worker["status"] == "pending" or waiting["kind"] == "disk"):
            yield f"{worker['worker_id']} {first_line(reason, SHOWN_CHARACTERS)}"
        for job in worker.get("child_jobs") or ():
            yield from held_back(job)
