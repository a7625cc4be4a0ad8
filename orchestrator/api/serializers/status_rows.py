"""Status answers of jobs whose workers are polled: each row is encoded once.

A worker is a frozen value, and the store returns the same object until the worker changes.
"""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property

from orchestrator.api.serializers.common import RUNNING_DOWN, TaggedBody, encoded, tagged
from orchestrator.api.serializers.results import StatusParts
from orchestrator.core.dataclass import dataclass
from orchestrator.core.model.job import Worker
from orchestrator.schemas.requests.queries import StatusTasks

#: Maximum number of jobs whose rows are stored, and of stored answers for one version of a job.
MOST_JOBS, MOST_BODIES = 16, 64
#: For zlib: fast, and with the head and the end of gzip.
_LEVEL, _GZIP = 1, 31
#: The tasks that the caller requests, and the number of the event since which they have changed.
Asked = tuple[StatusTasks, int]
#: JSON of an empty list of tasks. JSON escapes the quotation marks in a text, so no text of the
#: answer contains these bytes.
_NO_TASKS = b'"results":{"tasks":[]'


@dataclass(slots=True)
class StatusRow:
    worker: Worker
    body: bytes
    #: Number of the latest event when the row was encoded; one more for a change without an event.
    seq: int


@dataclass(frozen=True, slots=True)
class CurrentStatus:
    """The answers at one version of the tree, without the remaining quota. Any thread may call."""

    version: int
    #: The answer without rows.
    frame: bytes
    #: The rows at this version, with the numbers of their latest changes.
    rows: "Sequence[tuple[int, bytes]]"
    bodies: dict[Asked, "StatusBody"] = field(default_factory=dict)

    def of(self, asked: Asked) -> "StatusBody":
        found = self.bodies.get(asked)
        if found is None:
            found = self._made(asked)
            # Two threads may both make an answer: the answers are equal.
            if len(self.bodies) < MOST_BODIES:
                self.bodies[asked] = found
        return found

    def _made(self, asked: Asked) -> "StatusBody":
        body = self.frame
        if self.rows:
            rows = _chosen(self.rows, *asked)
            body = body.replace(_NO_TASKS, b'"results":{"tasks":[%b]' % rows, 1)
        return StatusBody(body, tagged(body).tag)


@dataclass(slots=True)
class JobRows:
    """The rows of one job, by worker id, and the latest answers."""

    rows: dict[str, StatusRow] = field(default_factory=dict)
    #: Number of the latest event that the previous answer showed; -1: no answer yet.
    seq: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Replaced as a whole, because it is read without the lock.
    current: CurrentStatus | None = None

    def at(self, version: int, asked: Asked) -> "StatusBody | None":
        """Return the answer if its rows are encoded and still current, or None.

        Takes no lock, because another thread may hold the lock while it encodes rows.
        """
        current = self.current
        if current is None or version != current.version:
            return None
        return current.of(asked)


class StatusBody(TaggedBody):
    """A status without the remaining quota. Any thread may call."""

    @cached_property
    def _packed(self) -> "tuple[bytes, zlib._Compress]":
        packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
        head = packer.compress(memoryview(self.body)[:-1]) + packer.flush(zlib.Z_SYNC_FLUSH)
        return head, packer

    def packed_with_left(self, left: Mapping[str, object]) -> tuple[bytes, bytes]:
        """Return the answer in gzip. Only the end is compressed each time."""
        head, packer = self._packed
        end = packer.copy()
        return head, end.compress(self.with_left(left)[1]) + end.flush()


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

    def known(self, job_id: str) -> JobRows:
        """Return the rows without counting them as requested; empty if they are not cached."""
        return self._jobs.get(job_id) or JobRows()


def asked_of(tasks: StatusTasks, since: int) -> Asked:
    return tasks, since if tasks is StatusTasks.CHANGED else 0


def status_bytes(known: JobRows, parts: StatusParts, asked: Asked) -> StatusBody:
    """Return the JSON of a ``StatusAnswer`` without the remaining quota."""
    with known.lock:
        found = known.at(parts.version, asked)
        if found is not None:
            return found
        frame = encoded(parts.answer(), without=RUNNING_DOWN)
        rows = [(row.seq, row.body) for row in _rows(known, parts)] if parts.workers else ()
        current = CurrentStatus(parts.version, frame, rows)
        if parts.version:
            known.current = current
        return current.of(asked)


def _rows(known: JobRows, parts: StatusParts) -> Sequence[StatusRow]:
    rows = known.rows
    found = []
    # If no event has come since the previous answer, a changed row gets the next number, so that
    # callers who have seen the latest event still get the row.
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


def _chosen(rows: Sequence[tuple[int, bytes]], tasks: StatusTasks, since: int) -> bytes:
    if tasks is StatusTasks.NONE:
        return b""
    if tasks is StatusTasks.CHANGED:
        return b",".join([body for seq, body in rows if seq > since])
    return b",".join([body for _, body in rows])
