"""Node.js packages that a project requires, but that are not installed."""

import json
from pathlib import Path

import pytest

from orchestrator.engine.gates.missing_npm_packages import are_missing, is_missing, reports_missing

PACKAGE = json.dumps({"devDependencies": {"jest": "1", "@scope/lib": "1"}})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "package.json").write_text(PACKAGE)
    (tmp_path / "app").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("printed", "missed"),
    [
        ("Error: Cannot find module '@scope/lib'\nRequire stack:", True),
        ("Cannot find package 'jest' imported from /x/a.mjs", True),
        ("Cannot find module 'jest/globals'", True),
        ("a.ts(1,1): error TS2307: Cannot find module 'jest' or its types", True),
        ("bash: line 1: jest: command not found", True),
        ("sh: 1: jest: not found", True),
        ("Error: Cannot find module './jest'", False),
        ("Error: Cannot find module '/x/jest'", False),
        ("Error: Cannot find module 'jest-extended'", False),
        ("bash: line 1: ruff: command not found", False),
        ("expected 1 to be 2", False),
    ],
)
def test_only_packages_that_the_project_names_are_missed(
    project: Path, printed: str, missed: bool
) -> None:
    assert reports_missing(printed, str(project / "app"), str(project)) is missed


@pytest.mark.parametrize("installed", ["node_modules", "app/node_modules", ".pnp.cjs"])
def test_nothing_is_missing_where_packages_are_installed(project: Path, installed: str) -> None:
    assert are_missing(str(project / "app"), str(project))
    (project / installed).mkdir()
    assert not are_missing(str(project / "app"), str(project))
    assert not is_missing("jest", str(project / "app"), str(project))


def test_settings_above_the_worktree_are_not_read(project: Path) -> None:
    assert not are_missing(str(project / "app"), str(project / "app"))
    assert is_missing("jest", str(project), str(project))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"dependencies": 1}', "[" * 100_000])
def test_a_package_json_that_cannot_be_read_names_nothing(project: Path, text: str) -> None:
    (project / "package.json").write_text(text)
    assert not are_missing(str(project), str(project))
