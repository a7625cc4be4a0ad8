"""Writes ``logs/orchestrator.log``: the events of a root job, one line for each event."""

import json
import logging
import os
import re
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import StoreError
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.job import Job
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.core.ports import StateChange
from orchestrator.core.text.formatting import cut, iso
from orchestrator.security.files.untrusted_files import open_log, open_plain, read_tail
from orchestrator.workspace.job_directories import JobDirectories

logger = logging.getLogger(__name__)

#: Maximum characters of one value in a line.
_MAX_TEXT_CHARACTERS = 300
_MAX_OPEN_LOGS = 64
#: Maximum number of events in one read from the store.
_MAX_EVENTS_PER_READ = 1000
_RETRY_SECONDS = 1.0
_BLOCK = 1 << 20
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")


class JobLog:
    """Observer of stored changes that appends each event to the log of the event's root job.

    The log has one line for each event, so the number of lines is the number of logged events.
    After a crash or a full disk, missing events are read from the store, and logged before the next
    events.
    """

    def __init__(
        self, workspace: JobDirectories, events: Callable[[str, int, int], Sequence[Event]]
    ) -> None:
        """``events`` is a function that reads events of a root job from the store.

        The arguments of ``events`` are the job's id, a number N, and a maximum. The function
        returns the events with numbers above N, in order, and at most the maximum.
        """
        self._workspace = workspace
        self._events = events
        #: Descriptors of open logs. The least recently used log is first.
        self._open: OrderedDict[str, int] = OrderedDict()
        #: Number of logged events of each job that has not ended.
        self._written: dict[str, int] = {}
        #: Root jobs whose latest events are not written yet.
        self._behind: set[str] = set()
        #: Timer that retries the writes to the logs of the jobs in ``_behind``.
        self._timer: threading.Timer | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __call__(self, change: StateChange) -> None:
        events_by_root: defaultdict[str, list[Event]] = defaultdict(list)
        for event in change.events:
            events_by_root[event.root_id].append(event)
        with self._lock:
            for root_id in (*events_by_root, *(self._behind - events_by_root.keys())):
                self._log_events(root_id, events_by_root[root_id])

    def write_missing(self, root: Job) -> None:
        """Write the last lines of an ended root job's log if the log lacks them.

        Nothing is written if a person has removed the job's directory.
        """
        end = f" {EventKind.JOB_ENDED} job={root.id} ".encode()
        with self._lock:
            path = self._path(root.id)
            last = read_tail(path, _BLOCK).rpartition(b"\n")[0].rpartition(b"\n")[2]
            if root.id not in self._written and end not in last + b" " and path.parent.is_dir():
                self._log_events(root.id, ())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            for root_id in list(self._open):
                self._close(root_id)

    def _log_events(self, root_id: str, events: Sequence[Event]) -> None:
        try:
            self._append(root_id, events)
            self._behind.discard(root_id)
        except (OSError, StoreError) as error:
            self._fell_behind(root_id, error)

    def _fell_behind(self, root_id: str, error: Exception) -> None:
        self._close(root_id)
        # Discard the count of lines, because the failed write may have written a part of a line.
        self._written.pop(root_id, None)
        if root_id not in self._behind:
            logger.warning(
                "cannot write orchestrator.log (%s); missing lines are added later",
                error,
                extra={"job_id": root_id},
            )
        if is_shortage(error) or isinstance(error, StoreError):
            self._behind.add(root_id)
            self._schedule_retry()

    def _schedule_retry(self) -> None:
        """Start a timer that writes the missing lines, even if no further change occurs."""
        if self._closed or (self._timer is not None and self._timer.is_alive()):
            return
        self._timer = threading.Timer(_RETRY_SECONDS, self._retry)
        self._timer.daemon = True
        with suppress(RuntimeError):  # No thread is available. The next change retries.
            self._timer.start()

    def _retry(self) -> None:
        with self._lock:
            self._timer = None
        self(StateChange())

    def _append(self, root_id: str, events: Sequence[Event]) -> None:
        if not events and not self._events(root_id, 0, 1):
            return  # The job was removed.
        handle = self._descriptor(root_id)
        while missing := self._missing(root_id, events):
            self._write(handle, root_id, missing)
        self._write(handle, root_id, events)
        if not events or any(
            event.kind is EventKind.JOB_ENDED and event.job_id == event.root_id for event in events
        ):
            self._close(root_id)
            self._written.pop(root_id, None)

    def _missing(self, root_id: str, events: Sequence[Event]) -> Sequence[Event]:
        """Return the oldest stored events that are not yet in the log.

        The result has at most ``_MAX_EVENTS_PER_READ`` events. If ``events`` is not empty, the
        result has only events that precede the first event of ``events``.
        """
        written = self._written[root_id]
        if not events:
            return self._events(root_id, written, _MAX_EVENTS_PER_READ)
        gap = events[0].seq - 1 - written
        return self._events(root_id, written, min(gap, _MAX_EVENTS_PER_READ)) if gap > 0 else ()

    def _write(self, handle: int, root_id: str, events: Sequence[Event]) -> None:
        if events:
            _write_all(handle, "".join(map(line_of, events)).encode("utf-8", "replace"))
            self._written[root_id] = events[-1].seq

    def _descriptor(self, root_id: str) -> int:
        if root_id not in self._open:
            self._open[root_id] = self._new_descriptor(root_id)
            if len(self._open) > _MAX_OPEN_LOGS:
                self._close(next(iter(self._open)))
        if root_id not in self._written:
            self._written[root_id] = self._whole_lines(root_id)
        self._open.move_to_end(root_id)
        return self._open[root_id]

    def _path(self, root_id: str) -> Path:
        return self._workspace.job_directory(root_id) / "logs" / "orchestrator.log"

    def _new_descriptor(self, root_id: str) -> int:
        self._workspace.refuse_link(root_id)
        try:
            return open_log(self._path(root_id))
        except FileNotFoundError:
            self._workspace.prepare_job(root_id)
            return open_log(self._path(root_id))

    def _whole_lines(self, root_id: str) -> int:
        """Remove an incomplete last line of the log, for example after a crash.

        Return the number of complete lines.
        """
        lines = end = length = 0
        with open_plain(self._path(root_id)) as file:
            while block := file.read(_BLOCK):
                lines += block.count(b"\n")
                if b"\n" in block:
                    end = length + block.rindex(b"\n") + 1
                length += len(block)
        if end < length:
            os.ftruncate(self._open[root_id], end)
        return lines

    def _close(self, root_id: str) -> None:
        handle = self._open.pop(root_id, None)
        if handle is not None:
            os.close(handle)


def line_of(event: Event) -> str:
    """Format an event as one line. Texts are quoted, so that a text cannot forge a line."""
    worker = f" {event.worker_id}" if event.worker_id else ""
    fields = " ".join(
        f"{name}={_quoted(value)}" for name, value in event.data.items() if value not in (None, "")
    )
    return f"{iso(event.at)} {event.kind} job={event.job_id}{worker} {fields}".rstrip() + "\n"


def _quoted(value: object) -> str:
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = cut(text, _MAX_TEXT_CHARACTERS)
    return text if _PLAIN.match(text) or not isinstance(value, str) else json.dumps(text)


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]
