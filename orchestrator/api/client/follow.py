"""Follows a job until it has ended: its state, its events, and its workers' output."""

import codecs
import json
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, Literal, overload

from orchestrator.api.client.base_client import Answer, ClientCalls, bare_id, path_of
from orchestrator.api.client.errors import ConnectionLost, ServerUnreachable
from orchestrator.core.model.states import ENDED_JOB
from orchestrator.system.http_client.http_retry import Retry

#: Longest wait of one call, in seconds: ``wait`` repeats the call until the job has ended.
WAIT_SECONDS = 100.0


class FollowCalls(ClientCalls):
    def status(self, job_id: str) -> Answer:
        """Return a job in short form: ``status`` and, once a worker has finished, ``results``."""
        return self._get(path_of(job_id, "status"))

    def wait(self, job_id: str, timeout: float | None = None, run: int = 1) -> Answer:
        """Wait for a job's end, and return the job's status.

        ``timeout``: the maximum wait in seconds; None: no limit. If the job has not ended after
        this time, the field ``timed_out`` of the result is True.

        ``run``: the number of the run to wait for. The end of a later run also ends the wait.

        If the server restarts, the wait continues. Raises ServerUnreachable if the server does not
        answer for ``patience_seconds``, or for the remaining time if this is shorter.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            answer = self._wait_once(job_id, max(0.0, deadline - time.monotonic()), run)
            ended = answer["status"] in ENDED_JOB and answer.get("run", run) >= run
            if ended or time.monotonic() >= deadline:
                return {**answer, "timed_out": not ended}

    def _wait_once(self, job_id: str, remaining: float, run: int) -> Answer:
        seconds = min(remaining, WAIT_SECONDS)
        return self._get(
            path_of(job_id, "wait"),
            {"timeout": f"{seconds:.3f}", **({"run": str(run)} if run > 1 else {})},
            retry_seconds=min(remaining, self._patience),
            read_timeout=seconds + 30,
        )

    def events(self, job_id: str, last_event_id: int = 0) -> Iterator[Answer]:
        """Yield the events after ``last_event_id``, in order, until the job has ended.

        After a lost connection or a restart of the server, continues after the last event.
        """
        retry = self._transport.retry(self._patience)
        last_seq, ended = last_event_id, False
        while not ended:
            latest: Answer | None = None
            try:
                for event in self._events_once(job_id, last_seq, retry):
                    retry.succeeded()
                    latest, last_seq = event, int(event["seq"])
                    yield event
                # The stream ends after the job's last event, but also when the server stops.
                is_complete = latest is None or (
                    latest.get("kind") == "job_ended" and latest.get("job_id") == bare_id(job_id)
                )
                ended = is_complete and self.status(job_id)["status"] in ENDED_JOB
            except (ConnectionLost, ServerUnreachable) as error:
                if not retry.pause():
                    raise self._lost() from error
                continue
            if not (ended or latest or retry.pause()):
                raise self._lost()

    def _events_once(self, job_id: str, last_seq: int, retry: Retry) -> Iterator[Answer]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_seq)}
        with self._transport.stream(path_of(job_id, "events"), {}, headers, retry) as pieces:
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
        """Return a worker's log as text.

        With ``follow``, yield the log's lines until the worker has ended. Raises ServerUnreachable
        if the server stops earlier. ``tail``: the number of existing lines to return, counted from
        the end of the log; None: all lines.
        """
        path = path_of(job_id, "logs", worker_id)
        if follow:
            return self._followed(path, tail)
        response = self._transport.get(path, {"tail": tail})
        return response.content.decode("utf-8", errors="replace")

    def _followed(self, path: str, tail: int | None) -> Iterator[str]:
        query = {"follow": "true", "tail": tail}
        retry = self._transport.retry(self._transport.retry_seconds)
        try:
            with self._transport.stream(path, query, {}, retry) as pieces:
                yield from text_lines(pieces)
        except ConnectionLost as error:
            raise self._lost() from error


def text_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of the text in ``pieces``, without their line ends.

    A line is yielded as soon as it is complete. An incomplete last line is yielded when ``pieces``
    has ended.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    unfinished = ""
    for piece in pieces:
        *lines, unfinished = (unfinished + decoder.decode(piece)).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
    if unfinished:
        yield unfinished


def events_of(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the ``data`` of each complete event, if the data is a JSON object."""
    data: list[str] = []
    for line in text_lines(pieces):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield from _objects_in("\n".join(data))
            data = []


def _objects_in(text: str) -> Iterator[dict[str, Any]]:
    try:
        event = json.loads(text)
    except ValueError:
        return
    if isinstance(event, dict):
        yield event
