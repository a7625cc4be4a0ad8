"""``orchestrator plan``: the plan that the built-in rules make, and the rule that matched."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.output.exit_codes import ExitCode


@pytest.fixture
def context(tmp_path: Path) -> CliContext:
    return CliContext(folder=tmp_path, environ={})


@pytest.fixture
def project_context(tmp_path: Path) -> CliContext:
    environ = {"ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(tmp_path)}
    return CliContext(folder=tmp_path, environ=environ)


def test_the_kind_of_work_is_shown_with_the_tasks(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    request = "Build a full-stack application. Please keep it small and tidy."

    assert execute(["plan", request], context) == ExitCode.OK

    out = capsys.readouterr().out
    ids = [line.split()[0] for line in out.splitlines()]
    assert ids[:5] == ["ID", "frontend", "backend", "database", "tests"]
    assert 'planned by rules: kind of work "full-stack application"' in out


def test_json_names_the_planner_and_its_rule(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan", "--json", "--max-cost", "2", "--max-steps", "5", "Add login. Add logout."]
    execute(arguments, context)

    shown = json.loads(capsys.readouterr().out)
    planner = shown["planner"]
    assert shown["config"] == {"max_cost_usd": 2.0, "max_steps": 5}
    assert planner == {"source": "rules", "rule": "sentences", "kind": None, "fallback": None}


def test_the_table_of_kinds_is_shown(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plan", "--kinds"], context) == ExitCode.OK
    text = capsys.readouterr().out
    assert execute(["plan", "--json", "--kinds"], context) == ExitCode.OK
    found = {kind["name"]: kind for kind in json.loads(capsys.readouterr().out)}

    assert "microservices\n  request: Break down this complex backend" in text
    assert [task["id"] for task in found["full-stack application"]["tasks"]] == [
        "frontend",
        "backend",
        "database",
        "tests",
    ]


def test_a_request_that_only_thanks_is_refused(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plan", "Thank you very much."], context) == ExitCode.USAGE
    assert "no tasks" in capsys.readouterr().err


def a_plan(folder: Path, *tasks: dict[str, object]) -> str:
    path = folder / "plan.yaml"
    path.write_text(json.dumps({"request": "x", "tasks": tasks}))
    return str(path)


SEVERAL = {"id": "a", "prompt": "x", "agent": ["claude", "codex"]}
ALONE = {"id": "b", "prompt": "x", "agent": "claude"}


@pytest.mark.parametrize(
    ("arguments", "named", "reviews"),
    [
        (["--review"], "", ["auto", None]),
        (["--review", "claude"], "", ["claude", None]),
        (["--review", "claude"], "codex", ["claude", None]),
        (["--review"], "codex", ["codex", None]),
    ],
)
def test_a_review_is_for_tasks_with_several_agents(
    context: CliContext,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
    reviews: list[str | None],
) -> None:
    plan = a_plan(context.folder, {**SEVERAL, "review": named}, ALONE)

    assert execute(["plan", "--json", "--plan", plan, *arguments], context) == ExitCode.OK

    found = json.loads(capsys.readouterr().out)
    assert [each.get("review") for each in found["tasks"]] == reviews
    assert found["estimate"]["reviewers"] == 1
    assert found["estimate"]["review_tokens"] in (0, 100_000)


def test_the_plan_shows_who_reviews_and_what_the_review_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(tmp_path)}
    context = CliContext(folder=tmp_path, environ=environ)
    plan = a_plan(tmp_path, SEVERAL)

    assert execute(["plan", "--plan", plan, "--review", "claude"], context) == ExitCode.OK

    out = capsys.readouterr().out
    assert "claude, codex; review: claude" in out
    assert "2 workers and 1 reviewer: 100,000 tokens, cost unknown" in out


@pytest.mark.parametrize("command", ["run", "submit", "plan"])
def test_a_review_without_candidates_is_refused(
    context: CliContext, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    plan = a_plan(context.folder, ALONE)

    for arguments in (["--plan", plan, "--review"], ["x", "--review"]):
        assert execute([command, *arguments], context) == ExitCode.USAGE
        err = capsys.readouterr().err
        assert "needs a task with several agents" in err and "--yaml > plan.yaml" in err


AN_AGENT = {"id": "a", "prompt": "x", "agent": "claude"}


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ({**AN_AGENT, "role": "pirate"}, "unknown role 'pirate'; known: "),
        ({**AN_AGENT, "agent": "clade"}, "unknown agent 'clade'"),
        ({"id": "a", "command": "ls", "model": "opus"}, "agent 'shell' takes no model"),
        ({"id": "a", "command": "ls", "requires": {"gpu": "a100"}}, "lacks gpu=a100"),
        ({**AN_AGENT, "timeout": 10**8}, "above the server limit 86400"),
        ({**SEVERAL, "review": "shell"}, "agent 'shell' cannot review"),
    ],
)
@pytest.mark.parametrize("command", [["plan"], ["run", "--plan-only"]])
def test_a_plan_that_run_rejects_is_not_shown(
    project_context: CliContext,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    task: dict[str, object],
    error: str,
) -> None:
    plan = a_plan(project_context.folder, ALONE, task)

    assert execute([*command, "--plan", plan], project_context) != ExitCode.OK

    printed = capsys.readouterr()
    assert error in printed.err
    assert printed.out == ""


def test_a_plan_is_shown_even_if_its_agent_cannot_work_here(
    project_context: CliContext,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    plan = a_plan(project_context.folder, AN_AGENT)

    assert execute(["plan", "--plan", plan], project_context) == ExitCode.OK

    printed = capsys.readouterr()
    assert "claude" in printed.out
    assert "not yet ready to run: task 'a': agent 'claude' is not available" in printed.err


def test_a_plan_with_a_dependency_cycle_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(tmp_path)}
    context = CliContext(folder=tmp_path, environ=environ)
    file = tmp_path / "plan.yaml"
    file.write_text(
        "request: x\ntasks:\n"
        "  - {id: a, command: echo a, depends_on: [b]}\n"
        "  - {id: b, command: echo b, depends_on: [a]}\n"
    )

    for command in (["plan"], ["run", "--plan-only"]):
        assert execute([*command, "--plan", str(file)], context) == ExitCode.USAGE
        printed = capsys.readouterr()
        assert "dependency cycle: a -> b -> a" in printed.err
        assert printed.out == ""
