"""The progress of a task as Server-Sent Events."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from orchestrator.api.serializers.answer_parts import moment, result_of, worker_seconds
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.api.streaming.event_stream import EventPage, EventStream, Frames
from orchestrator.api.tasks_api.answers import STATUS_OF, clis
from orchestrator.api.tasks_api.submission import task_uuid
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.engine.service.service import Service

#: Seconds of silence before a heartbeat.
SILENCE_SECONDS = 1.0
#: Events of workers that the stream sends as ``progress``.
_SHOWN = (
    EventKind.WORKER_STARTED,
    EventKind.WORKER_RETRYING,
    EventKind.GATES_STARTED,
    EventKind.WORKER_ENDED,
)
#: Events after which the job is read again.
_READ_AFTER = frozenset({*_SHOWN, EventKind.JOB_ENDED})


class TaskProgress(EventStream):
    """Sends ``connected``, ``progress`` for each tool, ``heartbeat``, and ``task_complete``."""

    def __init__(
        self, socket_loop: SocketLoop, service: Service, caller: Caller, job: Job, *, after: int
    ) -> None:
        super().__init__(socket_loop, service, caller, job, after=after, frames=Frames(self._frame))
        self._job = job
        self._workers: Sequence[Worker] = ()

    def begin(self) -> None:
        self._send_event("connected", message="Connected to progress stream")
        if not self._sent:
            for name, worker, obstacle in clis(self._job, ()):
                if worker is None and obstacle:
                    self._writer.write(self._progress(name, "failed", obstacle))
        self._socket_loop.call_after(SILENCE_SECONDS, self._break_silence, self)
        super().begin()

    def published(self, events: Sequence[Event]) -> None:
        # The event lacks the tools' costs and files, so the job is read from the store.
        if any(each.kind in _READ_AFTER and each.job_id == self._job_id for each in events):
            if self._live and not self._done:
                self._catch_up()
            else:
                self._read_again = True

    def beat(self) -> None:
        """Do nothing: heartbeats have their own timer."""

    def stopped(self) -> None:
        self._error("the server is stopping; connect again")

    def _end_unread(self) -> None:
        self._error("the progress could not be read; connect again")

    def _page(self) -> EventPage:
        page = super()._page()
        detail = self._service.job_details.detail(self._caller, self._job_id, with_tasks=False)
        self._job, self._workers = detail.job, detail.workers
        return page

    def _finish(self) -> None:
        status = STATUS_OF[self._job.status]
        message = self._job.reason or f"Task {status}"
        self._send_event("task_complete", self._sent, status=status, message=message)
        super()._finish()

    def _error(self, error: str) -> None:
        self._done = True
        self._writer.write(_sse("error", {"error": error, "timestamp": _now()}))
        super()._finish()

    def _break_silence(self) -> None:
        silence = time.monotonic() - self._writer.progress_at
        if self._done:
            return
        if silence >= SILENCE_SECONDS and not self._writer.pending:
            self._writer.write(_sse("heartbeat", {"timestamp": _now()}))
            silence = 0.0
        self._socket_loop.call_after(
            max(0.05, SILENCE_SECONDS - silence), self._break_silence, self
        )

    def _send_event(self, name: str, number: int | None = None, **values: object) -> None:
        payload = {"task_id": task_uuid(self._job_id), **values, "timestamp": _now()}
        self._writer.write(_sse(name, payload, number))

    def _frame(self, event: Event) -> bytes:
        if event.kind not in _SHOWN or event.job_id != self._job_id:
            return b""
        for name, worker, _ in clis(self._job, self._workers):
            if worker is not None and worker.id == event.worker_id:
                return self._worker_frame(event, name, worker)
        return b""

    def _worker_frame(self, event: Event, name: str, worker: Worker) -> bytes:
        reason = str(event.data.get("reason") or "")
        if event.kind is not EventKind.WORKER_ENDED:
            message = reason or f"{event.kind.replace('_', ' ')}: {worker.agent}"
            return self._progress(name, "working", message, event)
        status = "done" if WorkerStatus(str(event.data["status"])).succeeded else "failed"
        return self._progress(
            name,
            status,
            reason or f"{name}: {status}",
            event,
            files_modified=list(result_of(worker).files_created),
            cost=worker.cost_usd,
            duration=worker_seconds(worker),
        )

    def _progress(
        self, name: str, status: str, message: str, event: Event | None = None, **more: object
    ) -> bytes:
        task_id = task_uuid(self._job_id)
        values = {
            "task_id": task_id,
            "cli_name": name,
            "session_id": f"task-{task_id}-{name}",
            "status": status,
            "message": message,
            "timestamp": moment(event.at).isoformat() if event else _now(),
            **{"files_modified": None, "cost": None, "duration": None, **more},
        }
        return _sse("progress", values, event.seq if event else None)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _sse(name: str, values: Mapping[str, object], number: int | None = None) -> bytes:
    first = "" if number is None else f"id: {number}\n"
    data = json.dumps(values, ensure_ascii=False)
    return f"{first}event: {name}\ndata: {data}\n\n".encode("utf-8", "replace")
