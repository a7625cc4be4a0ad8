"""Starts child jobs that survey directories, and reads their results.

For each directory, the survey runs ``orchestrator spawn ... --wait``, as any worker may do.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from orchestrator.agents.survey.analysis.result import PartRow, SurveyResult, read_result
from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.division import Division, SurveyPart
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.states import SUCCEEDED_WORKER

# The exit codes of ``orchestrator spawn``; a test compares them with cli/output/exit_codes.py.
OK, FAILED, USAGE, NOT_FOUND, KEY_REFUSED, UNREACHABLE, PARTIAL, LIMIT = range(8)
#: Exit codes of ``orchestrator spawn`` that mean: no child job was started.
_NOT_STARTED = frozenset({USAGE, KEY_REFUSED, UNREACHABLE, LIMIT})
#: Exit codes of ``orchestrator spawn`` that mean: the child job has ended, and its final status was
#: printed.
_ENDED = frozenset({OK, FAILED, PARTIAL})


@dataclass
class ChildJobs:
    """Results of the child jobs, and the surveyed parts with the statuses of their workers.

    ``refused``: the directories for which no child job was started, each with the reason.
    """

    results: list[SurveyResult] = field(default_factory=list)
    parts: list[PartRow] = field(default_factory=list)
    refused: list[tuple[Division, str]] = field(default_factory=list)

    @property
    def missing(self) -> list[PartRow]:
        return [part for part in self.parts if part.status not in SUCCEEDED_WORKER]


def run_child_jobs(divisions: Sequence[Division], directory: Path) -> ChildJobs:
    """Start a child job for each division, wait for all of them, and read their results."""
    jobs = ChildJobs()
    plans = [directory / f"survey-tasks-{number}.json" for number in range(len(divisions))]
    processes = [_spawn(*pair) for pair in zip(divisions, plans, strict=True)]
    for division, process, plan in zip(divisions, processes, plans, strict=True):
        if process is None:
            jobs.refused.append((division, "`orchestrator` is not on the PATH"))
            continue
        output, _ = process.communicate()
        plan.unlink(missing_ok=True)
        if process.returncode in _NOT_STARTED:
            reason = f"`orchestrator spawn` ended with exit code {process.returncode}"
            jobs.refused.append((division, reason))
        else:
            _collect(jobs, division, _workers_by_task(output, process.returncode))
    return jobs


def _spawn(division: Division, plan: Path) -> "subprocess.Popen[bytes] | None":
    program = shutil.which("orchestrator")
    if program is None:
        return None
    tasks = [_task(task_id, part) for task_id, part in _tasks(division)]
    plan.write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    scope = "the project" if division.directory == "." else division.directory
    request = f"Survey the parts of {scope}"
    return subprocess.Popen(
        [program, "spawn", request, "--tasks", str(plan), "--wait", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


def _tasks(division: Division) -> list[tuple[str, SurveyPart]]:
    return [(f"part-{number}", part) for number, part in enumerate(division.parts, 1)]


def _task(task_id: str, part: SurveyPart) -> dict[str, Any]:
    return {
        "id": task_id,
        "title": f"Survey {part.name}",
        "prompt": f"Survey {part.name}: {part.file_count} files",
        "agent": "survey",
        "files": list(part.files),
    }


def _workers_by_task(output: bytes, exit_code: int) -> dict[str, Mapping[str, Any]]:
    # If a task has several candidates, use one that succeeded.
    workers: dict[str, Mapping[str, Any]] = {}
    for worker in _workers_in(output) if exit_code in _ENDED else ():
        key = str(worker.get("task_id"))
        if key not in workers or workers[key].get("status") not in SUCCEEDED_WORKER:
            workers[key] = worker
    return workers


def _workers_in(output: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        rows = json.loads(output)["results"]["tasks"]
    except (ValueError, KeyError, TypeError):
        return
    yield from (row for row in rows if isinstance(row, dict))


def _collect(jobs: ChildJobs, division: Division, workers: Mapping[str, Mapping[str, Any]]) -> None:
    for task_id, part in _tasks(division):
        worker = workers.get(task_id, {})
        status, reason = str(worker.get("status", "unknown")), str(worker.get("reason") or "")
        try:
            jobs.results.append(read_result(_workspace(worker)))
        except SurveyError as error:
            status = "failed" if status in SUCCEEDED_WORKER else status
            reason = reason or error.message
        row = PartRow(part.name, list(part.files), str(worker.get("worker_id", "")), status, reason)
        jobs.parts.append(row)


def _workspace(worker: Mapping[str, Any]) -> Path:
    workspace = worker.get("workspace")
    if not isinstance(workspace, str) or not workspace.startswith("/"):
        raise SurveyError("the worker returned no result")
    return Path(workspace)
