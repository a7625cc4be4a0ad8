"""A worktree that is registered without git, compared with one that git registers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from orchestrator.git.command.runner import Git
from orchestrator.git.worktrees import registration
from tests.support.project import Project

BRANCH = "refs/heads/orchestrator/1/worker_1"


@pytest.fixture
def common(project: Project) -> Path:
    project.git("update-ref", BRANCH, "main")
    return project.path / ".git"


def register(project: Project, common: Path, directory: Path) -> Path | None:
    return registration.register(Git(str(project.path), {}), common, str(directory), BRANCH)


def test_the_files_are_those_that_git_writes(project: Project, common: Path) -> None:
    own, gits = project.path.parent / "a dir" / "own", project.path.parent / "a dir" / "gits"
    admin = register(project, common, own)
    project.git("branch", "other", BRANCH)
    how = ("--no-checkout", "--lock", "--reason", registration.REASON)
    project.git("worktree", "add", "-q", *how, str(gits), "other")

    assert admin == common / "worktrees" / "own"
    expected = {name: text.replace("gits", "own") for name, text in _files(gits, common)}
    expected["HEAD"] = f"ref: {BRANCH}\n"
    assert dict(_files(own, common)) == expected
    assert project.git("fsck", "--strict") == ""
    listed = project.git("worktree", "list", "--porcelain").split("\n\n")
    assert {f"worktree {own}", f"branch {BRANCH}", f"locked {registration.REASON}"} <= {
        *listed[-1].splitlines(),
        *listed[-2].splitlines(),
    }


def _files(directory: Path, common: Path) -> Iterator[tuple[str, str]]:
    yield ".git", (directory / ".git").read_text()
    admin = common / "worktrees" / directory.name
    for path in sorted(admin.rglob("*")):
        # Some versions of git create empty directories for refs. The log of HEAD begins with the
        # checkout.
        if path.is_file() and "logs" not in path.parts:
            yield str(path.relative_to(admin)), path.read_text()


def test_the_log_of_a_worktree_begins_with_its_checkout(
    project: Project, repository: GitRepository, directory: str
) -> None:
    """A log that began with a commit by an agent would mark a worktree as the agent's own."""
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    first = (project.path / ".git/worktrees/worktree/logs/HEAD").read_text().splitlines()[0]
    assert first.endswith("\treset: moving to HEAD")


def test_a_used_name_gets_a_number(project: Project, common: Path, tmp_path: Path) -> None:
    admins = [register(project, common, tmp_path / each / "worktree") for each in "abc"]
    assert [each and each.name for each in admins] == ["worktree", "worktree1", "worktree2"]
    assert len(project.worktrees()) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extensions.worktreeConfig", "true"),
        ("core.sharedRepository", "group"),
        ("core.sparseCheckout", "true"),
        ("worktree.useRelativePaths", "true"),
    ],
)
def test_a_setting_that_changes_the_files_leaves_it_to_git(
    project: Project, common: Path, repository: GitRepository, directory: str, name: str, value: str
) -> None:
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", name, value)
    assert register(project, common, Path(directory)) is None
    assert not os.path.lexists(directory)

    repository.open_worktree(directory, f"{BRANCH}0", repository.base().commit)
    assert project.worktrees() == [directory]


def test_what_cannot_be_written_is_left_to_git(project: Project, common: Path) -> None:
    taken = project.path.parent / "taken"
    taken.write_text("a file of the user\n")
    assert register(project, common, taken) is None
    assert taken.read_text() == "a file of the user\n"
    assert list((common / "worktrees").iterdir()) == []


def test_only_one_of_two_registrations_gets_a_name(project: Project, common: Path) -> None:
    """A registration in another process, such as ``git worktree add`` of a user."""
    taken = common / "worktrees" / "worktree"
    taken.mkdir(parents=True)
    admin = register(project, common, project.path.parent / "x" / "worktree")
    assert admin is not None and admin.name == "worktree1"
    assert list(taken.iterdir()) == []


def test_a_new_worktree_is_registered_without_a_process(
    repository: GitRepository, directory: str, started: list[list[str]]
) -> None:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert not [each for each in started if "worktree" in each]
    assert [each for each in started if "reset" in each]
