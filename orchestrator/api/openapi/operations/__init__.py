"""The table of all calls. A test compares the table with the application's routes."""

from orchestrator.api.openapi.operations.approvals import APPROVALS
from orchestrator.api.openapi.operations.browser_login import SESSIONS
from orchestrator.api.openapi.operations.job_control import JOB_CONTROL
from orchestrator.api.openapi.operations.jobs import READING
from orchestrator.api.openapi.operations.locks import LOCKING
from orchestrator.api.openapi.operations.merge_and_landing import MERGING
from orchestrator.api.openapi.operations.operation import Operation
from orchestrator.api.openapi.operations.outbox import OUTBOX
from orchestrator.api.openapi.operations.server import SERVER
from orchestrator.api.openapi.operations.submission import SUBMISSION
from orchestrator.api.openapi.operations.tasks_api import OF_TASKS
from orchestrator.api.openapi.operations.triggers import TRIGGERS
from orchestrator.api.openapi.operations.worker_control import OF_WORKERS

__all__ = ["OPERATIONS", "Operation"]

OPERATIONS = (
    *SUBMISSION,
    *JOB_CONTROL,
    *APPROVALS,
    *MERGING,
    *OF_WORKERS,
    *READING,
    *OF_TASKS,
    *LOCKING,
    *SERVER,
    *OUTBOX,
    *SESSIONS,
    *TRIGGERS,
)
