"""The rules that find the project directory, in their order."""

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.config import Settings, load
from orchestrator.config.project_discovery import ProjectUnknown, project_of, project_root

PARENT, FOLDER, UNKNOWN = "the parent", "the folder", "unknown"


def clone(directory: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    return directory


def linked(directory: Path) -> Path:
    """A linked worktree of a repository elsewhere: its ``.git`` is a file."""
    repository = clone(directory.parent.parent / "elsewhere")
    directory.rmdir()
    commands = [
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x"],
        ["worktree", "add", "-q", "-b", "y", str(directory)],
    ]
    for words in commands:
        subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True)
    assert (directory / ".git").is_file()
    return directory


def file_beside(folder: Path) -> None:
    (folder.parent / "main.py").touch()


def directory_beside(folder: Path) -> None:
    (folder.parent / "photos").mkdir()


def repository_beside(folder: Path) -> None:
    clone(folder.parent / "other")
    file_beside(folder)


def nothing_beside(folder: Path) -> None:
    pass


def repository_above(folder: Path) -> None:
    clone(folder.parent.parent)
    clone(folder.parent / "other")


def empty_git_above(folder: Path) -> None:
    """A directory with an empty ``.git``, which git ignores."""
    (folder.parent / ".git").mkdir()
    file_beside(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path.resolve() / "some where" / "the folder"
    found.mkdir(parents=True)
    return found


def found(folder: Path, **environ: str) -> str:
    try:
        project = project_of(Settings(), folder, environ)
    except ProjectUnknown:
        return UNKNOWN
    assert project.why
    return {folder.parent: PARENT, folder: FOLDER}[project.root]


@pytest.mark.parametrize(
    ("around", "of_a_clone", "of_a_copy"),
    [
        (repository_above, PARENT, PARENT),
        (repository_beside, FOLDER, UNKNOWN),
        (directory_beside, FOLDER, UNKNOWN),
        (file_beside, PARENT, PARENT),
        (empty_git_above, PARENT, PARENT),
        (nothing_beside, FOLDER, FOLDER),
    ],
)
def test_the_first_rule_that_fits(
    folder: Path, around: object, of_a_clone: str, of_a_copy: str
) -> None:
    around(folder)  # type: ignore[operator]

    assert found(folder) == of_a_copy
    clone(folder)
    assert found(folder) == of_a_clone


def test_a_linked_worktree_is_a_clone_too(folder: Path) -> None:
    repository_beside(folder)

    assert found(linked(folder)) == FOLDER


@pytest.mark.parametrize("variable", ["HOME", "TMPDIR"])
def test_a_home_and_a_temporary_directory_are_no_projects(folder: Path, variable: str) -> None:
    file_beside(folder)
    assert found(folder) == PARENT

    assert found(folder, **{variable: str(folder.parent)}) == UNKNOWN
    clone(folder)
    assert found(folder, **{variable: str(folder.parent)}) == FOLDER


@pytest.mark.parametrize("parent", ["/", "/root", "/home/nobody-here", "/tmp"])
def test_directories_of_the_machine_are_no_projects(parent: str) -> None:
    folder = Path(parent).resolve() / "no such orchestrator"

    with pytest.raises(ProjectUnknown):
        project_root(Settings(), folder)


def test_a_repository_in_a_home_directory_is_a_project(folder: Path) -> None:
    clone(folder.parent)

    assert found(folder, HOME=str(folder.parent)) == PARENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_parent_that_cannot_be_read_is_no_project(folder: Path) -> None:
    folder.parent.chmod(0o300)
    try:
        assert found(folder) == UNKNOWN
    finally:
        folder.parent.chmod(0o700)


def test_a_configured_project_wins(folder: Path) -> None:
    clone(folder.parent)
    (folder / "other").mkdir()
    (folder / "config.yaml").write_text("orchestrator: {project_root: other}\n")

    settings = load(folder, environ={}, require_key=False).settings

    assert project_root(settings, folder) == folder / "other"


def test_an_unknown_project_is_reported_with_lines_to_type(folder: Path) -> None:
    directory_beside(folder)

    with pytest.raises(ProjectUnknown) as caught:
        project_root(Settings(), folder)

    first, *lines = caught.value.message.splitlines()
    assert str(folder.parent) in first
    assert f"'{folder}/quick-start.sh' --project /path/to/project" in lines[0]


def test_a_home_belongs_to_the_directory_that_it_lies_in(tmp_path: Path) -> None:
    home = tmp_path / "shop" / ".orchestrator" / "local"
    assert project_of(Settings(), home, {}).root == tmp_path / "shop"
    for name in ("HOME", "TMPDIR"):
        with pytest.raises(ProjectUnknown, match="run --project /path/to/project"):
            project_of(Settings(), home, {name: str(tmp_path / "shop")})
