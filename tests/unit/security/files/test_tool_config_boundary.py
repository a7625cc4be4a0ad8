"""Files at which upward searches of tools end, including the workspace of this folder."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.security.files import tool_config_boundary

FOLDER = Path(__file__).parents[4]


@pytest.mark.parametrize("name", tool_config_boundary.FILES)
def test_a_file_that_the_folder_has_itself_stays_as_it_is(name: str) -> None:
    known = subprocess.run(
        ["git", "ls-files", "--error-unmatch", f"workspace/{name}"],
        cwd=FOLDER,
        capture_output=True,
        check=False,
    )
    if known.returncode == 0:
        assert (FOLDER / "workspace" / name).read_text() == tool_config_boundary.FILES[name]


def test_files_are_written_once_and_again_where_they_were_changed(tmp_path: Path) -> None:
    tool_config_boundary.write(tmp_path)
    before = (tmp_path / "ruff.toml").stat().st_mtime_ns
    (tmp_path / "package.json").write_text("{")
    tool_config_boundary.write(tmp_path)
    assert (tmp_path / "package.json").read_text() == tool_config_boundary.FILES["package.json"]
    assert (tmp_path / "ruff.toml").stat().st_mtime_ns == before


def test_the_variables_depend_on_the_files_of_the_worktree(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    bare = tool_config_boundary.variables_of(str(tmp_path), str(tmp_path / "sub"))
    assert bare == {"GOWORK": "off", "PYTEST_ADDOPTS": "--rootdir=."}
    (tmp_path / "go.work").touch()
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    assert tool_config_boundary.variables_of(str(tmp_path), str(tmp_path / "sub")) == {"GOWORK": ""}
