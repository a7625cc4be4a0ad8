"""The store of jobs, tasks, workers, attempts, and events in an SQL database.

The state of running jobs is cached, because most reads are about running jobs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.core import failpoints
from orchestrator.core.errors import StoreError
from orchestrator.core.events import Event, EventKind
from orchestrator.core.limits.key_costs_and_jobs import DailyCost
from orchestrator.core.locks.lock_table import Grant, LockLease
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.ports import Page, StateChange, StoreStats, Tree
from orchestrator.core.ports.read_models import (
    FirstFailure,
    JobFilter,
    ListedPage,
    StatusCount,
    TreeSnapshot,
    UsageFilter,
    UsageRow,
    WorkerFilter,
    WorkerPage,
)
from orchestrator.store import lock_leases
from orchestrator.store.caches import JobCache, JobTreeCache, JobVersions
from orchestrator.store.database import job_queries, postgresql, server_lease, state_writer
from orchestrator.store.database.connections import (
    SUPPORTED_URLS,
    Connections,
    as_store_errors,
    as_unreadable,
)
from orchestrator.store.database.job_queries import last_seq, snapshot
from orchestrator.store.database.migrate import migrate
from orchestrator.store.database.server_lease import Claimant, HeldLease, LeaseSession
from orchestrator.store.database.tree_queries import tree
from orchestrator.store.database.write_check import check_writable
from orchestrator.store.outbox import SqlOutbox
from orchestrator.store.read_models.job_list import (
    first_failures,
    job_page,
    jobs_with_needs,
    listed_page,
    status_counts,
)
from orchestrator.store.read_models.usage import usage
from orchestrator.store.read_models.worker_lists import (
    SortedWorkerLists,
    SortedWorkers,
    worker_page,
)

Result = TypeVar("Result")
#: Maximum number of jobs whose current state is cached.
_RECENT = 64
#: Maximum number of root jobs whose numbers of workers are cached.
_RECENT_COUNTS = 2000


class SqlStore:
    """The store in an SQL database; implements core.ports.Store.

    ``url``: URL in SQLAlchemy's form: ``sqlite:////path/to/file`` or ``postgresql+psycopg://...``.
    ``alone``: True to reject a database that another server uses. ``claimant``: identity of this
    server for the server lease; None: no lease.

    Only one thread may write. Any thread may read. Values are read back exactly as they were saved,
    with one exception: tuples in an event's ``data`` become lists, because ``data`` is JSON.
    """

    def __init__(
        self,
        url: str,
        *,
        alone: bool = False,
        claimant: Claimant | None = None,
    ) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError as error:
            raise StoreError(
                f"store.url is not the URL of a database; supported: {SUPPORTED_URLS}"
            ) from error
        self._where = _location(self._url)
        self._alone = alone
        self._claimant = claimant or Claimant()
        #: This server's claim of the database; None if the database is a file or is not open.
        self.claimed: HeldLease | None = None
        self._connections: Connections | None = None
        self._jobs: JobCache[Job | None] = JobCache(_RECENT)
        self._workers: JobCache[Sequence[Worker]] = JobCache(_RECENT)
        self._counts: JobCache[Sequence[StatusCount]] = JobCache(_RECENT_COUNTS)
        self._seqs: JobCache[int] = JobCache(_RECENT_COUNTS)
        self._sorted_lists = SortedWorkerLists()
        #: Trees of this server; None if another process may also write to the database.
        self._trees = JobTreeCache() if alone else None
        self._versions = JobVersions()
        #: Messages to external receivers.
        self.outbox: Final = SqlOutbox(self._read, self._write_separately)

    @property
    def file(self) -> Path | None:
        """The database's file; None for PostgreSQL."""
        database = self._url.database if self._url.get_backend_name() == "sqlite" else None
        return Path(database) if database else None

    @property
    def where(self) -> str:
        """Name of the database for messages: a path, or a URL without the password."""
        return self._where

    def lease_session(self, seconds: float) -> LeaseSession | None:
        """Return a session for the server's lease; None if the database is a file.

        ``seconds``: time after which an unreachable database is an error.
        """
        return None if self.file else LeaseSession(self._url, self._where, seconds)

    def open(self, ended: HeldLease | None = None) -> None:
        """Open the database. Raise WorkspaceBusy if a server on another machine has a lease.

        ``ended``: the lease of a lost server, or None. This lease does not count, and the lost
        server's sessions are ended, because a server that hangs never ends its sessions.
        """
        if self._connections is not None:
            return
        with as_store_errors(self._where):
            if ended:
                engine = create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
                with engine.connect() as connection:
                    postgresql.end_writers(connection)
            connections = Connections(self._url, alone=self._alone)
            try:
                if self._alone:
                    connections.lock_file()
                with connections.writer.begin():
                    migrate(connections.writer, self._where)
                    if self._alone and not self.file:
                        self.claimed = server_lease.claim(connections.writer, self._claimant, ended)
                        connections.fence.epoch = self.claimed.epoch
                if ended:
                    # The lost server may have opened another session after its sessions were ended.
                    postgresql.end_writers(connections.writer)
                    connections.writer.rollback()
                failpoints.reached("migration: after the commit")
            except BaseException:
                connections.close()
                raise
            self._connections = connections

    def close(self) -> None:
        if self._connections is None:
            return
        self.claimed = None
        connections, self._connections = self._connections, None
        self._forget_reads()
        with as_store_errors(self._where):
            connections.close()

    def save(self, change: StateChange) -> None:
        connections = self._opened()
        with as_store_errors(self._where):
            connections.write(change)
        # Update the caches with the saved values, so that the next poll does not read the database.
        if self._trees is not None:
            self._trees.apply(change)
        self._jobs.replace({job.id: job for job in chain(change.new_jobs, change.jobs)})
        self._workers.drop({worker.job_id for worker in change.new_workers})
        for job_id, changed in _by_job(change.workers).items():
            self._workers.change(job_id, partial(_with_changed, changed=changed))
        changed_roots = {each.root_id for each in (*change.new_workers, *change.workers)}
        self._counts.drop(changed_roots)
        if self._sorted_lists.lists:
            self._sorted_lists.drop({each.root_id for each in change.new_workers})
            self._sorted_lists.changed(change)
        self._seqs.replace({event.root_id: event.seq for event in change.events})
        job_roots = {each.root_id for each in (*change.new_jobs, *change.jobs)}
        self._versions.changed(job_roots | changed_roots)

    def forget(self, root_ids: Collection[str]) -> None:
        connections = self._opened()
        with as_store_errors(self._where), connections.durable_writer().begin():
            state_writer.delete_jobs(connections.writer, root_ids)
        failpoints.reached("store: job removed")
        self._forget_reads()

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(
            job_id, lambda: self._read(lambda connection: job_queries.job(connection, job_id))
        )

    def ended(self, before: float, limit: int) -> Sequence[Job]:
        return self._read(lambda connection: job_queries.ended(connection, before, limit))

    def find_idempotent(self, submitted_by: str, idempotency_key: str) -> Job | None:
        return self._read(
            lambda connection: job_queries.idempotent(connection, submitted_by, idempotency_key)
        )

    def jobs_of(self, job_filter: JobFilter, offset: int, limit: int) -> Page:
        return self._read(lambda connection: job_page(connection, job_filter, offset, limit))

    def listed(self, job_filter: JobFilter, offset: int, limit: int) -> ListedPage:
        return self._read(lambda connection: listed_page(connection, job_filter, offset, limit))

    def worker_page(
        self, root_id: str, worker_filter: WorkerFilter, offset: int, limit: int, now: float
    ) -> WorkerPage:
        # Read this number before the rows. The rows may then be newer than the number.
        seq = self.last_seq(root_id)
        order = (
            SortedWorkers(root_id, worker_filter)
            if worker_filter.text
            else self._sorted_lists.of(root_id, worker_filter)
        )

        def page(connection: Connection) -> WorkerPage:
            names, total = order.page(connection, now, offset, limit)
            return worker_page(
                connection, root_id, worker_filter.job_id, names, total=total, last_seq=seq
            )

        return self._read(page)

    def status_counts(self, root_ids: Collection[str]) -> Mapping[str, Sequence[StatusCount]]:
        return self._counts.get_all(
            root_ids,
            lambda missing: self._read(lambda connection: status_counts(connection, missing)),
        )

    def first_failures(self, job_ids: Collection[str]) -> Mapping[str, FirstFailure]:
        return self._read(lambda connection: first_failures(connection, job_ids))

    def usage(self, usage_filter: UsageFilter) -> Sequence[UsageRow]:
        return self._read(lambda connection: usage(connection, usage_filter))

    def jobs_with_needs(
        self, root_ids: Collection[str] | None, submitted_by: str | None
    ) -> Sequence[tuple[Job, Sequence[Worker]]]:
        return self._read(lambda connection: jobs_with_needs(connection, root_ids, submitted_by))

    def tasks(self, job_id: str, names: Collection[str] | None = None) -> Sequence[TaskSpec]:
        return self._read(lambda connection: job_queries.tasks(connection, job_id, names))

    def task(self, job_id: str, task_id: str) -> TaskSpec | None:
        return self._read(lambda connection: job_queries.task(connection, job_id, task_id))

    def workers(self, job_id: str) -> Sequence[Worker]:
        return self._workers.get(job_id, lambda: self._read_workers(job_id))

    def _read_workers(self, job_id: str) -> Sequence[Worker]:
        cached = self._trees.workers(job_id) if self._trees else None
        if cached is not None:
            return cached
        return self._read(lambda connection: job_queries.workers(connection, job_id))

    def recent_usage(self, agent: str, most: int) -> Sequence[Usage]:
        return self._read(lambda connection: job_queries.recent_usage(connection, agent, most))

    def planner(self, job_id: str) -> Worker | None:
        return self._read(lambda connection: job_queries.planner(connection, job_id))

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        return self._read(lambda connection: job_queries.reviewers(connection, job_id))

    def workers_in_tree(self, root_id: str) -> Sequence[Worker]:
        return self._read(lambda connection: job_queries.workers_in_tree(connection, root_id))

    def worker(self, key: WorkerKey) -> Worker | None:
        return self._read(lambda connection: job_queries.worker(connection, key))

    def attempts(self, key: WorkerKey) -> Sequence[Attempt]:
        return self._read(lambda connection: job_queries.attempts(connection, key))

    def attempts_of(self, root_id: str, worker_ids: Collection[str]) -> Sequence[Attempt]:
        return self._read(
            lambda connection: job_queries.attempts_of(connection, root_id, worker_ids)
        )

    def latest_event(self, root_id: str, job_id: str, kind: EventKind) -> Event | None:
        return self._read(
            lambda connection: job_queries.latest_event(connection, root_id, job_id, kind)
        )

    def attempt_by_token(self, token_hash: str) -> Attempt | None:
        return self._read(lambda connection: job_queries.attempt_by_token(connection, token_hash))

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        cached = self._trees.tree(root_id, job_ids) if self._trees else None
        return cached or self._read(lambda connection: tree(connection, root_id, job_ids))

    def snapshot(self, root_id: str) -> TreeSnapshot | None:
        return self._read(lambda connection: snapshot(connection, root_id))

    def last_seq(self, root_id: str) -> int:
        return self._seqs.get(
            root_id, lambda: self._read(lambda connection: last_seq(connection, root_id))
        )

    def version(self, root_id: str) -> int:
        return self._versions.of(root_id)

    def day_spending(self, day: int) -> Sequence[DailyCost]:
        return self._read(lambda connection: job_queries.day_spending(connection, day))

    def pause(self) -> Pause | None:
        return self._read(job_queries.pause)

    def unfinished(self) -> Sequence[str]:
        return self._read(job_queries.unfinished)

    def events(self, root_id: str, after: int, limit: int) -> Sequence[Event]:
        return self._read(lambda connection: job_queries.events(connection, root_id, after, limit))

    def take_leases(self, owner: Attempt, names: Sequence[str], at: float) -> Grant:
        connections = self._opened()
        with as_store_errors(self._where), connections.durable_writer().begin() as transaction:
            return lock_leases.acquire(connections.writer, transaction, owner, names, at)

    def end_leases(self, key: WorkerKey, names: Collection[str]) -> None:
        connections = self._opened()
        with as_store_errors(self._where), connections.durable_writer().begin():
            lock_leases.release(connections.writer, key, names)

    def leases(self) -> Sequence[LockLease]:
        return self._read(lock_leases.active)

    def stats(self) -> StoreStats:
        return self._read(job_queries.stats)

    def check(self) -> None:
        self._read(lambda connection: job_queries.events(connection, "", 0, 1))
        if self._read(job_queries.is_read_only):
            raise StoreError(f"{self._where} is read-only; make the database writable")

    def check_writable(self) -> None:
        """Check that the database can be written, without a change. The store need not be open.

        Do nothing if the database is a file that does not exist. Raise StoreError if the database
        cannot be written.
        """
        if self.file is None or self.file.exists():
            with as_store_errors(self._where):
                check_writable(self._url, self._where)

    def _forget_reads(self) -> None:
        self._jobs.clear()
        self._workers.clear()
        self._counts.clear()
        self._seqs.clear()
        self._sorted_lists.clear()
        if self._trees is not None:
            self._trees.clear()

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        connections = self._opened()
        with as_store_errors(self._where), as_unreadable(self._where):
            return connections.read(query)

    def _write_separately(self, action: Callable[[Connection], object]) -> None:
        connections = self._opened()
        with as_store_errors(self._where):
            connections.write_separately(action)

    def _opened(self) -> Connections:
        if self._connections is None:
            raise StoreError("the store is not open")
        return self._connections


def _by_job(workers: Sequence[Worker]) -> Mapping[str, Sequence[Worker]]:
    workers_by_job: dict[str, list[Worker]] = {}
    for worker in workers:
        if not worker.is_adviser:
            workers_by_job.setdefault(worker.job_id, []).append(worker)
    return workers_by_job


def _with_changed(workers: Sequence[Worker], changed: Sequence[Worker]) -> Sequence[Worker] | None:
    """Return a job's workers, in which each changed worker replaces its former value.

    Return None if the position of a changed worker is not its ``index``.
    """
    updated = list(workers)
    for worker in changed:
        if worker.index >= len(updated) or updated[worker.index].id != worker.id:
            return None
        updated[worker.index] = worker
    return updated


def _location(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)
