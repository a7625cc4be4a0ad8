"""``orchestrator gates`` and ``--gate``: the commands are shown before they run."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.plan.job_options import JobOptions, request_options
from tests.support.project import Project


@pytest.fixture
def context(tmp_path: Path) -> CliContext:
    project = Project(tmp_path / "project").begin({"ruff.toml": "", "Cargo.toml": ""})
    folder = project.path / "product"
    folder.mkdir()
    settings = {
        "orchestrator": {"project_root": str(project.path)},
        "api": {"api_key": "a-key-of-16-characters-or-more"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return CliContext(folder=folder, environ={"PATH": "/usr/bin:/bin"})


def test_selected_gates_are_listed_with_their_reason(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["gates", "--json"], context) == 0
    gates = json.loads(capsys.readouterr().out)["gates"]

    assert [gate["name"] for gate in gates] == ["secrets", "ruff", "cargo-test"]
    assert (gates[1]["why"], gates[1]["baseline"]) == ("ruff.toml", "new-only")
    context.as_json = False
    assert execute(["gates"], context) == 0
    assert "cargo test --no-fail-fast" in capsys.readouterr().out


def test_the_command_names_the_setting_that_turned_gates_off(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    off = CliContext(folder=context.folder, environ={"ORCHESTRATOR_GATES__RUN": "off"})

    assert execute(["gates"], off) == 0
    assert capsys.readouterr().out == (
        "no gates: gates.run is off; to use gates, set gates.run to auto in config.yaml\n"
    )


def test_an_empty_gate_file_is_named_as_the_reason_for_no_gates(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(context.folder.parent).commit({".orchestrator/gates.yaml": "gates: []\n"})

    assert execute(["gates"], context) == 0
    assert capsys.readouterr().out == (
        "no gates: the list in .orchestrator/gates.yaml is empty; add gates, or delete the file; "
        "then commit the change\n"
    )


@pytest.mark.parametrize("has_repository", [True, False])
def test_a_project_without_a_commit_is_named_as_the_reason_for_no_gates(
    context: CliContext, capsys: pytest.CaptureFixture[str], has_repository: bool
) -> None:
    shutil.rmtree(context.folder.parent / ".git")
    if has_repository:
        Project(context.folder.parent).git("init", "-q")

    assert execute(["gates"], context) == 0
    assert capsys.readouterr().out == (
        "no gates: the project has no commit in git; commit its files\n"
    )


def test_a_plan_is_shown_with_what_its_results_are_checked_with(
    context: CliContext, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plan", "do it", "--agent", "claude"], context) == 0

    shown = capsys.readouterr()
    assert "gates for the results:" in shown.err
    assert "cargo-test" in shown.err


@pytest.mark.parametrize("agent", ["shell", "survey"])
def test_a_plan_for_workers_without_a_worktree_names_no_gates(
    context: CliContext, capsys: pytest.CaptureFixture[str], agent: str
) -> None:
    assert execute(["plan", "do it", "--agent", agent], context) == 0

    assert "checked with" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "gates"),
    [
        ([], None),
        (["--gate", "off"], "off"),
        (["--gate", "auto"], "auto"),
        (["--gate", "auto", "--gate", "make check"], ["auto", "make check"]),
        (["--gate", "pytest"], ["pytest"]),
    ],
)
def test_options_of_the_command_line_select_gates(arguments: list[str], gates: object) -> None:
    import click

    found: list[object] = []

    @click.command()
    @request_options
    def command(**options: object) -> None:
        found.append(options["gates"])

    command.main(["x", *arguments], standalone_mode=False)

    assert found == [gates]
    assert JobOptions(request="x").config == {}
