"""What a worker costs in small and in large jobs, and what stays in memory after many jobs."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import JobRun, run_job
from benchmarks.options import Options
from benchmarks.processes import cpu_seconds, memory
from benchmarks.reads import job_of
from benchmarks.server import Client, Server, running_server
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.job import Attempt, Worker
from orchestrator.reports import Reports
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import StatusFiles, WorkspaceLayout

SLOTS = 4
WARM_UP_WORKERS = 20
#: Minimum number of workers of each size, in five jobs at most.
WORKERS_OF_A_SIZE = 1000
MOST_JOBS = 5
#: Maximum ratio of the cost of a worker to its cost in jobs a tenth of the size.
FLAT = 1.25
#: Maximum CPU time for all reports and ``status.json`` of the largest job.
MOST_RENDER_SECONDS = 5.0
#: Maximum ratio of the server's memory after ten times as many jobs.
SAME_MEMORY = 1.1
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds for each worker of a job."""

    workers: int
    submit: float
    wall: float
    cpu: float
    render: float


def measure(options: Options) -> Findings:
    sizes = options.pick((100, 1_000, 10_000), (10, 40))
    with running_server(SLOTS) as server:
        client = server.client()
        run_job(client, ["/bin/true"], WARM_UP_WORKERS, SLOTS)
        costs = [_cost_at(size, client, server) for size in sizes]
    figures = [*_measured(costs), *_growths(costs), *_rendering(options), *_memories(options)]
    return Findings(figures=figures)


def _rendering(options: Options) -> Iterator[Figure]:
    """CPU time to read an ended job from the store and to write its files, in this process."""
    size = options.pick(30_000, 1_100)
    with running_server(SLOTS) as server:
        server.stop()
        store = SqlStore(sqlite_url(server.database))
        store.open()
        stored = job_of("large001", size, rich=False)
        store.save(replace(stored, new_attempts=[_attempt(each) for each in stored.new_workers]))
        layout = WorkspaceLayout(server.database.parent)
        layout.prepare_job("large001")
        reports = Reports()
        reports.prepare()
        began = time.process_time()
        tree = store.tree("large001")
        if tree is None:
            raise RuntimeError("the job is not in the store")
        read = time.process_time()
        reports.render(tree, tree.root.id, layout.job_directory(tree.root.id))
        rendered = time.process_time()
        StatusFiles(layout, lambda _: tree).write(tree.root.id)
        ended = time.process_time()
        store.close()
    of = f"{size:,} workers: CPU to"
    yield Figure(what=f"{of} read the job", value=read - began, unit="s")
    yield Figure(what=f"{of} write reports", value=rendered - read, unit="s")
    yield Figure(what=f"{of} write status.json", value=ended - rendered, unit="s")
    yield Figure(what=f"{of} do all", value=ended - began, unit="s", at_most=MOST_RENDER_SECONDS)


def _attempt(worker: Worker) -> Attempt:
    started, ended = worker.started_at or 0.0, worker.ended_at or 0.0
    how = Exit(ended_by=EndedBy.EXIT, code=0, started_at=started, ended_at=ended, cpu_seconds=0.01)
    return Attempt(
        root_id=worker.root_id,
        worker_id=worker.id,
        number=1,
        job_id=worker.job_id,
        started_at=started,
        ended_at=ended,
        exit=how,
    )


def _memories(options: Options) -> Iterator[Figure]:
    """RSS of a server after its first jobs, and after ten times as many."""
    few, many = options.pick((100, 1_000), (3, 9))
    with running_server(SLOTS) as server:
        client = server.client()
        held = []
        for first, last in ((0, few), (few, many)):
            for _ in range(first, last):
                run_job(client, ["/bin/true"], 2, SLOTS)
            held.append(memory(server.pid).rss)
            what = f"server's RSS after {last:,} jobs"
            yield Figure(what=what, value=held[-1] / MIB, unit="MiB")
    what = f"RSS after {many:,} jobs / after {few:,}"
    yield Figure(what=what, value=held[1] / held[0], at_most=SAME_MEMORY)


def _cost_at(size: int, client: Client, server: Server) -> Cost:
    jobs = min(MOST_JOBS, max(1, WORKERS_OF_A_SIZE // size))
    costs = [_cost(size, client, server) for _ in range(jobs)]
    return Cost(
        size,
        submit=statistics.median(cost.submit for cost in costs),
        wall=statistics.median(cost.wall for cost in costs),
        cpu=statistics.median(cost.cpu for cost in costs),
        render=statistics.median(cost.render for cost in costs),
    )


def _cost(size: int, client: Client, server: Server) -> Cost:
    cpu = [cpu_seconds(server.pid)]
    read = partial(_note_cpu, server, cpu)
    run = run_job(client, ["/bin/true"], size, SLOTS, on_end=read)
    return _per_worker(run, cpu[1] - cpu[0])


def _note_cpu(server: Server, cpu: list[float]) -> None:
    cpu.append(cpu_seconds(server.pid))


def _per_worker(run: JobRun, cpu: float) -> Cost:
    each = 1000 / run.workers
    return Cost(
        run.workers,
        submit=run.submit_seconds * each,
        wall=run.work_seconds * each,
        cpu=cpu * each,
        render=run.render_seconds * each,
    )


def _measured(costs: Sequence[Cost]) -> Iterator[Figure]:
    for cost in costs:
        size = f"{cost.workers:,} workers"
        yield Figure(what=f"{size}: submit", value=cost.submit * cost.workers, unit="ms")
        yield Figure(what=f"{size}: reports", value=cost.render * cost.workers, unit="ms")
        yield Figure(what=f"{size}: wall", value=cost.wall, unit="ms a worker")
        yield Figure(what=f"{size}: server's CPU", value=cost.cpu, unit="ms a worker")


def _growths(costs: Sequence[Cost]) -> Iterator[Figure]:
    for small, large in pairwise(costs):
        of = f"a worker of {large.workers:,} / of {small.workers:,}"
        shares = {
            "wall": large.wall / small.wall,
            "server's CPU": large.cpu / small.cpu,
            "submit": large.submit / small.submit,
            "reports": large.render / small.render,
        }
        for name, share in shares.items():
            yield Figure(what=f"{of}: {name}", value=share, at_most=FLAT)
