"""What was read lately, kept until it changes: most reads ask for the state of a running job."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by job id, the longest unused one first to go. Any thread may call it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Value] = OrderedDict()
        #: Readings that are under way and that no change has overtaken.
        self._readings: dict[str, object] = {}

    def get(self, job_id: str, read: Callable[[], Value]) -> Value:
        """What is kept, else what ``read`` finds; that is kept unless the job changes meanwhile."""
        reading = object()
        with self._lock:
            if job_id in self._values:
                self._values.move_to_end(job_id)
                return self._values[job_id]
            self._readings[job_id] = reading
        value = read()
        with self._lock:
            if self._readings.get(job_id) is reading:
                del self._readings[job_id]
                self._keep(job_id, value)
        return value

    def _keep(self, job_id: str, value: Value) -> None:
        self._values[job_id] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def drop(self, job_ids: Iterable[str]) -> None:
        """These have changed. To be called after the change can be read."""
        with self._lock:
            for job_id in job_ids:
                self._values.pop(job_id, None)
                self._readings.pop(job_id, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._readings.clear()
