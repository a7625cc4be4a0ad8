"""Costs of a worker in small and in large jobs, and the memory that remains after many jobs."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.accounts import Account, account, method
from benchmarks.figures import Figure, Findings, Row
from benchmarks.jobs import run_job
from benchmarks.options import Options
from benchmarks.processes import cpu_seconds, memory
from benchmarks.reads import job_of
from benchmarks.server import Client, Server, running_server
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.job import Attempt, Worker
from orchestrator.reports import Reports
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import JobDirectories, StatusFiles

SLOTS = 4
WARM_UP_WORKERS = 20
#: Minimum number of workers of each size in a round, in five jobs at most.
WORKERS_OF_A_SIZE = 500
MOST_JOBS = 5
#: Maximum ratio of the CPU time of a worker to that in the smallest job.
FLAT = 1.2
#: Settings that raise the ceilings for the largest job.
SETTINGS = {"LIMITS__MAX_TASKS_PER_JOB": "100000", "LIMITS__MAX_REQUEST_BYTES": "100000000"}
#: Maximum CPU seconds for all reports and ``status.json`` of the largest job.
MOST_RENDER_SECONDS = 5.0
#: Maximum ratio of the server's memory after ten times as many jobs.
SAME_MEMORY = 1.1
MIB = 1024 * 1024
ALL_CPU, SERVER_CPU = "CPU, ms per worker", "server's CPU, ms per worker"


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds for each worker of a job."""

    #: CPU time of all processes, until the reports are written.
    cpu: float
    #: CPU time of the server's process.
    server: float
    #: Until the end of the last worker is stored.
    wall: float
    submit: float
    reports: float


#: The rounds of each size.
Costs = Mapping[int, Sequence[Cost]]


def measure(options: Options) -> Findings:
    sizes = options.pick((100, 1_000, 10_000, 30_000), (20, 100))
    costs: dict[int, list[Cost]] = {size: [] for size in sizes}
    for number in range(options.many_rounds):
        order = list(sizes)
        random.Random(number).shuffle(order)
        with account() as group, running_server(SLOTS, settings=SETTINGS, group=group) as server:
            client = server.client()
            run_job(client, ["/bin/true"], WARM_UP_WORKERS, SLOTS)
            for size in order:
                costs[size].append(_cost_at(size, client, server, group))
    note = (
        f"CPU time of all processes is measured with {method()}. Costs per worker are medians of "
        f"the rounds; rounds: {options.many_rounds}."
    )
    figures = [*_growths(costs), *_rendering(options), *_memories(options)]
    return Findings(rows=list(_rows(costs)), figures=figures, notes=[note])


def _rendering(options: Options) -> Iterator[Figure]:
    """Return the CPU seconds to read an ended job from the store and to write its files."""
    size = options.pick(30_000, 1_100)
    with running_server(SLOTS) as server:
        server.stop()
        store = SqlStore(sqlite_url(server.database))
        store.open()
        change = job_of("large001", size, rich=False)
        store.save(replace(change, new_attempts=[_attempt(each) for each in change.new_workers]))
        directories = JobDirectories(server.database.parent)
        directories.prepare_job("large001")
        reports = Reports()
        reports.prepare()
        began_at = time.process_time()
        tree = store.tree("large001")
        if tree is None:
            raise RuntimeError("the job is not in the store")
        read_at = time.process_time()
        reports.render(tree, tree.root.id, directories.job_directory(tree.root.id))
        rendered_at = time.process_time()
        StatusFiles(directories, lambda _: tree).write(tree.root.id)
        ended_at = time.process_time()
        store.close()
    prefix = f"{size:,} workers: CPU to"
    yield Figure(what=f"{prefix} read the job", value=read_at - began_at, unit="s")
    yield Figure(what=f"{prefix} write reports", value=rendered_at - read_at, unit="s")
    yield Figure(what=f"{prefix} write status.json", value=ended_at - rendered_at, unit="s")
    yield Figure(
        what=f"{size:,} workers: CPU of these three",
        value=ended_at - began_at,
        unit="s",
        at_most=MOST_RENDER_SECONDS,
    )


def _attempt(worker: Worker) -> Attempt:
    started_at, ended_at = worker.started_at or 0.0, worker.ended_at or 0.0
    end = Exit(
        ended_by=EndedBy.EXIT, code=0, started_at=started_at, ended_at=ended_at, cpu_seconds=0.01
    )
    return Attempt(
        root_id=worker.root_id,
        worker_id=worker.id,
        number=1,
        job_id=worker.job_id,
        started_at=started_at,
        ended_at=ended_at,
        exit=end,
    )


def _memories(options: Options) -> Iterator[Figure]:
    """Measure the server's RSS after its first jobs, and after ten times as many jobs."""
    few_jobs, many_jobs = options.pick((100, 1_000), (3, 9))
    with running_server(SLOTS) as server:
        client = server.client()
        rss = []
        for first, last in ((0, few_jobs), (few_jobs, many_jobs)):
            for _ in range(first, last):
                run_job(client, ["/bin/true"], 2, SLOTS)
            rss.append(memory(server.pid).rss)
            what = f"server's RSS after {last:,} jobs"
            yield Figure(what=what, value=rss[-1] / MIB, unit="MiB")
    what = f"RSS after {many_jobs:,} jobs / after {few_jobs:,}"
    yield Figure(what=what, value=rss[1] / rss[0], at_most=SAME_MEMORY)


def _cost_at(size: int, client: Client, server: Server, group: Account) -> Cost:
    """Return the mean cost of several jobs of this size.

    Smaller jobs are repeated more often, so that each size has about the same number of workers.
    """
    jobs = min(MOST_JOBS, max(1, WORKERS_OF_A_SIZE // size))
    costs = [_cost(size, client, server, group) for _ in range(jobs)]
    return Cost(
        cpu=statistics.mean(each.cpu for each in costs),
        server=statistics.mean(each.server for each in costs),
        wall=statistics.mean(each.wall for each in costs),
        submit=statistics.mean(each.submit for each in costs),
        reports=statistics.mean(each.reports for each in costs),
    )


def _cost(size: int, client: Client, server: Server, group: Account) -> Cost:
    readings = [(group.seconds(), cpu_seconds(server.pid))]

    def on_end() -> None:
        readings.append((group.seconds(), cpu_seconds(server.pid)))

    run = run_job(client, ["/bin/true"], size, SLOTS, on_end)
    per_worker, (before, after) = 1000 / size, readings
    return Cost(
        cpu=(after[0] - before[0]) * per_worker,
        server=(after[1] - before[1]) * per_worker,
        wall=run.work_seconds * per_worker,
        submit=run.submit_seconds * per_worker,
        reports=run.render_seconds * per_worker,
    )


def _rows(costs: Costs) -> Iterator[Row]:
    smallest = next(iter(costs))
    for size, rounds in costs.items():
        yield {
            "workers of a job": f"{size:,}",
            ALL_CPU: statistics.median(each.cpu for each in rounds),
            f"CPU, {smallest:,} = 1": _ratio(costs, size, lambda cost: cost.cpu),
            SERVER_CPU: statistics.median(each.server for each in rounds),
            "wall, ms per worker": statistics.median(each.wall for each in rounds),
            "submit, ms": statistics.median(each.submit for each in rounds) * size,
            "reports, ms": statistics.median(each.reports for each in rounds) * size,
        }


def _ratio(costs: Costs, size: int, value_of: Callable[[Cost], float]) -> float:
    """Return the median over the rounds of the ratio to the smallest job of the same round."""
    smallest = next(iter(costs.values()))
    pairs = zip(costs[size], smallest, strict=True)
    return statistics.median(value_of(large) / value_of(small) for large, small in pairs)


def _growths(costs: Costs) -> Iterator[Figure]:
    smallest, *larger = costs
    for size in larger:
        prefix = f"per worker, job of {size:,} / of {smallest:,}"
        ratio = _ratio(costs, size, lambda cost: cost.cpu)
        yield Figure(what=f"{prefix}: CPU of all processes", value=ratio, at_most=FLAT)
        ratio = _ratio(costs, size, lambda cost: cost.server)
        yield Figure(what=f"{prefix}: server's CPU", value=ratio)
