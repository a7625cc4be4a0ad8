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
def opened(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    return Path(directory)


@pytest.fixture
def own(opened: Path) -> Project:
    """Return the worktree as its agent sees it."""
    return Project(opened)


def repair(repository: GitRepository, directory: Path) -> list[str]:
    return list(repository.repair_worktree(str(directory), BRANCH, repository.base().commit)[0])


def commit(repository: GitRepository, directory: Path) -> str:
    return repository.commit(str(directory), BRANCH, "What it did\n", WHO)


def test_a_sound_worktree_has_no_faults(repository: GitRepository, opened: Path) -> None:
    (opened / "new.txt").touch()
    assert repair(repository, opened) == []


def test_a_deleted_git_file_is_restored_and_the_work_stays(
    project: Project, repository: GitRepository, opened: Path, own: Project
) -> None:
    (opened / "new.txt").write_text("x\n")
    (opened / ".git").unlink()

    assert repair(repository, opened) == [".git was deleted"]
    commit(repository, opened)

    assert project.show(BRANCH, "new.txt") == "x"
    assert own.git("symbolic-ref", "HEAD") == BRANCH
    assert repair(repository, opened) == []


def test_a_worktree_without_its_git_file_is_not_recreated_over_its_work(
    repository: GitRepository, directory: str, opened: Path
) -> None:
    (opened / "new.txt").write_text("x\n")
    (opened / ".git").unlink()
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert (opened / "new.txt").read_text() == "x\n"


def test_a_repository_that_an_agent_created_is_renamed(
    project: Project, repository: GitRepository, opened: Path, own: Project
) -> None:
    (opened / ".git").unlink()
    own.git("init", "-q")
    own.commit({"new.txt": "x\n"})

    assert repair(repository, opened) == [".git was replaced"]
    commit(repository, opened)

    assert project.show(BRANCH, "new.txt") == "x"
    assert (opened.parent / "worktree.git-1" / "HEAD").exists()


def test_a_worktree_without_its_entry_in_the_repository_is_registered_again(
    project: Project, repository: GitRepository, opened: Path
) -> None:
    (opened / "new.txt").write_text("x\n")
    shutil.rmtree(project.path / ".git" / "worktrees")

    assert repair(repository, opened) == ["the git directory was removed"]
    tip = commit(repository, opened)

    assert list(repository.changed_paths(repository.base().commit, tip)) == ["new.txt"]
    assert project.worktrees() == [str(opened)]


def test_a_deleted_worktree_is_recreated(repository: GitRepository, opened: Path) -> None:
    shutil.rmtree(opened)
    assert repair(repository, opened) == ["the directory was deleted"]
    assert (opened / "a.txt").exists()


def a_conflict(own: Project, how: str) -> None:
    own.git("switch", "-q", "-c", "other")
    own.commit({"a.txt": "theirs\n"}, "theirs")
    own.git("switch", "-q", "orchestrator/1/worker_1")
    own.commit({"a.txt": "ours\n"}, "ours")
    own.git(*how.split(), "other", check=False)


@pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick"])
def test_an_unfinished_operation_of_an_agent_is_reported_and_aborted(
    repository: GitRepository, opened: Path, own: Project, how: str
) -> None:
    start = repository.base().commit
    a_conflict(own, how)
    ours = own.git("rev-parse", "orchestrator/1/worker_1")

    faults, interrupted = repository.repair_worktree(str(opened), BRANCH, start)
    assert repository.has_conflicts(str(opened))
    tip = commit(repository, opened)
    # A crash here repeats the steps from ``repair_worktree`` on.
    assert repository.has_conflicts(str(opened))
    repository.abort_operation(str(opened))

    assert not repository.has_conflicts(str(opened))
    assert set(faults) == {
        "unresolved conflicts in a.txt",
        f"unfinished {how}",
    }
    # A rebase has temporarily removed the branch's own commits.
    assert interrupted == (ours if how == "rebase" else "")
    assert "<<<<<<<" in own.show(tip, "a.txt")
    assert repository.conflict_markers(start, tip) == ["conflict markers remain in a.txt"]
    assert repair(repository, opened) == []
    assert own.git("status", "--porcelain") == ""
    own.git("merge-base", "--is-ancestor", "HEAD", BRANCH)


def test_markers_that_were_there_before_are_none_of_its_doing(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"doc.md": "<<<<<<< HEAD\n=======\n>>>>>>> x\n"})
    before = project.git("rev-parse", "HEAD")
    project.commit({"doc.md": "trailing \n<<<<<<< HEAD\n=======\n>>>>>>> x\n"})
    assert repository.conflict_markers(before, project.git("rev-parse", "HEAD")) == []


def test_an_unreadable_index_and_head_are_recreated(
    project: Project, repository: GitRepository, opened: Path
) -> None:
    admin = project.path / ".git" / "worktrees" / "worktree"
    (opened / "new.txt").write_text("x\n")
    (admin / "index").write_bytes(b"DIRC broken")
    (admin / "HEAD").write_bytes(b"\xff")

    assert repair(repository, opened) == ["HEAD was unreadable", "the index was unreadable"]

    tip = commit(repository, opened)
    assert list(repository.changed_paths(repository.base().commit, tip)) == ["new.txt"]


def test_flags_in_the_index_hide_no_change(
    project: Project, repository: GitRepository, opened: Path, own: Project
) -> None:
    own.git("update-index", "--skip-worktree", "a.txt")
    own.git("update-index", "--assume-unchanged", "a.txt", "dir/b.txt")
    own.write("a.txt", "hidden\n")
    (opened / "dir" / "b.txt").unlink()

    assert repair(repository, opened) == []
    tip = commit(repository, opened)

    assert own.git("show", "--name-status", "--format=", tip) == "M\ta.txt\nD\tdir/b.txt"


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
    repository: GitRepository, opened: Path, own: Project
) -> None:
    own.git("sparse-checkout", "set", "--no-cone", "/a.txt")
    own.write("a.txt", "changed\n")
    assert not (opened / "dir").exists()

    assert repair(repository, opened) == []
    tip = commit(repository, opened)

    assert own.git("show", "--name-status", "--format=", tip) == "M\ta.txt"


@pytest.mark.parametrize("content", [None, b"/nowhere\n", b""])
def test_the_path_of_the_repository_is_restored(
    project: Project, repository: GitRepository, opened: Path, content: bytes | None
) -> None:
    leads = project.path / ".git" / "worktrees" / "worktree" / "commondir"
    (opened / "new.txt").write_text("x\n")
    leads.unlink()
    if content is not None:
        leads.write_bytes(content)

    assert repair(repository, opened) == []

    commit(repository, opened)
    assert project.show(BRANCH, "new.txt") == "x"


def test_files_of_ours_that_an_agent_removes_cost_nothing(
    project: Project, repository: GitRepository, opened: Path
) -> None:
    (opened / "new.txt").write_text("x\n")
    for each in (project.path / ".git" / "worktrees" / "worktree").glob("orchestrator-*"):
        each.unlink()

    assert repair(repository, opened) == []

    repository.close_worktree(str(opened), BRANCH, WHO)
    assert project.show(BRANCH, "new.txt") == "x"


def test_a_branch_that_was_deleted_begins_again(
    project: Project, repository: GitRepository, opened: Path
) -> None:
    (opened / "new.txt").write_text("x\n")
    project.git("update-ref", "-d", BRANCH)
    assert repair(repository, opened) == ["HEAD pointed to no commit"]
    commit(repository, opened)
    assert project.show(BRANCH, "new.txt") == "x"


def test_an_empty_repository_and_unreadable_files_do_not_prevent_the_commit_of_work(
    project: Project, repository: GitRepository, opened: Path, own: Project
) -> None:
    own.write("inner/x.txt", "x\n")
    Project(opened / "inner").git("init", "-q")
    own.write("closed/y.txt", "y\n")
    (opened / "closed").chmod(0)
    os.mkfifo(opened / "pipe")

    commit(repository, opened)

    assert project.show(BRANCH, "inner/x.txt") == "x"
    assert project.show(BRANCH, "closed/y.txt") == "y"
