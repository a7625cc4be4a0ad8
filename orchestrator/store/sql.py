"""The store of jobs, tasks, workers, attempts and events in an SQL database."""

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.core import failpoints
from orchestrator.core.errors import StoreError
from orchestrator.core.events import Event
from orchestrator.core.evidence import Usage
from orchestrator.core.lease import Grant, Lease
from orchestrator.core.model import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.ports import Change, Page, StoreStats, Tree
from orchestrator.core.quotas import DaySpent
from orchestrator.store import leases, queries, removal, trees
from orchestrator.store.connections import Connections
from orchestrator.store.failures import told_as_store_errors, told_as_unreadable
from orchestrator.store.migrate import migrate
from orchestrator.store.recent import Recent

Result = TypeVar("Result")
#: Jobs whose latest state is kept in memory.
_RECENT = 64


class SqlStore:
    """Matches core.ports.Store.

    ``url`` is SQLAlchemy's: ``sqlite:////path/to/file`` or ``postgresql+psycopg://...``. Writes
    come from one thread, reads from any. Text comes back exactly as it was saved, and so do
    values; an event's ``data`` comes back as JSON has it (tuples are lists). ``alone`` refuses a
    database that another server uses.
    """

    def __init__(self, url: str, *, alone: bool = False, echo: bool = False) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError as error:
            raise StoreError("store.url is not the URL of a database") from error
        self._where = _place(self._url)
        self._alone = alone
        self._echo = echo
        self._connections: Connections | None = None
        self._jobs: Recent[Job | None] = Recent(_RECENT)
        self._workers: Recent[Sequence[Worker]] = Recent(_RECENT)

    @property
    def file(self) -> Path | None:
        """None: it is on a server."""
        named = self._url.database if self._url.get_backend_name() == "sqlite" else None
        return Path(named) if named else None

    def open(self) -> None:
        if self._connections is not None:
            return
        with told_as_store_errors(self._where):
            connections = Connections(self._url, alone=self._alone, echo=self._echo)
            try:
                if self._alone:
                    connections.take_file()
                with connections.writer.begin():
                    migrate(connections.writer, self._where)
                failpoints.reached("migration: after the commit")
            except BaseException:
                connections.close()
                raise
            self._connections = connections

    def close(self) -> None:
        if self._connections is None:
            return
        connections, self._connections = self._connections, None
        self._forget_reads()
        with told_as_store_errors(self._where):
            connections.close()

    def save(self, change: Change) -> None:
        connections = self._opened()
        with told_as_store_errors(self._where):
            connections.write(change)
        self._jobs.drop(job.id for job in chain(change.new_jobs, change.jobs))
        self._workers.drop({worker.job_id for worker in chain(change.new_workers, change.workers)})

    def forget(self, root_ids: Collection[str]) -> None:
        connections = self._opened()
        with told_as_store_errors(self._where), connections.durable_writer().begin():
            removal.forget(connections.writer, root_ids)
        failpoints.reached("store: forgotten")
        self._forget_reads()

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(
            job_id, lambda: self._read(lambda connection: queries.job(connection, job_id))
        )

    def ended(self, before: float, limit: int) -> Sequence[Job]:
        return self._read(lambda connection: queries.ended(connection, before, limit))

    def find_idempotent(self, submitted_by: str, idempotency_key: str) -> Job | None:
        return self._read(
            lambda connection: queries.idempotent(connection, submitted_by, idempotency_key)
        )

    def list_jobs(
        self,
        *,
        status: str | None,
        parent: str | None,
        root: str | None,
        depth: int | None = None,
        submitted_by: str | None = None,
        offset: int,
        limit: int,
    ) -> Page:
        wanted = queries.JobFilter(
            status=status, parent=parent, root=root, depth=depth, submitted_by=submitted_by
        )
        return self._read(lambda connection: queries.page(connection, wanted, offset, limit))

    def tasks(self, job_id: str) -> Sequence[TaskSpec]:
        return self._read(lambda connection: queries.tasks(connection, job_id))

    def workers(self, job_id: str) -> Sequence[Worker]:
        return self._workers.get(
            job_id, lambda: self._read(lambda connection: queries.workers(connection, job_id))
        )

    def recent_usage(self, agent: str, most: int) -> Sequence[Usage]:
        return self._read(lambda connection: queries.recent_usage(connection, agent, most))

    def planner(self, job_id: str) -> Worker | None:
        return self._read(lambda connection: queries.planner(connection, job_id))

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        return self._read(lambda connection: queries.reviewers(connection, job_id))

    def workers_in_tree(self, root_id: str) -> Sequence[Worker]:
        return self._read(lambda connection: queries.workers_in_tree(connection, root_id))

    def worker(self, key: WorkerKey) -> Worker | None:
        return self._read(lambda connection: queries.worker(connection, key))

    def attempts(self, key: WorkerKey) -> Sequence[Attempt]:
        return self._read(lambda connection: queries.attempts(connection, key))

    def attempt_by_token(self, token_hash: str) -> Attempt | None:
        return self._read(lambda connection: queries.attempt_by_token(connection, token_hash))

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        return self._read(lambda connection: trees.tree(connection, root_id, job_ids))

    def day_spending(self, day: int) -> Sequence[DaySpent]:
        return self._read(lambda connection: queries.day_spending(connection, day))

    def unfinished(self) -> Sequence[str]:
        return self._read(queries.unfinished)

    def events(self, root_id: str, after: int, limit: int) -> Sequence[Event]:
        return self._read(lambda connection: queries.events(connection, root_id, after, limit))

    def take_leases(self, owner: Attempt, names: Sequence[str], at: float) -> Grant:
        connections = self._opened()
        with told_as_store_errors(self._where), connections.durable_writer().begin() as step:
            return leases.take(connections.writer, step, owner, names, at)

    def end_leases(self, key: WorkerKey, names: Collection[str]) -> None:
        connections = self._opened()
        with told_as_store_errors(self._where), connections.durable_writer().begin():
            leases.end(connections.writer, key, names)

    def leases(self) -> Sequence[Lease]:
        return self._read(leases.standing)

    def stats(self) -> StoreStats:
        return self._read(queries.stats)

    def _forget_reads(self) -> None:
        self._jobs.clear()
        self._workers.clear()

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        connections = self._opened()
        with told_as_store_errors(self._where), told_as_unreadable(self._where):
            return connections.read(query)

    def _opened(self) -> Connections:
        if self._connections is None:
            raise StoreError("the store is not open")
        return self._connections


def _place(url: URL) -> str:
    """The database as error messages name it: its file, or its URL without the password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)
