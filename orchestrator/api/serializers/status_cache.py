"""The cache of status answers, for callers that poll. Only rows of changed workers are encoded.

A worker is a frozen object. The store returns the same object until the worker changes.
"""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from hashlib import blake2b
from itertools import compress
from operator import is_not

from orchestrator.api.serializers.json_encoding import QUOTA_FIELDS, TaggedBody, encoded
from orchestrator.api.serializers.status import StatusParts
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Worker
from orchestrator.schemas.requests.query_parameters import StatusTasks

#: Maximum number of jobs whose rows are stored, and of stored answers for one version of a job.
MOST_JOBS, MOST_BODIES = 16, 64
#: Maximum number of a job's rows, and of its changed rows, for an answer that the server's loop
#: itself encodes. The encoding takes about 1 ms, during which the loop answers no other request.
MOST_QUICK_ROWS, MOST_QUICK_CHANGES = 1000, 25
#: zlib's ``level`` (the fastest) and ``wbits`` (the gzip format).
_LEVEL, _GZIP = 1, 31
#: The tasks that the caller requests, and the number of an event. With CHANGED, the caller requests
#: the tasks that changed after this event. Otherwise, the number is unused.
TaskSelection = tuple[StatusTasks, int]
#: JSON of an empty list of tasks. JSON escapes the quotation marks in a text, so no text of the
#: answer contains these bytes.
_NO_TASKS = b'"results":{"tasks":[]'
_DIGEST_BYTES = 16


@dataclass(slots=True)
class StatusRow:
    worker: Worker | None
    body: bytes
    #: Number of the latest event when the row was encoded. If the worker changed without an event,
    #: the number is one larger, so that a reader of changes gets the row.
    seq: int
    #: Hash of the body. The hash is stored, because hashing all rows for each answer would take
    #: longer than all other steps.
    digest: bytes


#: Used for a worker that has no row yet.
_NO_ROW = StatusRow(None, b"", 0, b"")


@dataclass(frozen=True, slots=True)
class CurrentStatus:
    """The status answers for one version of the job tree, without the remaining quota.

    Any thread may call.
    """

    version: int
    #: The answer without rows.
    frame: bytes
    rows: Sequence[StatusRow]
    bodies: dict[TaskSelection, "StatusBody"] = field(default_factory=dict)

    def of(self, selection: TaskSelection) -> "StatusBody":
        body = self.bodies.get(selection)
        if body is None:
            body = self._new_body(selection)
            # No lock: if two threads both make the answer, their answers are equal.
            if len(self.bodies) < MOST_BODIES:
                self.bodies[selection] = body
        return body

    def _new_body(self, selection: TaskSelection) -> "StatusBody":
        rows = _requested_rows(self.rows, *selection)
        tag = blake2b(self.frame, digest_size=_DIGEST_BYTES)
        tag.update(b"".join([row.digest for row in rows]))
        body = self.frame
        if rows:
            head, _, tail = body.partition(_NO_TASKS)
            tasks = b",".join([row.body for row in rows])
            body = b'%b"results":{"tasks":[%b]%b' % (head, tasks, tail)
        return StatusBody(body, tag.hexdigest())


@dataclass(slots=True)
class JobRows:
    """The encoded rows of one job, one for each worker, and the job's latest answers."""

    rows: dict[str, StatusRow] = field(default_factory=dict)
    #: The workers of the previous answer, and their rows. Never changed in place.
    workers: Sequence[Worker] = ()
    ordered: Sequence[StatusRow] = ()
    #: Number of the latest event that the previous answer showed; -1: no answer yet.
    seq: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: The answers for the latest encoded version; None: no version yet. A new version replaces the
    #: whole object, because other threads read this field without the lock.
    current: CurrentStatus | None = None

    def at(self, version: int, selection: TaskSelection) -> "StatusBody | None":
        """Return the answer for this ``version`` of the tree; None if the version is not cached.

        Does not wait for ``lock``. Another thread may hold the lock for a long time, while it
        encodes rows.
        """
        current = self.current
        if current is None or version != current.version:
            return None
        return current.of(selection)


class StatusBody(TaggedBody):
    """An encoded status answer without the remaining quota. Any thread may call."""

    @cached_property
    def _packed(self) -> "tuple[bytes, zlib._Compress]":
        packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
        head = packer.compress(memoryview(self.body)[:-1]) + packer.flush(zlib.Z_SYNC_FLUSH)
        return head, packer

    def packed_with_end(self, end: bytes) -> tuple[bytes, bytes]:
        """Return the two pieces of the complete answer in gzip.

        The call compresses only ``end``.
        """
        head, packer = self._packed
        end_packer = packer.copy()
        return head, end_packer.compress(end) + end_packer.flush()


class StatusRows:
    """Cache of the encoded rows of recently requested jobs. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, JobRows] = OrderedDict()

    def of(self, job_id: str) -> JobRows:
        with self._lock:
            rows = self._jobs.setdefault(job_id, JobRows())
            self._jobs.move_to_end(job_id)
            if len(self._jobs) > MOST_JOBS:
                self._jobs.popitem(last=False)
            return rows

    def cached(self, job_id: str) -> JobRows:
        """Return a job's cached rows; empty rows if none are cached.

        Unlike ``of``, this call does not change the cache: it adds no job, and does not mark the
        job as recently used.
        """
        return self._jobs.get(job_id) or JobRows()


def selection_of(tasks: StatusTasks, since: int) -> TaskSelection:
    return tasks, since if tasks is StatusTasks.CHANGED else 0


def status_bytes(cached: JobRows, parts: StatusParts, selection: TaskSelection) -> StatusBody:
    """Return a ``StatusAnswer`` as JSON, without the remaining quota."""
    with cached.lock:
        return _status(cached, parts, selection, _changed(cached, parts))


def quick_status_bytes(
    cached: JobRows, parts: Callable[[], StatusParts], selection: TaskSelection
) -> tuple[StatusBody, Mapping[str, object]] | None:
    """Return the status answer and the remaining quota, if only a few rows have changed.

    Return None if the answer may need a query, or may take more than about 1 ms. The result is
    therefore always None for a large job, and for a job with child jobs.
    """
    earlier = cached.current
    if earlier is None or not 0 < len(earlier.rows) <= MOST_QUICK_ROWS:
        return None
    # Do not wait for another thread, which holds the lock as long as it encodes rows.
    if not cached.lock.acquire(blocking=False):
        return None
    try:
        current_parts = parts()
        if not current_parts.version or current_parts.has_child_jobs:
            return None
        changed = _changed(cached, current_parts)
        if len(changed) > MOST_QUICK_CHANGES:
            return None
        return _status(cached, current_parts, selection, changed), current_parts.detail.left
    finally:
        cached.lock.release()


def _changed(cached: JobRows, parts: StatusParts) -> Sequence[int]:
    """Return the positions in ``parts.workers`` of workers whose rows may have changed.

    ``cached``: the rows of the previous answer.
    """
    workers = parts.workers
    # A row also has the results of child jobs. Such a row may change although its worker does not.
    if len(workers) != len(cached.workers) or parts.has_child_jobs:
        return range(len(workers))
    # Most workers are unchanged, so comparing the objects avoids reading their rows.
    return list(compress(range(len(workers)), map(is_not, workers, cached.workers)))


def _status(
    cached: JobRows, parts: StatusParts, selection: TaskSelection, changed: Sequence[int]
) -> StatusBody:
    body = cached.at(parts.version, selection)
    if body is not None:
        return body
    frame = encoded(parts.answer(), without=QUOTA_FIELDS)
    current = CurrentStatus(
        parts.version, frame, _rows(cached, parts, changed) if parts.workers else ()
    )
    if parts.version:
        cached.current = current
    return current.of(selection)


def _rows(cached: JobRows, parts: StatusParts, changed: Sequence[int]) -> Sequence[StatusRow]:
    rows, workers = cached.rows, parts.workers
    if len(changed) < len(workers):
        ordered = [*cached.ordered]
    else:
        cached_rows = map(rows.get, [worker.id for worker in workers])
        ordered = [row or _NO_ROW for row in cached_rows]
    # A worker may change without a new event. Its row then gets the next number. Otherwise, a
    # caller that has seen the latest event would not get the row.
    seq = parts.seq + (parts.seq == cached.seq)
    for position in changed:
        worker, row = workers[position], ordered[position]
        if row.worker is worker and not worker.child_job_ids:
            continue
        body = parts.encode_row(worker)
        if row.body == body:
            row.worker = worker
            continue
        digest = blake2b(body, digest_size=_DIGEST_BYTES).digest()
        since = parts.seq if row is _NO_ROW else seq
        ordered[position] = rows[worker.id] = StatusRow(worker, body, since, digest)
    cached.seq, cached.workers, cached.ordered = parts.seq, workers, ordered
    return ordered


def _requested_rows(
    rows: Sequence[StatusRow], tasks: StatusTasks, since: int
) -> Sequence[StatusRow]:
    if tasks is StatusTasks.NONE:
        return ()
    return [row for row in rows if row.seq > since] if tasks is StatusTasks.CHANGED else rows
