"""Loading a root job with all its descendants: one query for each table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, func, select

from orchestrator.core.model import Attempt, Job, TaskSpec, Worker
from orchestrator.core.ports import Tree
from orchestrator.store.queries import values
from orchestrator.store.tables import attempts, events, jobs, tasks, told, workers

#: With more jobs than that the whole tree is read: databases bound the length of a statement.
MOST_NAMED_JOBS = 500


class _Loading:
    """The statements that load a tree: the whole of it, or only named jobs."""

    def __init__(self, *, named: bool) -> None:
        def within(column: ColumnElement[str]) -> list[ColumnElement[bool]]:
            return [column.in_(bindparam("named", expanding=True))] if named else []

        root: BindParameter[str] = bindparam("root_id")
        self.jobs = (
            select(jobs)
            .where(jobs.c.root_id == root, *within(jobs.c.id))
            .order_by(jobs.c.created_at, jobs.c.id)
        )
        self.tasks = (
            select(tasks.c.job_id, tasks.c.task)
            .join(jobs, jobs.c.id == tasks.c.job_id)
            .where(jobs.c.root_id == root, *within(tasks.c.job_id))
            .order_by(tasks.c.job_id, tasks.c.position)
        )
        self.workers = select(*told(workers)).where(
            workers.c.root_id == root, *within(workers.c.job_id)
        )
        self.attempts = select(attempts).where(
            attempts.c.root_id == root, *within(attempts.c.job_id)
        )


_whole = _Loading(named=False)
_named = _Loading(named=True)
_last_seq = select(func.max(events.c.seq)).where(events.c.root_id == bindparam("root_id"))


def tree(
    connection: Connection, root_id: str, job_ids: Collection[str] | None = None
) -> Tree | None:
    """None when there is no such root job, or none of the jobs is in its tree."""
    named = None if job_ids is None else frozenset(job_ids)
    given: dict[str, object] = {"root_id": root_id}
    loading = _whole
    if named is not None and len(named) <= MOST_NAMED_JOBS:
        given["named"] = list(named)
        loading = _named
    found = values(connection, Job, loading.jobs, **given)
    mine = [job for job in found if named is None or job.id in named]
    return _filled(connection, loading, given, mine) if mine else None


def _filled(
    connection: Connection, loading: _Loading, given: Mapping[str, object], mine: Sequence[Job]
) -> Tree:
    place = {job.id: position for position, job in enumerate(mine)}
    found_workers = values(connection, Worker, loading.workers, **given)
    ordered = _ordered_workers(found_workers, place)
    found_attempts = values(connection, Attempt, loading.attempts, **given)
    return Tree(
        jobs=mine,
        tasks=_tasks(connection, loading.tasks, given, place),
        workers=[worker for worker in ordered if not worker.is_adviser],
        planners=[worker for worker in ordered if worker.is_planner],
        reviewers=[worker for worker in ordered if worker.is_reviewer],
        attempts=_ordered_attempts(found_attempts, ordered),
        last_seq=connection.execute(_last_seq, given).scalar_one() or 0,
    )


def _tasks(
    connection: Connection,
    statement: Select[Any],
    given: Mapping[str, object],
    place: Mapping[str, int],
) -> dict[str, Sequence[TaskSpec]]:
    found: dict[str, list[TaskSpec]] = {job_id: [] for job_id in place}
    for job_id, task in connection.execute(statement, given):
        if job_id in found:
            found[job_id].append(task)
    return dict(found)


def _ordered_workers(found: Sequence[Worker], place: Mapping[str, int]) -> list[Worker]:
    mine = [worker for worker in found if worker.job_id in place]
    return sorted(mine, key=lambda worker: (place[worker.job_id], worker.index))


def _ordered_attempts(found: Sequence[Attempt], workers: Sequence[Worker]) -> list[Attempt]:
    place = {worker.id: position for position, worker in enumerate(workers)}
    mine = [attempt for attempt in found if attempt.worker_id in place]
    return sorted(mine, key=lambda attempt: (place[attempt.worker_id], attempt.number))
