"""Measures lists, columns, diffs, and polls of large jobs.

The jobs are written directly to the store, so that the rows are the same in every run.
"""

import gzip
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Findings, quantile
from benchmarks.jobs import body_of
from benchmarks.latency import POLLS_PER_SECOND, Caller, call_all
from benchmarks.options import Options
from benchmarks.processes import cpu_seconds
from benchmarks.server import Client, Server, running_server, until
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import StateChange
from orchestrator.core.repository.change_reader import DiffRequest
from orchestrator.engine.supervisor.publisher import merged
from orchestrator.git.commits.change_reader import GitChangeReader
from orchestrator.store import SqlStore, sqlite_url

BEGAN = 1_764_000_000.0
BIG, PLAIN = "big00001", "plain001"
CONFIG = JobConfig(
    max_workers=4, default_timeout=300, max_retries=2, max_depth=3, max_wall_seconds=86_400
)
COLUMNS_BYTES, COLUMNS_MS, PAGE_MS, LIST_MS, DIFF_MS = 450_000, 150.0, 25.0, 10.0, 300.0
POLL_CORES, POLL_MICROSECONDS = 0.1, 2.0
#: Seconds between two reads of a running job, in which some of its workers change.
CHANGE_SECONDS = 0.1
ORDERS = ("index", "seconds", "cost", "attention")


def measure(options: Options) -> Findings:
    workers, jobs, reads = options.pick((10_000, 10_000, 40), (200, 100, 3))
    with running_server(8) as server:
        server.stop()
        _store(server, workers, jobs)
        server.restart()
        server.wait_until_ready()
        client = server.client()
        figures = [*_reads(client, reads), *_polls(server, options)]
        # This benchmark is the last, because the server works for seconds at the end of such a job.
        figures += _changing(server, workers, reads)
    return Findings(
        figures=[*figures, *_differences(options)],
        notes=[
            f"The database has two jobs of {workers:,} workers, and {jobs:,} jobs of 3 workers. "
            f"One client reads each answer {reads} times, and measures the times. Polls are "
            "measured separately."
        ],
    )


def _store(server: Server, workers: int, jobs: int) -> None:
    store = SqlStore(sqlite_url(server.database))
    store.open()
    store.save(job_of(BIG, workers, rich=True))
    store.save(job_of(PLAIN, workers, rich=False))
    small_jobs = [job_of(f"job{number:05}", 3, rich=True) for number in range(jobs)]
    for first in range(0, jobs, 500):
        store.save(merged(small_jobs[first : first + 500]))
    store.close()


def job_of(name: str, workers: int, *, rich: bool) -> StateChange:
    """Return an ended job. ``rich``: the tasks have dependencies, and the agents report usage."""
    job = Job(
        id=name,
        root_id=name,
        depth=0,
        request="Do it",
        config=CONFIG,
        status=JobStatus.PARTIAL,
        created_at=BEGAN,
        started_at=BEGAN,
        ended_at=BEGAN + 900,
    )
    return StateChange(
        new_jobs=[job],
        new_tasks=[(name, index, _task(index, rich)) for index in range(workers)],
        new_workers=[_worker(name, index, rich) for index in range(workers)],
    )


def _task(index: int, rich: bool) -> TaskSpec:
    dependencies = (f"t{index - 99}",) if rich and index >= 100 else ()
    return TaskSpec(id=f"t{index + 1}", command="true", depends_on=dependencies)


def _worker(root: str, index: int, rich: bool) -> Worker:
    usage = Usage(
        steps=12, input_tokens=41_000 + index, output_tokens=900, cost_usd=0.31 + index / 1e4
    )
    has_failed = index % 10 == 0
    return Worker(
        id=f"worker_{index + 1}",
        job_id=root,
        root_id=root,
        task_id=f"t{index + 1}",
        index=index,
        depth=0,
        agent="shell",
        status=WorkerStatus.FAILED if has_failed else WorkerStatus.SUCCESS,
        reason="exit code 1" if has_failed else "",
        attempt=1,
        started_at=BEGAN + index * 0.01,
        ended_at=BEGAN + 0.5 + index * 0.0123,
        result=WorkerResult(
            output="x" * (2000 if rich else 20), usage=usage if rich else Usage(), exit_code=0
        ),
    )


def _reads(client: Client, reads: int) -> Iterator[Figure]:
    for name, what in ((PLAIN, "columns of commands"), (BIG, "columns of agents")):
        path = f"/api/v1/jobs/{name}/columns"
        body = client.call("GET", path)
        most = COLUMNS_BYTES if name == PLAIN else None
        yield Figure(what=f"{what}, size", value=len(body), unit="bytes", at_most=most)
        compressed_bytes = len(gzip.compress(body, 1))
        yield Figure(what=f"{what}, compressed", value=compressed_bytes, unit="bytes")
        yield _best(client, path, what, reads, COLUMNS_MS)
    for order in ORDERS:
        path = f"/api/v1/jobs/{BIG}/workers?order={order}&page=2"
        yield _p95(client, path, f"page of workers by {order}", reads)
    yield _best(
        client, "/api/v1/jobs?page_size=50", "page of 50 jobs in the list of jobs", reads, LIST_MS
    )
    yield _best(client, "/api/v1/jobs?q=nothing", "search for a text in all jobs", reads, None)
    status = _milliseconds(client, f"/api/v1/jobs/{BIG}/status?tasks=none", reads)
    per_worker = min(status) * 1000 / client.get(f"/jobs/{BIG}/workers?page_size=1")["total"]
    yield Figure(
        what="shortest read of a large job's status, per worker of the job",
        value=per_worker,
        unit="µs",
        at_most=POLL_MICROSECONDS,
    )


def _changing(server: Server, workers: int, reads: int) -> Iterator[Figure]:
    """Measure pages of a job whose workers start and end between the reads."""
    client = server.client()
    job_id = client.submit(body_of(["/bin/sleep", "0.2"], workers, 8))
    path = f"/jobs/{job_id}/workers"
    until(lambda: bool(client.get(f"{path}?status=success")["total"]), "a worker ends")
    for order in ("index", "attention"):
        times = []
        for number in range(reads):
            time.sleep(CHANGE_SECONDS)
            times += _milliseconds(client, f"/api/v1{path}?order={order}&page={number + 1}", 1)
        what = f"page of a running job's workers by {order}, p95"
        yield Figure(what=what, value=quantile(times, 0.95), unit="ms", at_most=PAGE_MS)
    client.cancel(job_id)


def _milliseconds(client: Client, path: str, reads: int) -> list[float]:
    times = []
    for _ in range(reads):
        began = time.perf_counter()
        client.call("GET", path)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _best(client: Client, path: str, what: str, reads: int, most: float | None) -> Figure:
    best = min(_milliseconds(client, path, reads))
    return Figure(what=f"{what}, best", value=best, unit="ms", at_most=most)


def _p95(client: Client, path: str, what: str, reads: int) -> Figure:
    value = quantile(_milliseconds(client, path, reads), 0.95)
    return Figure(what=f"{what}, p95", value=value, unit="ms", at_most=PAGE_MS)


def _polls(server: Server, options: Options) -> Iterator[Figure]:
    """Return the CPU time of polls: the server's CPU time with a changing job and clients, less
    its CPU time without clients.
    """
    seconds, pollers, workers = options.pick((20.0, 50, 500), (1.5, 5, 20))
    base_cores = _cores(server, workers, 0, seconds, "")
    for query, what in (("", "all workers"), ("?tasks=changed", "changed workers")):
        cores = _cores(server, workers, pollers, seconds, query) - base_cores
        yield Figure(
            what=f"server's CPU, {pollers} clients poll a job of {workers} workers: {what}",
            value=cores,
            unit="cores",
            at_most=POLL_CORES,
        )


def _cores(server: Server, workers: int, pollers: int, seconds: float, query: str) -> float:
    client = server.client()
    job_id = client.submit(body_of(["/bin/sleep", "1"], workers, 8))
    path = f"/api/v1/jobs/{job_id}/status"
    polls = [
        Caller(
            _Poll(path, query),
            server.client(),
            POLLS_PER_SECOND,
            delay_seconds=number / pollers / POLLS_PER_SECOND,
        )
        for number in range(pollers)
    ]
    time.sleep(1)  # The submission has ended.
    before, began = cpu_seconds(server.pid), time.monotonic()
    call_all(polls, seconds)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    cores = (cpu_seconds(server.pid) - before) / (time.monotonic() - began)
    client.cancel(job_id)
    return cores


class _Poll:
    """A client that asks for changes since its previous answer."""

    def __init__(self, path: str, query: str) -> None:
        self._path, self._query = path, query
        self._seq = 0

    def __call__(self, client: Client) -> object:
        since = f"&since_seq={self._seq}" if self._query else ""
        body = client.call("GET", f"{self._path}{self._query}{since}")
        if self._query:
            self._seq = int(body.rpartition(b'"seq":')[2].split(b",")[0])
        return body


def _differences(options: Options) -> Iterator[Figure]:
    files = options.pick(200, 5)
    with running_server(1) as server:
        project = server.directory / "project"
    base, commit = _commits(project, files)
    times = []
    for _ in range(options.pick(10, 2)):
        began = time.perf_counter()
        difference = GitChangeReader(project).difference(base, commit, DiffRequest())
        times.append((time.perf_counter() - began) * 1000)
    if len(difference.files) != files:
        raise RuntimeError(f"{len(difference.files)} of {files} files differ")
    yield Figure(what=f"difference of {files} files", value=min(times), unit="ms", at_most=DIFF_MS)


def _commits(project: Path, files: int) -> tuple[str, str]:
    _git(project, "init", "-q")
    commits = []
    for word in ("one", "two"):
        for number in range(files):
            lines = [f"line {at} {word if at % 20 == 0 else ''}" for at in range(200)]
            (project / f"file{number}.py").write_text("\n".join(lines))
        _git(project, "add", "-A")
        _git(project, "commit", "-qm", word)
        commits.append(_git(project, "rev-parse", "HEAD"))
    return commits[0], commits[1]


def _git(project: Path, *arguments: str) -> str:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    completed = subprocess.run(
        ["git", *who, *arguments], cwd=project, check=True, capture_output=True, text=True
    )
    return completed.stdout.strip()
