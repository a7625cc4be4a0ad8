"""One version everywhere, the files of the portable folder, and release notes."""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.api.openapi.document import document
from orchestrator.cli.setup.portable_folder import PACKAGE, create, names
from orchestrator.core.errors import Conflict
from tests.support.sources import source_nodes

FOLDER = Path(__file__).resolve().parents[2]


def test_there_is_one_version() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))
    names = ("plugin.json", ".claude-plugin/plugin.json", "examples/n8n/node/package.json")
    found = {json.loads((FOLDER / each).read_text("utf-8"))["version"] for each in names}
    assert found == {__version__} == {json.loads(document())["info"]["version"]}
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "orchestrator/__init__.py"


def test_the_wheel_has_each_file_at_its_path_in_the_folder() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert listed == {name: f"orchestrator/portable/{name}" for name in names()}
    assert all((FOLDER / name).exists() for name in names())


def test_links_of_the_portable_folders_pages_stay_in_the_folder() -> None:
    tops = {PACKAGE, *(name.split("/")[0] for name in names())}
    pages = [page for each in names() for page in (FOLDER / each, *(FOLDER / each).rglob("*.md"))]
    leaving = [
        f"{page.relative_to(FOLDER)}: {link}"
        for page in pages
        if page.suffix == ".md"
        for link in re.findall(r"\]\(([^)#:\s]+)[^)\s:]*\)", page.read_text("utf-8"))
        if Path(os.path.relpath(page.parent / link, FOLDER)).parts[0] not in tops
    ]
    assert leaving == []


def test_an_archive_is_the_portable_folder() -> None:
    command = ["git", "archive", "--worktree-attributes", "HEAD"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a clone")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        tops = {each.name.split("/")[0] for each in archive.getmembers()}
    assert tops == {PACKAGE, *(name.split("/")[0] for name in names())}


def test_a_folder_is_created_whole_from_a_folder(tmp_path: Path) -> None:
    made = tmp_path / "a folder"
    create(made)
    shown = {each.name for each in made.iterdir()}
    assert shown == {PACKAGE, *(name.split("/")[0] for name in names())}
    assert os.access(made / "quick-start.sh", os.X_OK) and not list(made.rglob("__pycache__"))
    assert [each.name for each in tmp_path.iterdir()] == ["a folder"]
    with pytest.raises(Conflict, match="exists; nothing was changed"):
        create(made)


def test_messages_name_the_command_as_it_was_installed() -> None:
    literal = re.compile(r"(?<![\w/}])bin/orchestrator |\./install\.sh")
    may = {
        "core/text/command_name.py",
        "cli/output/command_paths.py",
        "config/template_and_schema.py",
        "config/fields/value_types.py",
        "cli/doctor/install.py",
    }
    found = [
        f"{path}:{node.lineno}"
        for path, nodes in source_nodes().items()
        if str(path) not in may
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if literal.search(node.value) and node.value not in docstrings(nodes)
    ]
    assert not found, f"use COMMAND and INSTALL_COMMAND of core/text/command_name.py: {found}"


def docstrings(nodes: Iterable[ast.AST]) -> set[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in nodes if isinstance(node, kinds)]
    values = (each.value for body in bodies for each in body if isinstance(each, ast.Expr))
    return {each.value for each in values if isinstance(each, ast.Constant)}


def notes(version: str, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    script = folder / ".ci" / "release-notes.sh"
    return subprocess.run([script, version], capture_output=True, text=True, check=False)


def test_release_notes_are_a_section_of_the_changelog() -> None:
    done = notes("Unreleased")
    assert done.returncode == 0 and done.stdout.startswith(("Added", "Changed", "### "))
    assert "\n## " not in done.stdout
    missing = notes("0.0.0")
    assert missing.returncode == 1 and "Unreleased" in missing.stderr


def test_this_version_has_release_notes() -> None:
    done = notes(__version__)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_unreleased_changes_are_those_of_this_version_only_without_a_section(
    tmp_path: Path,
) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / PACKAGE).mkdir()
    shutil.copy(FOLDER / ".ci" / "release-notes.sh", tmp_path / ".ci")
    (tmp_path / PACKAGE / "__init__.py").write_text('__version__ = "1.2.0"\n')
    changelog = tmp_path / "CHANGELOG.md"

    changelog.write_text("# Changelog\n\n## Unreleased\n\nNew\n\n## 1.1.0\n\nOld\n")
    assert notes("1.2.0", tmp_path).stdout == "New\n"
    assert notes("1.1.0", tmp_path).stdout == "Old\n"
    assert notes("1.3.0", tmp_path).returncode == 1

    changelog.write_text("# Changelog\n\n## Unreleased\n\nNewer\n\n## 1.2.0 (today)\n\nNew\n")
    assert notes("1.2.0", tmp_path).stdout == "New\n"
