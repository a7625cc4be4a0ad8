"""The size and the content of the difference between two commits."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.core.errors import NotFound
from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.git import GitRepository, between, of_worker
from tests.support.project import Project

CASES: Mapping[str, tuple[Mapping[str, str], ChangeSize]] = {
    "nothing": ({}, ChangeSize(files=0)),
    "a new file": ({"n.txt": "1\n2\n"}, ChangeSize(files=1, added=2)),
    "a line changed": ({"a.txt": "one\n2\n"}, ChangeSize(files=1, added=1, removed=1)),
    "odd names": ({"\u00e9\n\t x": "x\n", "x -n": "y\n"}, ChangeSize(files=2, added=2)),
    "no text": ({"b.bin": "\0\1\2"}, ChangeSize(files=1)),
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project").begin({"a.txt": "one\ntwo\n"})


@pytest.fixture
def repository(project: Project, tmp_path: Path) -> GitRepository:
    return GitRepository(project.path, tmp_path / "workspace", tmp_path / "home")


def changed(project: Project, files: Mapping[str, str]) -> tuple[str, str]:
    before = project.git("rev-parse", "HEAD")
    project.git("checkout", "-q", "-b", "other")
    if files:
        project.commit(files)
    return before, project.git("rev-parse", "HEAD")


@pytest.mark.parametrize("name", CASES)
def test_the_size_of_a_change(project: Project, repository: GitRepository, name: str) -> None:
    files, size = CASES[name]
    assert repository.change_size(*changed(project, files)) == size


def test_a_long_patch_is_cut_with_a_note(project: Project, repository: GitRepository) -> None:
    commits = changed(project, {"n.txt": "x\n" * 1000})
    assert repository.patch(*commits, 1_000_000).endswith("+x\n")
    cut = repository.patch(*commits, 200)
    assert len(cut) < 300
    assert "(the diff is cut here: " in cut


def test_bytes_that_are_no_utf8_are_no_trouble(project: Project, repository: GitRepository) -> None:
    before = project.git("rev-parse", "HEAD")
    (project.path / "a.txt").write_bytes(b"caf\xe9\n")
    project.git("commit", "-q", "-a", "-m", "latin")
    assert "+caf\ufffd" in repository.patch(before, "HEAD", 10_000)


def test_branches_are_compared_and_a_missing_branch_is_named(project: Project) -> None:
    changed(project, {"a.txt": "one\n"})
    assert b"-two" in between(project.path, "main", "other")
    with pytest.raises(NotFound, match="branch gone does not exist"):
        between(project.path, "main", "gone")


def test_the_diff_of_a_worker_includes_results_that_its_branch_lacks(
    project: Project,
) -> None:
    start, tip = changed(project, {"own.txt": "own\n"})
    project.git("checkout", "-q", "-b", "child", "main")
    project.commit({"child.txt": "child\n"})
    below = "refs/orchestrator/abc/child/worker_1/def"
    for name, commit in {
        "refs/orchestrator/abc/start/worker_1": start,
        "refs/heads/orchestrator/abc/worker_1": tip,
        f"{below}/base": start,
        f"{below}/result": "child",
    }.items():
        project.git("update-ref", name, commit)

    patch = of_worker(project.path, "abc", "worker_1", stat=False)
    stat = of_worker(project.path, "abc", "worker_1", stat=True)

    assert (b"+own" in patch, b"+child" in patch) == (True, True)
    assert (b"own.txt" in stat, b"child.txt" in stat) == (True, True)
    project.git("update-ref", f"{below}/result", tip)
    assert of_worker(project.path, "abc", "worker_1", stat=False).count(b"+own") == 1


def test_a_worker_without_a_branch_is_named(project: Project) -> None:
    with pytest.raises(NotFound, match=r"no branch of worker_9.*status abc"):
        of_worker(project.path, "abc", "worker_9", stat=False)


def test_without_a_repository_no_worker_has_a_branch(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no branch of worker_1.*no worktree"):
        of_worker(tmp_path, "abc", "worker_1", stat=False)
