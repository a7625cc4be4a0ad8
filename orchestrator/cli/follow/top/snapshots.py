"""Reads jobs and workers for the screen, from the running server or from the files of jobs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from orchestrator.api.client.errors import ApiError, ClientError, ServerUnreachable, error_of
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.follow.top.screen_model import JobLine, Snapshot, WorkerLine
from orchestrator.cli.output.terminal_text import lines_of, local_time, moment
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.attempt.usage_sums import COUNTED_TOKENS
from orchestrator.core.model.states import ENDED_JOB, WorkerStatus
from orchestrator.system.http_client.http_retry import call_with_retries
from orchestrator.system.http_client.stdlib_client import ServerReply, StdlibClient

if TYPE_CHECKING:
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.server_discovery import Address

Answer = Mapping[str, Any]

#: Timeout of a call to the server, and seconds for which a failed call is retried.
READ_SECONDS, RETRY_SECONDS = 60.0, 5.0
#: Maximum number of jobs on the screen.
MOST_JOBS = 100
#: Maximum number of logs whose last line is read in one refresh.
MOST_LOGS = 10
#: Number of lines that are read from the end of a log, to find its last line with text.
LAST_LINES = 5
#: Maximum number of lines of a log in the pane.
LOG_LINES = 500
#: Maximum fraction of the time that ``top`` spends on reads of one job's workers. The slower a read
#: is, the later the next read begins.
MOST_SHARE = 0.1


class Source(Protocol):
    def read(self, query: "SnapshotQuery") -> Snapshot:
        """Read a snapshot with the data that ``query`` selects.

        Raise OrchestratorError if the jobs cannot be read.
        """
        ...

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        """Return the last lines of a worker's log."""
        ...


class SnapshotQuery(Protocol):
    """Selects the data of a snapshot: the jobs, the open jobs, and the visible rows."""

    #: The only job to show; empty: all jobs.
    job_id: str

    def is_open(self, job: JobLine) -> bool: ...

    def visible(self) -> Sequence[tuple[str, str]]:
        """Return the job id and the worker id of each visible row."""
        ...


class ServerSource:
    """Reads jobs from a server, and the workers of jobs that are open on the screen.

    Reads do not use the package ``requests``, because its import takes longer than a frame.
    """

    def __init__(self, address: "Address") -> None:
        self._address = address
        self._client = StdlibClient(address.url, address.key)
        #: The client for actions, which imports ``requests``; None: not used yet.
        self._action_client: OrchestratorClient | None = None
        #: By job: its workers, the time of their read, and the duration of the read, in seconds.
        self._columns: dict[str, tuple[Sequence[WorkerLine], float, float]] = {}

    def read(self, query: SnapshotQuery) -> Snapshot:
        answer = self._job_list(query.job_id)
        jobs = [self._with_workers(_job(each), query) for each in answer["jobs"]]
        lines = dict(self._last_lines(jobs, query.visible()))
        return Snapshot(
            jobs=jobs,
            at=time.time(),
            total=int(answer["total"]),
            last_lines=lines,
        )

    def _job_list(self, job_id: str) -> Answer:
        if not job_id:
            return self._answer("jobs", depth=0, page_size=MOST_JOBS)
        # The answer of ``status`` lacks the usage and the needs of the job.
        matching_jobs = self._answer("jobs", q=job_id, page_size=MOST_JOBS)["jobs"]
        jobs = [each for each in matching_jobs if each["job_id"] == job_id]
        jobs = jobs or [self._answer("jobs", job_id, "status", tasks="none")]
        return {"jobs": jobs, "total": 1}

    def _with_workers(self, job: JobLine, query: SnapshotQuery) -> JobLine:
        if not query.is_open(job):
            return job
        workers, read_at, read_seconds = self._columns.get(job.job_id, ((), 0.0, 0.0))
        # Read an ended job once after its end, for the final status of its workers.
        is_final = job.has_ended and job.ended_at is not None and read_at > job.ended_at
        if not is_final and time.time() - read_at >= read_seconds / MOST_SHARE:
            began = time.time()
            workers = workers_of_columns(self._answer("jobs", job.job_id, "columns"))
            self._columns[job.job_id] = (workers, began, time.time() - began)
        return replace(job, workers=workers)

    def _last_lines(
        self, jobs: Sequence[JobLine], visible: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], str]]:
        running = {
            (job.job_id, each.worker_id): each
            for job in jobs
            for each in job.workers or ()
            if each.status == WorkerStatus.RUNNING
        }
        for key in [each for each in visible if each in running][:MOST_LOGS]:
            worker = running[key]
            try:
                text = self._tail(worker.job_id, worker.worker_id, LAST_LINES)
            except ApiError:
                continue
            if lines := lines_of(text):
                yield key, lines[-1]

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        return self._tail(job_id, worker_id, LOG_LINES).splitlines()

    @property
    def client(self) -> "OrchestratorClient":
        from orchestrator.api.client import OrchestratorClient

        if self._action_client is None:
            self._action_client = OrchestratorClient(self._address.url, self._address.key)
        return self._action_client

    def close(self) -> None:
        if self._action_client is not None:
            self._action_client.close()

    def _tail(self, job_id: str, worker_id: str, lines: int) -> str:
        reply = self._get("jobs", job_id, "logs", worker_id, tail=lines)
        return reply.body.decode("utf-8", "replace")

    def _answer(self, *parts: str, **query: object) -> Answer:
        document = self._get(*parts, **query).document
        if not document:
            raise ClientError(
                f"the program at {self._address.url} is not an orchestrator; check the address"
            )
        return document

    def _get(self, *parts: str, **query: object) -> ServerReply:
        path = "/".join(["/api/v1", *(quote(part, safe="") for part in parts)])
        path += f"?{urlencode(query)}" if query else ""

        def once() -> ServerReply:
            return self._client.request("GET", path, timeout=READ_SECONDS)

        try:
            reply = call_with_retries(once, RETRY_SECONDS)
        except OSError as error:
            raise ServerUnreachable(f"no answer from {self._address.url}: {error}") from error
        if reply.status >= 400:
            raise error_of({"detail": reply.detail, **reply.document, "status": reply.status})
        return reply


class FileSource:
    """Reads jobs from ``status.json`` files, without a server."""

    def __init__(self, context: CliContext) -> None:
        self._context = context

    def read(self, query: SnapshotQuery) -> Snapshot:
        from orchestrator.cli.offline.jobs_on_disk import root_jobs, written_at

        workspace = self._context.workspace
        answers = root_jobs(workspace)
        if query.job_id:
            answers = [each for each in answers if each["job_id"] == query.job_id]
        shown_answers = answers[:MOST_JOBS]
        jobs = [_job_on_disk(each, written_at(workspace, each["job_id"])) for each in shown_answers]
        return Snapshot(jobs=jobs, at=time.time(), total=len(answers), is_offline=True)

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        from orchestrator.cli.offline.jobs_on_disk import directory_of
        from orchestrator.cli.offline.log_files import tail_lines

        logs = directory_of(self._context.workspace, job_id) / "logs"
        depth = worker_id.count("_") - 1
        return tail_lines(logs / f"depth_{depth}_{worker_id}.log", LOG_LINES)


class AnySource:
    """Reads jobs from the server while a server runs, and from files at any other time."""

    def __init__(self, context: CliContext) -> None:
        self._find_address = context.address_if_running
        self._files = FileSource(context)
        self._server: ServerSource | None = None

    @property
    def client(self) -> "OrchestratorClient | None":
        return self._server.client if self._server else None

    def _current_source(self) -> Source:
        if self._server is None:
            address = self._find_address()
            self._server = ServerSource(address) if address else None
        return self._server or self._files

    def read(self, query: SnapshotQuery) -> Snapshot:
        try:
            return self._current_source().read(query)
        except ServerUnreachable:
            self.close()
        try:
            # A restarted server may have another port.
            return self._current_source().read(query)
        except ServerUnreachable:
            self.close()
            return self._files.read(query)

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        try:
            try:
                return self._current_source().log(job_id, worker_id)
            except ServerUnreachable:
                return self._files.log(job_id, worker_id)
        except OrchestratorError as error:
            return [f"(no log: {error.message})"]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


def _job(answer: Answer) -> JobLine:
    usage = answer.get("usage") or {}
    counts = answer.get("tree_counts") or answer.get("counts") or answer.get("workers") or {}
    return JobLine(
        job_id=str(answer["job_id"]),
        status=str(answer["status"]),
        request=str(answer.get("request") or ""),
        reason=str(answer.get("reason") or ""),
        counts={str(name): int(number) for name, number in counts.items()},
        cost_usd=usage.get("cost_usd"),
        cost_is_partial=bool(usage.get("cost_partial")),
        tokens=usage.get("tokens"),
        started_at=moment(answer.get("started_at") or answer.get("created_at")),
        ended_at=moment(answer["ended_at"]) if answer.get("ended_at") else None,
        needs=[f"{each['kind']}: {each['text']}" for each in answer.get("needs") or ()],
        awaits_approval=any(each["kind"] == "approval" for each in answer.get("needs") or ()),
        is_paused=bool(answer.get("paused")),
    )


def workers_of_columns(answer: Answer) -> list[WorkerLine]:
    """Return the workers in a ``ColumnsAnswer``, which has one list of values for each field."""
    worker_count, base = int(answer["n"]), float(answer["at"])
    columns = {name: _column(answer[name], worker_count) for name in _COLUMNS}
    # If the column of names is null, the workers are numbered from 1.
    numbers = range(1, worker_count + 1) if answer["worker"] is None else columns["worker"]
    names = [f"worker_{each}" for each in numbers]
    reasons = {int(position): str(text) for position, text in answer["reason"].items()}
    jobs, agents, statuses = answer["jobs"], answer["agents"], answer["statuses"]
    workers = []
    for index, (job, agent, status) in enumerate(
        zip(columns["j"], columns["a"], columns["s"], strict=True)
    ):
        start, end, gates = columns["t0"][index], columns["t1"][index], columns["gates"][index]
        parent = columns["parent"][index]
        workers.append(
            WorkerLine(
                job_id=jobs[job]["job_id"],
                worker_id=names[index],
                title=str(columns["title"][index] or columns["task"][index]),
                agent=agents[agent],
                status=statuses[status],
                started_at=None if start is None else base + start,
                ended_at=None if end is None else base + end,
                idle_seconds=columns["idle"][index],
                tokens=columns["tokens"][index],
                cost_usd=columns["cost"][index],
                attempt=columns["attempt"][index],
                gates=(gates[0], sum(gates)) if gates else None,
                reason=reasons.get(index, ""),
                depth=int(jobs[job]["depth"]),
                parent_id=names[parent] if parent >= 0 else "",
            )
        )
    return workers


_COLUMNS = (
    *("worker", "task", "title", "j", "s", "a", "t0", "t1", "idle"),
    *("cost", "tokens", "attempt", "parent", "gates"),
)


def _column(value: Any, number: int) -> Sequence[Any]:
    # A value that is not a list is the same for all workers.
    return value if isinstance(value, list) else [value] * number


def _job_on_disk(answer: Answer, written_at: float) -> JobLine:
    from orchestrator.cli.output.status_answer import all_tasks, tasks_of

    status, usage = str(answer["status"]), answer.get("usage") or {}
    reason = str(answer.get("reason") or "")
    if status not in ENDED_JOB:
        reason = f"as of {local_time(written_at)}; no server runs"
    return JobLine(
        job_id=str(answer["job_id"]),
        status=status,
        # Durations end at ``written_at``, because the job may have ended since then.
        written_at=written_at,
        request=str(answer.get("request") or ""),
        reason=reason,
        counts=answer.get("counts") or {},
        cost_usd=usage.get("cost_usd"),
        tokens=_counted_tokens(usage),
        started_at=moment(answer.get("started_at") or answer.get("created_at")),
        ended_at=moment(answer["ended_at"]) if answer.get("ended_at") else None,
        awaits_approval=bool(answer.get("awaits_approval")) and status not in ENDED_JOB,
        workers=[_worker_on_disk(each) for each in all_tasks(tasks_of(answer))],
    )


def _counted_tokens(usage: Answer) -> int | None:
    return sum(usage.get(name) or 0 for name in COUNTED_TOKENS) or None


def _worker_on_disk(task: Answer) -> WorkerLine:
    worker_id, usage = str(task.get("worker_id") or ""), task.get("usage") or {}
    parent, _, _ = worker_id.rpartition("_")
    return WorkerLine(
        job_id=str(task.get("job_id") or ""),
        worker_id=worker_id,
        title=str(task.get("task_id") or ""),
        agent=str(task.get("agent") or ""),
        status=str(task.get("status") or ""),
        started_at=moment(task["started_at"]) if task.get("started_at") else None,
        ended_at=moment(task["ended_at"]) if task.get("ended_at") else None,
        tokens=_counted_tokens(usage),
        cost_usd=usage.get("cost_usd"),
        attempt=int(task.get("attempts") or 0),
        reason=str(task.get("reason") or ""),
        depth=max(0, worker_id.count("_") - 1),
        parent_id=parent if parent != "worker" else "",
    )
