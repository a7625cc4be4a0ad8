"""A real HTTP server with the endpoints that clients need, in the standard library only."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from orchestrator.schemas.requests.job import OrchestrateRequest

KEY = "key-of-the-fake-server"
AT = "2026-01-02T03:04:05.000000+00:00"
#: Maximum number of jobs per page, as in ``schemas.requests.query_parameters``.
MAX_JOBS_PAGE_SIZE = 200
ENDED = ("completed", "partial", "failed", "cancelled")


@dataclass
class FakeJob:
    """A job that a test ends."""

    job_id: str
    body: dict[str, Any]
    outcome: str = "completed"
    output: str = "done what was asked"
    depth: int = 0
    status: str = "running"
    #: Reason of the unfinished worker.
    worker_reason: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def emit(self, kind: str, worker: str | None = None, **data: Any) -> None:
        with self.changed:
            event = {"seq": len(self.events) + 1, "job_id": self.job_id, "kind": kind, "at": AT}
            self.events.append({**event, "worker_id": worker, "data": data})
            self.changed.notify_all()

    def wait_for_events(self, seen: int) -> None:
        self.changed.wait_for(lambda: len(self.events) > seen or self.status in ENDED, 10)

    def begin(self) -> None:
        self.emit("job_submitted", request=self.body["request"], depth=0)
        self.emit("worker_started", "worker_1", attempt=1, agent="shell")

    def end(self, status: str | None = None) -> None:
        with self.changed:
            if self.status in ENDED:
                return
            self.status = status or self.outcome
            self.emit("worker_ended", "worker_1", status=self.worker_status, reason="")
            self.emit("job_ended", status=self.status)

    @property
    def worker_status(self) -> str:
        return {"completed": "success", "partial": "success"}.get(self.status, self.status)

    def tree(self) -> dict[str, Any]:
        reason = self.worker_reason
        worker = {"worker_id": "worker_1", "status": "running", "reason": reason, "child_jobs": []}
        usage = {"steps": 2, "cost_usd": 0.5}
        return {"job_id": self.job_id, "status": self.status, "workers": [worker], "usage": usage}

    def answer(self) -> dict[str, Any]:
        answer = {
            "job_id": self.job_id,
            "status": self.status,
            "reason": "",
            "created_at": AT,
            "ended_at": AT,
        }
        places = {"workspace": f"/w/job_{self.job_id}", "final_report": "/w/FINAL_RESULT.md"}
        if self.status not in ENDED:
            return {**answer, **places}
        task = {
            "worker_id": "worker_1",
            "status": self.worker_status,
            "output": self.output,
            "files_created": [],
        }
        results = {
            "tasks": [task],
            "workspace": f"/w/job_{self.job_id}",
            "final_report": f"/w/job_{self.job_id}/FINAL_RESULT.md",
        }
        return {**answer, "results": results}


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: dict[str, Any]


class FakeApi(ThreadingHTTPServer):
    """First answers with the entries of ``faults``. Status 0 drops the connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.jobs: dict[str, FakeJob] = {}
        self.by_key: dict[str, FakeJob] = {}
        self.calls: list[Call] = []
        self.faults: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        #: Needs that the inbox lists.
        self.needs: list[dict[str, Any]] = []
        #: Fields of the answer of /health, in addition to ready.
        self.health: dict[str, Any] = {}
        #: True if the server cannot reach its database.
        self.store_is_away = False
        #: True if new jobs end at once.
        self.end_at_once = True
        self.outcome = "completed"
        self.output = "done what was asked"
        #: Fields of the answer to a submission, in addition to the job.
        self.accepted: dict[str, Any] = {}
        self.stream_breaks_after: int | None = None
        self.connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def submit(self, body: dict[str, Any], key: str) -> FakeJob:
        if key not in self.by_key:
            job = FakeJob(f"j{len(self.jobs) + 1}", body, self.outcome, self.output)
            self.jobs[job.job_id] = self.by_key[key] = job
            job.begin()
            if self.end_at_once:
                job.end()
        return self.by_key[key]

    def calls_of(self, method: str, end: str) -> list[Call]:
        return [call for call in self.calls if call.method == method and call.path.endswith(end)]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def drop_connections(self) -> None:
        """Close all connections, as the exit of a server does."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have disconnected."""


@contextmanager
def running(api: FakeApi) -> Iterator[FakeApi]:
    thread = threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()
        api.drop_connections()
        thread.join(5)


class Handler(BaseHTTPRequestHandler):
    server: FakeApi

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._take("GET")

    def do_POST(self) -> None:
        self._take("POST")

    def do_DELETE(self) -> None:
        self._take("DELETE")

    def _take(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = json.loads(self.rfile.read(length) or b"{}")
        parts = urlsplit(self.path)
        call = Call(method, parts.path, parse_qs(parts.query), dict(self.headers), content)
        if parts.path == "/health":
            answer = {"status": "ok", "ready": True, **self.server.health}
            self._json(200 if answer["ready"] else 503, answer)
            return
        self.server.calls.append(call)
        if self.server.faults:
            status, problem, headers = self.server.faults.pop(0)
            if status:
                self._json(status, problem, headers)
            return
        if self.headers.get("X-API-Key") != KEY:
            self._json(401, {"type": "unauthorized", "detail": "send X-API-Key"})
            return
        self._answer(call)

    def _answer(self, call: Call) -> None:
        if call.path == "/api/v1/orchestrate":
            try:
                OrchestrateRequest.model_validate(call.body)
            except ValidationError as error:
                self._json(400, {"type": "invalid-request", "detail": str(error)})
                return
            key = self.headers["Idempotency-Key"]
            job = self.server.submit(call.body, key)
            self._json(
                202, {"job_id": job.job_id, "status": "pending", "links": {}} | self.server.accepted
            )
            return
        if call.path == "/api/v1/usage":
            self._json(200, {"rows": []})
            return
        if call.path == "/api/v1/nodes":
            self._json(200, {"nodes": []})
            return
        if call.path == "/api/v1/jobs" and self.server.store_is_away:
            self._json(503, {"detail": "The database cannot be reached now."})
            return
        if call.path == "/api/v1/jobs":
            statuses = call.query.get("status", [])
            depth = call.query.get("depth", [None])[0]
            jobs = [
                job.answer()
                for job in self.server.jobs.values()
                if (not statuses or job.status in statuses) and depth in (None, str(job.depth))
            ]
            page = int(call.query.get("page", ["1"])[0])
            size = int(call.query.get("page_size", ["50"])[0])
            if size > MAX_JOBS_PAGE_SIZE:
                self._json(422, {"detail": f"/page_size: must be at most {MAX_JOBS_PAGE_SIZE}"})
                return
            found = jobs[(page - 1) * size : page * size]
            self._json(200, {"jobs": found, "total": len(jobs), "page": page, "page_size": size})
            return
        if call.path == "/api/v1/needs":
            page, size = (int(call.query[name][0]) for name in ("page", "page_size"))
            needs = self.server.needs[(page - 1) * size : page * size]
            self._json(200, {"needs": needs, "total": len(self.server.needs)})
            return
        _, job_id, *rest = call.path.removeprefix("/api/v1").strip("/").split("/")
        found = self.server.jobs.get(job_id)
        if found is None:
            gone = {"type": "not-found", "subject": "job", "detail": f"no job {job_id}"}
            self._json(404, gone)
        else:
            self._answer_about(found, rest, call)

    def _answer_about(self, job: FakeJob, rest: list[str], call: Call) -> None:
        if rest == ["events"]:
            self._events(job)
        elif rest == ["wait"]:
            timeout = float(call.query["timeout"][0])
            with job.changed:
                job.changed.wait_for(lambda: job.status in ENDED, timeout)
                self._json(200, {**job.answer(), "timed_out": job.status not in ENDED})
        elif rest == ["cancel"]:
            # The answer has the status of the job that is still being stopped.
            answer = job.answer()
            job.end("cancelled")
            self._json(202, answer)
        elif rest == ["retry"]:
            self._json(202, {**job.answer(), "status": "running"})
        elif rest == ["tree"]:
            self._json(200, job.tree())
        elif rest[:1] == ["logs"]:
            self._text("".join(f"line {n}\n" for n in range(int(call.query["tail"][0]))))
        elif rest[:1] == ["reports"]:
            self._text(f"# {rest[1]}\n")
        else:
            self._json(200, job.answer())

    def _events(self, job: FakeJob) -> None:
        sent = int(self.headers.get("Last-Event-ID") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b": hello\n\n")
        limit, self.server.stream_breaks_after = self.server.stream_breaks_after, None
        while True:
            with job.changed:
                job.wait_for_events(sent)
                news, ended = job.events[sent:], job.status in ENDED
            for event in news[:limit]:
                text = f"id: {event['seq']}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n"
                self.wfile.write(text.encode())
                sent = event["seq"]
            if ended or limit is not None:
                return

    def _json(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        kind = "application/json" if status < 400 else "application/problem+json"
        problem = {"status": status, "title": "refused"} if status >= 400 else {}
        self._send(status, kind, json.dumps({**problem, **body}).encode(), headers or {})

    def _text(self, text: str) -> None:
        self._send(200, "text/plain; charset=utf-8", text.encode(), {})

    def _send(self, status: int, kind: str, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
