"""Reads jobs and workers: from the server that runs for the folder, or from the files of jobs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from orchestrator.api.client import OrchestratorClient
from orchestrator.api.client.errors import ApiError, ServerUnreachable
from orchestrator.cli.context import CliContext
from orchestrator.cli.follow.top.model import JobLine, Snapshot, WorkerLine
from orchestrator.cli.offline.jobs_on_disk import directory_of, root_jobs
from orchestrator.cli.offline.log_files import tail_lines
from orchestrator.cli.output.summary import all_tasks, tasks_of
from orchestrator.cli.output.terminal import lines_of, moment
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.states import ENDED_JOB, WorkerStatus

Answer = Mapping[str, Any]

#: Most jobs on the screen.
MOST_JOBS = 100
#: Most logs of which the last line is read in one refresh.
MOST_LOGS = 10
LAST_LINES = 5
#: Most lines of a log in the pane.
LOG_LINES = 500
#: A refresh that takes long is made less often: at most this share of the time.
MOST_SHARE = 0.1


class Source(Protocol):
    """Where the screen's content comes from."""

    def read(self, wanted: "Wanted") -> Snapshot:
        """Raise OrchestratorError."""
        ...

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        """Return the last lines of a worker's log."""
        ...


class Wanted(Protocol):
    """What the screen shows now."""

    #: The only job to show; empty: all jobs.
    job_id: str

    def is_open(self, job: JobLine) -> bool: ...

    def visible(self) -> Sequence[tuple[str, str]]:
        """Return job and worker of the rows in the window."""
        ...


class ServerSource:
    """Jobs of a server. Workers are read in columns, of open jobs only."""

    def __init__(self, client: OrchestratorClient) -> None:
        self.client = client
        #: By job: the latest columns, the time of their read, and the seconds that it took.
        self._columns: dict[str, tuple[Sequence[WorkerLine], float, float]] = {}

    def read(self, wanted: Wanted) -> Snapshot:
        answer = self._listed(wanted.job_id)
        jobs = [self._with_workers(_job(each), wanted) for each in answer["jobs"]]
        lines = dict(self._last_lines(jobs, wanted.visible()))
        return Snapshot(
            jobs=jobs,
            at=time.time(),
            total=int(answer["total"]),
            source=self.client.api_url,
            last_lines=lines,
        )

    def _listed(self, job_id: str) -> Answer:
        if not job_id:
            return self.client.jobs(depth=0, page_size=MOST_JOBS)
        status = self.client.status(job_id)
        return {"jobs": [{**status, "depth": 0}], "total": 1}

    def _with_workers(self, job: JobLine, wanted: Wanted) -> JobLine:
        if not wanted.is_open(job):
            return job
        workers, at, took = self._columns.get(job.job_id, ((), 0.0, 0.0))
        # An ended job is read once more, for its last state.
        is_final = job.has_ended and job.ended_at is not None and at > job.ended_at
        if not is_final and time.time() - at >= took / MOST_SHARE:
            began = time.time()
            workers = of_columns(self.client.columns(job.job_id))
            self._columns[job.job_id] = (workers, began, time.time() - began)
        return replace(job, workers=workers)

    def _last_lines(
        self, jobs: Sequence[JobLine], visible: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield the last line of the log of running workers in the window."""
        running = {
            (job.job_id, each.worker_id): each
            for job in jobs
            for each in job.workers or ()
            if each.status == WorkerStatus.RUNNING
        }
        for key in [each for each in visible if each in running][:MOST_LOGS]:
            worker = running[key]
            try:
                text = self.client.logs(worker.job_id, worker.worker_id, tail=LAST_LINES)
            except ApiError:
                continue
            if lines := lines_of(text):
                yield key, lines[-1]

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        return self.client.logs(job_id, worker_id, tail=LOG_LINES).splitlines()


class FileSource:
    """Jobs of ``status.json`` files, without a server."""

    def __init__(self, surroundings: CliContext) -> None:
        self._surroundings = surroundings

    def read(self, wanted: Wanted) -> Snapshot:
        found = root_jobs(self._surroundings.workspace)
        if wanted.job_id:
            found = [each for each in found if each["job_id"] == wanted.job_id]
        jobs = [_job_on_disk(each) for each in found[:MOST_JOBS]]
        source = f"no server; files of {self._surroundings.workspace}"
        return Snapshot(jobs=jobs, at=time.time(), total=len(found), source=source, is_offline=True)

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        logs = directory_of(self._surroundings.workspace, job_id) / "logs"
        depth = worker_id.count("_") - 1
        return tail_lines(logs / f"depth_{depth}_{worker_id}.log", LOG_LINES)


class AnySource:
    """The server while it runs, the files while it does not."""

    def __init__(
        self,
        surroundings: CliContext,
        connect: Callable[[], OrchestratorClient | None] | None = None,
    ) -> None:
        self._connect = connect or surroundings.client_if_running
        self._files = FileSource(surroundings)
        self._server: ServerSource | None = None

    @property
    def client(self) -> OrchestratorClient | None:
        return self._server.client if self._server else None

    def _find(self) -> Source:
        if self._server is None:
            client = self._connect()
            self._server = ServerSource(client) if client else None
        return self._server or self._files

    def read(self, wanted: Wanted) -> Snapshot:
        try:
            return self._find().read(wanted)
        except ServerUnreachable:
            self.close()
        try:
            # It may have a new port, since it was restarted.
            return self._find().read(wanted)
        except ServerUnreachable:
            self.close()
            return self._files.read(wanted)

    def log(self, job_id: str, worker_id: str) -> Sequence[str]:
        try:
            try:
                return self._find().log(job_id, worker_id)
            except ServerUnreachable:
                return self._files.log(job_id, worker_id)
        except OrchestratorError as error:
            return [f"(no log: {error.message})"]

    def close(self) -> None:
        if self._server is not None:
            self._server.client.close()
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
        tokens=usage.get("tokens"),
        started_at=moment(answer.get("started_at") or answer.get("created_at")),
        ended_at=moment(answer["ended_at"]) if answer.get("ended_at") else None,
        needs=[f"{each['kind']}: {each['text']}" for each in answer.get("needs") or ()],
        awaits_approval=any(each["kind"] == "approval" for each in answer.get("needs") or ()),
        is_paused=bool(answer.get("paused")),
    )


def of_columns(answer: Answer) -> list[WorkerLine]:
    """Return the workers of an answer in columns."""
    number, base = int(answer["n"]), float(answer["at"])
    columns = {name: _column(answer[name], number) for name in _COLUMNS}
    names = [_worker_id(each) for each in columns["worker"]]
    reasons = {int(place): str(text) for place, text in answer["reason"].items()}
    jobs, agents, statuses = answer["jobs"], answer["agents"], answer["statuses"]
    found = []
    for i, (job, agent, status) in enumerate(
        zip(columns["j"], columns["a"], columns["s"], strict=True)
    ):
        t0, t1, gates = columns["t0"][i], columns["t1"][i], columns["gates"][i]
        parent = columns["parent"][i]
        found.append(
            WorkerLine(
                job_id=jobs[job]["job_id"],
                worker_id=names[i],
                title=str(columns["title"][i] or columns["task"][i]),
                agent=agents[agent],
                status=statuses[status],
                started_at=None if t0 is None else base + t0,
                ended_at=None if t1 is None else base + t1,
                tokens=columns["tokens"][i],
                cost_usd=columns["cost"][i],
                attempt=columns["attempt"][i],
                gates=(gates[0], sum(gates)) if gates else None,
                reason=reasons.get(i, ""),
                depth=int(jobs[job]["depth"]),
                parent_id=names[parent] if parent >= 0 else "",
            )
        )
    return found


_COLUMNS = (
    *("worker", "task", "title", "j", "s", "a", "t0", "t1"),
    *("cost", "tokens", "attempt", "parent", "gates"),
)


def _column(value: Any, number: int) -> Sequence[Any]:
    """Return one value for each worker; a column of equal values is that value."""
    return value if isinstance(value, list) else [value] * number


def _worker_id(told: object) -> str:
    return f"worker_{told}"


def _job_on_disk(answer: Answer) -> JobLine:
    status = str(answer["status"])
    return JobLine(
        job_id=str(answer["job_id"]),
        # What runs without a server is not known to run.
        status=status,
        request=str(answer.get("request") or ""),
        reason=str(answer.get("reason") or ""),
        counts=answer.get("counts") or {},
        started_at=moment(answer.get("started_at") or answer.get("created_at")),
        ended_at=moment(answer["ended_at"]) if answer.get("ended_at") else None,
        awaits_approval=bool(answer.get("awaits_approval")) and status not in ENDED_JOB,
        workers=[_worker_on_disk(each) for each in all_tasks(tasks_of(answer))],
    )


def _worker_on_disk(task: Answer) -> WorkerLine:
    worker_id = str(task.get("worker_id") or "")
    parent, _, _ = worker_id.rpartition("_")
    return WorkerLine(
        job_id=str(task.get("job_id") or ""),
        worker_id=worker_id,
        title=str(task.get("task_id") or ""),
        agent=str(task.get("agent") or ""),
        status=str(task.get("status") or ""),
        started_at=moment(task["started_at"]) if task.get("started_at") else None,
        ended_at=moment(task["ended_at"]) if task.get("ended_at") else None,
        attempt=int(task.get("attempts") or 0),
        reason=str(task.get("reason") or ""),
        depth=max(0, worker_id.count("_") - 1),
        parent_id=parent if parent != "worker" else "",
    )
