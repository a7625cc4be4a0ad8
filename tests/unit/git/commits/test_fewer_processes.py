"""No git process reads a fact again that the commit of a worktree has already returned."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.git import CopyRules, GitRepository, NeverCommit
from orchestrator.git.objects_and_refs import MOST_CACHED_BYTES
from tests.support.project import Project
from tests.unit.git.conftest import WHO

BRANCH = "refs/heads/orchestrator/1/worker_1"
START = "refs/orchestrator/1/start/worker_1"
RULES = CopyRules(copy=(".env",), never=NeverCommit(patterns=("node_modules/",)), derive=False)


@pytest.fixture
def repository(project: Project) -> GitRepository:
    (project.path / "product" / "workspace").mkdir(parents=True)
    project.commit({".gitignore": ".env\n"})
    project.write(".env", "SECRET=1\n")
    home = project.path / "product"
    return GitRepository(project.path, home / "workspace", home, RULES)


@pytest.fixture
def worktree_path(repository: GitRepository, directory: str) -> Path:
    base = repository.base().commit
    repository.open_worktree(directory, BRANCH, base)
    repository.set_ref(START, base)
    return Path(directory)


def _edit(at: Path) -> None:
    (at / "a.txt").write_text("changed\n")
    (at / "dir" / "b.txt").unlink()
    (at / "new").mkdir()
    (at / "new" / "odd\n\u00e9").write_text("x\n")
    (at / "dir.txt").write_text("x\n")


def _retype(at: Path) -> None:
    (at / "a.txt").unlink()
    os.symlink("elsewhere", at / "a.txt")
    (at / "dir" / "b.txt").chmod(0o755)


def _hold_back(at: Path) -> None:
    (at / "node_modules").mkdir()
    (at / "node_modules" / "x.js").write_text("x\n")
    (at / "n.txt").write_text("x\n")


def _show_copied(at: Path) -> None:
    """The copied ``.env`` is never committed, even if it is no longer ignored."""
    (at / ".gitignore").write_text("other\n")


def _nest(at: Path) -> None:
    Project(at / "inner").begin({"i.txt": "i\n"})


EDITS = (_edit, _retype, _hold_back, _show_copied, _nest)


@pytest.mark.parametrize("edit", EDITS, ids=lambda each: each.__name__)
def test_the_changes_of_a_commit_are_those_that_git_lists(
    project: Project, repository: GitRepository, worktree_path: Path, edit: Callable[[Path], None]
) -> None:
    start = repository.commit_of(START)
    edit(worktree_path)
    tip = repository.commit(str(worktree_path), BRANCH, "It works\n", WHO)

    listed = project.git("diff-tree", "-r", "-z", "--name-status", "--no-renames", start, tip)
    fields = listed.split("\0")[:-1]
    expected = {path: kind != "A" for kind, path in zip(fields[::2], fields[1::2], strict=True)}
    assert expected
    assert repository.differing_paths(start, tip) == expected


def test_the_changes_of_a_commit_are_not_listed_a_second_time(
    repository: GitRepository, worktree_path: Path, started: list[list[str]]
) -> None:
    start = repository.commit_of(START)
    _edit(worktree_path)
    tip = repository.commit(str(worktree_path), BRANCH, "It works\n", WHO)
    started.clear()
    assert "dir.txt" in repository.changed_paths(start, tip)
    assert started == []


def test_a_patch_without_markers_is_not_searched_again(
    repository: GitRepository, worktree_path: Path, started: list[list[str]]
) -> None:
    start = repository.commit_of(START)
    (worktree_path / "a.txt").write_text("b < c\n+=======\n")
    tip = repository.commit(str(worktree_path), BRANCH, "It works\n", WHO)
    patch = b"".join(repository.log_with_diffs(start, tip))
    started.clear()
    assert repository.conflict_markers(start, tip) == []
    assert b"".join(repository.log_with_diffs(start, tip)) == patch
    assert [each for each in started if "diff-tree" in each] == []


@pytest.mark.parametrize("line", ["<<<", "=" * 12, ">" * 7, "|" * 7])
@pytest.mark.parametrize("more", [0, MOST_CACHED_BYTES])
def test_markers_of_each_length_are_found(
    repository: GitRepository, worktree_path: Path, line: str, more: int
) -> None:
    start = repository.commit_of(START)
    (worktree_path / "a.txt").write_text("x\n" * more + f"{line}\n")
    tip = repository.commit(str(worktree_path), BRANCH, "It works\n", WHO)
    project = Project(Path(repository.directories()[0]))
    project.write(".gitattributes", f"*.txt conflict-marker-size={len(line)}\n")
    assert repository.conflict_markers(start, tip) == ["conflict markers remain in a.txt"]


def test_an_index_that_nothing_has_written_is_not_searched_for_conflicts(
    repository: GitRepository, directory: str, worktree_path: Path, started: list[list[str]]
) -> None:
    (worktree_path / "a.txt").write_text("changed\n")
    started.clear()
    assert repository.repair_worktree(directory, BRANCH, repository.commit_of(BRANCH)) == ([], "")
    assert [each for each in started if "ls-files" in each] == []


def test_conflicts_that_a_worker_leaves_are_found(
    project: Project, repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    other = Project(worktree_path)
    other.git("checkout", "-q", "-b", "side")
    other.commit({"a.txt": "theirs\n"})
    other.git("checkout", "-q", BRANCH.removeprefix("refs/heads/"))
    other.commit({"a.txt": "ours\n"})
    other.git("merge", "side", check=False)

    faults, _ = repository.repair_worktree(directory, BRANCH, repository.commit_of(START))
    assert faults == ["unresolved conflicts in a.txt", "unfinished merge"]
