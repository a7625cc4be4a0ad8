"""An unchanged checkout's status needs no git; after each change, it equals git's status."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.git.checkout import git_status
from orchestrator.git.command import file_stamps
from orchestrator.git.command.git_config import SETTLED_SECONDS
from orchestrator.git.command.runner import Git
from tests.support.project import Project

StateChange = Callable[[Project], object]


@pytest.fixture
def checkout(project: Project) -> Project:
    project.commit({".gitignore": ".env\ncache/\n"}, "ignored")
    project.write("dir/b.txt", "work in progress\n")
    project.write("new/n.txt", "new\n")
    project.write(".env", "KEY=1\n")
    project.write("cache/c.txt", "1\n")
    project.write("ours/x.txt", "x\n")
    _settle(project)
    return project


def _settle(project: Project) -> None:
    paths = [each for each in project.path.rglob("*") if not each.is_dir()]
    while time.time() < max(os.lstat(each).st_ctime for each in paths) + 2 * SETTLED_SECONDS:
        time.sleep(0.02)


def _status(project: Project) -> list[str]:
    return list(git_status.status(_git(project), str(project.path), ["ours"]))


def _git(project: Project) -> Git:
    return Git(str(project.path), {})


def _by_git(project: Project) -> list[str]:
    answer = _git(project).run("status", *git_status._HOW, accept=range(256))
    return [each for each in answer.fields if not each.endswith("/")]


def _processes(started: list[list[str]], project: Project) -> int:
    started.clear()
    _status(project)
    return sum("status" in each for each in started)


def test_an_unchanged_checkout_is_read_once(checkout: Project, started: list[list[str]]) -> None:
    first = _status(checkout)
    assert first == _by_git(checkout)
    # From here on, the ignored directories are known.
    assert [_processes(started, checkout) for _ in range(3)] == [1, 0, 0]
    assert _status(checkout) == first


def _overwrite(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, StateChange] = {
    "a file": lambda project: project.write("a.txt", "changed\n"),
    "a file of the same size and time": lambda project: _overwrite(project.path / "a.txt"),
    "a mode": lambda project: (project.path / "a.txt").chmod(0o755),
    "a new file": lambda project: project.write("more.txt", ""),
    "a removed file": lambda project: (project.path / "a.txt").unlink(),
    "a renamed file": lambda project: (project.path / "a.txt").rename(project.path / "c.txt"),
    "a link": lambda project: (project.path / "link").symlink_to("a.txt"),
    "an ignored file": lambda project: project.write("dir/.env", ""),
    "a rule": lambda project: project.write(".gitignore", "cache/\n"),
    "a shared rule": lambda project: project.write(".git/info/exclude", "new/\n"),
    "attributes": lambda project: project.write(".git/info/attributes", "*.txt eol=crlf\n"),
    "the index": lambda project: project.git("add", "dir/b.txt"),
    "a flag": lambda project: project.git("update-index", "--assume-unchanged", "dir/b.txt"),
    "a commit": lambda project: project.git("commit", "-q", "--allow-empty", "-a", "-m", "x"),
    "the head": lambda project: project.git("update-ref", "HEAD", "HEAD^"),
    "a setting": lambda project: project.git("config", "core.excludesFile", "dir/b.txt"),
    "a repository": lambda project: project.git("init", "-q", "inner"),
    "a mode of a directory": lambda project: (project.path / "new").chmod(0o700),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(checkout: Project, change: StateChange) -> None:
    for _ in range(3):
        _status(checkout)
    change(checkout)
    assert _status(checkout) == _by_git(checkout) == _status(checkout)


def test_a_second_change_in_the_same_moment_is_seen(checkout: Project) -> None:
    for number in range(5):
        checkout.write("a.txt", f"change {number}\n")
        assert _status(checkout) == _by_git(checkout)
        checkout.write("a.txt", "one\ntwo\nthree\n")
        assert _status(checkout) == _by_git(checkout)


def test_an_ignored_directory_and_our_own_may_change(
    checkout: Project, started: list[list[str]]
) -> None:
    for _ in range(2):
        _status(checkout)
    for number in range(file_stamps.MOST_ENTRIES):
        checkout.write(f"cache/{number}", "")
    checkout.write("ours/y.txt", "y")
    assert _processes(started, checkout) == 0


@pytest.mark.parametrize(
    ("module", "limit"),
    [(file_stamps, "MOST_ENTRIES"), (git_status, "_MOST_INDEX_BYTES")],
)
def test_git_reads_a_large_checkout(
    checkout: Project,
    started: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    limit: str,
) -> None:
    monkeypatch.setattr(module, limit, 3)
    assert [_processes(started, checkout) for _ in range(3)] == [1, 1, 1]


def test_a_failure_is_not_cached(checkout: Project) -> None:
    before = _status(checkout)
    index = (checkout.path / ".git" / "index").read_bytes()
    (checkout.path / ".git" / "index").write_bytes(b"broken")
    _settle(checkout)
    assert [_status(checkout) for _ in range(3)] == [[], [], []]
    (checkout.path / ".git" / "index").write_bytes(index)
    assert _status(checkout) == before
