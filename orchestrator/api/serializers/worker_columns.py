"""All workers of a job tree as columns, for the dashboard's graph, timeline, and table."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, starmap
from typing import Any

from pydantic_core import to_json

from orchestrator.core.model.dag import critical_path
from orchestrator.core.model.states import SUCCEEDED_WORKER, WorkerStatus
from orchestrator.core.ports.read_models import TreeSnapshot
from orchestrator.core.text.formatting import cut

REQUEST_CHARACTERS = 200
REASON_CHARACTERS = 120
#: Maximum number of reasons in one answer. Otherwise, the reasons of ten thousand workers would be
#: most of the answer.
MOST_REASONS = 1000
#: Decimal places of times and costs. There are few, because the answer has several times and a cost
#: for every worker.
TIME_DIGITS, COST_DIGITS = 2, 4
#: Beginning of every worker's id.
NAME_START = "worker_"

Column = Sequence[Any]
#: Maximum number of jobs whose latest columns are cached.
MOST_CACHED = 8


class LatestColumns:
    """Cache of the latest JSON body of ``ColumnsAnswer`` for recent jobs. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def of(self, job_id: str, version: int, make: Callable[[], bytes]) -> bytes:
        """Return the body of a job's answer from the cache, or from ``make``.

        ``version``: the version of the job's tree. The caller must read the version before this
        call.
        """
        with self._lock:
            if self._cache.get(job_id, (-1, b""))[0] == version:
                return self._cache[job_id][1]
        body = make()
        with self._lock:
            self._cache[job_id] = (version, body)
            self._cache.move_to_end(job_id)
            if len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
        return body


def columns_answer(snapshot: TreeSnapshot) -> bytes:
    """Return a ``ColumnsAnswer`` as JSON."""
    workers, root = snapshot.workers, snapshot.jobs[0]
    start = root.created_at
    positions = {name: position for position, name in enumerate(workers.id)}
    gates = zip(workers.gates_passed, workers.gates_failed, workers.gates_not_run, strict=True)
    agents, agent_positions = _numbered(workers.agent)
    statuses, status_positions = _numbered(workers.status)
    _, job_positions = _numbered(workers.job_id, [job.id for job in snapshot.jobs])
    deps = _dependencies(snapshot)
    titles = {
        (task.job_id, task.id): task.title for task in snapshot.tasks if task.title != task.id
    }
    tasks = list(zip(workers.job_id, workers.task_id, strict=True))
    numbers = [_number_or_name(name) for name in workers.id]
    plain: Mapping[str, Column] = {
        "task": workers.task_id,
        "title": [titles.get(key, "") for key in tasks],
        "j": job_positions,
        "s": status_positions,
        "a": agent_positions,
        "t0": [_seconds_after(start, time) for time in workers.started_at],
        "t1": [_seconds_after(start, time) for time in workers.ended_at],
        "idle": [round(each, TIME_DIGITS) for each in workers.idle_seconds],
        "cost": [round(each or 0, COST_DIGITS) for each in workers.cost_usd],
        "tokens": [each or 0 for each in workers.tokens],
        "attempt": workers.attempt,
        "files": workers.files,
        "chosen": [0 if each is None else each for each in workers.chosen],
        "parent": _parents(snapshot, positions),
    }
    lists: Mapping[str, Column] = {
        "gates": [each if any(each) else 0 for each in gates],
        "deps": [each or 0 for each in deps],
    }
    answer = {
        "seq": snapshot.last_seq,
        "run": root.run,
        "at": start,
        "n": len(workers.id),
        "jobs": _jobs(snapshot),
        "agents": agents,
        "statuses": statuses,
        # None if the numbers are 1, 2, 3, ..., as in a job without child jobs. The ids of 10,000
        # workers would be a tenth of the answer.
        "worker": None if numbers == list(range(1, len(numbers) + 1)) else numbers,
        **{name: _packed(column) for name, column in plain.items()},
        **{name: column if any(column) else 0 for name, column in lists.items()},
        "reason": _reasons(snapshot),
        "chain": _chain(snapshot, deps),
    }
    return to_json(answer)


def _packed(column: Column) -> Any:
    """Return a column, or a single value if all values of the column are equal."""
    first = column[0] if column else None
    equal = bool(column) and column.count(first) == len(column)
    return first if equal and type(first) is type(column[-1]) else column


def _numbered(values: Column, names: Sequence[str] = ()) -> tuple[Sequence[str], Column]:
    """Return the distinct values, and for each of ``values`` its index in the distinct values.

    ``names``: the distinct values, if the caller knows them.
    """
    distinct = list(names or dict.fromkeys(values))
    positions = {name: position for position, name in enumerate(distinct)}
    return distinct, [positions[value] for value in values]


def _number_or_name(name: str) -> int | str:
    suffix = name.removeprefix(NAME_START)
    return int(suffix) if suffix.isdecimal() else suffix


def _seconds_after(start: float, time: float | None) -> float | None:
    return None if time is None else round(time - start, TIME_DIGITS)


def _jobs(snapshot: TreeSnapshot) -> list[dict[str, object]]:
    return [
        {
            "job_id": job.id,
            "parent_worker": job.parent_worker_id,
            "depth": job.depth,
            "status": job.status,
            "request": job.request[:REQUEST_CHARACTERS],
        }
        for job in snapshot.jobs
    ]


def _parents(snapshot: TreeSnapshot, positions: Mapping[str, int]) -> Column:
    parents = {job.id: positions.get(job.parent_worker_id or "", -1) for job in snapshot.jobs}
    return [parents[job_id] for job_id in snapshot.workers.job_id]


def _dependencies(snapshot: TreeSnapshot) -> list[list[int]]:
    """Return the dependencies of each worker, as positions of workers in a column."""
    workers = snapshot.workers
    positions_by_task: dict[tuple[str, str], list[int]] = {}
    for position, key in enumerate(zip(workers.job_id, workers.task_id, strict=True)):
        positions_by_task.setdefault(key, []).append(position)
    dependencies: list[list[int]] = [[] for _ in workers.id]
    for task in snapshot.tasks:
        if task.depends_on:
            needed = [
                position
                for name in task.depends_on
                for position in positions_by_task.get((task.job_id, name), ())
            ]
            for position in positions_by_task.get((task.job_id, task.id), ()):
                dependencies[position] = needed
    return dependencies


def _reasons(snapshot: TreeSnapshot) -> dict[int, str]:
    workers = snapshot.workers
    reasons = (
        (position, cut(reason, REASON_CHARACTERS))
        for position, (status, reason) in enumerate(
            zip(workers.status, workers.reason, strict=True)
        )
        if reason and WorkerStatus(status) not in SUCCEEDED_WORKER
    )
    return dict(islice(reasons, MOST_REASONS))


def _chain(snapshot: TreeSnapshot, deps: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return the positions of the workers on the critical path of the first job of ``snapshot``.

    The path has no workers of child jobs.
    """
    workers = snapshot.workers
    count = workers.job_id.count(snapshot.jobs[0].id) if snapshot.workers.job_id else 0
    if not any(deps[:count]):
        return []
    times = zip(workers.started_at, workers.ended_at, workers.idle_seconds, strict=True)
    return critical_path(deps[:count], list(starmap(_working_seconds, islice(times, count))))


def _working_seconds(started_at: float | None, ended_at: float | None, idle: float) -> float:
    return 0.0 if started_at is None or ended_at is None else ended_at - started_at - idle
