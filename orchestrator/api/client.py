"""The Python client of the REST API; it needs ``requests`` alone.

    client = OrchestratorClient(api_url="http://localhost:8000", api_key="...")
    job = client.orchestrate(request="Survey this repository", max_workers=4)
    done = client.wait(job["job_id"])

Every method raises ApiError (see ``client_errors``) when the server refuses, and ServerUnreachable
when it gives no answer. All times and durations are in seconds.
"""

import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, overload
from urllib.parse import quote

import requests

from orchestrator.api.client_discovery import OWN_FOLDER, find_address
from orchestrator.api.client_errors import (
    ApiError,
    AuthError,
    ClientError,
    ConflictError,
    InvalidError,
    NoServer,
    NotFoundError,
    RefusedError,
    ServerUnreachable,
)
from orchestrator.api.client_events import events_of, text_lines
from orchestrator.api.client_retry import Retry
from orchestrator.api.client_transport import LOST, Transport, present
from orchestrator.core.states import ENDED_JOB

__all__ = [
    "ApiError",
    "AuthError",
    "ClientError",
    "ConflictError",
    "InvalidError",
    "NoServer",
    "NotFoundError",
    "OrchestratorClient",
    "RefusedError",
    "ServerUnreachable",
]

#: A JSON object of the API, as CONTRACT and ``/openapi.json`` describe it.
Answer = dict[str, Any]

#: One call of the server's bounded wait.
WAIT_SECONDS = 100.0
#: A call for locks is answered after 110 seconds at the latest.
LOCK_TIMEOUT = 150.0
#: How long a wait or an event stream outlives a server that is gone.
PATIENCE_SECONDS = 300.0


class OrchestratorClient:
    """One server, one key. Can be used as a context manager; give each thread its own.

    A call is tried again for ``retry_seconds`` when the server cannot be reached or is busy;
    ``wait`` and ``events`` go on trying for ``patience_seconds`` after they last heard from it.
    """

    def __init__(
        self,
        api_url: str = "http://localhost:8000",
        api_key: str | None = None,
        *,
        retry_seconds: float = 5.0,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._transport = Transport(api_url, api_key, retry_seconds)
        self._patience = patience_seconds

    @classmethod
    def from_env(
        cls, folder: Path | None = None, *, environ: Mapping[str, str] | None = None
    ) -> Self:
        """The client for where this program runs.

        In a worker: its server, with its own key. Elsewhere: the server that runs for ``folder``
        (default: the one that this package lies in). Raises NoServer when none does.
        """
        address = find_address(folder or OWN_FOLDER, os.environ if environ is None else environ)
        return cls(address.url, address.key)

    @property
    def api_url(self) -> str:
        return self._transport.url

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def orchestrate(
        self,
        request: str,
        tasks: Sequence[Mapping[str, Any]] | None = None,
        idempotency_key: str | None = None,
        **config: Any,
    ) -> Answer:
        """Submit a job; answers at once with its ``job_id``.

        ``config`` are the keys of a request's ``config``, such as ``max_workers=4``; None means
        "not given". The same ``idempotency_key`` never makes a second job.
        """
        body: Answer = {"request": request, "config": present(config)}
        if tasks is not None:
            body["tasks"] = [dict(task) for task in tasks]
        key = idempotency_key or secrets.token_hex(16)
        return self._post("/api/v1/orchestrate", body, idempotency_key=key)

    def status(self, job_id: str) -> Answer:
        """The short form: ``status`` and, once a worker has finished, ``results``."""
        return self._get(_job(job_id, "status"))

    def wait(self, job_id: str, timeout: float | None = None) -> Answer:
        """The status once the job has ended, or, with ``timed_out`` true, after ``timeout``.

        Sits out a restart of the server.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            answer = self._wait_once(job_id, _left(deadline))
            ended = answer["status"] in ENDED_JOB
            if ended or (deadline is not None and time.monotonic() >= deadline):
                return {**answer, "timed_out": not ended}

    def _wait_once(self, job_id: str, left: float) -> Answer:
        seconds = min(left, WAIT_SECONDS)
        return self._get(
            _job(job_id, "wait"),
            {"timeout": f"{seconds:.3f}"},
            retry_seconds=self._patience,
            read_timeout=seconds + 30,
        )

    def candidates(self, job_id: str, task_id: str) -> Answer:
        """Who tried a task, side by side: who is taken, and why."""
        return self._get(_job(job_id, "tasks", task_id, "candidates"))

    def results(self, job_id: str) -> Answer:
        """The ``results`` object. Raises ConflictError while nothing has finished."""
        return self._get(_job(job_id, "results"))

    def job(self, job_id: str) -> Answer:
        """Everything about one job."""
        return self._get(_job(job_id))

    def jobs(
        self,
        status: str | None = None,
        parent: str | None = None,
        page: int | None = None,
        page_size: int | None = None,
        depth: int | None = None,
    ) -> Answer:
        """One page of jobs, newest first: ``jobs``, ``total``, ``page``, ``page_size``.

        ``depth`` 0 leaves child jobs out.
        """
        query = {"status": status, "parent": parent, "depth": depth}
        return self._get("/api/v1/jobs", {**query, "page": page, "page_size": page_size})

    def tree(self, job_id: str) -> Answer:
        """The job with all its workers and child jobs."""
        return self._get(_job(job_id, "tree"))

    def events(self, job_id: str, last_event_id: int = 0) -> Iterator[Answer]:
        """Events in order, from the first after ``last_event_id`` on, until the job has ended.

        Goes on where it was after a lost connection or a restart of the server.
        """
        retry = Retry(self._patience)
        seen, ended = last_event_id, False
        while not ended:
            last: Answer | None = None
            try:
                for event in self._events_once(job_id, seen, retry):
                    retry.succeeded()
                    last, seen = event, int(event["seq"])
                    yield event
                # It ends by itself after the job's last event, but also when the server stops.
                complete = last is None or _ends(last, job_id)
                ended = complete and self.status(job_id)["status"] in ENDED_JOB
            except (*LOST, ServerUnreachable) as error:
                if not retry.pause():
                    raise self._lost() from error
                continue
            if not (ended or last or retry.pause()):
                raise self._lost()

    def _events_once(self, job_id: str, seen: int, retry: Retry) -> Iterator[Answer]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
        with self._transport.stream(_job(job_id, "events"), {}, headers, retry) as pieces:
            yield from events_of(pieces)

    @overload
    def logs(
        self, job_id: str, worker_id: str, *, follow: Literal[False] = False, tail: int | None = ...
    ) -> str: ...

    @overload
    def logs(
        self, job_id: str, worker_id: str, *, follow: Literal[True], tail: int | None = ...
    ) -> Iterator[str]: ...

    def logs(
        self, job_id: str, worker_id: str, *, follow: bool = False, tail: int | None = None
    ) -> str | Iterator[str]:
        """A worker's log as text, or its lines as they come until the worker has ended.

        ``tail`` is the number of last lines to begin with; all by default.
        """
        path = _job(job_id, "logs", worker_id)
        if follow:
            return self._followed(path, tail)
        response = self._transport.get(path, {"tail": tail})
        return response.content.decode("utf-8", errors="replace")

    def _followed(self, path: str, tail: int | None) -> Iterator[str]:
        query = {"follow": "true", "tail": tail}
        retry = Retry(self._transport.retry_seconds)
        try:
            with self._transport.stream(path, query, {}, retry) as pieces:
                yield from text_lines(pieces)
        except LOST as error:
            raise self._lost() from error

    def report(self, job_id: str, name: str = "FINAL_RESULT.md") -> str:
        """A rendered report as text."""
        response = self._transport.get(_job(job_id, "reports", name))
        return response.content.decode("utf-8", errors="replace")

    def approve(self, job_id: str) -> Answer:
        """Let the tasks of a job start that waits for approval."""
        return self._post(_job(job_id, "approve"), {})

    def reject(self, job_id: str) -> Answer:
        """End a job that waits for approval."""
        return self._post(_job(job_id, "reject"), {})

    def cancel(self, job_id: str) -> Answer:
        """Stop the job and all its descendants. Idempotent."""
        return self._post(_job(job_id, "cancel"), {})

    def retry(self, job_id: str, **config: Any) -> Answer:
        """Run again what did not succeed, with overrides such as ``default_timeout=600``."""
        return self._post(_job(job_id, "retry"), {"config": config} if config else {})

    def checkpoints(self, job_id: str) -> Answer:
        """The checkpoints of the job's workers: ``checkpoints``, as they were made."""
        return self._get(_job(job_id, "checkpoints"))

    def rollback(self, job_id: str, worker_id: str, checkpoint: str | None = None) -> Answer:
        """Have what a worker did as it was in a checkpoint; the worker must not run."""
        body = {"checkpoint": checkpoint} if checkpoint else {}
        return self._post(_job(job_id, "workers", worker_id, "rollback"), body)

    def lock(self, *names: str, wait: float = 0.0) -> Answer:
        """Take leases for this worker, all or none; ``leases`` have their fencing numbers."""
        deadline = time.monotonic() + wait
        while True:
            asked = {"names": list(names), "wait": max(0.0, deadline - time.monotonic())}
            response = self._transport.post("/api/v1/locks", asked, read_timeout=LOCK_TIMEOUT)
            answer = _object(response)
            if "leases" in answer:
                return answer

    def unlock(self, names: Sequence[str]) -> Answer:
        """Give back leases of this worker; with an API key, break those of others."""
        return _object(self._transport.delete("/api/v1/locks", {"names": list(names)}))

    def locks(self) -> Answer:
        """Who holds and who waits for which locks."""
        return self._get("/api/v1/locks")

    def conflicts(self, job_id: str) -> Answer:
        """What became of the changes of an ended job, file by file."""
        return self._get(_job(job_id, "conflicts"))

    def merge(self, job_id: str, **choice: Any) -> Answer:
        """Merge an ended job again: ``strategy``, ``take`` and ``leave`` (workers). Waits."""
        answer = self._post(_job(job_id, "merge"), choice)
        while answer["merging"]:
            time.sleep(1)
            answer = self.conflicts(job_id)
        return answer

    def stats(self) -> Answer:
        """Counts and rates over all jobs."""
        return self._get("/api/v1/stats")

    def agents(self) -> Answer:
        """The agents that a task can name, and whether they can work: ``agents``."""
        return self._get("/api/v1/agents")

    def health(self) -> Answer:
        """Whether the server is alive and ready; needs no key."""
        return self._get("/health")

    def _lost(self) -> ServerUnreachable:
        return ServerUnreachable(f"lost the server at {self.api_url}")

    def _get(self, path: str, query: Mapping[str, Any] | None = None, **options: float) -> Answer:
        return _object(self._transport.get(path, query, **options))

    def _post(self, path: str, body: Answer, idempotency_key: str | None = None) -> Answer:
        response = self._transport.post(path, body, idempotency_key=idempotency_key)
        return _object(response)


def _object(response: requests.Response) -> Answer:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ClientError(f"{response.url} answers, but not as this API does; check the address")
    return answer


def _ends(event: Answer, job_id: str) -> bool:
    return event.get("kind") == "job_ended" and event.get("job_id") == _bare(job_id)


def _left(deadline: float | None) -> float:
    return WAIT_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())


def _bare(job_id: str) -> str:
    """The id itself; the name of its directory is accepted too."""
    return job_id.removeprefix("job_")


def _job(job_id: str, *parts: str) -> str:
    return "/".join(["/api/v1/jobs", *(quote(part, safe="") for part in (_bare(job_id), *parts))])
