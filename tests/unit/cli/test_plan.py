"""``orchestrator plan``: what the rules make of a request, and by which rule."""

import json
from pathlib import Path

import pytest

from orchestrator.cli import execute
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.surroundings import Surroundings


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings(folder=tmp_path, environ={})


def test_the_kind_of_work_is_shown_with_the_tasks(
    surroundings: Surroundings, capsys: pytest.CaptureFixture[str]
) -> None:
    request = "Build a full-stack application. Please keep it small and tidy."

    assert execute(["plan", request], surroundings) == ExitCode.OK

    out = capsys.readouterr().out
    ids = [line.split()[0] for line in out.splitlines()]
    assert ids[:5] == ["ID", "frontend", "backend", "database", "tests"]
    assert 'planned by rules: kind of work "full-stack application"' in out


def test_json_names_who_planned_and_by_which_rule(
    surroundings: Surroundings, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(["plan", "--json", "Add login. Add logout."], surroundings)

    planner = json.loads(capsys.readouterr().out)["planner"]
    assert planner == {"source": "rules", "rule": "sentences", "kind": None, "fallback": None}


def test_the_table_of_kinds_is_shown(
    surroundings: Surroundings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plan", "--kinds"], surroundings) == ExitCode.OK
    text = capsys.readouterr().out
    assert execute(["plan", "--json", "--kinds"], surroundings) == ExitCode.OK
    found = {kind["name"]: kind for kind in json.loads(capsys.readouterr().out)}

    assert "microservices\n  request: Break down this complex backend" in text
    assert [task["id"] for task in found["full-stack application"]["tasks"]] == [
        "frontend",
        "backend",
        "database",
        "tests",
    ]


def test_a_request_that_only_thanks_is_refused(
    surroundings: Surroundings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plan", "Thank you very much."], surroundings) == ExitCode.USAGE
    assert "asks for nothing" in capsys.readouterr().err
