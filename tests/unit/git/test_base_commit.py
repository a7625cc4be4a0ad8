"""Uncommitted work at a job's start: a commit, even if a link replaced a file, or a note."""

from collections.abc import Callable

import pytest

from orchestrator.git import GitRepository
from tests.support.project import Project


def _link_in_place_of_a_directory(project: Project) -> None:
    (project.path / "dir").rename(project.path / "moved")
    (project.path / "dir").symlink_to("moved")


def _file_in_place_of_a_directory(project: Project) -> None:
    project.git("rm", "-q", "dir/b.txt")
    project.git("reset", "-q")
    project.write("dir", "a file\n")


def _directory_in_place_of_a_file(project: Project) -> None:
    (project.path / "a.txt").unlink()
    project.write("a.txt/inside", "x\n")


def _ignored_and_removed_from_the_index_only(project: Project) -> None:
    project.git("rm", "-q", "--cached", "a.txt")
    project.write(".gitignore", "a.txt\n")


def _removed_from_the_index_only(project: Project) -> None:
    project.git("rm", "-q", "--cached", "a.txt")


@pytest.mark.parametrize(
    "change",
    [
        _link_in_place_of_a_directory,
        _file_in_place_of_a_directory,
        _directory_in_place_of_a_file,
        _ignored_and_removed_from_the_index_only,
        _removed_from_the_index_only,
    ],
)
def test_the_start_commit_has_the_files_that_git_would_add(
    project: Project, repository: GitRepository, change: Callable[[Project], None]
) -> None:
    change(project)

    base = repository.base(dirty=True)

    project.git("add", "--all", "--", ".", ":(exclude)product")
    assert project.git("rev-parse", f"{base.commit}^{{tree}}") == project.git("write-tree")


def test_uncommitted_files_that_workers_do_not_get_are_named(
    project: Project, repository: GitRepository
) -> None:
    assert repository.base().note == ""
    project.write(".gitignore", "*.log\n")
    project.git("add", ".gitignore")
    project.write("a.txt", "changed\n")
    project.write("x.log", "ignored\n")
    project.write("new/\udcff", "not UTF-8\n")
    Project(project.path / "nested").begin({"n.txt": "n\n"})

    note = repository.base().note

    assert note == (
        "not included: 3 uncommitted files of your checkout (.gitignore, a.txt, new/\ufffd); "
        "to include them: --include-dirty"
    )
    assert "uncommitted" not in repository.base("HEAD").note
    assert "uncommitted" not in repository.base(dirty=True).note
