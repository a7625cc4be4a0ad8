"""The gates of a worker, and their findings in the next attempt's prompt."""

from dataclasses import replace

from orchestrator.core.gates.gate import Gate, GateResult, GateSource, GateStatus
from orchestrator.core.model.attempt.failure import HANDED_ON, SENT_BACK
from orchestrator.core.model.job import Job, TaskSpec
from orchestrator.core.model.states import WorkerKind
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.engine.attempts.assignment import GATE_CHARACTERS, _previous_failure
from orchestrator.engine.attempts.attempt_gates import gates_of
from tests.unit.core.factories import a_config, a_job, a_worker

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


def test_the_next_attempt_gets_the_findings_of_its_gates() -> None:
    failed = GateResult(
        name="pytest",
        status=GateStatus.FAILED,
        failures=("tests.a::b: assert 1",),
        output="x" * 9000,
    )
    again = replace(a_worker(), attempt=2, result=WorkerResult(exit_code=0, gates=(failed,)))

    text = _previous_failure(again)

    assert "Gate pytest: failed\n- tests.a::b: assert 1" in text
    assert len(text) <= GATE_CHARACTERS
    passed = replace(failed, status=GateStatus.PASSED)
    result = WorkerResult(exit_code=1, gates=(passed,))
    assert "exit code 1" in _previous_failure(replace(again, result=result))


def test_conflicts_are_in_the_prompt_of_every_attempt_that_must_resolve_them() -> None:
    result = WorkerResult(exit_code=1, conflicts=("a.txt", "b"), output="no idea")
    first = replace(a_worker(), attempt=2, failure=SENT_BACK, result=result)

    assert "other workers in 'a.txt', 'b'. Both versions" in _previous_failure(first)
    assert "no idea" not in _previous_failure(first)
    second = _previous_failure(replace(first, attempt=3, failure="exit code|x"))
    assert second.startswith(_previous_failure(first))
    assert second.endswith(
        "The attempt ended with exit code 1 (exit code). The end of its output:\n\nno idea"
    )


def test_an_adviser_in_place_of_another_is_not_shown_the_others_refused_login() -> None:
    """An adviser does not continue earlier work, so a failed login does not matter."""
    result = WorkerResult(output="Your plan was rejected: invalid x-api-key")
    worker = replace(a_worker(), attempt=2, failure=HANDED_ON, result=result)

    assert "the login of that agent failed" in _previous_failure(worker)
    assert _previous_failure(replace(worker, kind=WorkerKind.PLANNER)) == ""
