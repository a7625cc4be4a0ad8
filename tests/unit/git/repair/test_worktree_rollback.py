"""Ignored files in checkpoints, and worktrees that are restored to their former state."""

import os
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from orchestrator.git.environments import copied_files
from orchestrator.git.environments.copied_files import CopyRules
from orchestrator.git.worktrees import ignored_files
from tests.support.project import Project
from tests.unit.git.conftest import WHO
from tests.unit.git.repair.test_broken_worktrees import BRANCH, a_conflict, agent_project  # noqa: F401


@pytest.fixture
def worktree_path(project: Project, repository: GitRepository, directory: str) -> Path:
    project.commit({".gitignore": "*.log\nbuild/\n.env\n"})
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    return Path(directory)


def keep(repository: GitRepository, directory: Path) -> str:
    return repository.commit_ignored(str(directory), "checkpoint", WHO)


def files(directory: Path) -> dict[str, str]:
    """Return every file and link of a worktree with its content."""
    found = {}
    for parent, names, leaves in os.walk(directory):
        for name in (*names, *leaves):
            path = Path(parent, name)
            if path.is_symlink():
                found[str(path.relative_to(directory))] = f"-> {os.readlink(path)}"
            elif path.is_file() and name != ".git":
                found[str(path.relative_to(directory))] = path.read_text()
    return found


def test_nothing_ignored_is_no_commit(repository: GitRepository, worktree_path: Path) -> None:
    (worktree_path / "new.txt").touch()
    assert keep(repository, worktree_path) == ""


def test_a_rollback_restores_all_files_with_ignored_files_under_any_name(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    odd = os.fsdecode(b"build/latin-\xe9\nline")
    for name in ("x.log", "build/out/a.o", "tracked-to-be.txt", odd):
        path = worktree_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"first {name!r}")
    (worktree_path / "build" / "link").symlink_to("/nowhere/at/all")
    (worktree_path / "build" / "empty").mkdir()
    os.mkfifo(worktree_path / "build" / "pipe")
    commit = repository.snapshot(str(worktree_path), "then", WHO)
    kept, before = keep(repository, worktree_path), files(worktree_path)

    (worktree_path / "x.log").write_text("second")
    (worktree_path / "build" / "out" / "a.o").unlink()
    (worktree_path / "build" / "later").write_text("later")
    (worktree_path / "a.txt").write_text("second")
    (worktree_path / "dir" / "b.txt").unlink()
    (worktree_path / "dir").rmdir()
    (worktree_path / "dir").write_text("a file where a directory was")
    (worktree_path / "untracked").mkdir()
    (worktree_path / "untracked" / "u").touch()
    (worktree_path / ".gitignore").write_text("")
    repository.commit(str(worktree_path), BRANCH, "now\n", WHO)
    repository.roll_back(str(worktree_path), BRANCH, commit, kept)

    assert files(worktree_path) == before
    assert project.git("rev-parse", BRANCH) == commit
    repository.roll_back(str(worktree_path), BRANCH, commit, kept)
    assert files(worktree_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["merge", "rebase", "detach", "branch", "no git", "init"])
def test_a_rollback_returns_to_the_branch_whatever_an_agent_did_to_git(
    project: Project,
    repository: GitRepository,
    worktree_path: Path,
    agent_project: Project,  # noqa: F811
    how: str,
) -> None:
    commit = project.git("rev-parse", BRANCH)
    match how:
        case "merge" | "rebase":
            a_conflict(agent_project, how)
        case "detach":
            agent_project.git("checkout", "-q", "--detach")
            agent_project.commit({"new.txt": "x"}, "its own")
        case "branch":
            agent_project.git("switch", "-qc", "elsewhere")
            agent_project.commit({"new.txt": "x"}, "its own")
            agent_project.git("branch", "-qD", "orchestrator/1/worker_1")
        case _:
            (worktree_path / ".git").unlink()
            if how == "init":
                agent_project.git("init", "-q")

    repository.roll_back(str(worktree_path), BRANCH, commit, "")

    assert agent_project.git("symbolic-ref", "HEAD") == BRANCH
    assert project.git("rev-parse", BRANCH) == commit
    assert agent_project.git("status", "--porcelain", "--ignored") == ""
    assert not (project.path / ".git" / "worktrees" / "worktree" / "MERGE_HEAD").exists()


def test_ignored_files_that_are_too_large_are_named_and_stay(
    repository: GitRepository, worktree_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ignored_files, "MOST_FILES", 3)
    monkeypatch.setattr(ignored_files, "MOST_BYTES", 100)
    (worktree_path / "build").mkdir()
    for number in range(4):
        (worktree_path / "build" / str(number)).touch()
    (worktree_path / "big.log").write_text("x" * 101)
    (worktree_path / "x.log").touch()
    commit, kept = (
        repository.snapshot(str(worktree_path), "then", WHO),
        keep(repository, worktree_path),
    )

    too_large = dict.fromkeys(("big.log", "build"), "too large")
    assert dict(repository.omitted_ignored(kept)) == too_large
    (worktree_path / "x.log").unlink()
    repository.roll_back(str(worktree_path), BRANCH, commit, kept)

    assert (worktree_path / "x.log").exists()
    assert len(os.listdir(worktree_path / "build")) == 4
    assert (worktree_path / "big.log").exists()


def test_a_repository_among_ignored_files_stays(
    repository: GitRepository, worktree_path: Path
) -> None:
    inner = Project(worktree_path / "build" / "vendor").begin({"v.txt": "v\n"})
    kept = keep(repository, worktree_path)
    assert dict(repository.omitted_ignored(kept)) == {"build": "nested repository"}
    repository.roll_back(str(worktree_path), BRANCH, repository.base().commit, kept)
    assert inner.git("status", "--porcelain") == ""


def test_ignored_files_equal_to_the_user_s_are_restored_from_the_checkout(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    project.write(".env", "SECRET=1\n")
    (worktree_path / ".env").write_text("SECRET=1\n")
    kept = keep(repository, worktree_path)
    assert project.files(kept) == []
    (worktree_path / ".env").write_text("SECRET=2\n")

    repository.roll_back(str(worktree_path), BRANCH, repository.base().commit, kept)

    assert (worktree_path / ".env").read_text() == "SECRET=1\n"


def test_a_rollback_to_the_start_restores_copied_files(project: Project, directory: str) -> None:
    project.commit({".gitignore": ".env\n"})
    project.write(".env", "SECRET=1\n")
    place = project.path / "product"
    copying = GitRepository(project.path, place / "workspace", place, CopyRules(copy=(".env",)))
    base = copying.base().commit
    copying.open_worktree(directory, BRANCH, base)
    Path(directory, ".env").write_text("SECRET=2\n")

    copying.roll_back(directory, BRANCH, base, "")

    assert Path(directory, ".env").read_text() == "SECRET=1\n"


def test_a_directory_copied_from_the_user_s_checkout_stays(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "build").mkdir()
    (worktree_path / "build" / "x").touch()
    admin = project.path / ".git" / "worktrees" / "worktree"
    (admin / copied_files.COPIED_LIST).write_bytes(b".env\0build\0")
    kept = keep(repository, worktree_path)
    assert project.files(kept) == []
    repository.roll_back(str(worktree_path), BRANCH, repository.base().commit, kept)
    assert (worktree_path / "build" / "x").exists()
