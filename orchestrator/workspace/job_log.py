"""``logs/orchestrator.log``: what the job manager did for a root job, one line an event."""

import json
import os
import re
from collections import OrderedDict, defaultdict

from orchestrator.core.events import Event, EventKind
from orchestrator.core.ports import Change
from orchestrator.workspace.clock import iso
from orchestrator.security.paths import open_log
from orchestrator.workspace.layout import Workspace, write_all

_MAX_TEXT = 300
_MOST_OPEN = 64
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")


class JobLog:
    """An observer: appends the events of every change to the logs of their root jobs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        #: Logs that are written to now, the longest unused one first.
        self._open: OrderedDict[str, int] = OrderedDict()

    def __call__(self, change: Change) -> None:
        lines: defaultdict[str, list[str]] = defaultdict(list)
        for event in change.events:
            lines[event.root_id].append(line_of(event))
        for root_id, texts in lines.items():
            write_all(self._log(root_id), "".join(texts).encode("utf-8", "replace"))
        for event in change.events:
            if event.kind is EventKind.JOB_ENDED and event.job_id == event.root_id:
                self._close(event.root_id)

    def close(self) -> None:
        for root_id in list(self._open):
            self._close(root_id)

    def _log(self, root_id: str) -> int:
        if root_id not in self._open:
            self._open[root_id] = self._opened(root_id)
            if len(self._open) > _MOST_OPEN:
                self._close(next(iter(self._open)))
        self._open.move_to_end(root_id)
        return self._open[root_id]

    def _opened(self, root_id: str) -> int:
        path = self._workspace.job_directory(root_id) / "logs" / "orchestrator.log"
        try:
            return open_log(path)
        except FileNotFoundError:
            self._workspace.prepare_job(root_id)
            return open_log(path)

    def _close(self, root_id: str) -> None:
        handle = self._open.pop(root_id, None)
        if handle is not None:
            os.close(handle)


def line_of(event: Event) -> str:
    """One line; whatever callers and workers wrote is quoted, so that it cannot forge another."""
    who = f" {event.worker_id}" if event.worker_id else ""
    said = " ".join(
        f"{name}={_quoted(value)}" for name, value in event.data.items() if value not in (None, "")
    )
    return f"{iso(event.at)} {event.kind} job={event.job_id}{who} {said}".rstrip() + "\n"


def _quoted(value: object) -> str:
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    return text if _PLAIN.match(text) or not isinstance(value, str) else json.dumps(text)
