"""The gates of a worker."""

from dataclasses import replace

from orchestrator.core.gates.gate import Gate, GateSource
from orchestrator.core.model.job import Job, TaskSpec
from orchestrator.engine.attempts.attempt_gates import gates_of
from tests.unit.core.factories import a_config, a_job

ASKED = Gate(name="asked", run="true")
FOUND = Gate(name="found", run="pytest", source=GateSource.DETECTED)
PLANNED = Gate(name="planned", run="pytest a.py", source=GateSource.PLANNED)


def made(base: str = "abc", **config: object) -> Job:
    return a_job(config=a_config(base=base, **config))


def names(of: Job, task: TaskSpec, has_worktree: bool = True) -> list[str]:
    return [gate.name for gate in gates_of(of, task, has_worktree)]


def test_gates_of_a_task_come_first_and_override_those_of_the_job() -> None:
    own = replace(FOUND, run="pytest -x")
    task = TaskSpec(id="a", gates=(own, PLANNED))

    found = gates_of(made(gates=(ASKED, FOUND)), task, True)

    assert [(gate.name, gate.run) for gate in found] == [
        ("found", "pytest -x"),
        ("planned", "pytest a.py"),
        ("asked", "true"),
    ]


def test_without_a_worktree_only_requested_gates_count() -> None:
    task = TaskSpec(id="a", gates=(replace(ASKED, name="mine"), PLANNED))

    assert names(made(gates=(ASKED, FOUND)), task, has_worktree=False) == ["mine"]
    assert names(made("", gates=(ASKED, FOUND)), task, has_worktree=False) == ["mine", "asked"]


def test_off_is_for_plans_too() -> None:
    task = TaskSpec(id="a", gates=(ASKED, PLANNED))

    assert names(made(gates_off=True), task) == ["asked"]
