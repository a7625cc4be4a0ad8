"""The command reads a plan file without validation; the result equals a validated plan file."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.plan.plan_file import read_plan, unchecked_plan
from orchestrator.core.errors import InvalidRequest
from orchestrator.schemas.requests.job import JobRequest
from tests.unit.cli.conftest import Orchestrator

USUAL = """\
request: Build
config: {max_workers: 2, max_cost_usd: 1, gates: [make test]}
tasks:
- {id: a, agent: [x, {name: y, model: m}], prompt: 2024-01-01, timeout: 5, env: {A: "on"}}
- {depends_on: [a], command: [make, "no"], role: null}
"""


def test_the_server_reads_an_unchecked_plan_like_a_checked_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(USUAL)
    plans = [read_plan(path, None), unchecked_plan(path, None)]
    sent = [
        json.loads(
            json.dumps({"request": each.request, "config": each.config, "tasks": each.tasks})
        )
        for each in plans
        if each is not None
    ]
    checked, unchecked = map(JobRequest.model_validate, sent)
    assert unchecked == checked


@pytest.mark.parametrize(
    "text",
    [
        "request: x",
        "tasks: []",
        "- 1",
        "request: 7\ntasks: [{command: a}]",
        "config: 7\ntasks: [{command: a}]",
        "tasks: [a]",
        "workdir: project\ntasks: [{command: a}]",
        "task: [{command: a}]",
        "tasks: [{command: a, env: {1: b}}]",
        "tasks: [{command: !!binary YQ==}]",
        "tasks: [{command: a, env: &loop {a: *loop}}]",
    ],
)
def test_an_unusual_plan_is_checked_here(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    assert unchecked_plan(path, None) is None


def test_a_question_gets_no_workdir_from_the_top_of_its_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "request: Deploy\nworkdir: project\n"
        "tasks:\n- {command: make}\n- {approve: Deploy, depends_on: [task_1]}\n"
    )
    plan = read_plan(path, None)
    checked = JobRequest.model_validate(
        json.loads(json.dumps({"request": "x", "tasks": plan.tasks}))
    )
    assert [task.workdir for task in checked.tasks] == ["project", None]


def test_an_error_in_a_plan_is_named_with_its_line_without_a_server(
    orchestrator: Orchestrator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("request: x\ntasks:\n- agent: shell\n  comand: 'true'\n")
    assert orchestrator("submit", "--plan", str(path)) == ExitCode.USAGE
    assert "plan.yaml:4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("l.json", '[{"command": "true"}]', "put the list below 'tasks'", id="JSON"),
        pytest.param("l.yaml", "- command: true\n", "put the list below 'tasks'", id="YAML"),
        pytest.param("w.yaml", "build it", "a plan is a mapping with the keys", id="words"),
        pytest.param("e.yaml", "", "neither 'request' nor 'tasks'", id="empty"),
        pytest.param(
            "t.json", '{"tasks": [{"command": 1}]}', "/tasks/0/command: must be", id="wrong task"
        ),
    ],
)
def test_an_error_in_a_plan_without_a_request_names_what_the_file_has(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        read_plan(path, None)
    assert caught.value.message.startswith(f"{name}: ")
    assert expected in caught.value.message
