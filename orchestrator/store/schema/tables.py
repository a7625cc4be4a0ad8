"""The tables. Each column has the name of the field that it stores.

The migrations in ``migrations`` create the same tables; a test compares both.
"""

import json
from itertools import chain
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    event,
    false,
    func,
    literal_column,
    text,
)

from orchestrator.core.events import EventKind
from orchestrator.core.model.states import (
    JobStatus,
    MergeState,
    StopCause,
    WorkerKind,
    WorkerStatus,
)
from orchestrator.core.outcome.job.human_needs import NeedKind
from orchestrator.core.ports.outbox import EntryState, Topic
from orchestrator.store.schema import stored_documents
from orchestrator.store.schema.column_types import Document, Member, PlainText


def label_line(name: str, value: str) -> str:
    """Return a label as one line. Line breaks in its value are escaped."""
    return json.dumps(f"{name}:{value}")


def line_in(text: str) -> str:
    """Return a search pattern that matches ``text`` only as a complete line."""
    return f"\n{text}\n"


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

#: Bits of a worker's ``cost_marks``. The values never change, because they are stored.
ESTIMATED, INCOMPLETE = 1, 2
#: Source of a column that a function in ``state_writer`` computes from the complete stored value.
COMPUTED = "computed"


def derived(name: str, kind: Any, source: str, **options: Any) -> Column[Any]:
    """Return a column with a copy of a value that is also in a stored document.

    Lists read the column, and not the document.

    ``source``: COMPUTED, or the path of an attribute of the stored value, such as "usage.steps".
    """
    return Column(name, kind, info={"source": source}, **options)


@event.listens_for(metadata, "before_create")
def _copy_index_conditions(target: MetaData, connection: Connection, **_: object) -> None:
    # For PostgreSQL, copy the conditions from SQLite's option. If the tables set PostgreSQL's
    # option, each start of a server with SQLite would load the dialect of PostgreSQL.
    if connection.dialect.name == "postgresql":
        for index in chain.from_iterable(table.indexes for table in target.tables.values()):
            condition = index.dialect_options["sqlite"]["where"]
            index.dialect_options["postgresql"]["where"] = condition


def value_columns(table: Table) -> list[Column[Any]]:
    """Return the columns from which a stored value is created: all except derived columns."""
    return [column for column in table.c if not column.info]


jobs = Table(
    "jobs",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("root_id", PlainText, ForeignKey("jobs.id"), nullable=False),
    Column("depth", Integer, nullable=False),
    Column("status", Member(JobStatus), nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("parent_worker_id", PlainText),
    Column("parent_job_id", PlainText, ForeignKey("jobs.id")),
    Column("digest", PlainText, nullable=False),
    Column("submitted_by", PlainText, nullable=False),
    Column("idempotency_key", PlainText),
    Column("plan_source", PlainText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("cancelled_by", PlainText),
    Column("stop_cause", Member(StopCause)),
    Column("merge_state", Member(MergeState), nullable=False, server_default=MergeState.NONE),
    Column("awaits_approval", Boolean, nullable=False, server_default=false()),
    Column("run", Integer, nullable=False, server_default="1"),
    Column("plan_version", Integer, nullable=False, server_default="1"),
    Column("pause", Document(stored_documents.read_pause)),
    Column("paused_seconds", Double, nullable=False, server_default="0"),
    Column("facts", Document(stored_documents.read_facts), nullable=False, server_default="{}"),
    Column("config", Document(stored_documents.read_config), nullable=False),
    derived("needs", PlainText, COMPUTED, nullable=False, server_default=text("''")),
    derived("labels", PlainText, COMPUTED, nullable=False, server_default=text("''")),
    Column("request", PlainText, nullable=False),
    Column("callback", Document(stored_documents.read_callback)),
    Index(None, "created_at", "id"),
    Index(None, "status", "created_at"),
    Index(None, "root_id", "created_at"),
    Index(None, "parent_job_id", "created_at"),
    Index(None, "submitted_by", "idempotency_key"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("job_id", PlainText, ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    derived("id", PlainText, "task.id", nullable=False, server_default=text("''")),
    derived("title", PlainText, "task.heading", nullable=False, server_default=text("''")),
    derived("model", PlainText, "task.model"),
    derived("role", PlainText, "task.role"),
    derived(
        "depends_on",
        Document(stored_documents.read_names),
        "task.depends_on",
        nullable=False,
        server_default="[]",
    ),
    Column("task", Document(stored_documents.read_task), nullable=False),
    # The index has all columns of a task that a page of workers reads, so that the table is not
    # read.
    Index("ix_tasks_labels", "job_id", "id", "title"),
)


workers = Table(
    "workers",
    metadata,
    Column("root_id", PlainText, ForeignKey("jobs.id"), primary_key=True),
    Column("id", PlainText, primary_key=True),
    Column("job_id", PlainText, ForeignKey("jobs.id"), nullable=False),
    Column("task_id", PlainText, nullable=False),
    Column("index", Integer, nullable=False),
    Column("kind", Member(WorkerKind), nullable=False, server_default=WorkerKind.TASK),
    Column("depth", Integer, nullable=False),
    Column("agent", PlainText, nullable=False),
    Column("status", Member(WorkerStatus), nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("waiting_for", Document(stored_documents.read_waiting)),
    Column("attempt", Integer, nullable=False),
    Column("budget_from", Integer, nullable=False),
    Column("failure", PlainText, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("cancelled_by", PlainText),
    Column("child_job_ids", Document(stored_documents.read_names), nullable=False),
    Column("child_workers", Integer, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    derived("cost_usd", Double, "usage.cost_usd"),
    derived("cost_marks", Integer, COMPUTED, nullable=False, server_default="0"),
    derived("steps", Integer, "usage.steps"),
    derived("input_tokens", BigInteger, "usage.input_tokens"),
    derived("output_tokens", BigInteger, "usage.output_tokens"),
    derived("cache_read_tokens", BigInteger, "usage.cache_read_tokens"),
    derived("cache_write_tokens", BigInteger, "usage.cache_write_tokens"),
    derived("gates_passed", Integer, "gate_counts.passed", nullable=False, server_default="0"),
    derived("gates_failed", Integer, "gate_counts.failed", nullable=False, server_default="0"),
    derived(
        "gates_not_run", Integer, "gate_counts.did_not_run", nullable=False, server_default="0"
    ),
    derived("files", Integer, "file_count", nullable=False, server_default="0"),
    derived("chosen", Boolean, "chosen"),
    derived("need", Member(NeedKind), COMPUTED),
    derived("model", PlainText, "model"),
    # One of the last columns: results are long, and SQLite reads a row only up to the last column
    # that it needs.
    Column("result", Document(stored_documents.read_result)),
    Column("question", Document(stored_documents.read_question)),
    Index(None, "job_id", "index"),
    # The index has all columns that summaries of all workers read, so that the table is not read.
    Index("ix_workers_summary", "status", "cost_marks", "kind", "cost_usd"),
)
Index("ix_jobs_needs", jobs.c.root_id, sqlite_where=jobs.c.needs != text("''"))
Index("ix_workers_need", workers.c.job_id, workers.c.need, sqlite_where=workers.c.need.is_not(None))
# Workers by the time at which their usage counts (``read_models/usage``).
Index("ix_workers_time", func.coalesce(workers.c.ended_at, workers.c.started_at))
# The latest successful workers of an agent. A worker is added to this index when it ends.
Index(
    "ix_workers_ended",
    workers.c.agent,
    workers.c.ended_at,
    workers.c.status,
    workers.c.kind,
    sqlite_where=workers.c.ended_at.is_not(None),
)

attempts = Table(
    "attempts",
    metadata,
    Column("root_id", PlainText, primary_key=True),
    Column("worker_id", PlainText, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("job_id", PlainText, ForeignKey("jobs.id"), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("token_hash", PlainText, nullable=False),
    Column("record_hash", PlainText, nullable=False, server_default=text("''")),
    Column("ended_at", Double),
    Column("exit", Document(stored_documents.read_exit)),
    Column("reason", PlainText, nullable=False),
    Column("session", Document(stored_documents.read_session)),
    Column("node", PlainText, nullable=False, server_default=text("''")),
    ForeignKeyConstraint(["root_id", "worker_id"], ["workers.root_id", "workers.id"]),
    Index(None, "token_hash"),
)

events = Table(
    "events",
    metadata,
    Column("root_id", PlainText, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("job_id", PlainText, nullable=False),
    Column("kind", Member(EventKind), nullable=False),
    Column("at", Double, nullable=False),
    Column("worker_id", PlainText),
    Column("data", Document(stored_documents.read_mapping), nullable=False),
)

#: Messages to external receivers. A message is stored in the same transaction as its event.
deliveries = Table(
    "deliveries",
    metadata,
    Column("root_id", PlainText, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint", PlainText, primary_key=True),
    # PREFIX_ROOT_SEQ_NAME, from the three columns of the primary key.
    Column("id", PlainText, nullable=False),
    Column("job_id", PlainText, nullable=False),
    Column("topic", Member(Topic), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("state", Member(EntryState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_status", Integer),
    Column("last_error", PlainText, nullable=False),
    Column("answer", PlainText, nullable=False),
    Column("done_at", Double),
    # This table has few indexes, because the supervisor's thread waits until each is updated.
    sqlite_with_rowid=False,
)
Index(
    "ix_deliveries_due",
    deliveries.c.due_at,
    sqlite_where=deliveries.c.state == literal_column("'pending'"),
)

#: The cost of each API key's jobs by day. ``day``: number of days since the epoch.
spent_days = Table(
    "spent_days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("key_name", PlainText, primary_key=True),
    Column("cost_usd", Double, nullable=False),
)

#: One row: the pause of all jobs; NULL if jobs are not paused.
server_pause = Table(
    "server_pause",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("pause", Document(stored_documents.read_pause)),
)

#: A lease is active while its attempt has not ended.
leases = Table(
    "leases",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("root_id", PlainText, ForeignKey("jobs.id"), primary_key=True),
    Column("worker_id", PlainText, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("job_id", PlainText, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("taken_at", Double, nullable=False),
    #: 1 if an ancestor or descendant of the holder has later acquired an overlapping lock, with a
    #: greater number; otherwise 0.
    Column("passed_on", Integer, nullable=False),
)

#: One row with the greatest fencing number. A transaction that changes this row blocks all other
#: acquisitions until its end.
lease_numbers = Table(
    "lease_numbers",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

#: One row: the server that uses a PostgreSQL database, and the lease of this server. With SQLite,
#: the database file is locked instead.
server_lease = Table(
    "server_lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    #: Number of claims of the database. A server that claims the database increments the number.
    Column("epoch", BigInteger, nullable=False),
    #: Machine of the server; empty if the server has no lease.
    Column("machine", PlainText, nullable=False),
    #: Name of the server in messages.
    Column("holder", PlainText, nullable=False),
    #: Duration of the lease, in seconds; 0: no lease.
    Column("seconds", Double, nullable=False),
    #: Number of renewals. A change of this number shows other servers that the lease was renewed.
    Column("renewals", BigInteger, nullable=False),
    #: 1 until all attempts on the machine of a lost server have ended; otherwise 0.
    Column("recovers", Integer, nullable=False),
)
