"""The repair of worktrees that agents have broken loses no work."""

import os
import shutil
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orchestrator/1/worker_1"


@pytest.fixture
def worktree_path(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    return Path(directory)


@pytest.fixture
def agent_project(worktree_path: Path) -> Project:
    """Return the worktree as its agent sees it."""
    return Project(worktree_path)


def repair(repository: GitRepository, directory: Path) -> list[str]:
    return list(repository.repair_worktree(str(directory), BRANCH, repository.base().commit)[0])


def commit(repository: GitRepository, directory: Path) -> str:
    return repository.commit(str(directory), BRANCH, "What it did\n", WHO)


def test_a_sound_worktree_has_no_faults(repository: GitRepository, worktree_path: Path) -> None:
    (worktree_path / "new.txt").touch()
    assert repair(repository, worktree_path) == []


def test_a_deleted_git_file_is_restored_and_the_work_stays(
    project: Project, repository: GitRepository, worktree_path: Path, agent_project: Project
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    (worktree_path / ".git").unlink()

    assert repair(repository, worktree_path) == [".git was deleted"]
    commit(repository, worktree_path)

    assert project.show(BRANCH, "new.txt") == "x"
    assert agent_project.git("symbolic-ref", "HEAD") == BRANCH
    assert repair(repository, worktree_path) == []


def test_a_worktree_without_its_git_file_is_not_recreated_over_its_work(
    repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    (worktree_path / ".git").unlink()
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert (worktree_path / "new.txt").read_text() == "x\n"


def test_a_repository_that_an_agent_created_is_renamed(
    project: Project, repository: GitRepository, worktree_path: Path, agent_project: Project
) -> None:
    (worktree_path / ".git").unlink()
    agent_project.git("init", "-q")
    agent_project.commit({"new.txt": "x\n"})

    assert repair(repository, worktree_path) == [".git was replaced"]
    commit(repository, worktree_path)

    assert project.show(BRANCH, "new.txt") == "x"
    assert (worktree_path.parent / "worktree.git-1" / "HEAD").exists()


def test_a_worktree_without_its_entry_in_the_repository_is_registered_again(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    shutil.rmtree(project.path / ".git" / "worktrees")

    assert repair(repository, worktree_path) == ["the git directory was removed"]
    tip = commit(repository, worktree_path)

    assert list(repository.changed_paths(repository.base().commit, tip)) == ["new.txt"]
    assert project.worktrees() == [str(worktree_path)]


def test_a_deleted_worktree_is_recreated(repository: GitRepository, worktree_path: Path) -> None:
    shutil.rmtree(worktree_path)
    assert repair(repository, worktree_path) == ["the directory was deleted"]
    assert (worktree_path / "a.txt").exists()


def a_conflict(agent_project: Project, how: str) -> None:
    agent_project.git("switch", "-q", "-c", "other")
    agent_project.commit({"a.txt": "theirs\n"}, "theirs")
    agent_project.git("switch", "-q", "orchestrator/1/worker_1")
    agent_project.commit({"a.txt": "ours\n"}, "ours")
    agent_project.git(*how.split(), "other", check=False)


@pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick"])
def test_an_unfinished_operation_of_an_agent_is_reported_and_aborted(
    repository: GitRepository, worktree_path: Path, agent_project: Project, how: str
) -> None:
    start = repository.base().commit
    a_conflict(agent_project, how)
    ours = agent_project.git("rev-parse", "orchestrator/1/worker_1")

    faults, interrupted = repository.repair_worktree(str(worktree_path), BRANCH, start)
    assert repository.has_conflicts(str(worktree_path))
    tip = commit(repository, worktree_path)
    # A crash here repeats the steps from ``repair_worktree`` on.
    assert repository.has_conflicts(str(worktree_path))
    repository.abort_operation(str(worktree_path))

    assert not repository.has_conflicts(str(worktree_path))
    assert set(faults) == {
        "unresolved conflicts in a.txt",
        f"unfinished {how}",
    }
    # A rebase has temporarily removed the branch's own commits.
    assert interrupted == (ours if how == "rebase" else "")
    assert "<<<<<<<" in agent_project.show(tip, "a.txt")
    assert repository.conflict_markers(start, tip) == ["conflict markers remain in a.txt"]
    assert repair(repository, worktree_path) == []
    assert agent_project.git("status", "--porcelain") == ""
    agent_project.git("merge-base", "--is-ancestor", "HEAD", BRANCH)


def test_markers_that_were_there_before_are_none_of_its_doing(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"doc.md": "<<<<<<< HEAD\n=======\n>>>>>>> x\n"})
    before = project.git("rev-parse", "HEAD")
    project.commit({"doc.md": "trailing \n<<<<<<< HEAD\n=======\n>>>>>>> x\n"})
    assert repository.conflict_markers(before, project.git("rev-parse", "HEAD")) == []


def test_an_unreadable_index_and_head_are_recreated(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    admin = project.path / ".git" / "worktrees" / "worktree"
    (worktree_path / "new.txt").write_text("x\n")
    (admin / "index").write_bytes(b"DIRC broken")
    (admin / "HEAD").write_bytes(b"\xff")

    assert repair(repository, worktree_path) == ["HEAD was unreadable", "the index was unreadable"]

    tip = commit(repository, worktree_path)
    assert list(repository.changed_paths(repository.base().commit, tip)) == ["new.txt"]


def test_flags_in_the_index_hide_no_change(
    project: Project, repository: GitRepository, worktree_path: Path, agent_project: Project
) -> None:
    agent_project.git("update-index", "--skip-worktree", "a.txt")
    agent_project.git("update-index", "--assume-unchanged", "a.txt", "dir/b.txt")
    agent_project.write("a.txt", "hidden\n")
    (worktree_path / "dir" / "b.txt").unlink()

    assert repair(repository, worktree_path) == []
    tip = commit(repository, worktree_path)

    assert agent_project.git("show", "--name-status", "--format=", tip) == "M\ta.txt\nD\tdir/b.txt"


def test_a_setting_that_flags_every_file_hides_no_change(
    project: Project, repository: GitRepository, directory: str
) -> None:
    project.git("config", "core.ignoreStat", "true")
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    Path(directory, "a.txt").write_text("changed\n")

    assert repair(repository, Path(directory)) == []
    tip = commit(repository, Path(directory))

    assert project.show(tip, "a.txt") == "changed"


def test_a_file_outside_a_sparse_checkout_is_not_removed(
    repository: GitRepository, worktree_path: Path, agent_project: Project
) -> None:
    agent_project.git("sparse-checkout", "set", "--no-cone", "/a.txt")
    agent_project.write("a.txt", "changed\n")
    assert not (worktree_path / "dir").exists()

    assert repair(repository, worktree_path) == []
    tip = commit(repository, worktree_path)

    assert agent_project.git("show", "--name-status", "--format=", tip) == "M\ta.txt"


@pytest.mark.parametrize("content", [None, b"/nowhere\n", b""])
def test_the_path_of_the_repository_is_restored(
    project: Project, repository: GitRepository, worktree_path: Path, content: bytes | None
) -> None:
    leads = project.path / ".git" / "worktrees" / "worktree" / "commondir"
    (worktree_path / "new.txt").write_text("x\n")
    leads.unlink()
    if content is not None:
        leads.write_bytes(content)

    assert repair(repository, worktree_path) == []

    commit(repository, worktree_path)
    assert project.show(BRANCH, "new.txt") == "x"


def test_files_of_ours_that_an_agent_removes_cost_nothing(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    for each in (project.path / ".git" / "worktrees" / "worktree").glob("orchestrator-*"):
        each.unlink()

    assert repair(repository, worktree_path) == []

    repository.close_worktree(str(worktree_path), BRANCH, WHO)
    assert project.show(BRANCH, "new.txt") == "x"


def test_a_branch_that_was_deleted_begins_again(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    project.git("update-ref", "-d", BRANCH)
    assert repair(repository, worktree_path) == ["HEAD pointed to no commit"]
    commit(repository, worktree_path)
    assert project.show(BRANCH, "new.txt") == "x"


def test_an_empty_repository_and_unreadable_files_do_not_prevent_the_commit_of_work(
    project: Project, repository: GitRepository, worktree_path: Path, agent_project: Project
) -> None:
    agent_project.write("inner/x.txt", "x\n")
    Project(worktree_path / "inner").git("init", "-q")
    agent_project.write("closed/y.txt", "y\n")
    (worktree_path / "closed").chmod(0)
    os.mkfifo(worktree_path / "pipe")

    commit(repository, worktree_path)

    assert project.show(BRANCH, "inner/x.txt") == "x"
    assert project.show(BRANCH, "closed/y.txt") == "y"
