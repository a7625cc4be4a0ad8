"""Compares workflow graphs of science projects, run as scaled sleeps, with ``make -j``.

A schedule takes at least the time of the critical path, and at least the work divided by the slots.
A schedule without planning may take longer than both (Graham, "Bounds on multiprocessing timing
anomalies", 1969). ``make`` therefore runs the same graph in the same minute, for comparison.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import run_request
from benchmarks.options import Options
from benchmarks.server import Client, running_server

DATA = Path(__file__).with_suffix(".json")
SLOTS = 8
#: Seconds to which the larger of the two bounds is scaled.
BOUND_SECONDS = 10.0
#: Minimum ratio of make's time to ours.
TARGET = 0.95


@dataclass(frozen=True, slots=True)
class Task:
    seconds: float
    #: Indexes of the tasks on which the task depends.
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Workflow:
    name: str
    tasks: Sequence[Task]

    @property
    def bound(self) -> float:
        """Return the minimum seconds of any schedule on the slots."""
        ends: list[float] = []
        for task in self.tasks:
            ends.append(task.seconds + max((ends[each] for each in task.needs), default=0.0))
        return max(*ends, sum(task.seconds for task in self.tasks) / SLOTS)

    def scaled(self, bound: float) -> "Workflow":
        factor = bound / self.bound
        return Workflow(self.name, [Task(task.seconds * factor, task.needs) for task in self.tasks])

    @property
    def request(self) -> bytes:
        tasks = [
            {
                "id": f"t{position}",
                "agent": "shell",
                "command": ["sleep", f"{task.seconds:.4f}"],
                "depends_on": [f"t{each}" for each in task.needs],
            }
            for position, task in enumerate(self.tasks)
        ]
        config = {"max_workers": SLOTS}
        return json.dumps({"request": self.name, "config": config, "tasks": tasks}).encode()

    @property
    def makefile(self) -> str:
        rules = [
            f"t{position}: {' '.join(f't{each}' for each in task.needs)}\n"
            f"\t@sleep {task.seconds:.4f} >t{position}.log 2>&1\n"
            for position, task in enumerate(self.tasks)
        ]
        names = " ".join(f"t{position}" for position in range(len(self.tasks)))
        return f".PHONY: all {names}\nall: {names}\n{''.join(rules)}"


def measure(options: Options) -> Findings:
    count, bound = options.pick((5, BOUND_SECONDS), (1, 1.0))
    workflows = [each.scaled(bound) for each in _workflows()][:count]
    with running_server(SLOTS) as server:
        figures = [each for flow in workflows for each in _figures(server.client(), flow, bound)]
    notes = () if shutil.which("make") else ("make is not installed: it is left out",)
    return Findings(figures=figures, notes=notes)


def _figures(client: Client, flow: Workflow, bound: float) -> Iterator[Figure]:
    ours = run_request(client, flow.request, len(flow.tasks)).work_seconds
    what = f"{flow.name}, {len(flow.tasks)} tasks on {SLOTS} slots"
    yield Figure(what=f"{what}: bound / makespan", value=bound / ours)
    if shutil.which("make"):
        theirs = _make_seconds(flow)
        yield Figure(what=f"{what}: bound / makespan of make -j", value=bound / theirs)
        yield Figure(what=f"{what}: make -j / ours", value=theirs / ours, at_least=TARGET)


def _make_seconds(flow: Workflow) -> float:
    with tempfile.TemporaryDirectory(prefix="workflows-") as directory:
        Path(directory, "Makefile").write_text(flow.makefile)
        began = time.perf_counter()
        subprocess.run(["make", f"-j{SLOTS}", "--silent", "all"], cwd=directory, check=True)
        return time.perf_counter() - began


def _workflows() -> list[Workflow]:
    tasks_by_name = json.loads(DATA.read_text())["workflows"]
    return [
        Workflow(name, [Task(seconds, tuple(needs)) for seconds, *needs in tasks])
        for name, tasks in tasks_by_name.items()
    ]
