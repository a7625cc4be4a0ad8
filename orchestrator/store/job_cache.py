"""Caches of the store: values by job id, and version numbers of root jobs."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class JobCache(Generic[Value]):
    """A cache of values by job id. Any thread may call.

    The least recently used value is removed first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Value] = OrderedDict()
        #: Reads in progress, by job. Each has the changes since the read began. ``replace`` and
        #: ``drop`` remove the read of a job, because the value that it returns may be outdated.
        self._readings: dict[str, list[Callable[[Value], Value | None]]] = {}

    def get(self, job_id: str, read: Callable[[], Value]) -> Value:
        """Return the cached value of a job. If no value is cached, cache and return ``read()``.

        The result is not cached if ``replace`` or ``drop`` is called for the job during the read.
        """
        reading: list[Callable[[Value], Value | None]] = []
        with self._lock:
            if job_id in self._values:
                self._values.move_to_end(job_id)
                return self._values[job_id]
            self._readings[job_id] = reading
        return self._end_read(job_id, read(), reading)

    def get_all(
        self, job_ids: Collection[str], read: Callable[[Sequence[str]], Mapping[str, Value]]
    ) -> Mapping[str, Value]:
        """Return the values of several jobs.

        ``read`` is called at most once, with the ids of the jobs that are not cached.
        """
        with self._lock:
            found = {each: self._values[each] for each in job_ids if each in self._values}
            for job_id in found:
                self._values.move_to_end(job_id)
            missing = [each for each in job_ids if each not in found]
            readings: dict[str, list[Callable[[Value], Value | None]]] = {
                each: [] for each in missing
            }
            self._readings |= readings
        for job_id, value in (read(missing) if missing else {}).items():
            found[job_id] = self._end_read(job_id, value, readings[job_id])
        return found

    def _end_read(
        self, job_id: str, value: Value, reading: Sequence[Callable[[Value], Value | None]]
    ) -> Value:
        """Cache a value that was read. Return it with the changes that came during the read."""
        with self._lock:
            if self._readings.get(job_id) is reading:
                del self._readings[job_id]
                for make in reading:
                    # The value may already contain the change. Repeating a change does no harm.
                    changed = make(value)
                    if changed is None:
                        return value
                    value = changed
                self._keep(job_id, value)
        return value

    def _keep(self, job_id: str, value: Value) -> None:
        self._values[job_id] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def replace(self, values: Mapping[str, Value]) -> None:
        """Replace cached values. A job without a cached value is ignored.

        ``values``: the new values by job id. Call this only when the change can be read from the
        database.
        """
        with self._lock:
            for job_id, value in values.items():
                self._readings.pop(job_id, None)
                if job_id in self._values:
                    self._values[job_id] = value

    def change(self, job_id: str, make: Callable[[Value], Value | None]) -> None:
        """Replace the cached value by the result of ``make``, or remove it if the result is None.

        ``make`` must be idempotent. Call this only when the change can be read from the database.
        """
        with self._lock:
            if job_id in self._readings:
                self._readings[job_id].append(make)
            if job_id in self._values:
                value = make(self._values.pop(job_id))
                if value is not None:
                    self._values[job_id] = value

    def drop(self, job_ids: Iterable[str]) -> None:
        """Remove the values of changed jobs.

        Call this only when the change can be read from the database.
        """
        with self._lock:
            for job_id in job_ids:
                self._values.pop(job_id, None)
                self._readings.pop(job_id, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._readings.clear()


class JobVersions:
    """Version numbers of root jobs. A job's number grows with each change of the job's rows.

    Any thread may call. In a new process, all numbers are 0.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._last = 0

    def of(self, root_id: str) -> int:
        return self._numbers.get(root_id, 0)

    def changed(self, root_ids: Iterable[str]) -> None:
        with self._lock:
            for root_id in root_ids:
                self._last += 1
                self._numbers[root_id] = self._last
