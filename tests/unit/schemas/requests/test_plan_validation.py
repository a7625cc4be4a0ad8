"""Requests become submissions; errors in plan files have positions."""

import json

import pytest

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import TaskSpec
from orchestrator.schemas.requests.job import OrchestrateRequest
from orchestrator.schemas.requests.plan_validation import parse_plan

PLAN = """\
request: Build the site
config:
  max_workers: 2
  git: off
tasks:
  - id: on
    command: [make, all]
    agent: shell
  - description: Write a page
    agent: [claude, codex]
    depends_on: [on]
    env: {A: b}
    timeout: 60
"""


def test_a_plan_becomes_a_submission() -> None:
    submission = parse_plan(PLAN, "plan.yaml").to_submission()
    assert submission.request == "Build the site"
    assert (submission.config.values.max_workers, submission.config.values.git) == (2, "off")
    assert submission.tasks == (
        TaskSpec(id="on", command=("make", "all"), agents=("shell",)),
        TaskSpec(
            id="task_2",
            prompt="Write a page",
            agents=("claude", "codex"),
            depends_on=("on",),
            env={"A": "b"},
            timeout=60,
        ),
    )


def test_a_plan_in_json_means_the_same() -> None:
    value = {"request": "x \U0001f600", "tasks": [{"title": "a", "command": "ls\t/"}]}
    plan = parse_plan(json.dumps(value), "plan.json")
    assert plan.to_submission().request == "x \U0001f600"
    assert plan == OrchestrateRequest.model_validate(value)


def test_omitted_fields_stay_unset() -> None:
    submission = OrchestrateRequest.model_validate({"request": "x"}).to_submission("key")
    assert submission.tasks == ()
    assert not submission.config.fields_set
    assert submission.idempotency_key == "key"


def test_ids_of_a_plan_and_generated_ids_never_collide() -> None:
    tasks = [{"title": "a"}, {"id": "task_1", "title": "b"}, {"id": "task_1_", "title": "c"}]
    request = OrchestrateRequest.model_validate({"request": "x", "tasks": tasks})
    ids = [task.id for task in request.to_submission().tasks]
    assert len(set(ids)) == 3
    assert ids[1:] == ["task_1", "task_1_"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request: x\ntasks:\n  - title: t\n    timeout: -1\n", "p.yaml:4:14: /tasks/0/timeout: "),
        ("request: x\ntasks:\n  - title: t\n    tmeout: 1\n", "did you mean 'timeout'?"),
        ("request: x\nrequest: y\n", "p.yaml:2:1: not valid YAML: 'request' occurs twice"),
        ("request: x\ntasks: [\n", "p.yaml:3:1: "),
        ("request: x\n\tconfig: {}\n", "p.yaml:2:1: "),
        ("- a\n- b\n", "a plan is a mapping"),
        ("", "a plan is a mapping"),
        ("just words", "a plan is a mapping"),
        ("config: {}\n", "p.yaml:1:1: /request: is required"),
        ("request: 5\n", "p.yaml:1:10: /request: must be text, in quotes"),
        ("request: x\nconfig: {enable_recursion: yes}\n", "must be true or false"),
        (
            "request: x\nconfig: {gates: pytest}\n",
            "p.yaml:2:17: /config/gates: must be auto, off, or a list such as [pytest]",
        ),
        ("request: !!python/object:os.system x\n", "p.yaml:1:10: "),
        ("a: &a [*a]\n", "/a: unknown field"),
        ("[" * 1000, "p.yaml"),
        ('request: "a\\0b"\n', "NUL"),
    ],
)
def test_a_wrong_plan_is_located(text: str, expected: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_plan(text, "p.yaml")
    assert expected in error.value.message
    assert error.value.kind == "invalid-plan"


def test_known_fields_are_listed_once_and_errors_are_in_the_order_of_the_file() -> None:
    text = "request: x\ntasks:\n- {agnet: a}\n- {comand: b}\n- {zork: 1}\nconfig: {zork: 1}\n"
    with pytest.raises(InvalidRequest) as error:
        parse_plan(text, "p.yaml")
    first, second, third, fourth = error.value.message.splitlines()
    assert first.startswith(
        "p.yaml:3:11: /tasks/0/agnet: unknown field; did you mean 'agent'? known: id, title, "
    )
    assert second == "p.yaml:4:12: /tasks/1/comand: unknown field; did you mean 'command'?"
    assert third == "p.yaml:5:10: /tasks/2/zork: unknown field"
    assert fourth.startswith("p.yaml:6:16: /config/zork: unknown field; known: max_workers, ")


def test_a_wrong_json_plan_is_located() -> None:
    with pytest.raises(InvalidRequest, match=r"p\.json:2:3: "):
        parse_plan('{"request":\n  }', "p.json")


def test_locks_of_a_plan_that_lead_out_of_the_project_are_refused_with_their_place() -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_plan("request: x\ntasks:\n- title: t\n  locks: [../src]\n", "p.yaml")
    assert "p.yaml:4:11" in error.value.message


def test_gates_of_a_plan_are_names_commands_or_objects() -> None:
    text = """request: x
config: {gates: [auto, {name: unit, run: make unit, report: junit, timeout: 5}]}
tasks:
- {title: t, gates: [test -s x]}
"""
    submission = parse_plan(text, "p.yaml").to_submission()

    auto, unit = submission.config.values.gates
    assert (auto.run, unit.name, unit.report, unit.new_only) == ("auto", "unit", "junit", True)
    assert [(gate.run, gate.new_only) for gate in submission.tasks[0].gates] == [
        ("test -s x", False)
    ]


@pytest.mark.parametrize(
    ("gates", "place"),
    [
        ("some", "3:10"),
        ("[{run: x}]", "3:11"),
        ("[{name: a.b, run: x}]", "3:18"),
        ("[{name: a, run: x, baseline: old}]", "3:38"),
        ("[{name: a, run: x, command: y}]", "3:37"),
        ("['']", "3:11"),
        ("[ruff, 'off']", "3:17"),
    ],
)
def test_gates_that_cannot_be_are_refused_with_their_place(gates: str, place: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_plan(f"request: x\nconfig:\n  gates: {gates}\n", "p.yaml")
    assert f"p.yaml:{place[0]}:" in error.value.message


def test_long_lists_of_faults_are_cut() -> None:
    tasks = "\n".join("  - {}" for _ in range(100))
    with pytest.raises(InvalidRequest) as error:
        parse_plan(f"request: x\ntasks:\n{tasks}\n", "p.yaml")
    assert error.value.message.count("\n") == 20
    assert error.value.message.endswith("... and 80 more")
