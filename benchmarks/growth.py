"""What a worker costs in small and in large jobs: it should be the same."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import JobRun, run_job
from benchmarks.options import Options
from benchmarks.processes import cpu_seconds
from benchmarks.server import Client, Server, running_server

SLOTS = 4
WARM_UP_WORKERS = 20
#: Minimum number of workers of each size, in five jobs at most.
WORKERS_OF_A_SIZE = 1000
MOST_JOBS = 5
#: Maximum ratio of the cost of a worker to its cost in jobs a tenth of the size.
FLAT = 1.25


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
    return Findings(figures=[*_measured(costs), *_growths(costs)])


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
