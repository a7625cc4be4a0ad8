"""Summarizes what happened in the demo, from the files of its job."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli.output.status_answer import SUCCEEDED
from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import dataclass

#: A line of ``logs/orchestrator.log``.
LINE = re.compile(r"^\S+ (?P<kind>\w+) job=(?P<job>\w+)(?: (?P<worker>worker_\w+))?", re.MULTILINE)
STOPS = (EventKind.WORKER_ENDED, EventKind.WORKER_RETRYING)

Answer = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Story:
    #: Content of ``status.json``.
    status: Answer
    #: Text of ``logs/orchestrator.log``.
    log: str
    #: The field ``workers`` of ``reports/analytics.json``.
    figures: Sequence[Answer]

    @classmethod
    def of(cls, status: Answer, workspace: Path) -> "Story":
        """Read the facts from the job's files. A missing file counts as empty."""
        directory = workspace / f"job_{status['job_id']}"
        log, figures = directory / "logs/orchestrator.log", directory / "reports/analytics.json"
        return cls(
            status=status,
            log=log.read_text("utf-8", "replace") if log.exists() else "",
            figures=json.loads(figures.read_text("utf-8"))["workers"] if figures.exists() else [],
        )

    def lines(self) -> Iterator[str]:
        """Yield a line for each event worth showing, such as a child job or a resolved conflict."""
        if (most := self._most_at_once()) > 1:
            yield f"{most} workers ran in parallel"
        for task in self._succeeded:
            if children := task.get("child_results"):
                job = children[0]["job_id"]
                yield f"{task['worker_id']} started child job {job} with {len(children)} workers"
        for task in self._succeeded:
            if gates := ", ".join(self._rejecting_gates(task)):
                yield f'{_attempt_of(task)} repaired the change that gate "{gates}" had rejected'
        events = LINE.finditer(self.log)
        sent_back = {e["worker"] for e in events if e["kind"] == EventKind.WORKER_SENT_BACK}
        for task in self._succeeded:
            if task["worker_id"] in sent_back:
                yield f"{_attempt_of(task)} resolved a merge conflict"

    @property
    def _succeeded(self) -> Sequence[Answer]:
        tasks = (self.status.get("results") or {}).get("tasks") or []
        return [task for task in tasks if task["status"] in SUCCEEDED]

    def _rejecting_gates(self, task: Answer) -> Sequence[str]:
        worker_figures = [each for each in self.figures if each["worker_id"] == task["worker_id"]]
        failures = [failure for each in worker_figures for failure in each["failures"]]
        return [*dict.fromkeys(gate for failure in failures for gate in failure["gates"])]

    def _most_at_once(self) -> int:
        running: set[str] = set()
        most = 0
        for event in LINE.finditer(self.log):
            if event["job"] != self.status["job_id"] or not event["worker"]:
                continue
            if event["kind"] == EventKind.WORKER_STARTED:
                running.add(event["worker"])
            elif event["kind"] in STOPS:
                running.discard(event["worker"])
            most = max(most, len(running))
        return most


def _attempt_of(task: Answer) -> str:
    return f"attempt {task['attempts']} of {task['worker_id']}"
