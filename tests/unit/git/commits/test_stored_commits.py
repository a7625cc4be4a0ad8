"""A long-lived git process stores the same commits as ``git commit-tree``."""

import re
import time
from collections.abc import Iterator

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.core.repository.repository import Signature
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit_creation import commit_tree
from tests.support.project import Project

WORKER = Signature(name="worker_1 (shell)", email="worker_1@a1b2.orchestrator.invalid")
CASES = {
    "plain": ("It works\n\nTrailer: x\n", WORKER),
    "empty": ("", WORKER),
    "no line feed at the end": ("It works", WORKER),
    "not ASCII": (
        "Gr\u00fc\u00dfe \U0001f600\udcff\n",
        Signature(name="\u00c9va", email="e@x.org"),
    ),
    "like a header": ("tree 1234\nparent x\n\n\n", WORKER),
    "crude name": ("x\n", Signature(name=" .Jr.<a>\n", email="<x@y.z>,")),
}


@pytest.fixture
def git(project: Project) -> Git:
    project.commit({"second.txt": "2\n"}, "second")
    return Git(str(project.path), {})


@pytest.fixture
def _far_away() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        yield
    time.tzset()


def _text(project: Project, commit: str) -> str:
    """Return the text of a commit without its times."""
    return re.sub(r"> \d+ ", "> TIME ", project.git("cat-file", "commit", commit))


@pytest.mark.usefixtures("_far_away")
@pytest.mark.parametrize("parents", [(), ("HEAD",), ("HEAD", "HEAD~"), ("HEAD", "HEAD")])
@pytest.mark.parametrize("name", CASES)
def test_a_stored_commit_is_the_one_of_git(
    project: Project, git: Git, name: str, parents: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    message, signature = CASES[name]
    tree, ids = git.resolve("HEAD^{tree}"), git.resolve_all(parents)
    stored = commit_tree(git, tree, ids, message, signature)
    with monkeypatch.context() as only_git:
        only_git.setattr(Git, "store_commit", lambda *_: "")
        expected = commit_tree(git, tree, ids, message, signature)
    assert _text(project, stored) == _text(project, expected)
    assert project.git("fsck", "--strict", "--no-dangling") == ""


def test_commits_one_after_another_need_no_process_each(git: Git, started: list[list[str]]) -> None:
    tree, commit = git.resolve_all(["HEAD^{tree}", "HEAD"])
    for _ in range(5):
        commit = commit_tree(git, tree, [commit], "next\n", WORKER)
    assert [each for each in started if "commit-tree" in each] == []
    assert len(started) <= 2, "one process reads names, and another one stores commits"


def test_a_commit_without_its_tree_is_refused(git: Git) -> None:
    with pytest.raises(RepositoryError):
        commit_tree(git, "1" * 40, [git.resolve("HEAD")], "x\n", WORKER)
    with pytest.raises(RepositoryError):
        commit_tree(git, git.resolve("HEAD^{tree}"), ["1" * 40], "x\n", WORKER)
