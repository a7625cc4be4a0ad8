"""Refs of recently read commits: the answers from the cache equal git's answers."""

import os
from pathlib import Path

import pytest

from orchestrator.git.command.commit_cache import CommitCache
from orchestrator.git.command.git_sessions import AGE_SECONDS, SessionFailed, SharedPart
from orchestrator.git.command.runner import SESSIONS, Git
from tests.support.project import Project


@pytest.fixture
def part(project: Project) -> SharedPart:
    project.git("branch", "side/a.b")
    return SharedPart(str(project.path / ".git"), "")


@pytest.fixture
def recent(project: Project, part: SharedPart) -> CommitCache:
    found = CommitCache()
    found.note(part, project.git("rev-parse", "HEAD"))
    return found


NAMES = ("HEAD", "HEAD^{commit}", "refs/heads/side/a.b", "refs/heads/side/a.b^{commit}")


@pytest.mark.parametrize("packed", [False, True])
def test_refs_are_read_from_their_files(
    recent: CommitCache, part: SharedPart, project: Project, packed: bool
) -> None:
    if packed:
        project.git("pack-refs", "--all")
    head = project.git("rev-parse", "HEAD")
    assert [recent.commit_of(part, each) for each in NAMES] == [head] * len(NAMES)
    assert [recent.commit_of(part, f"refs/heads/{each}") for each in ("none", "side")] == ["", ""]


def test_the_head_of_a_worktree_is_its_own(
    recent: CommitCache, part: SharedPart, project: Project, tmp_path: Path
) -> None:
    project.git("worktree", "add", "-q", "--detach", str(tmp_path / "side"))
    first = project.git("rev-parse", "HEAD")
    project.git("commit", "-q", "--allow-empty", "-m", "second")
    assert recent.commit_of(part, "worktrees/side/HEAD^{commit}") == first
    assert recent.commit_of(part, "HEAD^{commit}") is None


def test_only_git_knows_a_commit_that_was_read_long_ago(part: SharedPart, project: Project) -> None:
    now = 100.0
    recent = CommitCache(lambda: now)
    assert recent.commit_of(part, "HEAD") is None
    recent.note(part, project.git("rev-parse", "HEAD"))
    now += AGE_SECONDS - 0.1
    assert recent.commit_of(part, "HEAD")
    now += 0.2
    assert recent.commit_of(part, "HEAD") is None


@pytest.mark.parametrize(
    "name",
    [
        *("HEAD^{tree}", "HEAD~1", "refs/heads/side/a.b@{0}", "refs/heads/side/a.b:a.txt", "main"),
        *("refs/../HEAD", "refs/heads/../../HEAD", "refs/heads/.invalid", "refs//heads/main"),
        *("refs/heads/main\n", "worktrees/../HEAD", "config", "refs/heads/\u0661"),
    ],
)
def test_only_git_reads_other_names(recent: CommitCache, part: SharedPart, name: str) -> None:
    assert recent.commit_of(part, name) is None


def test_only_git_reads_unusual_refs(
    recent: CommitCache, part: SharedPart, project: Project
) -> None:
    project.git("symbolic-ref", "refs/heads/symbolic", "refs/heads/main")
    heads = project.path / ".git" / "refs" / "heads"
    (heads / "link").symlink_to("main")
    (heads / "empty").touch()
    os.mkfifo(heads / "pipe")
    for name in ("symbolic", "link", "empty", "pipe"):
        assert recent.commit_of(part, f"refs/heads/{name}") is None


@pytest.mark.parametrize("name", ["reftable", "packed-refs"])
def test_only_git_reads_an_unusual_repository(
    recent: CommitCache, part: SharedPart, project: Project, name: str
) -> None:
    assert recent.commit_of(part, "refs/heads/none") == ""
    place = project.path / ".git" / name
    if name == "reftable":
        place.mkdir()
    else:
        place.write_text("# large\n" * 10_000)
    assert recent.commit_of(part, "refs/heads/none") is None


def test_a_second_question_needs_no_git(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    git, head = Git(str(project.path), {}), project.git("rev-parse", "HEAD")
    assert git.resolve("refs/heads/main^{commit}") == head

    def fail(*_: object) -> None:
        raise SessionFailed

    monkeypatch.setattr(SESSIONS, "ask", fail)
    monkeypatch.setattr(os, "posix_spawnp", fail)
    assert git.resolve_all(["refs/heads/main^{commit}", "HEAD", "refs/heads/none"]) == [
        head,
        head,
        "",
    ]
