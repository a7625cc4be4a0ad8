"""Detected changes in the user's checkout while a job runs."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from orchestrator.git.checkout import repository_state
from orchestrator.git.command.git_config import SETTLED_SECONDS
from tests.support.project import Project

StateChange = Callable[[Project], object]


@pytest.fixture
def state_before(project: Project, repository: GitRepository) -> dict[str, str]:
    project.commit({".gitignore": ".env\ncache/\n"}, "ignored")
    project.write(".env", "KEY=1\n")
    project.write("a.txt", "work in progress\n")
    project.write("cache/c.txt", "1\n")
    return dict(repository.checkout_state())


def _same_time(project: Project) -> None:
    path = project.path / "a.txt"
    before = path.stat()
    path.write_text("PROGRESS IN WORK\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _hook(project: Project) -> None:
    hook = project.path / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "entry"),
    [
        (lambda project: project.write(".env", "KEY=22\n"), "file .env"),
        (_same_time, "file a.txt"),
        (_hook, "git hooks/post-checkout"),
        (lambda project: project.write(".git/info/exclude", "*\n"), "git info/exclude"),
        (lambda project: project.write(".git/info/attributes", "* -text\n"), "git info/attributes"),
        (lambda project: project.git("config", "user.name", "x"), "setting user.name"),
        (
            lambda project: project.write(".git/shallow", project.git("rev-parse", "@")),
            "git shallow",
        ),
        (lambda project: project.write(".git/info/grafts", ""), "git info/grafts"),
        (lambda project: project.write(".git/config.lock", ""), "git config.lock"),
        (
            lambda project: project.git("update-index", "--assume-unchanged", "dir/b.txt"),
            "flags in the index",
        ),
        (lambda project: project.git("notes", "add", "-m", "x"), "refs/notes/commits"),
        (lambda project: project.git("reflog", "expire", "--expire=now", "--all"), "reflogs"),
    ],
)
def test_a_change_is_noticed(
    project: Project,
    repository: GitRepository,
    state_before: dict[str, str],
    change: StateChange,
    entry: str,
) -> None:
    change(project)
    after = repository.checkout_state()
    assert entry in [
        each for each in {*state_before, *after} if state_before.get(each) != after.get(each)
    ]


def test_flags_of_an_index_that_was_read_before_are_noticed(
    project: Project, repository: GitRepository, state_before: dict[str, str]
) -> None:
    index = project.path / ".git/index"
    while time.time() < index.stat().st_ctime + 2 * SETTLED_SECONDS:
        time.sleep(0.02)
    assert "flags in the index" not in repository.checkout_state()
    project.git("update-index", "--skip-worktree", "dir/b.txt")
    marked = repository.checkout_state()["flags in the index"]
    while time.time() < index.stat().st_ctime + 2 * SETTLED_SECONDS:
        time.sleep(0.02)
    assert repository.checkout_state()["flags in the index"] == marked
    assert repository.checkout_state()["flags in the index"] == marked


def test_changes_outside_of_the_user_s_state_are_not_noticed(
    project: Project, repository: GitRepository, state_before: dict[str, str]
) -> None:
    project.write("cache/more.txt", "2\n")
    project.git("branch", "orchestrator/a1b2c3d4/worker_1")
    project.git("gc", "-q")
    project.git("branch", "orchestrator/a1b2c3d4/worker_2")
    assert dict(repository.checkout_state()) == state_before


def test_only_the_user_s_own_files_are_checked(
    project: Project, repository: GitRepository, state_before: dict[str, str], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "large").write_text("x")
    project.git("config", "core.worktree", str(elsewhere))
    after = repository.checkout_state()
    assert [
        each for each in {*state_before, *after} if state_before.get(each) != after.get(each)
    ] == ["setting core.worktree"]


def test_the_files_of_a_state_are_those_of_another_search(
    project: Project, repository: GitRepository, state_before: dict[str, str]
) -> None:
    project.write("new.txt", "new\n")
    project.write("dir/b.txt", "changed\n")
    state = repository.checkout_state()
    found = repository.checkout_files()
    assert found is not None and found.files.keys() == {"a.txt", "new.txt", "dir/b.txt"}

    project.write("later.txt", "written after the state\n")

    assert repository.checkout_files(state) == found


def test_a_state_that_may_lack_files_is_searched_again(
    state_before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository_state.files_of(state_before) is not None
    monkeypatch.setattr(repository_state, "MOST_FILES", 2)
    assert repository_state.files_of(state_before) is None


def test_a_missing_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / "project").begin({"app.py": ""})
    monkeypatch.setenv("PATH", str(tmp_path))

    base = GitRepository(project.path, tmp_path / "workspace", tmp_path).base()

    assert base.hindrance == "git is not on the PATH; install git 2.38 or newer"
