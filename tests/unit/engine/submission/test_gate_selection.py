"""The gates with which a job is stored."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.core.gates.gate import AUTO, Gate
from orchestrator.core.model.job import Job, Worker, WorkerKey
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.engine.submission.agents_and_gates import GatePlan, GatePlans
from orchestrator.gates import GateResolver
from tests.unit.core.factories import a_child_job, a_config, a_job, a_worker
from tests.unit.gates.detect.test_detection import Files


class Commits:
    """A repository: the files of its commits."""

    def __init__(self, commits: Mapping[str, Mapping[str, str]]) -> None:
        self._commits = commits
        self.asked = 0

    def gate_files(self, commit: str) -> Files:
        self.asked += 1
        return Files(self._commits[commit])


class StoreStub:
    """A store with the ancestors of a child job."""

    def __init__(self, jobs: list[Job], worker: Worker) -> None:
        self._jobs = {each.id: each for each in jobs}
        self._worker = worker

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def worker(self, key: WorkerKey) -> Worker | None:
        return self._worker


ASKED = Gate(name="", run="make unit")
COMMITS = {"base": {"ruff.toml": ""}, "snapshot": {"conftest.py": ""}}


def plans(is_on: bool = True) -> GatePlans:
    repository: Any = Commits(COMMITS)
    return GatePlans(repository, GateResolver(), is_on)


def names(plan: GatePlan) -> list[str]:
    return [gate.name for gate in plan.gates]


def below(parent: Job, gates: tuple[Gate, ...] | None, base: str, is_on: bool = True) -> GatePlan:
    worker = a_worker(job_id=parent.id, root_id=parent.id)
    store: Any = StoreStub([parent], worker)
    plan, _ = plans(is_on).of_job(store, worker.key, ConfigRequest(gates=gates), base)
    return plan


@pytest.mark.parametrize(
    ("requested", "is_on", "expected", "is_off"),
    [
        (None, True, ["secrets", "ruff"], False),
        (None, False, [], True),
        ((), True, [], True),
        ((ASKED,), False, ["make-unit"], False),
        ((Gate(name="", run=AUTO), ASKED), False, ["secrets", "ruff", "make-unit"], False),
    ],
)
def test_a_root_job_has_its_requested_gates_or_the_detected_gates(
    requested: tuple[Gate, ...] | None, is_on: bool, expected: list[str], is_off: bool
) -> None:
    plan = plans(is_on).of_root(requested, "base")

    assert (names(plan), plan.is_off) == (expected, is_off)


def test_without_a_commit_no_gate_is_detected_and_commands_stay() -> None:
    assert names(plans().of_root(None, "")) == []
    assert names(plans().of_root((Gate(name="", run=AUTO), ASKED), "")) == ["make-unit"]


def test_the_gates_of_a_commit_are_detected_once() -> None:
    repository: Any = Commits(COMMITS)
    made = GatePlans(repository, GateResolver(), is_on=True)

    assert made.of_root(None, "base") == made.of_root(None, "base")
    assert repository.asked == 1


def test_a_child_job_may_add_gates_and_drops_none() -> None:
    gates = plans().of_root(None, "base").gates
    parent = a_job(config=a_config(base="base", gates=gates))

    assert names(below(parent, None, "snapshot")) == ["secrets", "ruff"]
    assert names(below(parent, (), "snapshot")) == ["secrets", "ruff"]
    assert names(below(parent, (ASKED,), "snapshot")) == ["secrets", "ruff", "make-unit"]
    weaker = Gate(name="ruff", run="test -e pyproject.toml")
    assert below(parent, (weaker,), "snapshot").gates == gates


def test_child_jobs_inherit_gates_that_are_off() -> None:
    parent = a_job(config=a_config(base="base", gates_off=True))

    assert below(parent, None, "snapshot") == GatePlan(is_off=True)


def test_a_child_job_that_is_the_first_to_change_files_has_what_is_found() -> None:
    parent = a_job(config=a_config())

    assert names(below(parent, None, "base")) == ["secrets", "ruff"]
    assert names(below(parent, None, "base", is_on=False)) == []


def test_a_grandchild_has_the_gates_of_the_job_above_it() -> None:
    root = a_job(config=a_config(base="base", gates=plans().of_root((ASKED,), "base").gates))
    child = a_child_job(root, a_worker(), config=root.config)
    worker = a_worker(id="worker_1_1", job_id=child.id, root_id=root.id)
    store: Any = StoreStub([root, child], worker)

    plan, first = plans().of_job(store, worker.key, ConfigRequest(), "snapshot")

    assert (names(plan), first) == (["make-unit"], "base")
