"""Loads a job tree, or some jobs of it, from the database."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, select

from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.ports import Tree
from orchestrator.store.database.job_queries import last_seq, values
from orchestrator.store.schema.tables import attempts, jobs, tasks, value_columns, workers

#: Maximum number of job ids in a statement, because databases limit the length of a statement. For
#: more jobs, the whole tree is read.
MOST_NAMED_JOBS = 500


class _TreeStatements:
    """The statements that load a tree.

    ``named``: True to load only the jobs whose ids are in the statements' parameter ``named``.
    """

    def __init__(self, *, named: bool) -> None:
        def within(column: ColumnElement[str]) -> list[ColumnElement[bool]]:
            return [column.in_(bindparam("named", expanding=True))] if named else []

        root: BindParameter[str] = bindparam("root_id")
        self.jobs = (
            select(*value_columns(jobs))
            .where(jobs.c.root_id == root, *within(jobs.c.id))
            .order_by(jobs.c.created_at, jobs.c.id)
        )
        self.tasks = (
            select(tasks.c.job_id, tasks.c.task)
            .join(jobs, jobs.c.id == tasks.c.job_id)
            .where(jobs.c.root_id == root, *within(tasks.c.job_id))
            .order_by(tasks.c.job_id, tasks.c.position)
        )
        self.workers = select(*value_columns(workers)).where(
            workers.c.root_id == root, *within(workers.c.job_id)
        )
        self.attempts = select(attempts).where(
            attempts.c.root_id == root, *within(attempts.c.job_id)
        )


_whole = _TreeStatements(named=False)
_named = _TreeStatements(named=True)


def tree(
    connection: Connection, root_id: str, job_ids: Collection[str] | None = None
) -> Tree | None:
    """Return the tree of a root job, or only its jobs ``job_ids``; None if no job is found."""
    requested_ids = None if job_ids is None else frozenset(job_ids)
    parameters: dict[str, object] = {"root_id": root_id}
    statements = _whole
    if requested_ids is not None and len(requested_ids) <= MOST_NAMED_JOBS:
        parameters["named"] = list(requested_ids)
        statements = _named
    loaded = values(connection, Job, statements.jobs, **parameters)
    selected = [job for job in loaded if requested_ids is None or job.id in requested_ids]
    if not selected:
        return None
    return tree_of(
        selected,
        _tasks(connection, statements.tasks, parameters, selected),
        values(connection, Worker, statements.workers, **parameters),
        values(connection, Attempt, statements.attempts, **parameters),
        last_seq(connection, root_id),
    )


def _tasks(
    connection: Connection,
    statement: Select[Any],
    parameters: Mapping[str, object],
    selected: Sequence[Job],
) -> dict[str, Sequence[TaskSpec]]:
    tasks_by_job: dict[str, list[TaskSpec]] = {job.id: [] for job in selected}
    for job_id, task in connection.execute(statement, parameters):
        if job_id in tasks_by_job:
            tasks_by_job[job_id].append(task)
    return dict(tasks_by_job)


def tree_of(
    jobs: Sequence[Job],
    tasks: Mapping[str, Sequence[TaskSpec]],
    workers: Iterable[Worker],
    attempts: Iterable[Attempt],
    last_seq: int,
) -> Tree:
    """Return a tree of the jobs ``jobs``. Workers and attempts of other jobs are omitted.

    ``tasks``: the tasks of each job, by job id. ``last_seq``: the number of the tree's last event.
    """
    positions = {job.id: position for position, job in enumerate(jobs)}
    selected = (worker for worker in workers if worker.job_id in positions)
    ordered = sorted(selected, key=lambda worker: (positions[worker.job_id], worker.index))
    return Tree(
        jobs=jobs,
        tasks=tasks,
        workers=[worker for worker in ordered if not worker.is_adviser],
        planners=[worker for worker in ordered if worker.is_planner],
        reviewers=[worker for worker in ordered if worker.is_reviewer],
        attempts=_ordered_attempts(attempts, ordered),
        last_seq=last_seq,
    )


def _ordered_attempts(attempts: Iterable[Attempt], workers: Sequence[Worker]) -> list[Attempt]:
    positions = {worker.id: position for position, worker in enumerate(workers)}
    selected = (attempt for attempt in attempts if attempt.worker_id in positions)
    return sorted(selected, key=lambda attempt: (positions[attempt.worker_id], attempt.number))
