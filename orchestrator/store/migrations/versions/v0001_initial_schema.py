"""Creates the tables ``jobs``, ``tasks``, ``workers``, ``attempts``, and ``events``."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_jobs()
    _create_events()
    _create_tasks()
    _create_workers()
    _create_attempts()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("parent_worker_id", sa.Text(), nullable=True),
        sa.Column("parent_job_id", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("plan_source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("cancelled_by", sa.Text(), nullable=True),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_job_id"], ["jobs.id"], name=op.f("fk_jobs_parent_job_id_jobs")
        ),
        sa.ForeignKeyConstraint(["root_id"], ["jobs.id"], name=op.f("fk_jobs_root_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_created_at_id"), "jobs", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_jobs_parent_job_id_created_at"),
        "jobs",
        ["parent_job_id", "created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_jobs_root_id_created_at"), "jobs", ["root_id", "created_at"], unique=False
    )
    op.create_index(
        op.f("ix_jobs_status_created_at"), "jobs", ["status", "created_at"], unique=False
    )
    op.create_index(
        op.f("ix_jobs_submitted_by_idempotency_key"),
        "jobs",
        ["submitted_by", "idempotency_key"],
        unique=False,
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["root_id"], ["jobs.id"], name=op.f("fk_events_root_id_jobs")),
        sa.PrimaryKeyConstraint("root_id", "seq", name=op.f("pk_events")),
    )


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_tasks_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_tasks")),
    )


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("budget_from", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("child_job_ids", sa.Text(), nullable=False),
        sa.Column("child_workers", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_workers_job_id_jobs")),
        sa.ForeignKeyConstraint(["root_id"], ["jobs.id"], name=op.f("fk_workers_root_id_jobs")),
        sa.PrimaryKeyConstraint("root_id", "id", name=op.f("pk_workers")),
    )
    op.create_index(op.f("ix_workers_job_id_index"), "workers", ["job_id", "index"], unique=False)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("exit", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["root_id", "worker_id"],
            ["workers.root_id", "workers.id"],
            name=op.f("fk_attempts_root_id_workers"),
        ),
        sa.PrimaryKeyConstraint("root_id", "worker_id", "number", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_token_hash"), "attempts", ["token_hash"], unique=False)
