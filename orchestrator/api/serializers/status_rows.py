"""Status answers of jobs whose workers are polled: each row is encoded once.

A worker is a frozen value, and the store returns the same object until the worker changes.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.api.serializers.common import RUNNING_DOWN, TaggedBody, encoded, tagged
from orchestrator.api.serializers.results import StatusParts
from orchestrator.core.model.job import Worker
from orchestrator.schemas.requests.queries import StatusTasks

#: Jobs whose rows are kept.
MOST_JOBS = 16
#: In JSON, a quotation mark within a text has a backslash before it: no text contains this.
_NO_TASKS = b'"results":{"tasks":[]'


@dataclass(slots=True)
class StatusRow:
    worker: Worker
    body: bytes
    #: The latest event when the row was encoded; greater if no event told of the change.
    seq: int


@dataclass(slots=True)
class JobRows:
    """The rows of one job, by worker id, and the latest answer."""

    rows: dict[str, StatusRow] = field(default_factory=dict)
    #: The event that the previous answer showed; -1: there is none.
    seq: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: The latest answer without remaining time, and what it was made for.
    version: tuple[object, ...] = ()
    body: TaggedBody | None = None


class StatusRows:
    """The encoded rows of recently requested jobs. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, JobRows] = OrderedDict()

    def of(self, job_id: str) -> JobRows:
        with self._lock:
            found = self._jobs.setdefault(job_id, JobRows())
            self._jobs.move_to_end(job_id)
            if len(self._jobs) > MOST_JOBS:
                self._jobs.popitem(last=False)
            return found


def status_bytes(known: JobRows, parts: StatusParts, tasks: StatusTasks, since: int) -> TaggedBody:
    """Return the JSON of a ``StatusAnswer`` without remaining time."""
    with known.lock:
        version = (parts.version, tasks, since if tasks is StatusTasks.CHANGED else 0)
        if parts.version and version == known.version and known.body:
            return known.body
        body = encoded(parts.answer(), without=RUNNING_DOWN)
        if parts.workers:
            rows = _chosen(_rows(known, parts), tasks, since)
            body = body.replace(_NO_TASKS, b'"results":{"tasks":[%b]' % rows, 1)
        made = tagged(body)
        if parts.version:
            known.version, known.body = version, made
        return made


def _rows(known: JobRows, parts: StatusParts) -> Sequence[StatusRow]:
    rows = known.rows
    found = []
    # Without an event in between, the change itself had none.
    seq = parts.seq + (parts.seq == known.seq)
    for worker in parts.workers:
        row = rows.get(worker.id)
        if row is None or row.worker is not worker or worker.child_job_ids:
            body = parts.encode_row(worker)
            if row is None or row.body != body:
                row = rows[worker.id] = StatusRow(worker, body, seq if row else parts.seq)
            else:
                row.worker = worker
        found.append(row)
    known.seq = parts.seq
    return found


def _chosen(rows: Sequence[StatusRow], tasks: StatusTasks, since: int) -> bytes:
    if tasks is StatusTasks.NONE:
        return b""
    if tasks is StatusTasks.CHANGED:
        return b",".join([row.body for row in rows if row.seq > since])
    return b",".join([row.body for row in rows])
