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
from tests.unit.git.repair.test_broken_worktrees import BRANCH, a_conflict, own  # noqa: F401


@pytest.fixture
def opened(project: Project, repository: GitRepository, directory: str) -> Path:
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


def test_nothing_ignored_is_no_commit(repository: GitRepository, opened: Path) -> None:
    (opened / "new.txt").touch()
    assert keep(repository, opened) == ""


def test_a_rollback_restores_all_files_with_ignored_files_under_any_name(
    project: Project, repository: GitRepository, opened: Path
) -> None:
    odd = os.fsdecode(b"build/latin-\xe9\nline")
    for name in ("x.log", "build/out/a.o", "tracked-to-be.txt", odd):
        path = opened / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"first {name!r}")
    (opened / "build" / "link").symlink_to("/nowhere/at/all")
    (opened / "build" / "empty").mkdir()
    os.mkfifo(opened / "build" / "pipe")
    commit = repository.snapshot(str(opened), "then", WHO)
    kept, before = keep(repository, opened), files(opened)

    (opened / "x.log").write_text("second")
    (opened / "build" / "out" / "a.o").unlink()
    (opened / "build" / "later").write_text("later")
    (opened / "a.txt").write_text("second")
    (opened / "dir" / "b.txt").unlink()
    (opened / "dir").rmdir()
    (opened / "dir").write_text("a file where a directory was")
    (opened / "untracked").mkdir()
    (opened / "untracked" / "u").touch()
    (opened / ".gitignore").write_text("")
    repository.commit(str(opened), BRANCH, "now\n", WHO)
    repository.roll_back(str(opened), BRANCH, commit, kept)

    assert files(opened) == before
    assert project.git("rev-parse", BRANCH) == commit
    repository.roll_back(str(opened), BRANCH, commit, kept)
    assert files(opened) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["merge", "rebase", "detach", "branch", "no git", "init"])
def test_a_rollback_returns_to_the_branch_whatever_an_agent_did_to_git(
    project: Project,
    repository: GitRepository,
    opened: Path,
    own: Project,  # noqa: F811
    how: str,
) -> None:
    commit = project.git("rev-parse", BRANCH)
    match how:
        case "merge" | "rebase":
            a_conflict(own, how)
        case "detach":
            own.git("checkout", "-q", "--detach")
            own.commit({"new.txt": "x"}, "its own")
        case "branch":
            own.git("switch", "-qc", "elsewhere")
            own.commit({"new.txt": "x"}, "its own")
            own.git("branch", "-qD", "orchestrator/1/worker_1")
        case _:
            (opened / ".git").unlink()
            if how == "init":
                own.git("init", "-q")

    repository.roll_back(str(opened), BRANCH, commit, "")

    assert own.git("symbolic-ref", "HEAD") == BRANCH
    assert project.git("rev-parse", BRANCH) == commit
    assert own.git("status", "--porcelain", "--ignored") == ""
    assert not (project.path / ".git" / "worktrees" / "worktree" / "MERGE_HEAD").exists()


def test_ignored_files_that_are_too_large_are_named_and_stay(
    repository: GitRepository, opened: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ignored_files, "MOST_FILES", 3)
    monkeypatch.setattr(ignored_files, "MOST_BYTES", 100)
    (opened / "build").mkdir()
    for number in range(4):
        (opened / "build" / str(number)).touch()
    (opened / "big.log").write_text("x" * 101)
    (opened / "x.log").touch()
    commit, kept = repository.snapshot(str(opened), "then", WHO), keep(repository, opened)

    too_large = dict.fromkeys(("big.log", "build"), "too large")
    assert dict(repository.omitted_ignored(kept)) == too_large
    (opened / "x.log").unlink()
    repository.roll_back(str(opened), BRANCH, commit, kept)

    assert (opened / "x.log").exists()
    assert len(os.listdir(opened / "build")) == 4
    assert (opened / "big.log").exists()


def test_a_repository_among_ignored_files_stays(repository: GitRepository, opened: Path) -> None:
    inner = Project(opened / "build" / "vendor").begin({"v.txt": "v\n"})
    kept = keep(repository, opened)
    assert dict(repository.omitted_ignored(kept)) == {"build": "nested repository"}
    repository.roll_back(str(opened), BRANCH, repository.base().commit, kept)
    assert inner.git("status", "--porcelain") == ""


def test_ignored_files_equal_to_the_user_s_are_restored_from_the_checkout(
    project: Project, repository: GitRepository, opened: Path
) -> None:
    project.write(".env", "SECRET=1\n")
    (opened / ".env").write_text("SECRET=1\n")
    kept = keep(repository, opened)
    assert project.files(kept) == []
    (opened / ".env").write_text("SECRET=2\n")

    repository.roll_back(str(opened), BRANCH, repository.base().commit, kept)

    assert (opened / ".env").read_text() == "SECRET=1\n"


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
    project: Project, repository: GitRepository, opened: Path
) -> None:
    (opened / "build").mkdir()
    (opened / "build" / "x").touch()
    admin = project.path / ".git" / "worktrees" / "worktree"
    (admin / copied_files.CARRIED).write_bytes(b".env\0build\0")
    kept = keep(repository, opened)
    assert project.files(kept) == []
    repository.roll_back(str(opened), BRANCH, repository.base().commit, kept)
    assert (opened / "build" / "x").exists()
